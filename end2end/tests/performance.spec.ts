import { readFileSync } from "node:fs";
import { alive, demo, expect, signIn, statements, test } from "../support/demo";

const path = "/database/performance";
const tab = (name: string) => `nav.tabs a[data-for=${name}]`;

test("a link to #queries shows the statements, cold", async ({ page }) => {
  await signIn(page, "viewer", path);
  await page.goto(`${demo.url}${path}#queries`);
  await expect(page.locator("#queries")).toBeVisible();
  await expect(page.locator("#indexes")).toBeHidden();
  await statements(page);
});

test("a link to #indexes shows the indexes, cold", async ({ page }) => {
  await signIn(page, "viewer", path);
  await page.goto(`${demo.url}${path}#indexes`);
  await expect(page.locator("#indexes")).toBeVisible();
  await expect(page.locator("#queries")).toBeHidden();
  await expect(page.locator(tab("indexes"))).toHaveAttribute("aria-current", "true");
});

test("the tab follows a click, and back and forward", async ({ page }) => {
  await signIn(page, "viewer", path);
  await alive(page);
  await page.locator(tab("indexes")).click();
  await expect(page).toHaveURL(/#indexes$/);
  await expect(page.locator("#indexes")).toBeVisible();
  await expect(page.locator("#queries")).toBeHidden();
  await page.locator(tab("queries")).click();
  await expect(page.locator("#queries")).toBeVisible();
  await page.goBack();
  await expect(page.locator("#indexes")).toBeVisible();
  await expect(page.locator("#queries")).toBeHidden();
  await page.goForward();
  await expect(page.locator("#queries")).toBeVisible();
});

test("a click on a column sorts by it, and again turns it round", async ({ page }) => {
  await signIn(page, "viewer", path);
  await statements(page);
  await alive(page);
  await page.locator("table.queries th a", { hasText: "Calls/s" }).click();
  await expect(page).toHaveURL(/sort=-calls/);
  const head = page.locator("table.queries th", { hasText: "Calls/s" });
  await expect(head).toHaveAttribute("aria-sort", "descending");
  const calls = async () =>
    (await page.locator("table.queries tbody tr td:nth-child(3)").allTextContents()).map((text) => {
      const [, number, unit] = /([\d.]+)\s*([kM]?)/.exec(text)!;
      return Number(number) * ({ k: 1e3, M: 1e6 }[unit] ?? 1);
    });
  await expect(async () => {
    const found = await calls();
    expect(found).toEqual([...found].sort((a, b) => b - a));
  }).toPass();
  await page.locator("table.queries th a", { hasText: "Calls/s" }).click();
  await expect(page).toHaveURL(/sort=calls/);
  await expect(page.locator("table.queries th", { hasText: "Calls/s" })).toHaveAttribute("aria-sort", "ascending");
});

test("search and filters narrow the list and stand in the address", async ({ page }) => {
  await signIn(page, "viewer", path);
  await statements(page);
  await alive(page);
  await page.getByLabel("Search statements").fill("plugin_metrics");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/q=plugin_metrics/);
  await expect(async () => {
    const texts = await page.locator("table.queries tbody a.sql").evaluateAll((links) => links.map((link) => link.getAttribute("title") ?? ""));
    expect(texts.length).toBeGreaterThan(0);
    // A long statement is cut: the word may stand behind the end.
    for (const text of texts.filter((text) => text.length < 250)) expect(text).toContain("plugin_metrics");
  }).toPass();
  await page.getByRole("link", { name: "DML", exact: true }).click();
  await expect(page).toHaveURL(/kind=dml/);
  await expect(page.locator("table.queries tbody tr").first()).toContainText("INSERT");
  // A pasted link shows the same.
  await page.reload();
  await expect(page.locator("table.queries tbody tr").first()).toContainText("INSERT");
  await page.locator("#queries summary", { hasText: "any number of calls" }).click();
  await page.getByRole("link", { name: "10 calls or more", exact: true }).click();
  await expect(page).toHaveURL(/kind=dml&min_calls=10/);
  await expect(page.locator("#queries summary", { hasText: "10 calls or more" })).toBeVisible();
});

test("a row leads to the statement with its history", async ({ page }) => {
  await signIn(page, "viewer", path);
  await statements(page);
  await alive(page);
  await page.locator("table.queries a[data-row]").first().click();
  await expect(page).toHaveURL(/\/database\/queries\/\d+\.\d+\.-?\d+/);
  await expect(page.getByRole("heading", { name: "Statement", exact: true })).toBeVisible();
  await expect(page.locator(".statement-text")).not.toBeEmpty();
  await expect(page.locator("figure.chart")).toHaveCount(3);
  await page.goBack();
  await expect(page.locator("table.queries tbody tr").first()).toBeVisible();
});

test("CSV has the rows of the list", async ({ page }) => {
  await signIn(page, "viewer", path);
  await statements(page);
  await alive(page);
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#queries").getByRole("link", { name: "CSV" }).click()]);
  const lines = readFileSync((await download.path())!, "utf8").trim().split("\r\n");
  expect(lines[0]).toContain("id,queryid,query,kind,database,user,calls");
  expect(lines.length).toBeGreaterThan(5);
});

test("the faults put there on purpose are found, with the SQL to mend them", async ({ page }) => {
  await signIn(page, "viewer", path);
  const expected: [string, string, string][] = [
    ["duplicate", "idx_audit_logs_timestamp", "DROP INDEX CONCURRENTLY"],
    ["duplicate", "idx_plugins_tenant", "DROP INDEX CONCURRENTLY"],
    ["invalid", "idx_plugins_display_name_unique", "CONCURRENTLY"],
    ["missing_foreign_key", "audit_logs_tenant_id_fkey", "CREATE INDEX CONCURRENTLY"],
  ];
  for (const [list, name, sql] of expected) {
    await expect(async () => {
      await page.goto(`${demo.url}${path}?list=${list}#indexes`);
      const finding = page.locator("li.finding", { hasText: name });
      await expect(finding.first()).toContainText(sql, { timeout: 5_000 });
    }).toPass();
  }
});
