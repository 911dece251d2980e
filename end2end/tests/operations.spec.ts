import { alive, demo, expect, signIn, test } from "../support/demo";

const pages: [string, string, string[]][] = [
  ["/database/tables", "Tables", ["Tables"]],
  ["/database/connections", "Connections", ["Sessions by state", "Used and usable", "Sessions"]],
  ["/database/replication", "Replication", ["Standbys", "Lag", "Slots"]],
  ["/database/maintenance", "Maintenance", ["Progress", "Vacuum horizon", "Transaction ids", "Checkpoints", "WAL", "Temporary files"]],
  ["/database/settings", "Settings", ["Settings", "Changes"]],
  ["/database/cost", "Own cost", ["This process", "Watching this cluster", "Store", "Collectors"]],
];

test("each further page shows its panels with figures", async ({ page }) => {
  await signIn(page);
  for (const [path, title, panels] of pages) {
    await page.goto(demo.url + path);
    await alive(page);
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
    for (const panel of panels) await expect(page.getByRole("heading", { level: 2, name: panel, exact: true })).toBeVisible();
    await expect(page.locator("[role=alert]")).toHaveCount(0);
  }
});

test("a table's name leads to its growth, a column's head sorts, the search narrows", async ({ page }) => {
  await signIn(page);
  await expect(async () => {
    await page.goto(`${demo.url}/database/tables`);
    await expect(page.locator("a[data-row]").nth(3)).toBeVisible({ timeout: 5_000 });
  }).toPass();
  await alive(page);
  await page.getByRole("columnheader", { name: "Dead %" }).getByRole("link").click();
  await expect(page).toHaveURL(/sort=-dead/);
  await expect(page.getByRole("columnheader", { name: "Dead %" })).toHaveAttribute("aria-sort", "descending");
  await page.getByLabel("Search tables").fill("plugin_metrics");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/q=plugin_metrics/);
  await page.locator("a[data-row]", { hasText: "plugin_metrics" }).first().click();
  await expect(page).toHaveURL(/table=/);
  await expect(page.getByRole("heading", { name: /Size of public.plugin_metrics/ })).toBeVisible();
  await expect(page.getByText(/a forecast needs|in 30 days/).first()).toBeVisible();
});

test("load can be taken apart, and the choice stands in the address", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await page.getByRole("navigation", { name: "Load by" }).getByText("application").click();
  await expect(page).toHaveURL(/by=application/);
  await expect(page.locator(".panel", { hasText: "Database load" }).locator(".legend li", { hasText: "api" }).or(page.locator(".panel", { hasText: "Database load" }).locator(".legend li").first()).first()).toBeVisible();
});

test("a viewer sees who blocks whom and may not act", async ({ page }) => {
  await signIn(page, "viewer", "/database/locks");
  await expect(async () => {
    await page.reload();
    await expect(page.locator("table.locks tr.root").first()).toBeVisible({ timeout: 3_000 });
  }).toPass({ timeout: 160_000 });
  await expect(page.locator("details.signal")).toHaveCount(0);
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("an operator ends the session that blocks others, by typing its pid", async ({ page }) => {
    await page.goto(`${demo.url}/login?next=%2Fdatabase%2Flocks`);
    await page.getByLabel("Name").fill("operator");
    await page.getByLabel("Password").fill(demo.users.find((user) => user.name === "operator")!.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    const root = page.locator("table.locks tr.root", { hasText: "billing-close" });
    await expect(async () => {
      await page.reload();
      await expect(root).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 160_000 });
    const pid = (await root.locator("td .num").first().textContent())!;
    await root.locator("details.signal summary").click();
    await root.getByLabel(`Type ${pid} to confirm`).fill(pid);
    await root.getByRole("button", { name: "Terminate session" }).click();
    // It may have let go meanwhile: then that is what is said.
    await expect(page.getByText(new RegExp(`The session with pid ${pid} was ended|${pid} that you saw is gone`))).toBeVisible();
  });
});
