// A table is lost and found again in the browser; what may not be done is refused at every door.
import { mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { APIRequestContext, Page } from "@playwright/test";
import { demo, expect, password, signIn, test } from "../support/demo";
import { sql } from "../support/sql";

/** Waits for the first backup and its restore test: the first pages do not. */
async function proved(request: APIRequestContext) {
  await expect
    .poll(
      async () => {
        const answer = await request.get(`${demo.url}/api/v1/clusters/main/recovery`, { headers: { authorization: `Bearer ${demo.token}` } });
        const recovery = await answer.json();
        // The demo's gap was ended by a backup: what comes now is in one interval.
        return recovery.window.proofs.length > 0 && recovery.window.gaps.some((gap: { to: string | null }) => gap.to !== null);
      },
      { timeout: 500_000, intervals: [1_000] },
    )
    .toBe(true);
}

/** What stands beside a name in a list of facts. */
const fact = (page: Page, name: string) => page.locator(`dl.facts dt:text-is("${name}") + dd`);

/** Waits until the restore that the page is about can be planned: the commit behind its moment may be a piece of WAL away. */
async function planned(page: Page) {
  await expect(async () => {
    await page.reload();
    await expect(page.getByText("Expected duration", { exact: true })).toBeVisible({ timeout: 5_000 });
  }).toPass({ timeout: 120_000 });
}

test.describe("backups and recovery", () => {
  test.describe.configure({ mode: "serial", timeout: 900_000 });

  test("from the demo's first minute there is a backup that nobody asked for, and WAL; then drills and a declared gap", async ({ page, request }) => {
    await proved(request);
    const get = async (path: string) => (await request.get(`${demo.url}/api/v1/${path}`, { headers: { authorization: `Bearer ${demo.token}` } })).json();
    // What is kept tells of the first minute, whenever this test runs: the sign-ins were written just before the demo was ready.
    const first = (await get("jobs?kind=backup&limit=200")).rows.at(-1);
    expect(first).toMatchObject({ title: "Full backup", requested_by: "first backup", state: "succeeded", attempt: 1 });
    expect(Date.parse(first.started_at) - statSync(process.env.HOLDFAST_DEMO!).mtimeMs).toBeLessThan(60_000);
    // Of the oldest moment there is: its test is the newest all the same.
    const asked = await request.post(`${demo.url}/api/v1/clusters/main/backups/${first.result.id}/test-restore`, {
      headers: { authorization: `Bearer ${demo.token}` },
      data: { latest: false },
    });
    expect(asked.status()).toBe(202);
    const { id: tested } = await asked.json();
    const { intervals, gaps } = await get("clusters/main/recovery-window");
    expect(Date.parse(intervals[0].from)).toBeLessThanOrEqual(Date.parse(first.finished_at));
    expect(intervals[0].to > intervals[0].from, "WAL from the end of that backup on").toBe(true);
    expect(gaps).toMatchObject([{ declared: true }]);
    const { runs } = await get("clusters/main/dr-plans");
    const drills = runs.map((run: { kind: string; ok: boolean; plan_name: string }) => `${run.kind} of ${run.plan_name}: ${run.ok}`);
    expect(drills).toEqual(expect.arrayContaining(["test of standard: true", "full_test of standard: true"]));

    await signIn(page, "viewer", "/backups");
    await expect(page.locator(`table.backups tbody a[title="${first.result.id}"]`)).toBeVisible();
    await expect(page.getByRole("region", { name: "WAL behind", exact: true })).toContainText("streaming");
    // A gap that a backup has ended is counted, and no longer a warning.
    await expect(page.getByRole("region", { name: "Window", exact: true })).toContainText("one gap");
    await expect(page.locator(".title .badge").first()).toHaveText(/^continuous to /);
    // It goes on: what can be restored ends later and later.
    const last = async () => Date.parse((await get("clusters/main/recovery-window")).intervals.at(-1).to);
    const before = await last();
    await expect.poll(last, { timeout: 160_000, intervals: [1_000] }).toBeGreaterThan(before);
    await page.goto(`${demo.url}/recovery`);
    await expect(page.locator(".timebar .hole title")).toContainText(gaps[0].reason);
    await page.getByRole("link", { name: "Plans and drills", exact: true }).click();
    const history = page.getByRole("region", { name: "History of runs", exact: true });
    for (const run of runs) await expect(history.locator(`a[href="/recovery/plans?run=${run.id}"]`)).toBeVisible();

    // The window has the tests by the moments that they prove, the page by when they were done.
    type Proven = { job: string; proof: { at: string } };
    const proofs = async (): Promise<Proven[]> => (await get("clusters/main/recovery-window")).proofs;
    await expect.poll(async () => (await proofs()).map((one) => one.job), { timeout: 500_000, intervals: [1_000] }).toContain(tested);
    const rows = page.getByRole("region", { name: "Restore tests table", exact: true }).locator("tbody a");
    // Another may end meanwhile.
    await expect(async () => {
      const all = await proofs();
      const newest = [...all].sort((a, b) => Date.parse(b.proof.at) - Date.parse(a.proof.at)).map((one) => one.job);
      expect(all.map((one) => one.job).reverse(), "otherwise there is nothing to tell apart").not.toEqual(newest);
      await page.goto(`${demo.url}/recovery`);
      const shown = await rows.evaluateAll((links) => links.map((link) => link.getAttribute("href")));
      expect(shown).toEqual(newest.slice(0, 8).map((job) => `/jobs/${job}`));
    }).toPass({ timeout: 120_000 });
  });

  test("the time bar shows a backup, a proof and a gap, in both themes and at both widths", async ({ page, request }) => {
    await proved(request);
    await signIn(page, "viewer", "/recovery");
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: 900 });
      for (const path of ["/recovery", "/backups", "/recovery/restore?kind=latest"]) {
        await page.goto(demo.url + path);
        await expect(page.locator("h1")).toBeVisible();
        expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(width);
        const { violations } = await new AxeBuilder({ page }).analyze();
        const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
        expect(serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`), path).toEqual([]);
      }
    }
    await page.goto(`${demo.url}/recovery`);
    await expect(page.locator(".timebar .solid").first()).toBeAttached();
    await expect(page.locator(".timebar .hole")).toHaveCount(1);
    await expect(page.locator(".timebar .flag").first()).toBeAttached();
    await expect(page.locator(".timebar .mark.full")).toHaveCount(1);
    await expect(fact(page, "To inspect")).toHaveText(/^each database of the cluster \(now .*\bsaas_idp\b.*\), read and written on a private copy$/);
    await expect(page.locator(".window-list .bad").first()).toContainText("removed this WAL");
    // A viewer sees, and is offered nothing that would be refused.
    await expect(page.getByRole("button", { name: "Back up now" })).toHaveCount(0);
  });

  test("an admin destroys a table, finds the moment before, restores beside and sees the table there", async ({ page, request }) => {
    await proved(request);
    sql(demo.superuser_url, "CREATE TABLE precious AS SELECT n AS id, 'kept ' || n AS text FROM generate_series(1, 100) n");
    await page.waitForTimeout(2_500);
    const moment = new Date();
    await page.waitForTimeout(2_500);
    sql(demo.superuser_url, "DROP TABLE precious");
    // The WAL of the loss reaches the repository in seconds.
    await expect
      .poll(async () => {
        const answer = await request.get(`${demo.url}/api/v1/clusters/main/recovery-window`, { headers: { authorization: `Bearer ${demo.token}` } });
        return new Date((await answer.json()).intervals.at(-1).to) > moment;
      }, { timeout: 120_000 })
      .toBe(true);

    await signIn(page, "admin", "/recovery");
    // An exact moment can be typed: it is planned, and nothing is done.
    await page.getByText("An exact time, position, transaction or name").click();
    await page.getByLabel("Which").fill(moment.toISOString());
    await page.getByRole("button", { name: "Plan it" }).click();
    await expect(page).toHaveURL(/\/recovery\/restore\?/);
    await planned(page);
    await expect(fact(page, "Until")).toHaveText(moment.toISOString());
    // On the bar it is found by looking closer. What is clicked is what is planned, restored and reported.
    const near = (milliseconds: number) => encodeURIComponent(new Date(moment.getTime() + milliseconds).toISOString());
    await page.goto(`${demo.url}/recovery?since=${near(-5_000)}&until=${near(5_000)}`);
    const hrefs = await page.locator(".timebar a").evaluateAll((links) => links.map((link) => link.getAttribute("href")!));
    const away = (at: string) => Math.abs(Date.parse(at) - moment.getTime());
    const moments = hrefs.map((href) => new URL(href, demo.url).searchParams.get("at")!).sort((a, b) => away(a) - away(b));
    const at = moments[0];
    expect(away(at), "a slot for each tenth of a second").toBeLessThan(100);
    await page.locator(`.timebar a[href*="at=${encodeURIComponent(at)}&"] .slot`).click({ force: true });
    await expect.poll(() => new URL(page.url()).searchParams.get("at")).toBe(at);
    await expect(page.getByText("can be restored", { exact: true })).toBeVisible();
    await page.getByRole("link", { name: "Plan the restore", exact: true }).click();
    const asked = (name: string) => new URL(page.url()).searchParams.get(name);
    await expect.poll(() => [new URL(page.url()).pathname, asked("kind"), asked("value")]).toEqual(["/recovery/restore", "time", at]);
    await planned(page);
    await expect(fact(page, "Until")).toHaveText(at);
    await page.getByLabel(/to confirm/).fill("main");
    await page.getByLabel("Your password").fill("wrong");
    await page.getByRole("button", { name: "Restore", exact: true }).click();
    await expect(page.getByRole("alert").first()).toContainText("password is wrong");
    await expect(fact(page, "Until")).toHaveText(at);
    await page.getByLabel(/to confirm/).fill("main");
    await page.getByLabel("Your password").fill(password("admin"));
    await page.getByRole("button", { name: "Restore", exact: true }).click();
    await expect(page).toHaveURL(/\/jobs\/\d+/);
    await expect(page.getByRole("heading", { level: 2, name: `Restore to ${at}`, exact: true })).toBeVisible();
    // The page follows its job by itself.
    await expect(page.locator("[data-job-state=succeeded]")).toBeVisible({ timeout: 400_000 });
    await expect(fact(page, "Restored to")).toHaveText(at);
    const job = await request.get(`${demo.url}/api/v1/jobs/${/jobs\/(\d+)/.exec(page.url())![1]}`, { headers: { authorization: `Bearer ${demo.token}` } });
    const { result } = await job.json();
    expect(result.target).toBe(at);
    expect(Date.parse(result.last_commit_at), "nothing later than that").toBeLessThanOrEqual(Date.parse(at));
    const port = await page.locator("[data-port]").getAttribute("data-port");
    const beside = new URL(demo.superuser_url);
    beside.port = port!;
    expect(sql(beside.href, "SELECT count(*) FROM precious")).toBe("100");
    expect(sql(demo.superuser_url, "SELECT to_regclass('precious') IS NULL")).toBe("t");
    expect(sql(beside.href, "SELECT current_setting('archive_mode')")).toBe("off");

    const audit = await request.get(`${demo.url}/api/v1/audit?action=restore_start`, { headers: { authorization: `Bearer ${demo.token}` } });
    const rows = (await audit.json()).rows.map((row: { outcome: string; actor_id: string }) => `${row.actor_id} ${row.outcome}`);
    expect(rows).toEqual(["admin ok", "admin refused"]);
  });

  test.describe(() => {
    test.use({ allowed: [/409/] });
    test("over a cluster it goes where the configuration allows it, never while that runs, by name and password", async ({ page, request }) => {
      await proved(request);
      const home = dirname(realpathSync(process.env.HOLDFAST_DEMO!));
      const [running, stopped] = [`${home}/primary/data`, `${home}/restores/stopped/data`];
      await signIn(page, "admin", "/recovery/restore?kind=latest");
      const over = page.locator("input[type=checkbox][name=delta]");
      await expect(page.locator("label", { has: over })).toContainText("Only where the configuration allows it; only pages that differ are written. Never over a running one.");
      await expect(over).not.toBeChecked();
      const plan = async (directory: string, start: boolean) => {
        await over.check();
        await page.locator("input[type=checkbox][name=start]").setChecked(start);
        await page.getByLabel("Directory", { exact: true }).fill(directory);
        await page.getByRole("button", { name: "Plan again", exact: true }).click();
        await expect.poll(() => new URL(page.url()).searchParams.get("directory")).toBe(directory);
      };
      const never = /a server runs in .+ \(process \d+\): stop it first; a running server is never restored over/;
      await plan(running, true);
      await expect(page.locator(".refusal")).toContainText([never, /is started by whoever runs it, not here/]);
      await plan(running, false);
      await expect(page.locator(".refusal")).toContainText([never]);
      await expect(fact(page, "Goes to")).toHaveText(running);
      await expect(page.getByRole("button", { name: "Restore", exact: true })).toHaveCount(0);
      // Past the page, with all that it asks for.
      const body = JSON.stringify({ restore: { directory: running, delta: true }, confirm: "main", password: password("admin") });
      const answer = await page.evaluate(async (body) => {
        const response = await fetch("/api/v1/clusters/main/restores", { method: "POST", headers: { "content-type": "application/json" }, body });
        return { status: response.status, detail: (await response.json()).detail as string };
      }, body);
      expect(answer).toEqual({ status: 409, detail: expect.stringMatching(never) });

      await plan(`${home}/replica/data`, false);
      await expect(page.locator(".refusal")).toContainText(`only these may be restored over: ${running}, ${stopped}`);
      // One that is allowed and stands still: what is lost is said, and nothing is done without name and password.
      mkdirSync(stopped, { recursive: true });
      try {
        writeFileSync(`${stopped}/PG_VERSION`, "");
        await page.goto(`${demo.url}/recovery/restore?kind=latest`);
        await plan(stopped, false);
        await expect(page.getByText(`The cluster in ${stopped} is brought to the state of the end of the WAL: what was written there since is lost.`)).toBeVisible();
        await expect(page.locator(".refusal")).toHaveCount(0);
        await page.getByLabel(/to confirm/).fill("replica");
        await page.getByLabel("Your password").fill(password("admin"));
        await page.getByRole("button", { name: "Restore", exact: true }).click();
        await expect(page.getByRole("alert").first()).toContainText("nothing was changed");
        await expect(over).toBeChecked();
        await expect(fact(page, "Goes to")).toHaveText(stopped);
      } finally {
        rmSync(dirname(stopped), { recursive: true });
      }
    });
  });

  for (const name of ["viewer", "operator"]) {
    test.describe(() => {
      test.use({ allowed: [/403/] });
      test(`a ${name} is refused a restore on the page, by its form and in the API`, async ({ page }) => {
        await signIn(page, name, "/recovery/restore?kind=latest");
        await expect(page.getByText("Restoring needs the role admin.")).toBeVisible();
        await expect(page.getByRole("button", { name: "Restore", exact: true })).toHaveCount(0);
        const tell = (path: string, type: string, body: string) =>
          page.evaluate(async ([path, type, body]) => (await fetch(path, { method: "POST", headers: { "content-type": type }, body })).status, [path, type, body]);
        const form = "application/x-www-form-urlencoded";
        const confirmed = `confirm=main&password=${encodeURIComponent(password(name))}`;
        expect(await tell("/recovery/restore", form, `cluster=main&kind=latest&start=on&${confirmed}`)).toBe(403);
        expect(await tell("/backups/expire", form, `cluster=main&${confirmed}`)).toBe(403);
        expect(await tell("/backups/kit", form, `cluster=main&${confirmed}`)).toBe(403);
        const body = JSON.stringify({ restore: {}, confirm: "main", password: password(name) });
        expect(await tell("/api/v1/clusters/main/restores", "application/json", body)).toBe(403);
        const start = await tell("/api/v1/clusters/main/backups", "application/json", JSON.stringify({ kind: "incremental" }));
        expect(start).toBe(name === "viewer" ? 403 : 202);
      });
    });
  }
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("an operator takes a backup and watches its job", async ({ page, request }) => {
    test.setTimeout(600_000);
    await proved(request);
    await signIn(page, "operator", "/backups");
    await page.getByRole("button", { name: "Back up now" }).click();
    await expect(page).toHaveURL(/\/jobs\/\d+/);
    await expect(async () => {
      await page.reload();
      await expect(page.locator("[data-job-state=succeeded]")).toBeVisible({ timeout: 2_000 });
    }).toPass({ timeout: 240_000 });
    await page.goto(`${demo.url}/recovery`);
    await page.locator(".timebar a .slot").last().click({ force: true });
    await expect(page).toHaveURL(/\/recovery\?at=/);
  });
});
