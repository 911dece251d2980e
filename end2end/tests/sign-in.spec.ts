import { demo, expect, password, signIn, test } from "../support/demo";

for (const role of ["viewer", "operator", "admin"]) {
  test(`${role} signs in, sees the role and signs out`, async ({ page }) => {
    await signIn(page, role);
    await page.locator("summary.avatar").click();
    await expect(page.locator(".menu .who")).toContainText(role);
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByText("You are signed out.")).toBeVisible();
    await page.goto(`${demo.url}/database`);
    await expect(page).toHaveURL(/\/login\?next=/);
  });
}

test("a wrong password is refused without saying which part was wrong", async ({ page }) => {
  await page.goto(`${demo.url}/login?next=%2Fdatabase%2Factivity`);
  await page.getByLabel("Name").fill("viewer");
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toHaveText("Wrong name or password.");
  await expect(page.getByLabel("Name")).toHaveValue("viewer");
  // And the right one leads to where one wanted to go.
  await page.getByLabel("Password").fill(password("viewer"));
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL(`${demo.url}/database/activity`);
});

test("the session cookie is out of reach of scripts and of other sites", async ({ page, context }) => {
  await signIn(page);
  const cookie = (await context.cookies()).find((one) => one.name === "holdfast")!;
  expect(cookie.httpOnly).toBe(true);
  expect(cookie.sameSite).toBe("Lax");
});

test("a form of another site is refused", async ({ page, request }) => {
  await signIn(page);
  const answer = await request.post(`${demo.url}/logout`, { headers: { origin: "https://evil.example", "sec-fetch-site": "cross-site" } });
  expect(answer.status()).toBe(403);
});
