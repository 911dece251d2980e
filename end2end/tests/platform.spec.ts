import AxeBuilder from "@axe-core/playwright";
import { demo, expect, signIn, test } from "../support/demo";

test("the catalogue is searched with a typing error, narrowed, and a plugin opened with its dependencies", async ({ page }) => {
  await signIn(page, "operator", "/plugins?tenant=1");
  await expect(page.getByRole("heading", { name: "Plugins", level: 1 })).toBeVisible();
  const rows = page.locator("table tbody tr");
  const all = await rows.count();
  expect(all).toBeGreaterThan(5);
  await page.getByRole("searchbox", { name: "Search plugins" }).fill("pipelin");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/q=pipelin/);
  await expect(rows.first()).toContainText(/pipeline/i);
  await rows.first().getByRole("link").first().click();
  await expect(page).toHaveURL(/\/plugins\/\d+/);
  for (const panel of ["About", "Health", "Metrics", "Dependencies", "Plan", "Versions", "Operations"]) {
    await expect(page.getByRole("heading", { name: panel, exact: true })).toBeVisible();
  }
});

test("the analytics of a tenant are shown in all their parts", async ({ page }) => {
  await signIn(page, "operator", "/analytics?tenant=1");
  for (const panel of ["Usage over time", "Top plugins", "Countries", "Hours of the week", "Active users", "Retention"]) {
    await expect(page.getByRole("heading", { name: panel, exact: true })).toBeVisible();
  }
  await expect(page.locator("table.cohorts tbody tr").first()).toBeVisible();
  await expect(page.locator("table.heat tbody tr").first()).toBeVisible();
});

test.describe("without a tenant and the right to choose one", () => {
  test.use({ allowed: [/403/] });
  test("a viewer is told why there is nothing to see", async ({ page }) => {
    await signIn(page, "viewer", "/database");
    const answer = await page.goto(`${demo.url}/plugins?tenant=1`);
    expect(answer?.status()).toBe(403);
    await expect(page.locator("main")).toContainText(/operator|permission|role/i);
  });
});

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(`pages of the server alone in ${colorScheme} mode`, () => {
    test.use({ colorScheme });
    test(`axe finds nothing serious, and nothing is wider than 390 px, in ${colorScheme} mode`, async ({ page }) => {
      test.setTimeout(400_000);
      await signIn(page, "operator", "/plugins?tenant=1");
      const plugin = await page.locator("a[href^='/plugins/']").first().getAttribute("href");
      const answer = await page.request.get(`${demo.url}/api/v1/clusters/main/queries?limit=1`);
      const [statement] = (await answer.json()).rows;
      const pages = ["/plugins?tenant=1", plugin!, "/analytics?tenant=1", "/account", "/database/advice", "/backups", "/recovery", "/recovery/plans"];
      if (statement) pages.push(`/database/queries/${encodeURIComponent(statement.id)}/plan`);
      for (const path of pages) {
        await page.setViewportSize({ width: 1440, height: 900 });
        await page.goto(demo.url + path);
        const { violations } = await new AxeBuilder({ page }).analyze();
        const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
        expect(serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`), page.url()).toEqual([]);
        await page.setViewportSize({ width: 390, height: 844 });
        expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(390);
      }
    });
  });
}
