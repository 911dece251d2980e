import { alive, demo, expect, signIn, test } from "../support/demo";

test("figures change without a reload", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await page.evaluate(() => ((window as unknown as { mark: number }).mark = 1));
  const tile = page.locator("a.tile", { hasText: "Transactions" }).locator(".v");
  const before = await tile.textContent();
  await expect(tile).not.toHaveText(before!, { timeout: 120_000 });
  expect(await page.evaluate(() => (window as unknown as { mark: number }).mark)).toBe(1);
});

test("a paused page keeps still", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await page.getByRole("button", { name: "Live", exact: true }).click();
  await expect(page.getByRole("button", { name: "Paused" })).toBeVisible();
  const age = page.locator(".title .age");
  // What was under way when it was paused.
  await page.waitForTimeout(2_000);
  const before = await page.locator("a.tile .v").allTextContents();
  await page.waitForTimeout(5_000);
  expect(await page.locator("a.tile .v").allTextContents()).toEqual(before);
  await expect(age).toBeVisible();
});

test("primary and replica are both watched, and the picker changes between them", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await expect(page.locator("header.top .role").first()).toHaveText("PRIMARY");
  await page.locator("header.top summary.picker").click();
  await page.locator("header.top .menu li a", { hasText: "replica" }).click();
  await expect(page).toHaveURL(/cluster=replica/);
  await expect(page.locator("header.top summary.picker .role")).toHaveText("STANDBY");
  await page.locator("nav#nav a.page", { hasText: "Activity" }).click();
  await expect(page).toHaveURL(/\/database\/activity\?cluster=replica/);
});

test("the range stands in the address and stays on the next page", async ({ page }) => {
  await signIn(page);
  await alive(page);
  await page.getByRole("navigation", { name: "Time range" }).getByText("6 h").click();
  await expect(page).toHaveURL(/range=6h/);
  await page.locator("nav#nav a.page", { hasText: "Queries" }).click();
  await expect(page).toHaveURL(/range=6h#queries/);
  await expect(page.getByText("last 6 hours").first()).toBeVisible();
});

test("an unknown cluster is said so, with the known ones", async ({ page }) => {
  await signIn(page);
  const answer = await page.request.get(`${demo.url}/database?cluster=nowhere`);
  expect(answer.status()).toBe(404);
  expect(await answer.text()).toContain("known are: main, replica");
});
