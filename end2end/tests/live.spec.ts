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

test("what is typed in a search and a list that is open outlive figures that come anew", async ({ page }) => {
  await signIn(page, "viewer", "/database/performance");
  await alive(page);
  const search = page.getByLabel("Search statements");
  await search.pressSequentially("plugin");
  const picker = page.locator("header.top details.menu", { has: page.locator("summary.picker") });
  await picker.locator("summary").click();
  for (const answer of ["/fn/queries", "/fn/frame"]) await page.waitForResponse((response) => response.url().includes(answer), { timeout: 120_000 });
  // The answers are on the page.
  await page.waitForTimeout(1_000);
  await expect(search).toHaveValue("plugin");
  await expect(picker).toHaveAttribute("open");
  await picker.locator("summary").click();
  await search.press("Enter");
  await expect(page).toHaveURL(/q=plugin/);
  await expect(search).toHaveValue("plugin");
});

test.describe("with a fault", () => {
  // The panic's own lines.
  test.use({ allowed: [/./] });

  test("a page whose program stopped says so, and its links go on", async ({ page }) => {
    await signIn(page, "viewer", "/database");
    await alive(page);
    // Woken up a second time, where the marks of the server are gone: that is a panic.
    await page.evaluate(async () => {
      const program = document.querySelector<HTMLLinkElement>("link[rel=modulepreload]")!.href;
      const { hydrate } = await import(program);
      const marks = document.createTreeWalker(document.body, NodeFilter.SHOW_COMMENT);
      const found: Node[] = [];
      while (marks.nextNode()) found.push(marks.currentNode);
      for (const mark of found) (mark as Comment).remove();
      try {
        hydrate();
      } catch {
        // The panic itself.
      }
    });
    await expect(page.getByRole("alert").filter({ hasText: "This page stopped by a fault of ours" })).toBeVisible();
    await page.evaluate(() => ((window as unknown as { mark: number }).mark = 1));
    await page.locator("nav#nav a.page", { hasText: "Activity" }).click();
    await expect(page).toHaveURL(/\/database\/activity/);
    await alive(page);
    expect(await page.evaluate(() => "mark" in window)).toBe(false);
  });
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
