//! Plans rehearsed and carried out.
use crate::support::{Bench, audited, confirmed, listed_and_streaming, over, sql, stored, succeeded, until};
use backup::format::layout;
use blobs::BlobStore as _;
use control::{Actor, Confirmation, ControlPlane, TargetAsk};
use domain::view::{DrAction, DrKind, DrPlanSpec, DrReport, JobResult, JobState, JobView};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use std::{path::Path, time::Duration};

pub async fn ready(bench: &Bench, control: &ControlPlane) -> String {
    let actor = Actor::cli();
    listed_and_streaming(control, 1).await;
    // Commits over some seconds, so that there are moments to choose among.
    for n in 0..4 {
        sql(&bench.url(), &format!("INSERT INTO orders VALUES ({}, 'later')", 6000 + n)).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    stored(bench, control).await;
    until("the standard plan", async || {
        let plans = control.dr_overview(&actor, None).await.unwrap().plans;
        plans.first().map(|plan| plan.id.clone())
    })
    .await
}

pub fn report(job: &JobView) -> &DrReport {
    match &job.result {
        Some(JobResult::DrRun(report)) => report,
        _ => panic!("{job:#?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drills_measure_rto_and_rpo_and_leave_evidence_and_nothing_else() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    let plan = ready(&bench, &control).await;

    let dry = control.dr_dry_run(&actor, None, &plan, &TargetAsk::default()).await.unwrap();
    assert_eq!((dry.steps.len(), dry.refusals.len(), dry.expected_seconds), (7, 0, None), "{dry:#?}");
    let job = succeeded(&control, &control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap()).await;
    let one = report(&job);
    assert!(one.ok && one.problems.is_empty() && !one.from_recovery_kit, "{one:#?}");
    assert!(one.rto_seconds.is_some_and(|it| it > 0.0) && one.rto_kept() == Some(true), "{one:#?}");
    // Everything was in the repository a moment before.
    assert!(one.rpo_seconds.is_some_and(|it| it < 10.0) && one.rpo_kept() == Some(true), "{one:#?}");
    assert!(one.steps.iter().all(|step| step.state == "done" && step.seconds.is_some()), "{one:#?}");
    assert!(
        one.checks.iter().any(|it| it.contains("pg_amcheck"))
            && one.checks.iter().any(|it| it.contains("pg_checksums"))
    );
    assert_eq!(std::fs::read_dir(bench.path("tests")).unwrap().count(), 0, "the copy is thrown away");
    // The evidence is what its hash says, rests on the backup's objects, and stands in the chain.
    let (text, sha256) = control.dr_evidence(&actor, None, &job.id).await.unwrap();
    assert_eq!(serde_json::from_str::<DrReport>(&text).unwrap(), *one);
    assert_eq!(sha256_of(text.as_bytes()), sha256);
    assert_eq!(one.hashes.plan, dry.plan.hash);
    let system = one.system_identifier.as_ref().unwrap().parse().unwrap();
    let backup = one.backup.as_ref().unwrap();
    for (key, hash) in [
        (layout::commit(system, backup), &one.hashes.backup_commit),
        (layout::manifest(system, backup), &one.hashes.backup_manifest),
    ] {
        assert_eq!(Some(&sha256_of(&bench.faulty.get(&key).await.unwrap())), hash.as_ref(), "{key}");
    }
    assert!(one.hashes.audit_head.is_some());
    let filter = store::AuditFilter { action: Some("drill_finish".into()), ..Default::default() };
    let rows = control.audit_list(&actor, filter, None, 10).await.unwrap().rows;
    assert!(rows[0].after.as_ref().unwrap().to_string().contains(&sha256), "{rows:#?}");
    assert_eq!(rows[0].before.as_ref().unwrap()["state"], "running", "{rows:#?}");
    let before = audited(&control, "dr_drill_start", "ok").await.remove(0).before.unwrap();
    assert_eq!(before["newest_backup"], backup.as_str(), "{before:#}");
    // What it measured is what the next forecast is made of.
    let dry = control.dr_dry_run(&actor, None, &plan, &TargetAsk::default()).await.unwrap();
    assert!(dry.expected_seconds.is_some_and(|it| it > 0.0), "{dry:#?}");

    let job = control.dr_drill_start(&actor, None, &plan, DrKind::FullTest).await.unwrap();
    let full = succeeded(&control, &job).await;
    let full = report(&full);
    assert!(full.ok && full.from_recovery_kit && full.target.contains("chosen at random"), "{full:#?}");
    // The moment may lie before the first commit behind the backup.
    let moment = full.target.split(',').next().unwrap();
    assert!(full.last_commit_at.is_none_or(|at| at.to_rfc3339().as_str() <= moment), "{full:#?}");
    assert!(full.rpo_seconds.is_none(), "{full:#?}");

    // What a chosen statement finds wrong fails the drill, and the next sound one ends it.
    sql(&bench.url(), "ALTER TABLE orders RENAME TO lost").await;
    stored(&bench, &control).await;
    let failed = over(&control, &control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap().id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");
    assert!(report(&failed).problems[0].contains("orders"), "{failed:#?}");
    let problem = |rule: &'static str| {
        let slot = &control.recovery().slots()[0];
        slot.status.load().problems.iter().any(|it| it.rule == rule)
    };
    until("the judgement", async || problem("drill_failed").then_some(())).await;
    sql(&bench.url(), "ALTER TABLE lost RENAME TO orders").await;
    stored(&bench, &control).await;
    let job = control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap();
    succeeded(&control, &job).await;
    until("the end of the problem", async || (!problem("drill_failed")).then_some(())).await;
    let overview = control.dr_overview(&actor, None).await.unwrap();
    assert_eq!(overview.runs.iter().map(|run| run.ok).collect::<Vec<_>>(), [true, false, true, true]);
    // All of them, by pages.
    let page = control.dr_runs_list(&actor, None, None, 3).await.unwrap();
    let rest = control.dr_runs_list(&actor, None, page.next_cursor.as_deref(), 3).await.unwrap();
    assert_eq!((&page.rows[..], &rest.rows[..], rest.next_cursor), (&overview.runs[..3], &overview.runs[3..], None));
    assert_eq!(control.audit_verify(&actor).await.unwrap().broken, None);
    running.end().await;
}

/// The server that a plan left running is ours to end: by the process id in its directory.
pub fn end(data: &Path) {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let pid = text.lines().next().unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT).unwrap();
    for _ in 0..1_200 {
        if !data.join("postmaster.pid").exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the copy in {} did not end", data.display());
}

/// The step that waits for a person, and what it says of itself.
pub async fn waits(control: &ControlPlane, job: &str, action: DrAction) -> (usize, String) {
    until(&format!("the approval of {}", action.as_str()), async || {
        let job = control.job_get(&Actor::cli(), job).await.unwrap();
        assert!(!job.state.is_over(), "{job:#?}");
        job.progress.waiting.filter(|waiting| waiting.action == action).map(|waiting| (waiting.step, waiting.what))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_carried_out_step_by_step_with_approvals_and_outlives_the_server() {
    let mut bench = Bench::new().await;
    let told = bench.path("switched");
    let command = format!("echo \"$HOLDFAST_CLUSTER $HOLDFAST_HOST $HOLDFAST_PORT\" >> {}", told.display());
    bench.hooks.insert("dns".to_owned(), command);
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    let standard = ready(&bench, &control).await;

    // What is not there is refused, and that is told too.
    assert!(control.dr_plan_remove(&actor, None, "999999", &confirmed()).await.is_err());
    assert!(control.dr_drill_start(&actor, None, "999999", DrKind::Test).await.is_err());
    for action in ["dr_plan_remove", "dr_drill_start"] {
        let refused = audited(&control, action, "refused").await;
        assert!(refused.len() == 1 && refused[0].object_id == "999999", "{refused:#?}");
    }

    // A plan of one's own: with a hook that the host has, never with a command.
    let mut spec = DrPlanSpec { name: "move".to_owned(), ..DrPlanSpec::standard() };
    spec.steps[5].connection = None;
    spec.steps[5].hook = Some("rm -rf /".to_owned());
    let refused = control.dr_plan_create(&actor, None, spec.clone(), &confirmed()).await.unwrap_err();
    assert!(refused.to_string().contains("the host has no hook"), "{refused}");
    spec.steps[5].hook = Some("dns".to_owned());
    assert!(
        control.dr_plan_create(&actor, None, spec.clone(), &Confirmation::default()).await.is_err(),
        "no name was typed"
    );
    let plan = control.dr_plan_create(&actor, None, spec.clone(), &confirmed()).await.unwrap();
    assert!(control.dr_plan_create(&actor, None, spec, &confirmed()).await.is_err(), "the name is taken");

    // Aborted at its first approval: nothing is switched, nothing runs, and what is to be taken back is named.
    let job = control.dr_execute(&actor, None, &standard, &TargetAsk::default(), &confirmed()).await.unwrap();
    let (step, _) = waits(&control, &job.id, DrAction::Promote).await;
    assert!(control.dr_decide(&actor, &job.id, step + 1, false, "", &confirmed()).await.is_err(), "another step");
    control.dr_decide(&actor, &job.id, step, false, "wrong cluster", &Confirmation::default()).await.unwrap();
    let before = audited(&control, "dr_execute", "ok").await.remove(0).before.unwrap();
    assert!(before["there"]["holds"] == "nothing" && before["plan_hash"].is_string(), "{before:#}");
    let before = audited(&control, "dr_abort", "ok").await.remove(0).before.unwrap();
    let waited = before["waits_for"].as_str().is_some_and(|it| it.contains("promote"));
    assert!(before["step"] == step && waited, "{before:#}");
    let aborted = over(&control, &job.id).await;
    assert_eq!(aborted.state, JobState::Failed, "{aborted:#?}");
    let shown = report(&aborted);
    assert!(shown.problems[0].contains("aborted by") && shown.problems[0].contains("wrong cluster"), "{shown:#?}");
    assert_eq!(shown.steps[step].state, "aborted");
    assert!(shown.next.iter().any(|it| it.contains("Restore the files: Remove the directory")), "{shown:#?}");
    assert!(!Path::new(shown.directory.as_ref().unwrap()).join("postmaster.pid").exists(), "the copy does not run");

    let job = control.dr_execute(&actor, None, &plan.id, &TargetAsk::default(), &confirmed()).await.unwrap();
    let (step, _) = waits(&control, &job.id, DrAction::Promote).await;
    // While a person thinks, the copy follows, and nothing that it reads is expired.
    assert_eq!(readers(&bench).len(), 1, "{:?}", readers(&bench));
    sql(&bench.url(), "INSERT INTO orders VALUES (7777, 'while a person thought')").await;
    stored(&bench, &control).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(
        control.dr_decide(&actor, &job.id, step, true, "", &Confirmation::default()).await.is_err(),
        "no name was typed"
    );
    control.dr_decide(&actor, &job.id, step, true, "go", &confirmed()).await.unwrap();
    assert_eq!(audited(&control, "dr_approve", "refused").await.len(), 1, "no name was typed");
    let row = audited(&control, "dr_approve", "ok").await.remove(0);
    let (before, after) = (row.before.unwrap(), row.after.unwrap());
    let waited = before["waits_for"].as_str().is_some_and(|it| it.contains("promote"));
    assert!(before["step"] == step && before["decision"].is_null() && waited, "{before:#}");
    assert!(after["decision"] == "approve" && after["note"] == "go", "{after:#}");
    let (step, _) = waits(&control, &job.id, DrAction::Switch).await;
    assert!(!told.exists(), "nothing is switched before its approval");
    control.dr_decide(&actor, &job.id, step, true, "", &confirmed()).await.unwrap();
    let done = succeeded(&control, &job).await;
    let shown = report(&done);
    let data = shown.directory.clone().unwrap();
    let line = std::fs::read_to_string(&told).unwrap();
    let port = line.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(line, format!("main 127.0.0.1 {port}\n"), "the hook ran once, with the copy's address");
    assert!(shown.waited_seconds > 0.0 && shown.rto_seconds.is_some_and(|it| it > shown.waited_seconds / 2.0));
    assert_eq!(shown.steps[3].note.as_deref(), Some("go"));
    until("the lease to be given back", async || readers(&bench).is_empty().then_some(())).await;

    running.end().await;
    // Whoever was led there does not depend on us.
    let beside = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password());
    let found = sql(&beside, "SELECT count(*)::text FROM orders WHERE id = 7777").await;
    let wrote = sql(&beside, "INSERT INTO orders VALUES (8888, 'after the switch') RETURNING id::text").await;
    end(Path::new(&data));
    assert_eq!((found.as_deref(), wrote.as_deref()), (Some("1"), Some("8888")));
    assert!(PgConnection::connect(&beside).await.is_err());
}

/// Leases of whoever reads a backup.
fn readers(bench: &Bench) -> Vec<String> {
    let leases = std::fs::read_dir(bench.path("repository/leases")).unwrap();
    let names = leases.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("read-")).collect()
}

fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
