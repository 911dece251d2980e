import { alive, demo, expect, signIn, statements, test } from "../support/demo";
import type { Page } from "@playwright/test";

const api = "/api/v1/clusters/main/history/connections_used";
const drawn = (page: Page) => page.locator(".canvas[data-drawn]").first();
const stamp = (minutes: number) => new Date(Math.floor(Date.now() / 60_000 + minutes) * 60_000).toISOString().replace(".000Z", "Z");

/** First and last moment of the first chart, as it is drawn. */
async function axis(page: Page) {
  const option = await drawn(page).getAttribute("data-chart");
  const x = [JSON.parse(option!).xAxis].flat()[0];
  return [x.min, x.max] as [number, number];
}

async function drag(page: Page, from: number, to: number) {
  await drawn(page).scrollIntoViewIfNeeded();
  const box = (await drawn(page).boundingBox())!;
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * ((from + to) / 2), y);
  await expect(drawn(page).locator(".drag")).toBeVisible();
  await page.mouse.move(box.x + box.width * to, y);
  await page.mouse.up();
}

test("a drag over a chart chooses the range; it stands in the address, survives a reload, and leads back to live", async ({ page }) => {
  await signIn(page, "viewer", "/database?range=6h");
  await alive(page);
  await expect(drawn(page).locator("canvas").first()).toBeVisible();
  await page.evaluate(() => ((window as unknown as { here: boolean }).here = true));
  const before = await axis(page);
  await drag(page, 0.3, 0.7);
  await expect(page).toHaveURL(/range=6h&from=.+&to=/);
  expect(await page.evaluate(() => (window as unknown as { here?: boolean }).here), "without a reload").toBe(true);
  await expect(async () => {
    const [from, to] = await axis(page);
    expect(from).toBeGreaterThan(before[0]);
    expect(to).toBeLessThan(before[1]);
    // Four tenths of the width are four tenths of six hours, but for the room of the axis.
    expect((to - from) / 3_600_000).toBeGreaterThan(2.2);
    expect((to - from) / 3_600_000).toBeLessThan(3);
  }).toPass();
  await expect(page.locator("nav.range [aria-current]")).toHaveCount(0);
  const zoomed = await axis(page);
  await page.reload();
  await alive(page);
  expect(await axis(page)).toEqual(zoomed);
  // It stays on the next page, and can be narrowed there again.
  await page.locator("nav#nav a", { hasText: "Queries" }).click();
  await expect(page).toHaveURL(/range=6h&from=.+&to=.+#queries/);
  await page.getByRole("link", { name: "Back to live" }).click();
  await expect(page).toHaveURL(/range=6h/);
  await expect(page).not.toHaveURL(/from=/);
  await expect(page.locator("nav.range [aria-current]")).toHaveText("6 h");
  await expect(page.getByRole("link", { name: "Back to live" })).toHaveCount(0);
});

test("a drag is given up by Escape, and a click is none", async ({ page }) => {
  // On charts of sessions a click leads to that moment; on this one it does nothing.
  await signIn(page, "viewer", "/database/performance");
  await alive(page);
  await expect(drawn(page).locator("canvas").first()).toBeVisible();
  const box = (await drawn(page).boundingBox())!;
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2);
  await page.keyboard.press("Escape");
  await page.mouse.up();
  await expect(drawn(page).locator(".drag")).toBeHidden();
  await expect(page).not.toHaveURL(/from=/);
});

test("the form of two moments is in the reader's reach by keys, and says what is wrong", async ({ page }) => {
  await signIn(page, "viewer", "/database?range=15m");
  await alive(page);
  await page.locator("details.custom summary").focus();
  await page.keyboard.press("Enter");
  const [from, to] = [page.getByLabel("From"), page.getByLabel("To", { exact: true })];
  // What is looked at now stands there to begin with.
  await expect(from).not.toHaveValue("");
  const [begin, end] = [stamp(-60).slice(0, 16), stamp(-30).slice(0, 16)];
  await from.fill(end);
  await to.fill(begin);
  await page.getByRole("button", { name: "Show" }).click();
  expect(await to.evaluate((field: HTMLInputElement) => field.validationMessage)).toContain("after the beginning");
  await from.fill(begin);
  await to.fill(end);
  await page.getByRole("button", { name: "Show" }).click();
  await expect(page).toHaveURL(new RegExp(`from=${encodeURIComponent(`${begin}:00Z`)}&to=${encodeURIComponent(`${end}:00Z`)}`));
  await expect(page.locator("details.custom")).not.toHaveAttribute("open");
  await expect(page.locator(".title .muted").first()).toContainText(`${begin.replace("T", " ")} to`);
});

