//! A backup waits while its database suffers, and goes on when that is over.
use crate::support::{Bench, PACE, succeeded, until};
use control::{Actor, BackupWanted};
use domain::view::{JobKind, JobState};
use recovery::Service;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

/// Some less than 95 % of the slots of a server of 48 connections, of which three are kept back.
const HELD: usize = 36;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_waits_for_a_database_without_free_connections_and_goes_on() {
    let bench = Bench::made(&[("max_connections", "48")], |_| None).await;
    let (url, _directory) = test_support::sqlite_url();
    let control = bench.control(&url).await;
    let stop = CancellationToken::new();
    let monitor = bench.watch(&control, &stop);
    let service = Service::start(&control, PACE, &stop);
    let actor = Actor::cli();
    until("the first backup", async || {
        let overview = control.recovery_overview(&actor, None).await.unwrap();
        (overview.backups.len() == 1).then_some(())
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..HELD {
        held.push(PgConnection::connect(&bench.url()).await.unwrap());
    }
    // Then one after the other, a reading apart: the monitor's own count too, and the backup must find one that is kept
    // back for superusers.
    let mut counted = 0;
    until("full slots", async || {
        let dashboard = control.dashboard_get(&actor, None).unwrap();
        if dashboard.connections.is_some_and(|it| it.utilization_percent > 95.0) {
            return Some(());
        }
        if dashboard.sequence > counted + 1 {
            counted = dashboard.sequence;
            held.push(PgConnection::connect(&bench.url()).await.unwrap());
        }
        None
    })
    .await;

    let job = control.backup_start(&actor, None, BackupWanted::Full).await.unwrap();
    let waiting = until("the wait", async || {
        let job = control.job_get(&actor, &job.id).await.unwrap();
        assert!(!job.state.is_over(), "{job:#?}");
        job.progress.paused.is_some().then_some(job)
    })
    .await;
    assert!(waiting.progress.paused.as_ref().is_some_and(|it| it.contains("of the connection slots")), "{waiting:#?}");
    // What is done to be sure does not begin.
    let verification = control.backup_verify(&actor, None, None).await.unwrap();
    until("the wait of the verification", async || {
        let job = control.job_get(&actor, &verification.id).await.unwrap();
        assert!(!job.state.is_over(), "{job:#?}");
        job.progress.paused.is_some().then_some(())
    })
    .await;
    // It has begun, and reads nothing.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let still = control.job_get(&actor, &job.id).await.unwrap();
    assert_eq!((still.state, still.progress.done_bytes.unwrap_or(0)), (JobState::Running, 0), "{still:#?}");

    for connection in held {
        connection.close().await.unwrap();
    }
    for job in [&job, &verification] {
        let done = succeeded(&control, job).await;
        assert_eq!(done.progress.paused, None);
        let log = done.log.iter().map(|line| line.line.as_str()).collect::<Vec<_>>();
        let (waits, goes_on) =
            (log.iter().position(|it| it.starts_with("waits: ")), log.iter().position(|it| *it == "goes on"));
        assert!(waits.is_some() && waits < goes_on, "{log:#?}");
    }
    let jobs =
        control.jobs_list(&actor, None, Some(JobKind::Backup), Some(JobState::Succeeded), None, 10).await.unwrap();
    assert_eq!(jobs.rows.len(), 2);
    stop.cancel();
    service.join().await;
    monitor.join().await;
}
