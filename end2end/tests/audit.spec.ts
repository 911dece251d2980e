import AxeBuilder from "@axe-core/playwright";
import { demo, expect, signIn, test } from "../support/demo";

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("an administrator finds who did what, sees that the chain holds, and opens a row", async ({ page }) => {
    await signIn(page, "admin", "/audit");
    await expect(page.locator(".title .badge")).toContainText("holds");
    await page.getByLabel("Who").fill("admin");
    await page.getByLabel("Action").fill("session_sign_in");
    await page.getByRole("button", { name: "Show" }).click();
    await expect(page).toHaveURL(/actor=admin&action=session_sign_in/);
    const rows = page.locator("ul.audit > li");
    await expect(rows.first()).toContainText("session_sign_in");
    await rows.first().locator("summary").click();
    await expect(rows.first().locator("dl")).toContainText("Hash");
    await page.getByLabel("Object").fill("nothing/at-all");
    await page.getByRole("button", { name: "Show" }).click();
    await expect(page.getByText("No row meets all of this.")).toBeVisible();
  });
});

test("axe finds nothing serious on the audit log and the estate", async ({ page }) => {
  await signIn(page, "admin", "/audit");
  for (const path of ["/audit", "/estate"]) {
    await page.goto(demo.url + path);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.filter((one) => one.impact === "serious" || one.impact === "critical")).toEqual([]);
  }
});

test.describe("a viewer", () => {
  test.use({ allowed: [/403/] });
  test("has no audit log", async ({ page }) => {
    await signIn(page, "viewer", "/estate");
    await page.locator("summary.avatar").click();
    await expect(page.locator("a[href='/audit']")).toHaveCount(0);
    const answer = await page.goto(`${demo.url}/audit`);
    expect(answer?.status()).toBe(403);
  });
});
