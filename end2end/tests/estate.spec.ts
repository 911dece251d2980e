import { demo, expect, signIn, test } from "../support/demo";

test("with several clusters one begins with all of them, and each leads to its pages", async ({ page }) => {
  await signIn(page, "viewer", "/estate");
  await page.goto(demo.url);
  await expect(page).toHaveURL(`${demo.url}/estate`);
  const rows = page.locator("table.estate-list tbody tr");
  expect(await rows.count()).toBeGreaterThan(1);
  await expect(page.locator("nav#nav a", { hasText: "Estate" })).toHaveAttribute("aria-current", "page");
  await rows.first().locator("a[data-row]").click();
  await expect(page).toHaveURL(/\/database\?cluster=/);
  await expect(page.locator(".gauge .score")).toBeVisible();
});
