//! What is scheduled is done without anybody asking.
use crate::support::{Bench, PACE, succeeded, until};
use control::{Actor, ScheduleConfig, ScheduleKind};
use domain::view::{JobKind, JobResult};
use recovery::Service;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_test_is_done_by_its_schedule_and_proves_the_newest_moment() {
    let mut bench = Bench::new().await;
    bench.schedules.push(ScheduleConfig { kind: ScheduleKind::RestoreTest, cron: "* * * * *".to_owned() });
    let (url, _directory) = test_support::sqlite_url();
    let control = bench.control(&url).await;
    let begun = control::now();
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let actor = Actor::cli();
    // Due at the next full minute after the first backup.
    let job = until("the scheduled restore test", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::RestoreTest), None, None, 10).await.unwrap();
        jobs.rows.into_iter().next_back()
    })
    .await;
    assert_eq!((job.requested_by.as_str(), job.title.as_str()), ("schedule", "Restore test of the newest backup"));
    let job = succeeded(&control, &job).await;
    let Some(JobResult::RestoreTest(proof)) = job.result else { panic!("{job:#?}") };
    assert!(proof.ok && proof.problems.is_empty(), "{proof:#?}");
    // RTO by phase, RPO from the newest transaction, and every check that was asked for.
    assert!(proof.restore_seconds > 0.0 && proof.recovery_seconds > 0.0 && proof.check_seconds > 0.0, "{proof:#?}");
    assert!(proof.rpo_seconds.is_some_and(|seconds| seconds < 60.0), "{proof:#?}");
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
    let minutes = control::now().0.div_euclid(60_000) - begun.0.div_euclid(60_000);
    assert!(jobs.rows.len() as i64 <= minutes, "{} in {minutes} minutes", jobs.rows.len());
    let filter = store::AuditFilter { action: Some("job_schedule".into()), ..Default::default() };
    let audit = control.audit_list(&actor, filter, None, 50).await.unwrap().rows;
    assert!(audit.iter().any(|row| serde_json::to_string(&row.after).unwrap().contains("restore_test")), "{audit:#?}");
    stop.cancel();
    service.join().await;
    let left = std::fs::read_dir(bench.path("tests")).map_or(0, |entries| entries.count());
    assert_eq!(left, 0, "copies of tests are thrown away");
}
