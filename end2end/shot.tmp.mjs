import { chromium } from "@playwright/test";
import { readFileSync } from "node:fs";
const demo = JSON.parse(readFileSync(process.argv[2], "utf8"));
const out = process.argv[3];
const pages = JSON.parse(process.argv[4]); // [name, path]
const who = process.argv[5] ?? "admin";
const combos = (process.argv[6] ?? "light-1440,dark-390").split(",");
const browser = await chromium.launch({ executablePath: process.env.CHROME, args: ["--no-sandbox"] });
for (const combo of combos) {
  const [theme, width] = combo.split("-");
  const context = await browser.newContext({ viewport: { width: Number(width), height: 900 }, colorScheme: theme });
  const page = await context.newPage();
  page.on("console", (m) => { if (m.type() === "error") console.log("console:", m.text()); });
  await page.goto(demo.url + "/login");
  await page.getByLabel("Name").fill(who);
  await page.getByLabel("Password").fill(demo.users.find((u) => u.name === who).password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForLoadState("networkidle").catch(() => {});
  for (const [name, path] of pages) {
    await page.goto(demo.url + path).catch((e) => console.log(String(e)));
    await page.waitForTimeout(2500);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) console.log("OVERFLOW", combo, name, wide);
    await page.screenshot({ path: `${out}/${name}-${combo}.png`, fullPage: true });
  }
  await context.close();
}
await browser.close();
