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

test("the list of clusters keeps itself up to date, and the focus on its row", async ({ page }) => {
  await page.clock.install();
  await signIn(page, "viewer", "/estate");
  await page.keyboard.press("j");
  await expect(page.locator("table.estate-list a[data-row]").first()).toBeFocused();
  await page.locator("table.estate-list tbody").evaluate((body) => body.setAttribute("data-old", ""));
  const again = page.waitForResponse((response) => new URL(response.url()).pathname === "/estate");
  await page.clock.fastForward(16_000);
  await again;
  await expect(page.locator("table.estate-list tbody[data-old]")).toHaveCount(0);
  await expect(page.locator("table.estate-list a[data-row]:focus")).toHaveCount(1);
});
