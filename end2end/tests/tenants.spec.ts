import { demo, expect, signIn, test } from "../support/demo";

test("whoever belongs to no tenant chooses one, and comes back to the choice", async ({ page }) => {
  await signIn(page, "operator", "/plugins");
  const table = page.getByRole("region", { name: "Tenants table" });
  await expect(table.locator("tbody tr").nth(1)).toBeVisible();
  const first = table.locator("tbody tr").first();
  const name = (await first.locator("td").first().innerText()).trim();
  await first.getByRole("link").click();
  await expect(page).toHaveURL(/\/plugins\?tenant=/);
  await expect(page.locator("span.tenant")).toHaveText(name);
  await page.getByRole("link", { name: "Another tenant" }).click();
  await expect(page).toHaveURL(`${demo.url}/plugins`);
  const search = page.getByRole("searchbox", { name: "Tenants whose name begins with" });
  await search.fill(name.slice(0, 4));
  await search.press("Enter");
  await expect(table).toContainText(name);
  await search.fill("no such tenant at all");
  await search.press("Enter");
  await expect(page.locator("main")).toContainText("No tenant begins like that");
});

test("one tenant's plugins are not another's, by page and by API", async ({ page }) => {
  await signIn(page, "operator", "/plugins?tenant=1");
  const headers = { Authorization: `Bearer ${demo.token}` };
  const ids = async (tenant: number) => {
    const answer = await page.request.get(`${demo.url}/api/v1/plugins?tenant=${tenant}&limit=200`, { headers });
    return ((await answer.json()).plugins as { id: string }[]).map((plugin) => plugin.id);
  };
  const [ours, theirs] = [await ids(1), await ids(2)];
  expect(ours.length && theirs.length).toBeGreaterThan(0);
  expect(ours.filter((id) => theirs.includes(id))).toEqual([]);
  expect((await page.request.get(`${demo.url}/api/v1/plugins/${theirs[0]}?tenant=1`, { headers })).status()).toBe(404);
  expect((await page.request.get(`${demo.url}/plugins/${theirs[0]}?tenant=1`)).status()).toBe(404);
});

test("the conditions of analytics stand in the address, and come back by it", async ({ page }) => {
  await signIn(page, "operator", "/analytics?tenant=1");
  const form = page.getByRole("form", { name: "Conditions" });
  await form.getByLabel("Environment").selectOption("production");
  await form.getByLabel("Time zone").fill("Asia/Kolkata");
  await form.getByRole("button", { name: "Show" }).click();
  await expect(page).toHaveURL(/environment=production/);
  await expect(page).toHaveURL(/zone=Asia(%2F|\/)Kolkata/);
  await expect(page.locator("main")).toContainText("Asia/Kolkata");
  await page.reload();
  await expect(form.getByLabel("Environment")).toHaveValue("production");
  await page.getByRole("link", { name: "90 d" }).click();
  await expect(page).toHaveURL(/days=90/);
  await expect(form.getByLabel("Time zone")).toHaveValue("Asia/Kolkata");
  await form.getByRole("link", { name: "Clear" }).click();
  await expect(form.getByLabel("Environment")).toHaveValue("");
});

test.describe("with a range that is none", () => {
  test.use({ allowed: [/400/] });
  test("the page says which field is wrong", async ({ page }) => {
    await signIn(page, "operator", "/analytics?tenant=1");
    const answer = await page.goto(`${demo.url}/analytics?tenant=1&from=2026-11-03&to=2026-11-01`);
    expect(answer?.status()).toBe(400);
    await expect(page.locator("main")).toContainText("first day must not be after the last");
  });
});
