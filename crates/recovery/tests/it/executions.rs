//! A plan carried out in earnest: to a chosen moment, and up to a switch that fails.
use crate::{
    drills::{end, ready, report},
    support::{Bench, confirmed, over, sql, succeeded, until},
};
use control::{Actor, TargetAsk, now};
use domain::view::{DrAction, DrKind, DrPlanSpec, JobState};
use std::{path::Path, time::Duration};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_goes_to_a_chosen_moment_and_stops_at_a_hook_that_fails() {
    let mut bench = Bench::new().await;
    let told = bench.path("hook-ran");
    let command = format!("echo \"$HOLDFAST_JOB\" >> {}; echo 'no such zone' >&2; exit 3", told.display());
    bench.hooks.insert("dns".to_owned(), command);
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    ready(&bench, &control).await;

    // Nobody is asked between the steps; applications are shown an address first, then led there by the host.
    let mut spec = DrPlanSpec { name: "two switches".to_owned(), ..DrPlanSpec::standard() };
    for step in &mut spec.steps {
        step.approval = false;
    }
    let mut by_hook = spec.steps[5].clone();
    (by_hook.hook, by_hook.connection) = (Some("dns".to_owned()), None);
    by_hook.rollback = "Ask the keepers of the zone.".to_owned();
    spec.steps.insert(6, by_hook);
    let plan = control.dr_plan_create(&actor, None, spec.clone(), &confirmed()).await.unwrap().id;

    // A drill does all of it but that.
    let job = succeeded(&control, &control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap()).await;
    let drill = report(&job);
    assert!(drill.ok && drill.steps.iter().all(|step| step.state == "done"), "{drill:#?}");
    assert_eq!(drill.steps[6].detail, "would run the host's hook 'dns'");
    assert!(!told.exists(), "a drill runs no hook");

    sql(&bench.url(), "INSERT INTO orders VALUES (7001, 'before the moment')").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let moment = now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    sql(&bench.url(), "INSERT INTO orders VALUES (7002, 'behind the moment')").await;
    let ask = TargetAsk { kind: "time".to_owned(), value: moment.to_rfc3339() };
    // The commit behind the moment may be a piece of WAL away.
    let dry = until("a plan for the moment", async || {
        let dry = control.dr_dry_run(&actor, None, &plan, &ask).await.ok()?;
        dry.refusals.is_empty().then_some(dry)
    })
    .await;
    assert_eq!(dry.steps.len(), 8, "{dry:#?}");
    let job = control.dr_execute(&actor, None, &plan, &ask, &confirmed()).await.unwrap();
    let failed = over(&control, &job.id).await;
    let shown = report(&failed);

    // It took writes before the hook failed, and goes on without us: it is asked, then ended, then judged.
    let data = shown.directory.clone().unwrap();
    let port = shown.connection.as_ref().and_then(|text| text.rsplit('=').next()).unwrap();
    let beside = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password());
    let found = sql(&beside, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders WHERE id > 7000").await;
    let wrote = sql(&beside, "INSERT INTO orders VALUES (7003, 'in the copy') RETURNING id::text").await;
    end(Path::new(&data));
    assert_eq!((found.as_deref(), wrote.as_deref()), (Some("7001"), Some("7003")), "{shown:#?}");
    assert_eq!(shown.target, ask.value);
    assert!(shown.last_commit_at.is_some_and(|at| at <= moment), "{shown:#?}");
    // To a moment of the past nothing is lost by the way.
    assert!(shown.rto_seconds.is_some_and(|it| it > 0.0) && shown.rpo_seconds.is_none(), "{shown:#?}");

    assert_eq!((failed.state, shown.ok), (JobState::Failed, false), "{failed:#?}");
    for said in
        [failed.error.as_deref(), shown.problems.first().map(String::as_str), Some(shown.steps[6].detail.as_str())]
    {
        let said = said.unwrap();
        assert!(said.contains("hook 'dns' failed") && said.contains("exit status: 3"), "{said}");
        assert!(said.contains("no such zone"), "{said}");
    }
    assert!(failed.log.iter().any(|line| line.line == "dns: no such zone"), "{:#?}", failed.log);
    let states = shown.steps.iter().map(|step| step.state.as_str()).collect::<Vec<_>>();
    assert_eq!(states, ["done", "done", "done", "done", "done", "done", "failed", "not reached"]);
    assert_eq!(std::fs::read_to_string(&told).unwrap(), format!("{}\n", job.id), "it ran once, for this job");
    // What is taken back: the last step first, also what was switched already, and nothing of what was not reached.
    let notes = spec.steps[..7].iter().rev().filter(|step| !step.rollback.is_empty());
    let notes = notes.map(|step| format!("{}: {}", step.action.label(), step.rollback)).collect::<Vec<_>>();
    assert_eq!(shown.next[..shown.next.len() - 1], notes[..], "{shown:#?}");
    assert_eq!(notes.iter().filter(|note| note.starts_with(DrAction::Switch.label())).count(), 2, "{notes:?}");
    let last = shown.next.last().unwrap();
    assert!(last.contains("The copy runs in") && last.contains("also without Holdfast"), "{last}");

    let filter = store::AuditFilter { action: Some("execution_finish".into()), ..Default::default() };
    let rows = control.audit_list(&actor, filter, None, 10).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>(), ["failed"], "{rows:#?}");
    running.end().await;
}
