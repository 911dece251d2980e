import AxeBuilder from "@axe-core/playwright";
import { alive, demo, expect, signIn, statements, test } from "../support/demo";

const pages = [
  "/database",
  "/database/performance#queries",
  "/database/performance?list=duplicate#indexes",
  "/database/activity",
  "/database/locks",
  "/database/tables",
  "/database/connections",
  "/database/replication",
  "/database/maintenance",
  "/database/settings",
  "/database/cost",
  "/alerts",
  "/alerts?tab=rules",
  "/alerts?tab=channels",
  "/alerts?tab=blackouts",
];

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(`${colorScheme} mode`, () => {
    test.use({ colorScheme });
    test(`axe finds nothing serious in ${colorScheme} mode`, async ({ page }) => {
      test.setTimeout(600_000);
      await page.goto(`${demo.url}/login`);
      const check = async () => {
        const { violations } = await new AxeBuilder({ page }).analyze();
        const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
        expect(serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`), page.url()).toEqual([]);
      };
      await check();
      await signIn(page);
      for (const path of pages) {
        await page.goto(demo.url + path);
        await alive(page);
        await check();
      }
    });
  });
}

test("the theme can be chosen and is kept", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await page.getByRole("button", { name: "Dark", exact: true }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await alive(page);
  await page.getByRole("button", { name: "Light", exact: true }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
});

test.describe("at 390 px", () => {
  test.use({ viewport: { width: 390, height: 844 } });
  test("no page is wider than the screen, and the navigation is a drawer", async ({ page }) => {
    test.setTimeout(400_000);
    await signIn(page);
    for (const path of pages) {
      await page.goto(demo.url + path);
      await alive(page);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(390);
    }
    await expect(page.locator("nav#nav")).toBeHidden();
    await page.getByRole("button", { name: "Navigation", exact: true }).click();
    await page.locator("nav#nav a.page", { hasText: "Activity" }).click();
    await expect(page).toHaveURL(/\/database\/activity/);
    await expect(page.locator("nav#nav")).toBeHidden();
  });

  test("a line of the guide and one of the advice have their reason in sight, without scrolling sideways", async ({ page }) => {
    await signIn(page, "viewer", "/database/settings");
    const line = page.locator("[aria-labelledby='panel-the-guide-s-postgresql-conf'] tbody tr").first();
    await expect(line).toBeVisible();
    const [name, reason] = await Promise.all([line.locator("td").first().boundingBox(), line.locator("td").last().boundingBox()]);
    expect(reason!.x + reason!.width).toBeLessThanOrEqual(390);
    expect(reason!.y, "below its name").toBeGreaterThan(name!.y);
    // Advice: why, and the statement to run.
    const advice = page.locator("[aria-labelledby='panel-advice'] tbody tr").first();
    for (const cell of ["td.reason", "td.statement"]) {
      const box = (await advice.locator(cell).boundingBox())!;
      expect(box.x + box.width, cell).toBeLessThanOrEqual(390);
    }
  });
});

test("keys: g and a letter, the search, rows, the list of keys", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await page.keyboard.press("g");
  await page.keyboard.press("q");
  await expect(page).toHaveURL(/\/database\/performance#queries/);
  await statements(page);
  await alive(page);
  await page.keyboard.press("/");
  await expect(page.getByLabel("Search statements")).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await expect(page.locator("table.queries a[data-row]").nth(1)).toBeFocused();
  await page.keyboard.press("k");
  await expect(page.locator("table.queries a[data-row]").first()).toBeFocused();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeHidden();
  await page.locator("table.queries a[data-row]").first().focus();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/database\/queries\//);
});

test("keys work on a page of the server alone too", async ({ page }) => {
  await signIn(page, "viewer", "/estate");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeHidden();
  await page.keyboard.press("j");
  await expect(page.locator("[data-row]").first()).toBeFocused();
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await expect(page).toHaveURL(/\/database\/tables/);
});

test("a menu closes by Escape, and by a click beside it", async ({ page }) => {
  await signIn(page);
  await alive(page);
  // The one is the page's, the other the browser's alone.
  for (const menu of [page.locator("header.top details.menu").first(), page.locator("details.zone")]) {
    await menu.locator("summary").click();
    await expect(menu).toHaveAttribute("open", "");
    await page.keyboard.press("Escape");
    await expect(menu).not.toHaveAttribute("open");
    await expect(menu.locator("summary")).toBeFocused();
    await menu.locator("summary").click();
    await expect(menu).toHaveAttribute("open", "");
    await page.locator("nav#nav .group").first().click();
    await expect(menu).not.toHaveAttribute("open");
  }
});

test("j and k walk the sessions and the indexes too", async ({ page }) => {
  await signIn(page, "viewer", "/database/activity");
  await alive(page);
  await page.getByRole("button", { name: "with idle and background" }).click();
  await page.keyboard.press("j");
  await expect(page.locator("tbody [data-row]").first()).toBeFocused();
  await expect(page.getByRole("columnheader", { name: "Client" })).toBeVisible();
  await page.goto(`${demo.url}/database/performance#indexes`);
  await alive(page);
  await expect(page.locator("#indexes a[data-row]").first()).toHaveAttribute("href", /\/database\/index\?.*name=/);
  await page.keyboard.press("j");
  await expect(page.locator("#indexes a[data-row]").first()).toBeFocused();
});

test("a chart is drawn by ECharts from our own files", async ({ page }) => {
  const elsewhere: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(demo.url) && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  await signIn(page);
  await alive(page);
  await expect(page.locator(".canvas[data-drawn] canvas").first()).toBeVisible();
  expect(elsewhere).toEqual([]);
});

test("the axis of a chart of bytes goes in round steps of their units from nothing past the largest value", async ({ page }) => {
  await signIn(page, "viewer", "/database/maintenance");
  await alive(page);
  // What the page reads later would be drawn in the place of what the test draws.
  await page.getByRole("button", { name: "Live", exact: true }).click();
  await expect(page.getByRole("button", { name: "Paused", exact: true })).toBeVisible();
  const chart = page.locator('.canvas[data-unit="B/s"]').first();
  await chart.scrollIntoViewIfNeeded();
  await expect(chart.locator("canvas").first()).toBeVisible();
  const labels = (values: number[], stacked: boolean) =>
    chart.evaluate(
      async (element: HTMLElement, [values, stacked]) => {
        const option = JSON.parse(element.dataset.chart!);
        const [x] = [option.xAxis].flat();
        const lines = stacked ? values.map((value) => [value]) : [values];
        const data = (line: number[]) => line.map((value, i) => [x.min + i * 1_000, value]);
        option.series = lines.map((line, i) => ({ id: `s${i + 1}-0`, type: "line", data: data(line), ...(stacked ? { stack: "all" } : {}) }));
        element.dataset.chart = JSON.stringify(option);
        // It is drawn once the change was heard of.
        await new Promise((done) => setTimeout(done, 100));
        const { echarts } = window as unknown as { echarts: { getInstanceByDom(element: HTMLElement): { getOption(): { yAxis: any[] } } } };
        const [y] = echarts.getInstanceByDom(element).getOption().yAxis;
        const written = [];
        for (let value = y.min; value <= y.max; value += y.interval) written.push(y.axisLabel.formatter(value));
        return written;
      },
      [values, stacked] as [number[], boolean],
    );
  const MiB = 1_048_576;
  await expect.poll(() => labels([MiB, 3.2 * MiB], false)).toEqual(["0 B/s", "1 MiB/s", "2 MiB/s", "3 MiB/s", "4 MiB/s"]);
  await expect.poll(() => labels([1_200], false)).toEqual(["0 B/s", "256 B/s", "512 B/s", "768 B/s", "1 KiB/s", "1.25 KiB/s"]);
  await expect.poll(() => labels([1_024 * MiB], false)).toEqual(["0 B/s", "256 MiB/s", "512 MiB/s", "768 MiB/s", "1 GiB/s"]);
  await expect.poll(() => labels([900 * MiB, 0], false)).toEqual(["0 B/s", "200 MiB/s", "400 MiB/s", "600 MiB/s", "800 MiB/s", "1000 MiB/s"]);
  // Areas on top of each other are as high as all of them.
  await expect.poll(() => labels([2 * MiB, 2.5 * MiB], true)).toEqual(["0 B/s", "1 MiB/s", "2 MiB/s", "3 MiB/s", "4 MiB/s", "5 MiB/s"]);
});

test("the screenshot of the README", async ({ page }) => {
  await signIn(page, "viewer", "/database");
  await page.goto(`${demo.url}/database?range=15m`);
  await alive(page);
  await expect(page.locator(".canvas[data-drawn] canvas").first()).toBeVisible();
  await page.waitForTimeout(1_000);
  // Kept where it was asked for, so that a test run does not change the working tree.
  await page.screenshot({ path: process.env.HOLDFAST_SCREENSHOT ?? "test-results/overview.png" });
});
