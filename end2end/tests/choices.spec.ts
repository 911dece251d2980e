// What a browser keeps: the time zone, and which columns are shown.
import { readFileSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { alive, demo, expect, signIn, statements, test } from "../support/demo";

// Browsers still use the older of its two names.
const INDIA = /Asia\/(Kolkata|Calcutta)/;

test.describe("in India", () => {
  test.use({ timezoneId: "Asia/Kolkata" });
  test("times are UTC until the browser's zone is chosen; then pages, charts, forms and pages of the server alone have it", async ({ page }) => {
    await signIn(page, "operator");
    await alive(page);
    const age = page.locator(".title .age");
    await expect(age).toHaveAttribute("title", / UTC$/);
    await page.locator("details.zone summary").click();
    await page.locator("details.zone").getByRole("button", { name: "Browser" }).click();
    await expect(page.locator("html")).toHaveAttribute("data-zone", INDIA);
    await alive(page);
    // After hydration and the next figures too.
    await expect(age).toHaveAttribute("title", /\+05:30$/);
    const rendered = await age.getAttribute("title");
    await expect(age).not.toHaveAttribute("title", rendered!, { timeout: 90_000 });
    await expect(age).toHaveAttribute("title", /\+05:30$/);
    const moment = await age.evaluate((time: HTMLTimeElement) => [time.dateTime, time.title]);
    expect(Date.parse(moment[0])).toBe(Date.parse(moment[1].replace(" +05:30", "+05:30").replace(" ", "T")) + (Date.parse(moment[0]) % 1000));
    await expect(page.locator("figure.chart details.numbers th").first()).toHaveText(/^Time \(Asia\/(Kolkata|Calcutta)\)$/);
    // The form of two moments is in it, the address is not.
    await page.locator("details.custom summary").click();
    await expect(page.locator("form.custom-range")).toContainText(INDIA);
    const noon = new Date(Date.now() - 3_600_000).toISOString().slice(0, 14) + "00:00Z";
    const there = new Date(Date.parse(noon) + 5.5 * 3_600_000).toISOString().slice(0, 16);
    await page.getByLabel("From").fill(there);
    await page.getByRole("button", { name: "Show" }).click();
    await expect(page).toHaveURL(new RegExp(`from=${encodeURIComponent(noon)}`));
    await expect(page.locator(".title .muted").first()).toContainText(`${there.replace("T", " ")} to`);
    await expect(page.locator(".title .muted").first()).toContainText("+05:30");
    await page.goto(`${demo.url}/database/advice`);
    await expect(page.locator("html")).toHaveAttribute("data-zone", INDIA);
    await page.locator("details.zone summary").click();
    await page.locator("details.zone").getByRole("button", { name: "UTC" }).click();
    await expect(page.locator("html")).toHaveAttribute("data-zone", "UTC");
  });
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("the zone of the server and the columns of a table are chosen by forms", async ({ page }) => {
    await page.goto(`${demo.url}/login?next=%2Fdatabase%2Ftables`);
    await page.getByLabel("Name").fill("viewer");
    await page.getByLabel("Password").fill(demo.users.find((user) => user.name === "viewer")!.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("details.zone summary").click();
    await expect(page.getByRole("button", { name: "Browser" })).toBeHidden();
    await page.getByRole("button", { name: "Server", exact: true }).click();
    await expect(page.locator("html")).toHaveAttribute("data-zone-choice", "server");
    await expect(async () => {
      await page.reload();
      await expect(page.locator("a[data-row]").nth(3)).toBeVisible({ timeout: 3_000 });
    }).toPass({ timeout: 160_000 });
    const dead = page.locator("table[data-columns=tables] th", { hasText: "Dead %" });
    await expect(dead).toBeVisible();
    await page.locator("details.column-menu summary").click();
    await page.getByLabel("Dead %").uncheck();
    await page.getByRole("button", { name: "Show these" }).click();
    await expect(dead).toBeHidden();
    await expect(page.locator("table[data-columns=tables] th", { hasText: "Bloat" })).toBeVisible();
    await page.locator("details.column-menu summary").click();
    await page.getByLabel("Dead %").check();
    await page.getByRole("button", { name: "Show these" }).click();
    await expect(dead).toBeVisible();
  });
});

test("columns are chosen by keys, kept by the browser, and the CSV has them all", async ({ page }) => {
  await signIn(page, "viewer", "/database/performance");
  await statements(page);
  await alive(page);
  const calls = page.locator("table.queries th", { hasText: "Calls/s" });
  const cell = page.locator("table.queries tbody tr").first().locator("td:nth-child(3)");
  await expect(calls).toBeVisible();
  const menu = page.locator("#queries details.column-menu");
  await menu.locator("summary").focus();
  await page.keyboard.press("Enter");
  await menu.getByLabel("Calls/s").focus();
  await page.keyboard.press("Space");
  await expect(calls).toBeHidden();
  await expect(cell).toBeHidden();
  await expect(page.locator("table.queries tfoot td:nth-child(3)")).toBeHidden();
  await menu.getByLabel("Time over the range").focus();
  await page.keyboard.press("Space");
  await expect(page.locator("table.queries .spark").first()).toBeHidden();
  await expect(page.locator("table.queries th").nth(3)).toBeVisible();
  // Some come hidden and are shown when they are ticked.
  const deviation = page.locator("table.queries th", { hasText: "σ" });
  await expect(deviation).toBeHidden();
  await menu.getByLabel("σ").focus();
  await page.keyboard.press("Space");
  await expect(deviation).toBeVisible();
  // The menu stays open while figures come in, and Escape closes it.
  await page.waitForTimeout(5_000);
  await expect(menu).toHaveAttribute("open", "");
  await expect(menu.getByLabel("Calls/s")).not.toBeChecked();
  await page.keyboard.press("Escape");
  await expect(menu).not.toHaveAttribute("open");
  await expect(menu.locator("summary")).toBeFocused();
  // Other tables have their own.
  await page.goto(`${demo.url}/database/performance#indexes`);
  await expect(page.locator("table[data-columns=indexes] th", { hasText: "Method" })).toBeVisible();
  await page.goto(`${demo.url}/database/performance`);
  await statements(page);
  await expect(calls).toBeHidden();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#queries").getByRole("link", { name: "CSV" }).click()]);
  expect(readFileSync((await download.path())!, "utf8")).toContain("id,queryid,query,kind,database,user,calls");
});

test("advice on a setting is put aside with a reason on the settings page, shown so, taken back, and audited", async ({ page }) => {
  await signIn(page, "operator", "/database/settings");
  await alive(page);
  const row = page.locator(".panel", { has: page.getByRole("heading", { name: "Advice" }) }).locator("tbody tr").first();
  await expect(row).toBeVisible();
  const name = (await row.locator("td").nth(1).textContent())!;
  const found = page.locator("tbody tr", { has: page.locator(`td:text-is("${name}")`) }).filter({ has: page.locator("details, form") }).first();
  await found.locator("summary").click();
  await found.getByLabel("Why").fill("agreed with the team");
  // What is being written stays while figures come in.
  await page.waitForTimeout(5_000);
  await expect(found.getByLabel("Why")).toHaveValue("agreed with the team");
  await found.getByLabel("For").selectOption("90");
  await found.getByRole("button", { name: "Put aside" }).click();
  await expect(page.getByRole("status").filter({ hasText: "Put aside." })).toBeVisible();
  await expect(found).toContainText(/Put aside by operator until \d{4}-.*: agreed with the team/);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.filter((one) => one.impact === "serious" || one.impact === "critical")).toEqual([]);
  await found.getByRole("button", { name: "Take back" }).click();
  await expect(page.getByRole("status").filter({ hasText: "Taken back" })).toBeVisible();
  await expect(found).not.toContainText("Put aside by");
  const audit = await page.request.get(`${demo.url}/api/v1/audit?limit=20`, { headers: { authorization: `Bearer ${demo.token}` } });
  expect(audit.status()).toBe(200);
  const text = JSON.stringify(await audit.json());
  expect(text).toContain("advice_dismiss");
  expect(text).toContain("advice_restore");
});

test("a viewer sees the advice and no form", async ({ page }) => {
  await signIn(page, "viewer", "/database/settings");
  await alive(page);
  await expect(page.getByRole("heading", { name: "Advice" })).toBeVisible();
  await expect(page.locator("form.dismiss, main summary")).toHaveCount(0);
});
