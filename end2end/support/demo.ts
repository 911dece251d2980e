// What every test starts from: the running demo, a page that fails the test on any console error, signing in.
import { expect, test as base, type Page } from "@playwright/test";
import { readFileSync } from "node:fs";

type Demo = { url: string; token: string; superuser_url: string; users: { name: string; role: string; password: string }[] };

const path = process.env.HOLDFAST_DEMO;
if (!path) throw new Error("HOLDFAST_DEMO is not set: run script/lib/end2end");
export const demo = JSON.parse(readFileSync(path, "utf8")) as Demo;

export const password = (name: string) => demo.users.find((user) => user.name === name)!.password;

export const test = base.extend<{ problems: string[]; allowed: RegExp[] }>({
  // Messages that a test expects, such as the browser's own line for a 404 it asked for.
  allowed: [[], { option: true }],
  problems: [
    async ({ page, allowed }, use) => {
      const problems: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" || message.text().includes("hydration")) problems.push(message.text());
      });
      page.on("pageerror", (error) => problems.push(error.message));
      await use(problems);
      expect(problems.filter((problem) => !allowed.some((pattern) => pattern.test(problem)))).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };

export async function signIn(page: Page, name = "viewer", next = "/database") {
  await page.goto(`${demo.url}/login?next=${encodeURIComponent(next)}`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password(name));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.pathname === next.split(/[?#]/)[0]);
}

/** Waits until the page is alive: its live badge says so only after hydration and an open stream. */
export async function alive(page: Page) {
  await expect(page.getByRole("button", { name: "Live", exact: true })).toBeVisible();
}

/** Waits until the statements are there: the first come with the second reading. */
export async function statements(page: Page) {
  await expect(async () => {
    if (!(await page.locator("table.queries tbody tr").count())) await page.reload();
    await expect(page.locator("table.queries tbody tr").nth(3)).toBeAttached({ timeout: 5_000 });
  }).toPass({ timeout: 160_000 });
}
