import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { execFile } from "node:child_process";
import { alive, demo, expect, signIn, test } from "../support/demo";

const api = (path: string, method: string, body?: unknown) =>
  fetch(`${demo.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${demo.token}`, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

// The demo's interval is two seconds: a statement of three is over this threshold a moment after it is read.
const settings = { enabled: true, levels: [{ severity: "critical", threshold: 3, clear: 3 }], for_seconds: 0, clear_for_seconds: 0 };

test("a real fault raises an alert, a channel is told, an operator takes it on, and it ends with the fault", async ({ page }) => {
  test.setTimeout(400_000);
  const told: { kind: string; rule: string; detail: string | null }[] = [];
  const listener = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      told.push(JSON.parse(body));
      response.end("ok");
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const hook = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/hook`;

  await signIn(page, "admin", "/alerts?tab=channels");
  await page.locator("summary", { hasText: "Webhook" }).click();
  const form = page.locator("form", { has: page.getByRole("button", { name: "Keep webhook" }) });
  await form.getByLabel("Name").fill("pager");
  await form.getByLabel("Messages from").selectOption("critical");
  await form.getByLabel("Address").fill(hook);
  await form.getByLabel("Signing key").fill("a key of more than sixteen");
  await form.getByRole("button", { name: "Keep webhook" }).click();
  await expect(page.getByRole("status").filter({ hasText: "The channel is kept" })).toBeVisible();
  await page.getByRole("button", { name: "Send a test" }).click();
  await expect(page.getByRole("status").filter({ hasText: "took the message" })).toBeVisible();
  expect(told.map((it) => it.kind)).toEqual(["test"]);
  expect(await page.content()).not.toContain("a key of more than sixteen");

  await api("/api/v1/alert-rules/query_long?cluster=main", "PUT", settings);
  await page.goto(`${demo.url}/alerts`);
  await alive(page);
  // The fault: somebody's statement that does not come to its end.
  const fault = execFile("psql", [demo.superuser_url, "-c", "SELECT pg_sleep(600) AS the_fault"]);
  const row = page.locator("li.alert.critical", { hasText: "the_fault" });
  await expect(row).toBeVisible({ timeout: 90_000 });
  await expect(row).toContainText("> 3 s");
  await expect(page.locator("nav#nav a.page", { hasText: "Alerts" }).locator(".badge.critical")).toBeVisible();
  await expect.poll(() => told.filter((it) => it.detail?.includes("the_fault")).map((it) => it.kind)).toEqual(["firing"]);

  await row.locator("summary", { hasText: "Acknowledge" }).click();
  await row.getByLabel("Note").fill("I am on it");
  await row.getByRole("button", { name: "Take it on" }).click();
  await expect(page.getByRole("status").filter({ hasText: "It is yours" })).toBeVisible();
  await expect(page.locator("li.alert", { hasText: "the_fault" })).toContainText("I am on it");

  // Killed as a DBA would: on the server.
  execFile("psql", [demo.superuser_url, "-c", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600) AS the_fault%'"]);
  await alive(page);
  await expect(page.locator("li.alert", { hasText: "the_fault" })).toHaveCount(0, { timeout: 90_000 });
  await expect.poll(() => told.filter((it) => it.detail?.includes("the_fault")).map((it) => it.kind)).toEqual(["firing", "resolved"]);
  await page.goto(`${demo.url}/alerts?tab=history`);
  await expect(page.locator("tbody tr", { hasText: "admin" }).first()).toContainText("A statement runs for long");
  fault.kill();
  await api("/api/v1/alert-rules/query_long?cluster=main", "DELETE");
  listener.close();
});

test("a rule is tried on the history and set, and a blackout is made and ended", async ({ page }) => {
  await signIn(page, "admin", "/alerts?tab=rules");
  const rule = page.locator("#rule-connections_high");
  await rule.locator("summary").click();
  await rule.getByLabel("critical above (%)").fill("1");
  await rule.getByLabel("over at").nth(2).fill("0.5");
  await rule.getByLabel("warning above (%)").fill("");
  await rule.getByRole("button", { name: "Preview on 7 days" }).click();
  await expect(page.locator("#rule-connections_high .preview")).toContainText("Would have been raised");
  // What is wrong is said by name.
  const again = page.locator("#rule-connections_high");
  await again.getByLabel("critical above (%)").fill("190");
  await again.getByRole("button", { name: "Set" }).click();
  await expect(page.getByRole("alert")).toContainText("percentage");

  await page.goto(`${demo.url}/alerts?tab=blackouts`);
  await page.getByLabel("Why").fill("a change of disks");
  await page.getByRole("main").getByLabel("To", { exact: true }).fill("2999-01-01T00:00");
  await page.getByRole("button", { name: "Set blackout" }).click();
  await expect(page.getByRole("alert")).toContainText("at most a month");
  await page.getByLabel("Why").fill("a change of disks");
  const soon = new Date(Date.now() + 3_600_000).toISOString().slice(0, 16);
  await page.getByRole("main").getByLabel("To", { exact: true }).fill(soon);
  await page.getByRole("button", { name: "Set blackout" }).click();
  await expect(page.locator("li.rule", { hasText: "a change of disks" })).toContainText("in force");
  await page.locator("li.rule", { hasText: "a change of disks" }).getByRole("button", { name: "End it" }).click();
  await expect(page.locator("li.rule", { hasText: "a change of disks" })).toHaveCount(0);
});

test("a viewer sees all of it and no action", async ({ page }) => {
  await signIn(page, "viewer", "/alerts");
  await alive(page);
  for (const tab of ["active", "history", "rules", "channels", "blackouts"]) {
    await page.goto(`${demo.url}/alerts?tab=${tab}`);
    await expect(page.getByRole("heading", { name: "Alerts" })).toBeVisible();
    // The form that narrows the list asks only.
    await expect(page.locator('main form:not([method="get"])')).toHaveCount(0);
  }
});
