// One index, one table, one statement in its tabs; lists narrowed to a database; alerts narrowed by a form.
import AxeBuilder from "@axe-core/playwright";
import { readFileSync } from "node:fs";
import { alive, demo, expect, signIn, statements, test } from "../support/demo";

const serious = async (page: import("@playwright/test").Page) => {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.filter((one) => one.impact === "serious" || one.impact === "critical").map((one) => `${one.id}: ${one.nodes[0]?.html}`);
};

/** Waits until indexes were read. */
async function indexes(page: import("@playwright/test").Page, search = "") {
  await expect(async () => {
    await page.goto(`${demo.url}/database/performance${search}#indexes`);
    await expect(page.getByRole("region", { name: "Indexes table" }).locator("tbody tr").first()).toBeVisible({ timeout: 5_000 });
  }).toPass({ timeout: 160_000 });
}

test("an index leads from the list to its page: definition, use on all nodes, size, advice, and back to its table", async ({ page }) => {
  await signIn(page);
  await indexes(page);
  await alive(page);
  for (const head of ["Last used", "Bloat (est.)"]) await expect(page.locator("table[data-columns=indexes] th", { hasText: head })).toBeVisible();
  await page.getByLabel("Search indexes").fill("idx_audit_logs_timestamp");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/index=idx_audit_logs_timestamp/);
  await expect(page).toHaveURL(/#indexes$/);
  await page.getByRole("region", { name: "Indexes table" }).locator("a[data-row]").first().click();
  await expect(page).toHaveURL(/\/database\/index\?.*name=/);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("idx_audit_logs_timestamp");
  await expect(page.locator(".statement-text")).toContainText("CREATE INDEX");
  for (const fact of ["Columns", "Scans", "Counted since", "Last used", "Bloat, estimated"]) await expect(page.locator("dl.facts dt", { hasText: fact }).first()).toBeVisible();
  for (const panel of ["Size", "Scans an hour", "Cache hit", "Advice", "Other indexes of the table"]) await expect(page.getByRole("heading", { level: 2, name: panel, exact: true })).toBeVisible();
  // It is one of the faults that the demo has on purpose.
  await expect(page.locator("li.finding").first()).toContainText("DROP INDEX CONCURRENTLY");
  await page.locator("li.finding summary", { hasText: "Undo" }).first().click();
  await expect(page.locator("li.finding").first()).toContainText("CREATE INDEX CONCURRENTLY");
  expect(await serious(page)).toEqual([]);
  await page.locator(".title a.link").click();
  await expect(page).toHaveURL(/\/database\/tables\?.*table=/);
});

test("a table's page names the statements that touch it and its indexes, and leads to them", async ({ page }) => {
  await signIn(page);
  await page.goto(`${demo.url}/database/performance`);
  await statements(page);
  await expect(async () => {
    await page.goto(`${demo.url}/database/tables?q=plugin_metrics`);
    await page.locator("a[data-row]", { hasText: "plugin_metrics" }).first().click();
    await expect(page.getByRole("heading", { name: /^Statements on / })).toBeVisible({ timeout: 10_000 });
    await expect(page.getByRole("region", { name: /^Statements on .* table$/ }).locator("a[data-row]").first()).toBeVisible({ timeout: 3_000 });
  }).toPass({ timeout: 160_000 });
  const touching = page.getByRole("region", { name: /^Statements on .* table$/ });
  for (const text of await touching.locator("a[data-row]").allTextContents()) expect(text.length).toBeGreaterThan(5);
  await page.getByRole("region", { name: /^Indexes of .* table$/ }).locator("a[data-row]").first().click();
  await expect(page).toHaveURL(/\/database\/index\?.*name=/);
  await expect(page.locator(".statement-text")).toContainText("CREATE");
});

test("a statement has its tabs, each with an address; 'Explain now' makes a plan and comes back to it", async ({ page }) => {
  await signIn(page, "operator", "/database/performance");
  await statements(page);
  await page.goto(`${demo.url}/database/performance?kind=select`);
  await page.locator("table.queries a[data-row]").first().click();
  await expect(page).toHaveURL(/\/database\/queries\/\d+\.\d+\.-?\d+/);
  const own = new URL(page.url()).pathname;
  const tabs = page.getByRole("navigation", { name: "Sections" });
  await expect(tabs.getByRole("link", { name: "Overview" })).toHaveAttribute("aria-current", "true");
  await tabs.getByRole("link", { name: "Samples" }).click();
  await expect(page).toHaveURL(new RegExp(`${own.replaceAll(".", "\\.")}\\?.*tab=samples`));
  await expect(page.getByRole("heading", { name: "Seen in sessions" })).toBeVisible();
  await tabs.getByRole("link", { name: "Tables and indexes" }).click();
  await expect(page.getByRole("heading", { level: 2, name: "Tables and indexes" })).toBeVisible();
  await tabs.getByRole("link", { name: "History" }).click();
  await expect(page.getByRole("heading", { name: "Figures over time" })).toBeVisible();
  expect(await serious(page)).toEqual([]);
  await tabs.getByRole("link", { name: "Plans" }).click();
  await expect(page).toHaveURL(new RegExp(`${own.replaceAll(".", "\\.")}/plan`));
  await page.getByRole("button", { name: "Explain now" }).click();
  await expect(page).toHaveURL(new RegExp(`${own.replaceAll(".", "\\.")}/plan`));
  await expect(page.locator(".plan-tree .plan-node").first()).toBeVisible();
  await expect(page.getByRole("region", { name: "Plans table" }).locator("tbody tr").first()).toContainText("in force");
  const audit = await page.request.get(`${demo.url}/api/v1/audit?limit=50`, { headers: { authorization: `Bearer ${demo.token}` } });
  expect(JSON.stringify(await audit.json())).toContain("query_explain");
});

