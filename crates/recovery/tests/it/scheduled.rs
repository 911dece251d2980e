//! What is scheduled is done without anybody asking.
use crate::{
    drills::report,
    support::{Bench, succeeded, until},
};
use control::{Actor, ControlPlane, ScheduleConfig, ScheduleKind, now};
use domain::{
    Timestamp,
    view::{DrPlanSpec, JobKind, JobResult, JobView},
};
use std::time::Duration;
use store::{DrRepo, JobRepo};

/// Minutes that clocks in Kathmandu are ahead of UTC, summer and winter: no hour there is an hour of UTC.
const AHEAD_MINUTES: i64 = 5 * 60 + 45;
const JITTER: Duration = Duration::from_secs(9);
/// So much of it is for the restore tests of 'main': a hash of both words, the same in each version.
const LATE_MS: i64 = 1_059;

/// Hour of the day in Kathmandu.
fn hour(at: Timestamp) -> i64 {
    (at.0 + AHEAD_MINUTES * 60_000).div_euclid(3_600_000).rem_euclid(24)
}

/// The moment of a calendar that a job is for, as it is written down.
async fn due(control: &ControlPlane, job: &JobView) -> Timestamp {
    let row = JobRepo(control.store().db()).get(job.id.parse().unwrap()).await.unwrap().unwrap();
    let key = row.schedule_key.unwrap();
    Timestamp::parse_rfc3339(key.rsplit(' ').next().unwrap()).unwrap_or_else(|| panic!("{key}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_test_is_done_by_its_schedule_and_proves_the_newest_moment() {
    // Nothing but heartbeats is committed from here on.
    let mut bench = Bench::made(&[("autovacuum", "off")], |_| None).await;
    (bench.time_zone, bench.jitter) = ("Asia/Kathmandu".to_owned(), JITTER);
    bench.heartbeat = Some(Duration::from_millis(500));
    // Each minute of this hour and the next there: whoever reads it as UTC has nothing due for hours.
    let here = hour(now());
    let cron = format!("* {here},{} * * *", (here + 1) % 24);
    bench.schedules.push(ScheduleConfig { kind: ScheduleKind::RestoreTest, cron });
    let begun = now();
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();

    // Meanwhile: a drill to a random moment, from the recovery kit alone, was due at midnight, and nobody asks for it.
    until("moments to choose among", async || {
        let window = control.recovery_window(&actor, None).await.unwrap();
        window.intervals.last().is_some_and(|it| it.to.seconds_since(it.from) > 3.0).then_some(())
    })
    .await;
    let calendar = Some("0 0 * * *".to_owned());
    let spec = DrPlanSpec { name: "nightly".to_owned(), full_test: calendar, ..DrPlanSpec::standard() };
    let before = now().plus_ms(-3 * 86_400_000);
    DrRepo(control.store().db()).plan_add("main", &spec, "ada", before).await.unwrap().unwrap();
    let drill = until("the drill of the calendar", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::Drill), None, None, 10).await.unwrap();
        jobs.rows.into_iter().next()
    })
    .await;
    assert_eq!(drill.requested_by, "calendar");
    let midnight = due(&control, &drill).await;
    assert_eq!((hour(midnight), midnight.0.rem_euclid(3_600_000)), (0, 15 * 60_000), "{}", midnight.to_rfc3339());
    let drill = succeeded(&control, &drill).await;
    let full = report(&drill);
    assert!(full.ok && full.from_recovery_kit && full.target.contains("chosen at random"), "{full:#?}");
    assert!(full.rto_seconds.is_some_and(|it| it > 0.0) && full.rpo_seconds.is_none(), "{full:#?}");
    assert!(full.steps.iter().all(|step| step.state == "done"), "{full:#?}");

    // Due at the next full minute after the first backup, and a little later by its share of the jitter.
    let job = until("the scheduled restore test", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::RestoreTest), None, None, 10).await.unwrap();
        jobs.rows.into_iter().next_back()
    })
    .await;
    assert_eq!((job.requested_by.as_str(), job.title.as_str()), ("schedule", "Restore test of the newest backup"));
    let at = due(&control, &job).await;
    assert!(at.0.rem_euclid(60_000) == 0 && [here, (here + 1) % 24].contains(&hour(at)), "{}", at.to_rfc3339());
    let late = job.requested_at.0 - at.0;
    // Until the next is due.
    assert!((LATE_MS..60_000 + LATE_MS).contains(&late), "{late} ms behind the minute");
    let job = succeeded(&control, &job).await;
    let Some(JobResult::RestoreTest(proof)) = job.result else { panic!("{job:#?}") };
    assert!(proof.ok && proof.problems.is_empty(), "{proof:#?}");
    // RTO by phase, RPO from the freshest heartbeat, and every check that was asked for.
    assert!(proof.restore_seconds > 0.0 && proof.recovery_seconds > 0.0 && proof.check_seconds > 0.0, "{proof:#?}");
    assert!(proof.rpo_seconds.is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{proof:#?}");
    let beat = proof.checks.iter().find(|it| it.starts_with("heartbeat: ")).unwrap();
    let newest = beat.rsplit(' ').next().unwrap();
    assert!(Timestamp::parse_rfc3339(newest).is_some_and(|at| at > begun), "it is younger than all rows: {beat}");
    assert!(job.progress.steps[2].detail.ends_with(newest), "{:#?}", job.progress);
    assert!(proof.checks.iter().any(|it| it.contains("pg_amcheck")), "{proof:#?}");
    // It stands on the time bar, nothing is overdue any more, and the copy is gone.
    let overview = until("the judgement", async || {
        let overview = control.recovery_overview(&actor, None).await.unwrap();
        let due = overview.problems.iter().any(|it| it.rule.starts_with("restore_test"));
        (!overview.window.proofs.is_empty() && !due).then_some(overview)
    })
    .await;
    assert_eq!(overview.window.proofs[0].proof.backup, overview.backups[0].id);
    // One job for each full minute, although the scheduler looked several times a second.
    let jobs = control.jobs_list(&actor, None, Some(JobKind::RestoreTest), None, None, 50).await.unwrap();
    let minutes = now().0.div_euclid(60_000) - begun.0.div_euclid(60_000);
    assert!(jobs.rows.len() as i64 <= minutes, "{} in {minutes} minutes", jobs.rows.len());
    let filter = store::AuditFilter { action: Some("job_schedule".into()), ..Default::default() };
    let audit = control.audit_list(&actor, filter, None, 50).await.unwrap().rows;
    assert!(audit.iter().any(|row| serde_json::to_string(&row.after).unwrap().contains("restore_test")), "{audit:#?}");
    running.end().await;
    let left = std::fs::read_dir(bench.path("tests")).map_or(0, |entries| entries.count());
    assert_eq!(left, 0, "copies of tests are thrown away");
}
