import { alive, demo, expect, signIn, statements, test } from "../support/demo";

const palette = "dialog.palette";

test("Ctrl-K goes to a page by a few letters, without a reload", async ({ page }) => {
  await signIn(page, "viewer", "/database");
  await alive(page);
  await page.evaluate(() => ((window as unknown as { here: boolean }).here = true));
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("combobox", { name: "Go to" })).toBeFocused();
  await page.keyboard.type("repli");
  await expect(page.locator(`${palette} [role=option]`).first()).toContainText("Replication");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/database\/replication/);
  await expect(page.locator(palette)).toBeHidden();
  expect(await page.evaluate(() => (window as unknown as { here?: boolean }).here)).toBe(true);
});

test("Ctrl-K finds servers, statements and plugins, and keeps the range", async ({ page }) => {
  await signIn(page, "viewer", "/database/performance");
  await statements(page);
  await page.goto(`${demo.url}/database?range=6h`);
  await alive(page);
  await page.locator("[data-palette]").click();
  await page.keyboard.type("select");
  const statement = page.locator(`${palette} [role=option]`, { hasText: "statement" }).first();
  await expect(statement).toBeVisible();
  await statement.click();
  await expect(page).toHaveURL(/\/database\/queries\/.+range=6h/);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("replica");
  await expect(page.locator(`${palette} [role=option]`, { hasText: "server" }).first()).toBeVisible();
  await page.keyboard.press("Control+k");
  await expect(page.locator(palette)).toBeHidden();
});

test("Ctrl-K compares with an earlier time and looks for tables by name", async ({ page }) => {
  await signIn(page, "viewer", "/database");
  await alive(page);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("week before");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/compare=/);
  // At once, while what is compared still comes: a signal that ended with the answer before stopped the page then.
  await page.keyboard.press("Control+k");
  await page.keyboard.type("plugin_metrics");
  await page.locator(`${palette} [role=option]`, { hasText: "Tables named" }).click();
  await expect(page).toHaveURL(/\/database\/tables\?.*q=plugin_metrics/);
  await expect(page.getByLabel("Search tables")).toHaveValue("plugin_metrics");
});

test("Ctrl-K finds plugins of the tenant that the page is about", async ({ page }) => {
  await signIn(page, "operator", "/plugins?tenant=1");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("pipeline");
  const plugin = page.locator(`${palette} [role=option]`, { hasText: "plugin" }).filter({ hasText: /pipeline/i }).first();
  await expect(plugin).toBeVisible();
  await plugin.click();
  await expect(page).toHaveURL(/\/plugins\/\d+\?tenant=1/);
});

test("Ctrl-K works on a page of the server alone, and says when nothing fits", async ({ page }) => {
  await signIn(page, "viewer", "/backups");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("zzqqzz");
  await expect(page.locator(`${palette} [role=status]`)).toContainText("Nothing");
  await page.keyboard.press("Escape");
  await expect(page.locator(palette)).toBeHidden();
});

test("an earlier time is set beside the range, stands in the address, and stays on the next page", async ({ page }) => {
  await signIn(page, "viewer", "/database?range=15m");
  await alive(page);
  await page.locator("details.compare summary").click();
  await page.locator("details.compare a", { hasText: "period before" }).click();
  await expect(page).toHaveURL(/compare=previous/);
  await expect(page.locator("details.compare")).not.toHaveAttribute("open");
  await page.locator("nav#nav a", { hasText: "Queries" }).click();
  await expect(page).toHaveURL(/compare=previous/);
  await expect(page.locator("table.queries th", { hasText: "Mean Δ" })).toBeVisible();
  const api = await page.request.get(`${demo.url}/api/v1/clusters/main/history/connections_used?range=15m&compare=previous`);
  const series = await api.json();
  expect(series.earlier === undefined || series.earlier[0].values.length === series.times.length).toBe(true);
  const wrong = await page.request.get(`${demo.url}/api/v1/clusters/main/history/connections_used?compare=yesterday`);
  expect(wrong.status()).toBe(400);
  expect(JSON.stringify(await wrong.json())).toContain("previous");
});