test("wrong moments are told on the page and by the API, with what is allowed", async ({ page }) => {
  await signIn(page);
  const cases: [string, string, string][] = [
    [stamp(-30), stamp(-60), "later than"],
    [stamp(-30), "2999-01-01T00:00:00Z", "still to come"],
    ["2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z", "400 days"],
    ["yesterday", stamp(0), "2026-11-24T02:00:00Z"],
    [stamp(-30), "", "both"],
  ];
  for (const [from, to, said] of cases) {
    const query = new URLSearchParams({ from, to });
    const answer = await page.request.get(`${demo.url}${api}?${query}`);
    expect(answer.status(), said).toBe(400);
    expect(JSON.stringify(await answer.json())).toContain(said);
    const kept = said === "400 days" ? "90 days" : said;
    expect(JSON.stringify(await (await page.request.get(`${demo.url}/api/v1/clusters/main/queries?${query}`)).json())).toContain(kept);
    for (const path of ["/database", "/database/performance", "/database/activity", "/database/connections"]) {
      const shown = await page.request.get(`${demo.url}${path}?${query}`);
      expect(shown.status(), `${path} ${said}`).toBe(400);
      expect(await shown.text()).toContain(path.endsWith("performance") ? kept : said);
    }
  }
});

test("an earlier time is set beside two moments, as long and just before or a week before", async ({ page }) => {
  await signIn(page);
  const [from, to] = [stamp(-2), stamp(0)];
  const two = `from=${from}&to=${to}`;
  for (const compare of ["previous", "7d"]) {
    const answer = await page.request.get(`${demo.url}${api}?${two}&compare=${compare}`);
    expect(answer.status()).toBe(200);
    const series = await answer.json();
    expect([series.from, series.to]).toEqual([from, to]);
    expect(series.earlier === undefined || series.earlier[0].values.length === series.times.length).toBe(true);
  }
  await page.goto(`${demo.url}/database/performance?${two}&compare=previous`);
  await statements(page);
  await expect(page.locator("table.queries th", { hasText: "Mean Δ" })).toBeVisible();
  await expect(page.locator("details.custom summary")).toHaveClass(/on/);
  const csv = await page.locator("#queries").getByRole("link", { name: "CSV" }).getAttribute("href");
  expect(csv).toContain(`from=${encodeURIComponent(from)}`);
});

test("pickers stand only where they change something", async ({ page }) => {
  await signIn(page, "operator");
  const range = page.getByRole("navigation", { name: "Time range" });
  const compare = page.locator("details.compare");
  for (const path of ["/database", "/database/performance", "/database/activity", "/database/cost", "/database/performance"]) {
    await page.goto(demo.url + path);
    await expect(range, path).toBeVisible();
    await expect(compare, path).toBeVisible();
  }
  for (const path of ["/plugins?tenant=1", "/recovery", "/backups", "/alerts", "/account", "/database/settings", "/database/locks", "/database/tables"]) {
    await page.goto(demo.url + path);
    await expect(page.locator("header.top .avatar"), path).toBeVisible();
    await expect(range, path).toBeHidden();
    await expect(compare, path).toBeHidden();
    await expect(page.locator("details.custom"), path).toBeHidden();
  }
  await page.goto(`${demo.url}/database`);
  await alive(page);
  await page.locator("nav#nav a.page", { hasText: "Locks" }).click();
  await expect(range).toBeHidden();
  await page.locator("nav#nav a.page", { hasText: "Overview" }).click();
  await expect(range).toBeVisible();
});

test("the processors of the machine are told beside the load", async ({ page }) => {
  await signIn(page);
  const answer = await page.request.get(`${demo.url}/api/v1/clusters/main/waits`);
  const { cpus } = await answer.json();
  // The demo's clusters run on this machine.
  expect(cpus).toBeGreaterThan(0);
  await expect(page.locator(".panel", { has: page.getByRole("heading", { name: "Database load" }) }).locator(".note")).toContainText(`${cpus} processors`);
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("two moments are chosen by the form, in UTC, and the page is of them", async ({ page }) => {
    await page.goto(`${demo.url}/login?next=${encodeURIComponent("/database?range=6h")}`);
    await page.getByLabel("Name").fill("viewer");
    await page.getByLabel("Password").fill(demo.users.find((user) => user.name === "viewer")!.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("details.custom summary").click();
    await expect(page.locator("form.custom-range")).toContainText("UTC");
    const [from, to] = [stamp(-90).slice(0, 16), stamp(-30).slice(0, 16)];
    await page.getByLabel("From").fill(from);
    await page.getByLabel("To", { exact: true }).fill(to);
    await page.getByRole("button", { name: "Show" }).click();
    await expect(page).toHaveURL(/range=6h/);
    await expect(page).toHaveURL(/from=/);
    await expect(page.locator(".title .muted").first()).toContainText(`${from.replace("T", " ")} to`);
    await expect(page.locator(".title .muted").first()).toContainText("UTC");
    await page.getByRole("link", { name: "Back to live" }).click();
    await expect(page).not.toHaveURL(/from=/);
    await expect(page).toHaveURL(/range=6h/);
  });
});
