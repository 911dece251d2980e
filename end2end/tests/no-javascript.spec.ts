import { demo, expect, password, test } from "../support/demo";

test.use({ javaScriptEnabled: false });

test("signing in, every page, sorting and signing out work without JavaScript", async ({ page }) => {
  await page.goto(`${demo.url}/database/performance`);
  await expect(page).toHaveURL(/\/login\?next=/);
  await page.getByLabel("Name").fill("operator");
  await page.getByLabel("Password").fill(password("operator"));
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL(`${demo.url}/database/performance`);

  await expect(async () => {
    await page.reload();
    await expect(page.locator("table.queries tbody tr").nth(3)).toBeVisible({ timeout: 3_000 });
  }).toPass({ timeout: 160_000 });
  await expect(page.locator("#indexes")).toBeHidden();
  await page.locator("table.queries th a", { hasText: "Mean" }).click();
  await expect(page).toHaveURL(/sort=-mean/);
  await expect(page.locator("table.queries th", { hasText: "Mean" })).toHaveAttribute("aria-sort", "descending");
  await page.getByLabel("Search statements").fill("plugins");
  await page.getByLabel("Search statements").press("Enter");
  await expect(page).toHaveURL(/q=plugins/);
  await expect(page).toHaveURL(/sort=-mean/);

  await page.locator("nav.tabs a[data-for=indexes]").click();
  await expect(page.locator("#indexes")).toBeVisible();
  await expect(page.locator("#queries")).toBeHidden();

  await page.goto(`${demo.url}/database`);
  await expect(page.locator(".gauge .score")).toHaveText(/^\d+$/);
  await expect(page.locator("svg.picture").first()).toBeVisible();
  await page.locator("figure.chart details.numbers summary").first().click();
  await expect(page.locator("figure.chart details.numbers table").first()).toBeVisible();

  await page.locator("form.theme button[value=dark]").click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.locator("summary.avatar").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL(/\/login/);
});
