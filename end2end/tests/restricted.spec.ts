// What an administrator of backups does by hand: plans and approvals, the recovery kit, retention, taking a backup away. Each
// wants the name and the password, and is refused to everybody else.
import { readFileSync } from "node:fs";
import type { APIRequestContext, Page } from "@playwright/test";
import { demo, expect, password, signIn, test } from "../support/demo";
import { sql } from "../support/sql";

const api = `${demo.url}/api/v1/clusters/main`;
const bearer = { authorization: `Bearer ${demo.token}` };
const form = "application/x-www-form-urlencoded";

const get = async (request: APIRequestContext, address: string) => (await request.get(address, { headers: bearer })).json();

/** Waits until the demo has told its story: backup, restore test, both drills, a gap that was ended. */
async function told(request: APIRequestContext) {
  await expect
    .poll(
      async () => {
        const { window } = await get(request, `${api}/recovery`);
        return window.proofs.length > 2 && window.gaps.some((gap: { to: string | null }) => gap.to !== null);
      },
      { timeout: 600_000, intervals: [1_000] },
    )
    .toBe(true);
}

/** Name and password, in the form that has this button. */
async function confirm(page: Page, button: string, secret = password("admin")) {
  const asked = page.locator("form", { has: page.getByRole("button", { name: button, exact: true }) });
  await asked.getByLabel(/to confirm/).fill("main");
  await asked.getByLabel("Your password").fill(secret);
  await asked.getByRole("button", { name: button, exact: true }).click();
}

/** The status of a request by this page's session. */
const tell = (page: Page, method: string, path: string, type: string, body: string) =>
  page.evaluate(async ([method, path, type, body]) => (await fetch(path, { method, headers: { "content-type": type }, body, redirect: "manual" })).status, [method, path, type, body]);

