import { expect, signIn, test } from "../support/demo";

test.use({ permissions: ["clipboard-read", "clipboard-write"] });

test("the steps have commands to copy, and each server says how far it is", async ({ page }) => {
  await signIn(page, "viewer", "/start");
  const step = page.locator(".start-steps > li", { hasText: "Make the role that watches" });
  await step.getByRole("button", { name: "Copy" }).click();
  await expect(step.getByText("Copied")).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain("GRANT pg_monitor TO holdfast_monitor;");
  await expect(page.locator(".need.good", { hasText: "Connected" }).first()).toBeVisible();
});
