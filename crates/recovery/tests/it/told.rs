//! Restore tests, drills and plans, on the way to a person: what is owed or failed until it is made good, what waits until
//! somebody decides, and what is done once, as a webhook hears it.
use crate::{
    alerts::{alert, ended, raised, resolved, set},
    drills::{end, ready, report, waits},
    support::{Bench, PACE, confirmed, over, succeeded, until},
};
use auth::SealingKey;
use blobs::BlobStore as _;
use control::{Actor, ControlPlane, RestoreTestParams, ScheduleConfig, ScheduleKind, TargetAsk, alerts::Alerting};
use domain::{
    alert::{AlertState, Severity},
    view::{DrAction, DrKind, JobResult, JobState},
};
use recovery::Service;
use std::path::{Path, PathBuf};
use test_support::webhooks::{self, Got, receiver};
use tokio_util::sync::CancellationToken;

/// The restore test is scheduled yearly: in seconds, how old the newest may be by the rule as shipped.
const ALLOWED: f64 = 366.0 * 86_400.0 * 1.5;

/// Has everything told to a webhook.
async fn listen(control: &ControlPlane) -> Got {
    let (url, got) = receiver(&[200]).await;
    control.alerts().configure(Alerting {
        address: "https://holdfast.example".to_owned(),
        key: Some(SealingKey::random().unwrap()),
        ..Alerting::default()
    });
    control.channel_create(&Actor::cli(), webhooks::channel("hook", &url, Severity::Info)).await.unwrap();
    got
}

