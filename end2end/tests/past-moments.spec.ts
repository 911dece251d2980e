// Who was active at a moment that is over: found from charts, events and kept graphs of locks, by links alone.
import AxeBuilder from "@axe-core/playwright";
import { alive, demo, expect, signIn, test } from "../support/demo";

/** Waits until samples are kept: the first bucket comes after two ticks. */
async function sampled(page: import("@playwright/test").Page) {
  await expect(async () => {
    await page.goto(`${demo.url}/database/activity?at=latest`);
    await expect(page.getByRole("region", { name: "Sessions table", exact: true }).locator("tbody tr").first()).toBeVisible({ timeout: 3_000 });
  }).toPass({ timeout: 160_000 });
}

test("the page of activity leads to past moments, and each minute to the next", async ({ page }) => {
  await signIn(page, "viewer", "/database/activity");
  await alive(page);
  await sampled(page);
  await page.goto(`${demo.url}/database/activity`);
  await alive(page);
  await page.getByRole("link", { name: "Past moments" }).click();
  await expect(page).toHaveURL(/\/database\/activity\?at=latest/);
  await expect(page.locator("p.banner")).toContainText(/This is .* samples in/);
  const first = await page.locator("p.banner").textContent();
  await page.getByRole("link", { name: "‹ Before" }).click();
  await expect(page).toHaveURL(/at=\d{4}-\d\d-\d\dT/);
  await expect(page.locator("p.banner")).not.toHaveText(first!);
  // A pasted link shows the same.
  const then = await page.locator("p.banner").textContent();
  await page.reload();
  await expect(page.locator("p.banner")).toHaveText(then!);
  await page.getByRole("link", { name: "Jump to now" }).click();
  await expect(page).toHaveURL(/\/database\/activity$/);
  await alive(page);
});

test("a click on the chart of the load leads to that moment", async ({ page }) => {
  await signIn(page);
  await sampled(page);
  await page.goto(`${demo.url}/database`);
  await alive(page);
  const canvas = page.locator(".panel", { hasText: "Database load" }).locator(".canvas[data-drawn]").first();
  await canvas.scrollIntoViewIfNeeded();
  const box = (await canvas.boundingBox())!;
  const from = Date.now();
  await page.mouse.click(box.x + box.width - 40, box.y + box.height / 2);
  await expect(page).toHaveURL(/\/database\/activity\?.*at=/);
  const at = Date.parse(new URL(page.url()).searchParams.get("at")!);
  expect(Math.abs(from - at)).toBeLessThan(600_000);
  await expect(page.getByRole("heading", { name: "Busiest minutes" })).toBeVisible();
});

test("a statement of that minute leads to its page, and the CSV has the same sessions", async ({ page }) => {
  await signIn(page);
  await sampled(page);
  const rows = page.getByRole("region", { name: "Sessions table", exact: true }).locator("tbody tr");
  // The minute may still be filling between the page and its CSV.
  await expect(async () => {
    await page.reload();
    const shown = await rows.count();
    const href = await page.getByRole("link", { name: "CSV" }).getAttribute("href");
    const csv = await (await page.request.get(demo.url + href!)).text();
    expect(csv).toContain("wait_class,wait_event,id,queryid,query,database,user,application");
    expect(csv.trim().split("\r\n").length - 1).toBe(shown);
  }).toPass({ timeout: 120_000 });
  const link = rows.locator("td.statement a").first();
  await expect(link).toBeVisible();
  await link.click();
  await expect(page).toHaveURL(/\/database\/queries\/\d+\./);
});

test("a kept graph of locks leads to who was active then, with the graph beside it", async ({ page }) => {
  test.setTimeout(300_000);
  await signIn(page, "viewer", "/database/locks");
  const kept = page.getByRole("region", { name: "Kept moments table" }).locator("tbody tr", { hasNotText: "now" }).locator("a[data-row]").first();
  await expect(async () => {
    await page.reload();
    await expect(kept).toBeVisible({ timeout: 3_000 });
  }).toPass({ timeout: 240_000 });
  await kept.click();
  await page.getByRole("link", { name: "Activity then" }).click();
  await expect(page).toHaveURL(/\/database\/activity\?.*at=/);
  await expect(page.getByRole("heading", { name: "Who waited for whom" })).toBeVisible();
  await expect(page.locator("table.locks tr.root").first()).toBeVisible();
  await expect(page.locator("details.signal")).toHaveCount(0);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.filter((one) => one.impact === "serious" || one.impact === "critical")).toEqual([]);
});

test.describe("without JavaScript", () => {
  // The browser tells of the refusal itself.
  test.use({ javaScriptEnabled: false, allowed: [/400/] });
  test("a moment is typed into the form, and one that is still to come is refused with the reason", async ({ page }) => {
    await page.goto(`${demo.url}/login?next=${encodeURIComponent("/database/activity?at=latest")}`);
    await page.getByLabel("Name").fill("viewer");
    await page.getByLabel("Password").fill(demo.users.find((user) => user.name === "viewer")!.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByLabel("Moment (UTC)").fill(new Date(Date.now() - 60_000).toISOString().slice(0, 19));
    await page.getByRole("button", { name: "Show", exact: true }).last().click();
    await expect(page).toHaveURL(/at=\d{4}/);
    await expect(page.locator("p.banner")).toBeVisible();
    await page.goto(`${demo.url}/database/activity?at=2999-01-01T00:00:00Z`);
    await expect(page.getByRole("alert")).toContainText("still to come");
  });
});
