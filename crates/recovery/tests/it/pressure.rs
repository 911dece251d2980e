//! A backup waits while its database suffers, and goes on when that is over.
use crate::support::{Bench, PACE, listed, sql, succeeded, until};
use blobs::faulty::{Fault, Operation, Rule};
use control::{Actor, BackupWanted};
use domain::view::{JobKind, JobState};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::Duration;

/// Some less than 95 % of the slots of a server of 48 connections, of which three are kept back.
const HELD: usize = 36;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_waits_for_a_database_without_free_connections_and_goes_on() {
    let bench = Bench::made(&[("max_connections", "48")], |_| None).await;
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();
    listed(&control, 1).await;
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
    tokio::time::sleep(Duration::from_secs(3)).await;
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
    running.end().await;
}

/// 44 of 45: monitor and backup find the last, and those that are kept back.
const TAKEN: i64 = 44;

/// Slots that clients have now.
async fn taken(connection: &mut PgConnection) -> i64 {
    let row = connection.fetch_one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").await;
    row.unwrap().try_get(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_in_the_middle_of_its_reading_waits_too_and_reads_nothing_meanwhile() {
    let mut bench = Bench::made(&[("max_connections", "48")], |_| None).await;
    // One thread has less of it in hand, for a store that takes nothing yet, than there is.
    bench.workers = 1;
    sql(&bench.url(), "CREATE TABLE big AS SELECT n, (SELECT string_agg(sha512((n * 17 + k)::text::bytea), ''::bytea) FROM generate_series(1, 10) k) AS filler FROM generate_series(1, 94000) n").await;
    bench.faulty.add(Rule::new(Fault::Held).on(Operation::Writer).key("/packs/"));
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();
    let reads = until("the first backup to read", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::Backup), None, None, 10).await.unwrap();
        jobs.rows.into_iter().find(|job| job.progress.done_bytes.is_some_and(|done| done > 0))
    })
    .await;
    assert!(reads.state == JobState::Running && reads.progress.paused.is_none(), "{reads:#?}");

    let mut counting = PgConnection::connect(&bench.url()).await.unwrap();
    let mut held = Vec::new();
    let waiting = until("the wait", async || {
        // Those of others come and go.
        while taken(&mut counting).await < TAKEN {
            held.push(PgConnection::connect(&bench.url()).await.unwrap());
        }
        let job = control.job_get(&actor, &reads.id).await.unwrap();
        assert!(!job.state.is_over(), "{job:#?}");
        job.progress.paused.is_some().then_some(job)
    })
    .await;
    assert!(waiting.progress.paused.as_ref().is_some_and(|it| it.contains("of the connection slots")), "{waiting:#?}");
    // Now the store takes all: what was begun is read to its end, and no more.
    bench.faulty.heal();
    let mut before = None;
    let still = until("the standstill", async || {
        let job = control.job_get(&actor, &reads.id).await.unwrap();
        assert!(job.progress.paused.is_some() && job.state == JobState::Running, "{job:#?}");
        // Longer than its progress takes to the store.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let is_still = before.replace(job.progress.done_bytes) == Some(job.progress.done_bytes);
        (is_still && bench.faulty.count(Operation::Write) > 0).then_some(job)
    })
    .await;
    let (done, total) = (still.progress.done_bytes.unwrap(), still.progress.total_bytes.unwrap());
    assert!(done > 0 && done < total, "{still:#?}");

    for connection in held.into_iter().chain([counting]) {
        connection.close().await.unwrap();
    }
    let done = succeeded(&control, &reads).await;
    assert_eq!((done.attempt, done.progress.paused), (1, None));
    let log = done.log.iter().map(|line| line.line.as_str()).collect::<Vec<_>>();
    let (waits, goes_on) =
        (log.iter().position(|it| it.starts_with("waits: ")), log.iter().position(|it| *it == "goes on"));
    assert!(waits.is_some() && waits < goes_on, "{log:#?}");
    running.end().await;
}
