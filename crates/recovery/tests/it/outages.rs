//! A real S3 server behind a wire that is cut for a minute while WAL is streamed to it, seen up to the alert.
use crate::{
    alerts::{alert, ended, raised},
    server::Server,
    support::{Bench, PACE, sql, stored, succeeded, until},
};
use blobs::{S3Config, S3Store};
use control::{Actor, RestoreTestParams};
use domain::{alert::Severity, view::JobResult};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use test_support::{ChaosProxy, Weather};

const CUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_cut_off_for_a_minute_under_the_stream_loses_nothing_and_is_told() {
    let server = Server::start().await;
    let proxy = ChaosProxy::start(server.address.port()).await;
    let config = S3Config { endpoint: Some(format!("http://127.0.0.1:{}", proxy.port())), ..server.config() };
    let mut bench = Bench::over(Some(Arc::new(S3Store::open(config).await.unwrap()))).await;
    // Each second of the cut leaves a row: a copy of the latest moment must have them all, and their number.
    bench.probes = vec![
        "postgres: SELECT count(*) = (SELECT id FROM orders WHERE item = 'written') FROM orders WHERE item = 'cut'"
            .to_owned(),
    ];
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();
    let slot = &control.recovery().slots()[0];
    raised(&control, "backup_finished").await;
    until("the stream", async || (slot.wal.load().state == "streaming").then_some(())).await;

    proxy.set(Weather::Cut);
    let begun = Instant::now();
    let mut worst = 0.0_f64;
    let (mut told, mut written) = (None, 0_u64);
    while begun.elapsed() < CUT {
        sql(&bench.url(), "INSERT INTO orders VALUES (9999, 'cut')").await;
        written += 1;
        worst = worst.max(slot.wal.load().lag_seconds.unwrap_or(0.0));
        told = told.or_else(|| alert(&control, "repository_unreachable").map(|alert| (alert, begun.elapsed())));
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    assert!(worst > CUT.as_secs_f64() * 0.5, "the lag was shown as {worst:.0} s at most");
    let (told, after) = told.expect("an alert during the cut");
    assert_eq!(told.severity, Severity::Critical, "{told:#?}");
    assert!(after < CUT, "{after:?}");
    assert!(written > CUT.as_secs() / 2, "{written}");
    sql(&bench.url(), &format!("INSERT INTO orders VALUES ({written}, 'written')")).await;

    proxy.set(Weather::Fair);
    stored(&bench, &control).await;
    for rule in ["repository_unreachable", "rpo_exceeded", "wal_behind"] {
        ended(&control, rule).await;
    }
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (1, 0), "nothing was lost: {window:#?}");
    let latest = RestoreTestParams { backup: None, latest: true };
    let proof = succeeded(&control, &control.backup_test_restore(&actor, None, latest).await.unwrap()).await;
    assert!(matches!(proof.result, Some(JobResult::RestoreTest(ref proof)) if proof.ok), "{proof:#?}");
    running.end().await;
}