/// Why each message of a rule came, the first first.
fn told(got: &Got, rule: &str) -> Vec<String> {
    let got = got.lock().unwrap();
    let of = got.iter().filter(|it| it["rule"] == rule);
    of.map(|it| it["kind"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The largest file that holds bytes of backups.
async fn largest_pack(bench: &Bench) -> PathBuf {
    let all = bench.faulty.list("clusters/").await.unwrap();
    let packs = all.into_iter().filter(|it| it.key.contains("/packs/"));
    bench.path("repository").join(packs.max_by_key(|it| it.size).unwrap().key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_and_plans_are_told_until_they_are_made_good_or_decided_and_what_is_done_is_told_once() {
    let mut bench = Bench::new().await;
    bench.schedules.push(ScheduleConfig { kind: ScheduleKind::RestoreTest, cron: "0 0 1 1 *".to_owned() });
    let (url, _directory) = test_support::sqlite_url();
    let control = bench.control(&url).await;
    let actor = Actor::cli();
    let got = listen(&control).await;
    // By a setting of this cluster ten seconds without a proof are too many.
    set(&control, "restore_test_overdue", Severity::Warning, 10.0 / ALLOWED).await;
    let stop = CancellationToken::new();
    let monitor = bench.watch(&control, &stop);
    let service = Service::start(&control, PACE, &stop);
    let plan = ready(&bench, &control).await;

    let owed = raised(&control, "restore_test_overdue").await;
    assert_eq!((owed.severity, owed.state), (Severity::Warning, AlertState::Firing), "{owed:#?}");
    assert!(owed.measured.contains(" old, at most "), "{owed:#?}");
    assert!(alert(&control, "restore_test_failed").is_none(), "none was tried");
    // A byte of the backup is changed.
    let pack = largest_pack(&bench).await;
    let sound = std::fs::read(&pack).unwrap();
    let mut bad = sound.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&pack, bad).unwrap();
    let test = RestoreTestParams { backup: None, latest: false };
    let failed = control.backup_test_restore(&actor, None, test.clone()).await.unwrap();
    let failed = over(&control, &failed.id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");
    // That it could not be restored is what the test showed: on the time bar, beside the backup, and in the figures.
    let Some(JobResult::RestoreTest(shown)) = &failed.result else { panic!("{failed:#?}") };
    assert!(!shown.ok && shown.problems.first() == failed.error.as_ref(), "{shown:#?}");
    assert!(shown.plan_seconds > 0.0 && shown.measured_rto().is_none() && shown.checks.is_empty(), "{shown:#?}");
    let window = control.recovery_window(&actor, None).await.unwrap();
    let flags = window.proofs.iter().map(|it| (it.job.as_str(), &it.proof)).collect::<Vec<_>>();
    assert_eq!(flags, [(failed.id.as_str(), shown)]);
    let rows = control.backups_list(&actor, None, None, 50).await.unwrap().rows;
    assert_eq!(rows[0].proof.as_ref(), Some(shown));
    let left = std::fs::read_dir(bench.path("tests")).unwrap().count();
    assert_eq!(left, 0, "what it wrote is gone");
    let bad = raised(&control, "restore_test_failed").await;
    assert_eq!((bad.severity, bad.state), (Severity::Critical, AlertState::Firing), "{bad:#?}");
    assert!(bad.detail.is_some() && bad.detail == failed.error, "it says why: {bad:#?} {failed:#?}");
    assert!(alert(&control, "restore_test_overdue").is_some(), "a test that could not be done proves nothing");
    let status = until("the judgement", async || {
        let status = control.recovery().slots()[0].status.load_full();
        status.backup.as_ref().is_some_and(|it| it.last_restore_test.is_some()).then_some(status)
    })
    .await;
    let last = status.backup.as_ref().and_then(|it| it.last_restore_test.as_ref()).unwrap();
    assert_eq!((last.at, last.ok, last.rto_seconds), (shown.at, false, 0.0), "{last:#?}");
    assert_eq!(status.forecast, None, "nothing was measured that a forecast could be made of");
    std::fs::write(&pack, sound).unwrap();
    let good = succeeded(&control, &control.backup_test_restore(&actor, None, test).await.unwrap()).await;
    let Some(JobResult::RestoreTest(good)) = &good.result else { panic!("{good:#?}") };
    // What was planned before is part of the time it takes.
    let parts = good.plan_seconds + good.restore_seconds + good.recovery_seconds;
    assert!(good.ok && good.plan_seconds > 0.0 && (good.rto_seconds - parts).abs() < 1e-6, "{good:#?}");
    let window = control.recovery_window(&actor, None).await.unwrap();
    let mut flags = window.proofs.iter().map(|it| it.proof.ok).collect::<Vec<_>>();
    flags.sort_unstable();
    assert_eq!(flags, [false, true], "the failed one stays on the time bar: {window:#?}");
    let rows = control.backups_list(&actor, None, None, 50).await.unwrap().rows;
    assert_eq!(rows[0].proof.as_ref(), Some(good));
    for alert in [&owed, &bad] {
        assert_eq!(resolved(&control, alert).await, ["fired", "resolved"], "{}", alert.rule);
    }

    let job = succeeded(&control, &control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap()).await;
    let drill = raised(&control, "drill_finished").await;
    assert_eq!((drill.severity, drill.object), (Severity::Info, format!("job {}", job.id)));
    assert!(drill.measured.starts_with("Drill of plan 'standard' to ") && drill.measured.contains("RTO "));

    // In earnest it waits for a person, twice.
    assert!(alert(&control, "plan_waits").is_none(), "a drill waits for nobody");
    let job = control.dr_execute(&actor, None, &plan, &TargetAsk::default(), &confirmed()).await.unwrap();
    let mut waiting = None;
    for action in [DrAction::Promote, DrAction::Switch] {
        let (step, what) = waits(&control, &job.id, action).await;
        let says = format!("job {} waits: {what}", job.id);
        let told = until(&format!("the alert of the wait for {}", action.as_str()), async || {
            alert(&control, "plan_waits").filter(|it| it.detail.as_ref() == Some(&says))
        })
        .await;
        assert_eq!((told.severity, told.state), (Severity::Critical, AlertState::Firing), "{told:#?}");
        waiting = Some(told);
        assert!(alert(&control, "plan_executed").is_none(), "it is not done yet");
        control.dr_decide(&actor, &job.id, step, true, "", &confirmed()).await.unwrap();
    }
    let done = succeeded(&control, &job).await;
    let shown = report(&done);
    ended(&control, "plan_waits").await;
    assert_eq!(resolved(&control, &waiting.unwrap()).await, ["fired", "resolved"]);
    let executed = raised(&control, "plan_executed").await;
    assert_eq!((executed.severity, executed.object), (Severity::Critical, format!("job {}", job.id)));
    let connection = format!("connect to: {}", shown.connection.as_ref().unwrap());
    assert!(executed.detail.as_ref().is_some_and(|it| it.contains(&connection)), "{:?}", executed.detail);

    // Each as a person's tool heard it; two looks of the monitor later nothing came again.
    let looks = || control.dashboard_get(&actor, None).unwrap().sequence;
    until("the messages of the execution", async || {
        let over = told(&got, "plan_waits").last().is_some_and(|kind| kind == "resolved");
        (over && !told(&got, "plan_executed").is_empty()).then_some(())
    })
    .await;
    let seen = looks();
    until("two more looks", async || (looks() > seen + 1).then_some(())).await;
    for rule in ["drill_finished", "plan_executed"] {
        assert_eq!(told(&got, rule), ["notice"], "{rule}");
    }
    assert_eq!(told(&got, "restore_test_failed"), ["firing", "resolved"]);
    assert_eq!(told(&got, "plan_waits").first().map(String::as_str), Some("firing"));
    stop.cancel();
    service.join().await;
    monitor.join().await;
    // Whoever was led there does not depend on us; here nobody was.
    end(Path::new(shown.directory.as_ref().unwrap()));
}