test("a viewer sees plans and cannot ask for one", async ({ page }) => {
  await signIn(page, "viewer", "/database/performance");
  await statements(page);
  const href = (await page.locator("table.queries a[data-row]").first().getAttribute("href"))!;
  await page.goto(demo.url + href.replace(/(\/database\/queries\/[^?]+)/, "$1/plan"));
  await expect(page.getByRole("heading", { level: 1, name: "Plan" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Explain now" })).toHaveCount(0);
});

test("lists are narrowed to a database, which stands in the address and goes along to their CSV", async ({ page }) => {
  await signIn(page);
  await indexes(page);
  for (const [path, region] of [["/database/tables", "Tables table"], ["/database/connections", "Sessions table"], ["/database/activity", "Backends table"]]) {
    await page.goto(demo.url + path);
    await alive(page);
    const picker = page.locator("nav.chips a", { hasText: "all databases" });
    await expect(picker, path).toBeVisible();
    await expect(picker).toHaveAttribute("aria-current", "true");
    const name = (await page.locator("nav.chips a").last().textContent())!;
    await page.locator("nav.chips a", { hasText: name }).last().click();
    await expect(page).toHaveURL(new RegExp(`database=${encodeURIComponent(name)}`));
    await expect(page.getByRole("region", { name: region })).toBeVisible();
    await expect(page.getByRole("link", { name: "CSV" }).last()).toHaveAttribute("href", new RegExp(`database=${encodeURIComponent(name)}`));
  }
});

test("alerts are narrowed by a form whose fields stand in the address, and the CSV follows", async ({ page }) => {
  await signIn(page, "viewer", "/alerts");
  await alive(page);
  const form = page.getByRole("search", { name: "Narrow the list" });
  await form.locator("select[name=severity]").selectOption("critical");
  await form.locator("select[name=state]").selectOption("firing");
  await form.locator("input[name=q]").fill("no alert has this text");
  await form.getByRole("button", { name: "Show", exact: true }).click();
  await expect(page).toHaveURL(/severity=critical/);
  await expect(page).toHaveURL(/state=firing/);
  await expect(page.getByText("Nothing that is raised matches.")).toBeVisible();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  const lines = readFileSync((await download.path())!, "utf8").trim().split("\r\n");
  expect(lines[0]).toContain("id,cluster,rule,object,severity,state,title");
  expect(lines.length).toBe(1);
  await page.getByRole("link", { name: "Show all" }).click();
  await expect(page).not.toHaveURL(/severity=/);
  await page.getByRole("navigation", { name: "Sections" }).getByRole("link", { name: "History" }).click();
  await expect(form.locator("select[name=state]")).toHaveCount(0);
});

test("the topology shows the primary and its standby with state and lag", async ({ page }) => {
  await signIn(page, "viewer", "/database/replication");
  const tree = page.locator("ul.topology");
  await expect(tree).toContainText("PRIMARY");
  await expect(async () => {
    await page.reload();
    await expect(tree.locator(".topology-edge").first()).toContainText(/,/, { timeout: 3_000 });
  }).toPass({ timeout: 160_000 });
});

test("the navigation collapses to icons by choice and in a window of medium width, and names come back", async ({ page }) => {
  await signIn(page);
  await alive(page);
  const nav = page.locator("nav#nav");
  const width = async () => (await nav.boundingBox())!.width;
  expect(await width()).toBeGreaterThan(150);
  await page.getByRole("button", { name: "Navigation as icons" }).click();
  await page.locator("h1").hover();
  await expect.poll(width).toBeLessThan(80);
  await page.reload();
  await expect.poll(width).toBeLessThan(80);
  await nav.hover();
  await expect.poll(width).toBeGreaterThan(150);
  await page.getByRole("button", { name: "Navigation as icons" }).click();
  await page.locator("h1").hover();
  await expect.poll(width).toBeGreaterThan(150);
  await page.setViewportSize({ width: 1000, height: 800 });
  await page.locator("h1").hover();
  await expect.poll(width).toBeLessThan(80);
  await nav.hover();
  await expect.poll(width).toBeGreaterThan(150);
  // The page itself does not move.
  expect((await page.locator("main").boundingBox())!.x).toBeLessThan(80);
});