test("tiles lead to the page on their figure", async ({ page }) => {
  await signIn(page, "viewer", "/database?range=6h");
  await expect(page.locator("a.tile")).toHaveCount(12);
  for (const [name, path] of [["Connections", "connections"], ["Replication lag", "replication"], ["Active sessions", "activity"], ["Database size", "tables"]]) {
    await expect(page.locator("a.tile", { hasText: name })).toHaveAttribute("href", `/database/${path}?range=6h`);
  }
  for (const name of ["Cache hit", "Temporary files"]) await expect(page.getByRole("heading", { name })).toBeVisible();
});

test("the navigation goes on with the server, the database and the range that are looked at", async ({ page }) => {
  await signIn(page, "operator", "/database/tables?cluster=replica&range=6h");
  await alive(page);
  const databases = page.locator("nav.chips").filter({ has: page.getByRole("link", { name: "all databases", exact: true }) });
  await databases.getByRole("link", { name: "saas_idp", exact: true }).click();
  const chosen = { cluster: "replica", database: "saas_idp" };
  const asked = () => {
    const { pathname, searchParams, hash } = new URL(page.url());
    return { path: pathname + hash, ...Object.fromEntries(searchParams) };
  };
  await expect.poll(asked).toEqual({ path: "/database/tables", ...chosen, range: "6h" });
  const nav = page.getByRole("navigation", { name: "Pages", exact: true });
  // Within the page, to pages of the server alone, and back.
  for (const [name, path] of [["Connections", "/database/connections"], ["Indexes", "/database/performance#indexes"], ["Backups", "/backups"], ["Activity", "/database/activity"]]) {
    await nav.getByRole("link", { name, exact: true }).click();
    await expect.poll(asked, name).toEqual({ path, ...chosen, range: "6h" });
  }
  await alive(page);
  await expect(page.locator("header.top summary.picker .role")).toHaveText("STANDBY");
  await expect(databases.getByRole("link", { name: "saas_idp", exact: true })).toHaveAttribute("aria-current", "true");
  // By keys, and through a page whose range is its own.
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await expect.poll(asked).toEqual({ path: "/database/tables", ...chosen, range: "6h" });
  await nav.getByRole("link", { name: "Plugins", exact: true }).click();
  await expect.poll(asked).toEqual({ path: "/plugins", ...chosen });
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  // Within the platform's pages both are carried along: by links, by a form of conditions, and on the way back.
  const within = `tenant=1&cluster=${chosen.cluster}&database=${chosen.database}`;
  await page.goto(`${demo.url}/plugins?${within}`);
  await page.locator("table.plugins a.name").first().click();
  await expect.poll(asked).toMatchObject({ path: expect.stringMatching(/^\/plugins\/\d+$/), ...chosen });
  await page.locator("a.back").click();
  await expect.poll(asked).toMatchObject({ path: "/plugins", ...chosen });
  await page.goto(`${demo.url}/analytics?${within}`);
  await page.getByRole("form", { name: "Conditions", exact: true }).getByRole("button", { name: "Show", exact: true }).click();
  await expect.poll(asked).toMatchObject({ path: "/analytics", ...chosen, zone: "UTC" });
  await page.getByRole("navigation", { name: "Days", exact: true }).getByRole("link", { name: "7 d", exact: true }).click();
  await expect.poll(asked).toMatchObject({ path: "/analytics", ...chosen, days: "7" });
  await nav.getByRole("link", { name: "Tables", exact: true }).click();
  await expect.poll(asked).toEqual({ path: "/database/tables", ...chosen });
  await alive(page);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("index sugg");
  await expect(page.locator(`${palette} [role=option]`).first()).toContainText("Index suggestions");
  await page.keyboard.press("Enter");
  await expect.poll(asked).toEqual({ path: "/database/advice", ...chosen });
  await expect(page.getByRole("heading", { level: 1, name: "Advice", exact: true })).toBeVisible();
});
