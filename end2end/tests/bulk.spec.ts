import { demo, expect, signIn, test } from "../support/demo";

const tag = `e2e-${Date.now().toString(36)}`;

test("chosen plugins are tagged: planned, done, told; the same form sent twice does it once", async ({ page }) => {
  await signIn(page, "operator", "/plugins?tenant=1");
  const boxes = page.locator("#choose tbody input[type=checkbox]");
  await boxes.nth(0).check();
  await boxes.nth(1).check();
  await page.locator("#choose").getByRole("button", { name: "Tag…" }).click();
  await expect(page).toHaveURL(/\/plugins\/bulk\?/);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Tag 2 plugins");
  await page.getByRole("textbox", { name: "Tags", exact: true }).fill(tag);
  await page.getByRole("button", { name: "Show what changes" }).click();
  await expect(page.getByRole("region", { name: "Will change" })).toContainText("2");
  const rows = page.getByRole("region", { name: "Changes table" }).locator("tbody tr");
  await expect(rows).toHaveCount(2);
  await expect(rows.first()).toContainText(tag);
  const preview = page.url();
  await page.getByRole("button", { name: "Tag 2 plugins" }).click();
  await expect(page).toHaveURL(/\/plugins\/bulk\/[^?]+/);
  await expect(page.locator("[data-bulk-state=done]")).toBeVisible({ timeout: 90_000 });
  await expect(page.locator("main dl.facts")).toContainText("item by item");
  await expect(page.getByRole("button", { name: "Cancel" })).toHaveCount(0);

  // Back, and the same once more: they are tagged already.
  await page.goto(preview);
  await expect(page.locator("main")).toContainText("Nothing would change");
  await page.goto(`${demo.url}/plugins?tenant=1&tag=${tag}`);
  await expect(page.locator("table tbody tr")).toHaveCount(2);
});

test("an operation that is over cannot be cancelled any more, and one that is not there is told as such", async ({ page }) => {
  await signIn(page, "operator", "/plugins?tenant=1");
  const headers = { Authorization: `Bearer ${demo.token}` };
  const found = await page.request.get(`${demo.url}/api/v1/plugins?tenant=1&limit=1`, { headers });
  const id = (await found.json()).plugins[0].id as string;
  const key = `cancel-${tag}`;
  const begun = await page.request.post(`${demo.url}/api/v1/plugins/bulk?tenant=1`, {
    headers: { ...headers, "Idempotency-Key": key },
    data: { operation: "tag", plugins: [id], add_tags: [`${tag}-one`] },
  });
  expect(begun.status()).toBe(202);
  await page.goto(`${demo.url}/plugins/bulk/${key}?tenant=1`);
  await expect(page.locator("[data-bulk-state=done]")).toBeVisible({ timeout: 90_000 });
  const over = await page.request.post(`${demo.url}/api/v1/plugins/bulk/${key}/cancel?tenant=1`, { headers });
  expect(over.status()).toBe(409);
  const nothing = await page.request.post(`${demo.url}/api/v1/plugins/bulk/nothing-${tag}/cancel?tenant=1`, { headers });
  expect(nothing.status()).toBe(404);
});

test.describe("without the right to change plugins", () => {
  test.use({ allowed: [/403/] });
  test("a viewer can neither begin an operation nor cancel one", async ({ page }) => {
    await signIn(page, "viewer", "/database");
    for (const [path, form] of [
      ["/plugins/bulk", { operation: "enable", plugins: "1", key: "k", tenant: "1" }],
      ["/plugins/bulk/cancel", { key: "k", tenant: "1" }],
    ] as const) {
      const answer = await page.request.post(demo.url + path, { form, maxRedirects: 0, headers: { Origin: demo.url } });
      expect(answer.status(), path).toBe(403);
    }
  });
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("what is refused is named with its reason before anything is done", async ({ page }) => {
    await signIn(page, "operator", "/plugins?tenant=1");
    await page.goto(`${demo.url}/plugins/bulk?tenant=1&operation=enable&all=on`);
    await expect(page.getByRole("region", { name: "All", exact: true })).toContainText(/\d/);
    await expect(page.getByRole("heading", { name: "What changes" })).toBeVisible();
    await page.goto(`${demo.url}/plugins/bulk?tenant=1&operation=delete&all=on`);
    await expect(page.getByLabel("Your password")).toBeVisible();
  });
});