test.describe("what an administrator does", () => {
  test.describe.configure({ mode: "serial", timeout: 1_200_000 });

  test("a plan is written, refused where it makes no sense, put on a calendar and removed", async ({ page, request }) => {
    await told(request);
    await signIn(page, "admin", "/recovery/plans?new=1");
    await page.locator("input[name=name]").fill("by hand");
    await confirm(page, "Save", "wrong");
    await expect(page.locator(".form-error")).toContainText("password is wrong");
    // Without the restore it is no plan; the page says so and names the step. What was typed is still there.
    await expect(page.locator("input[name=name]")).toHaveValue("by hand");
    await page.locator("select[name='step1.action']").selectOption("");
    await confirm(page, "Save");
    await expect(page.locator(".form-error")).toContainText(/restore/i);
    await expect(page.locator("input[name=name]")).toHaveValue("by hand");
    await expect(page.locator("select[name='step1.action']")).toHaveValue("start");
    await page.goto(`${demo.url}/recovery/plans?new=1`);
    await page.locator("input[name=name]").fill("by hand");
    await confirm(page, "Save");
    await expect(page.locator(".form-done")).toContainText("The plan is saved");
    await expect(page.locator("h1")).toHaveText("Plan 'by hand'");
    await expect(page.getByRole("heading", { name: "A dry run, now" })).toBeVisible();
    const address = page.url();

    await page.getByText("Steps and calendar").click();
    await page.getByLabel("Drill on", { exact: true }).fill("every day");
    await confirm(page, "Save");
    await expect(page.locator(".form-error")).toBeVisible();
    await expect(page.getByLabel("Drill on", { exact: true })).toHaveValue("every day");
    await page.goto(address);
    await page.getByText("Steps and calendar").click();
    await page.getByLabel("Drill on", { exact: true }).fill("0 3 * * 0");
    await page.locator("input[name='step1.rollback']").fill("Remove it again.");
    await confirm(page, "Save");
    await expect(page.locator("dl.facts")).toContainText(["0 3 * * 0"]);
    await page.getByText("Steps and calendar").click();
    await expect(page.locator("input[name='step1.rollback']")).toHaveValue("Remove it again.");

    await page.getByText("Remove the plan").click();
    await confirm(page, "Remove");
    await expect(page.locator(".form-done")).toContainText("The plan is removed");
    await expect(page.getByRole("link", { name: "by hand" })).toHaveCount(0);
  });

  test.describe(() => {
    test.use({ allowed: [/403/] });
    test("an execution waits at each approval, for an administrator alone, and is aborted before the switch", async ({ page, browser, request }) => {
      await told(request);
      await signIn(page, "admin", "/recovery/plans");
      await page.getByRole("link", { name: "standard" }).first().click();
      await confirm(page, "Carry it out");
      await expect(page).toHaveURL(/\/jobs\/\d+/);
      // The page follows: nobody reloads it.
      await expect(page.getByRole("heading", { name: "It waits for an approval" })).toBeVisible({ timeout: 400_000 });
      await expect(page.locator(".step.done")).toHaveCount(3);
      const id = /jobs\/(\d+)/.exec(page.url())![1];

      const other = await browser.newPage();
      await signIn(other, "operator", `/jobs/${id}`);
      await expect(other.getByText("Waits for an administrator's approval")).toBeVisible();
      await expect(other.getByRole("button", { name: "Approve" })).toHaveCount(0);
      const decision = `id=${id}&step=3&kind=approve&confirm=main&password=${encodeURIComponent(password("operator"))}`;
      expect(await tell(other, "POST", "/jobs/decide", form, decision)).toBe(403);
      const json = JSON.stringify({ step: 3, approve: true, confirm: "main", password: password("operator") });
      expect(await tell(other, "POST", `/api/v1/jobs/${id}/decision`, "application/json", json)).toBe(403);

      await confirm(page, "Approve", "wrong");
      await expect(page.locator(".form-error")).toContainText("password is wrong");
      await confirm(page, "Approve");
      // Promoted; what is written into a form is not taken away by what happens meanwhile.
      await expect(page.locator(".step.done")).toHaveCount(5, { timeout: 240_000 });
      await expect(page.getByRole("button", { name: "Abort" })).toBeVisible({ timeout: 240_000 });
      const abort = page.locator("form", { has: page.getByRole("button", { name: "Abort", exact: true }) });
      await abort.locator("input[name=note]").fill("the original is back");
      await page.waitForTimeout(2_000);
      await expect(abort.locator("input[name=note]")).toHaveValue("the original is back");
      await abort.getByRole("button", { name: "Abort" }).click();
      await expect(page.locator("[data-job-state=failed]")).toBeVisible({ timeout: 240_000 });
      await expect(page.getByRole("alert").first()).toContainText("aborted by admin");
      await expect(page.getByRole("alert").first()).toContainText("the original is back");
      // The operator's page came to the same end by itself.
      await expect(other.locator("[data-job-state=failed]")).toBeVisible();
      await other.close();

      // The copy goes on without Holdfast, as the page says; it is not left behind here.
      const { result } = await get(request, `${demo.url}/api/v1/jobs/${id}`);
      const pid = Number(/process (\d+)/.exec(result.next.join(" "))![1]);
      expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toContain("postgres");
      process.kill(pid, "SIGINT");
      const audit = await get(request, `${demo.url}/api/v1/audit?object=${id}`);
      const actions = audit.rows.map((row: { action: string; outcome: string }) => `${row.action} ${row.outcome}`);
      for (const row of ["dr_approve ok", "dr_approve refused", "dr_abort ok"]) expect(actions).toContain(row);
    });
  });

  test("a recovery kit is printed once, and its key can be taken away", async ({ page, request }) => {
    await told(request);
    await signIn(page, "admin", "/backups");
    await page.getByText("Recovery kit", { exact: true }).click();
    await page.getByLabel("What for").fill("safe, second floor");
    await confirm(page, "Make the kit", "wrong");
    await expect(page.locator(".form-error")).toContainText("password is wrong");
    await page.getByText("Recovery kit", { exact: true }).click();
    await page.getByLabel("What for").fill("safe, second floor");
    await confirm(page, "Make the kit");
    await expect(page.locator("h1")).toHaveText("Recovery kit");
    await expect(page.locator(".code")).toHaveText(/^HFR1(-[0-9A-F]{8}){8}-[0-9A-F]{4}$/);
    expect(page.url()).not.toContain("HFR1");
    await page.getByRole("link", { name: "Back to the backups" }).click();
    const key = page.locator("tr", { hasText: "safe, second floor" });
    // The list is read from the repository every few seconds.
    await expect(async () => {
      await page.reload();
      await expect(key).toHaveCount(1, { timeout: 3_000 });
    }).toPass();
    await key.getByText("Remove", { exact: true }).click();
    await key.getByLabel(/to confirm/).fill("main");
    await key.getByLabel("Your password").fill(password("admin"));
    await key.getByRole("button", { name: "Remove this key" }).click();
    await expect(page.locator(".form-done")).toContainText("The key is removed");
  });

  test("schedules say when they run next; objectives and the data key are changed by their forms", async ({ page, request }) => {
    await told(request);
    const { schedules, objectives } = await get(request, `${api}/recovery`);
    await signIn(page, "admin", "/backups");
    const lines = page.getByRole("region", { name: "Schedules table", exact: true }).locator("tbody tr");
    await expect(lines).toHaveCount(schedules.length);
    for (const [n, one] of schedules.entries()) {
      await expect(lines.nth(n).locator("th")).toHaveText(one.name);
      await expect(lines.nth(n).locator("code")).toHaveText(one.cron);
      await expect(lines.nth(n).locator("td.n")).toHaveText(/^in \d/);
    }
    await page.getByText("New data key", { exact: true }).click();
    await confirm(page, "Rotate", "wrong");
    await expect(page.locator(".form-error")).toContainText("password is wrong");
    await page.getByText("New data key", { exact: true }).click();
    await confirm(page, "Rotate");
    await expect(page.locator(".form-done")).toHaveText(/^New objects are sealed with data key \d+; what is there stays readable\.$/);

    await page.goto(`${demo.url}/recovery`);
    const panel = page.locator(".panel", { has: page.getByRole("heading", { name: "Objectives", exact: true }) });
    const change = async (seconds: number, secret: string) => {
      await panel.getByText("Change them", { exact: true }).click();
      await panel.getByLabel("RTO, seconds", { exact: true }).fill(String(seconds));
      await confirm(page, "Change", secret);
    };
    const promised = async () => (await get(request, `${api}/recovery`)).objectives;
    await change(1_200, "wrong");
    await expect(page.locator(".form-error")).toContainText("password is wrong");
    expect(await promised()).toEqual(objectives);
    for (const seconds of [1_200, objectives.rto_seconds]) {
      await change(seconds, password("admin"));
      await expect(page.locator(".form-done")).toHaveText("The objectives are changed.");
      await expect.poll(promised).toEqual({ ...objectives, rto_seconds: seconds });
      await expect(panel.getByLabel("RTO, seconds", { exact: true })).toHaveValue(String(seconds));
    }
  });

  test("the dry run of retention names each backup, its verdict and why; a viewer is offered nothing", async ({ page, request }) => {
    await told(request);
    const { rows } = await get(request, `${api}/backups?limit=200`);
    await signIn(page, "viewer", "/backups/retention");
    await expect(page.locator("h1")).toHaveText("Retention, a dry run");
    await expect(page.locator(".panel").first()).toContainText("7 days of which every moment can be restored");
    const lines = page.locator("tbody tr");
    for (const row of rows) {
      const line = lines.filter({ hasText: row.id });
      await expect(line).toContainText("stays");
      await expect(line).toContainText("younger than 7 days");
    }
    await expect(page.getByText("Nothing would go.")).toBeVisible();
    await expect(page.getByRole("button", { name: /^Remove/ })).toHaveCount(0);
  });

  test.describe(() => {
    test.use({ allowed: [/403/] });
    test("a backup is taken away by its page; who may not is refused at every door", async ({ page, request }) => {
      await told(request);
      await signIn(page, "operator", "/backups");
      await page.getByRole("button", { name: "Full backup" }).click();
      await expect(page.locator("[data-job-state=succeeded]")).toBeVisible({ timeout: 400_000 });
      const id = (await page.locator("dl.report a.link").first().textContent())!.trim();
      await expect.poll(async () => (await get(request, `${api}/backups`)).rows[0].id, { timeout: 120_000 }).toBe(id);
      await page.goto(`${demo.url}/backups/${id}`);
      await expect(page.getByRole("heading", { name: "Figures" })).toBeVisible();
      await expect(page.getByRole("heading", { name: "Remove it" })).toHaveCount(0);
      const secret = encodeURIComponent(password("operator"));
      expect(await tell(page, "POST", "/backups/remove", form, `cluster=main&id=${id}&confirm=main&password=${secret}`)).toBe(403);
      const body = JSON.stringify({ confirm: "main", password: password("operator") });
      expect(await tell(page, "DELETE", `/api/v1/clusters/main/backups/${id}`, "application/json", body)).toBe(403);

      await page.context().clearCookies();
      await signIn(page, "admin", `/backups/${id}`);
      await expect(page.locator(".panel", { hasText: "Remove it" }).last()).toContainText("Moments that are lost");
      await page.getByText("Remove this backup").click();
      await confirm(page, "Remove it", "wrong");
      await expect(page.locator(".form-error")).toContainText("password is wrong");
      await page.getByText("Remove this backup").click();
      await confirm(page, "Remove it");
      await expect(page.locator("[data-job-state=succeeded]")).toBeVisible({ timeout: 240_000 });
      await expect(page.locator("h2", { hasText: new RegExp(`Removal of .* \\(${id.slice(-8)}\\)`) })).toBeVisible();
      await expect.poll(async () => (await get(request, `${api}/backups`)).rows.map((row: { id: string }) => row.id)).not.toContain(id);
      const audit = await get(request, `${demo.url}/api/v1/audit?action=backup_remove`);
      const rows = audit.rows.map((row: { actor_id: string; outcome: string }) => `${row.actor_id} ${row.outcome}`);
      expect(rows).toEqual(["admin ok", "admin refused", "operator refused", "operator refused"]);
      expect(audit.rows[0].before.backup).toBe(id);
    });
  });

  test("a page of the list leads to the older ones and back", async ({ page, request }) => {
    await told(request);
    const first = await get(request, `${api}/backups?limit=1`);
    const second = await get(request, `${api}/backups?limit=1&cursor=${first.next_cursor}`);
    expect(second.rows[0].stopped_at < first.rows[0].stopped_at).toBe(true);
    await signIn(page, "viewer", `/backups?cursor=${first.next_cursor}`);
    await expect(page.locator("table.backups tbody tr a").first()).toHaveAttribute("title", second.rows[0].id);
    await page.getByRole("link", { name: "Newest", exact: true }).click();
    await expect(page).not.toHaveURL(/cursor=/);
    // The demo takes backups all the time: one may come between the page and the question.
    await expect(async () => {
      await page.reload();
      const newest = await get(request, `${api}/backups?limit=1`);
      await expect(page.locator("table.backups tbody tr a").first()).toHaveAttribute("title", newest.rows[0].id, { timeout: 3_000 });
    }).toPass();
  });

  test("a job is followed without a reload, step by step and line by line", async ({ page, request }) => {
    await told(request);
    await signIn(page, "operator", "/backups");
    await page.getByRole("button", { name: "Restore test" }).click();
    await expect(page).toHaveURL(/\/jobs\/\d+/);
    await page.evaluate(() => ((window as unknown as { here: boolean }).here = true));
    await expect(page.locator("meta[http-equiv=refresh]")).toHaveCount(0);
    await expect(page.locator(".step.done").first()).toBeVisible({ timeout: 240_000 });
    await expect(page.locator("[data-job-state=succeeded]")).toBeVisible({ timeout: 400_000 });
    await expect(page.getByText("Measured RTO")).toBeVisible();
    const steps = await page.locator(".step.done").count();
    expect(await page.locator("ul.log li").count()).toBeGreaterThanOrEqual(steps);
    await expect(page.getByRole("button", { name: "Stop it" })).toHaveCount(0);
    expect(await page.evaluate(() => (window as unknown as { here?: boolean }).here)).toBe(true);
  });

  test("a backup under way shows its steps, how fast it is and what remains", async ({ page, request }) => {
    await told(request);
    await signIn(page, "operator", "/backups");
    // How far a job is becomes known once a second: what a fast machine reads in less shows nothing, so that it gets more.
    const measured: string[] = [];
    for (let mebibytes = 128; measured.length === 0 && mebibytes <= 1024; mebibytes *= 2) {
      sql(
        demo.superuser_url,
        `DROP TABLE IF EXISTS ballast; CREATE TABLE ballast AS
         SELECT (SELECT string_agg(md5(i || '/' || j), '') FROM generate_series(1, 60) j) FROM generate_series(1, ${mebibytes * 500}) i`,
      );
      await page.goto(`${demo.url}/backups`);
      await page.getByRole("button", { name: "Full backup", exact: true }).click();
      await expect(page).toHaveURL(/\/jobs\/\d+/);
      // All that the page shows of the present step, however briefly: nobody reloads it.
      await page.evaluate(() => {
        const shown: string[] = [];
        Object.assign(window, { shown });
        const look = () => shown.push(document.querySelector("ol.steps .step.now")?.textContent ?? "");
        new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
        look();
      });
      await expect(page.locator("[data-job-state=succeeded]")).toBeVisible({ timeout: 400_000 });
      const shown = await page.evaluate(() => (window as unknown as { shown: string[] }).shown);
      measured.push(...shown.filter((text) => /[KMG]iB of .+[KMG]iB, .+B\/s, about .+ left/.test(text)));
    }
    sql(demo.superuser_url, "DROP TABLE ballast");
    expect(measured.length).toBeGreaterThan(0);
    for (const text of measured) expect(text).toContain("Read the cluster, write what changed, wait for its WAL");
    // What is over has no rate: each step has what came of it and how long it took.
    await expect(page.locator("ol.steps progress")).toHaveCount(0);
    await expect(page.locator("ol.steps .step.done")).toHaveCount(2);
    await expect(page.locator("ol.steps .step.done").nth(1)).toContainText(/ changed, .+ stored/);
    const { progress } = await get(request, `${demo.url}/api/v1/jobs/${/jobs\/(\d+)/.exec(page.url())![1]}`);
    for (const step of progress.steps) expect(step.seconds).toBeGreaterThanOrEqual(0);
  });

  test("a job is stopped by its button, and says who stopped it", async ({ page, request }) => {
    await told(request);
    await signIn(page, "operator", "/backups");
    await page.getByRole("button", { name: "Restore test", exact: true }).click();
    await expect(page).toHaveURL(/\/jobs\/\d+/);
    const id = /jobs\/(\d+)/.exec(page.url())![1];
    await expect(page.locator("ol.steps .step.now")).toBeVisible({ timeout: 240_000 });
    await page.getByRole("button", { name: "Stop it", exact: true }).click();
    await expect(page).toHaveURL(new RegExp(`/jobs/${id}`));
    await expect(page.locator("[data-job-state=cancelled]")).toBeVisible({ timeout: 240_000 });
    await expect(page.locator("ul.log").getByText("operator asked to stop it", { exact: true })).toBeVisible();
    await expect(page.locator("ol.steps .step.failed")).toHaveCount(1);
    await expect(page.getByRole("button", { name: "Stop it", exact: true })).toHaveCount(0);
    const job = await get(request, `${demo.url}/api/v1/jobs/${id}`);
    expect([job.state, job.cancel_requested, job.result]).toEqual(["cancelled", true, null]);
    const audit = await get(request, `${demo.url}/api/v1/audit?action=job_cancel`);
    expect(audit.rows.map((row: { actor_id: string; outcome: string }) => `${row.actor_id} ${row.outcome}`)[0]).toBe("operator ok");
  });
});
