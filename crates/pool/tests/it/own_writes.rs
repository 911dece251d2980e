//! A session reads its own writes, however far the replica is behind.
use crate::{Pair, get_after, put, read_in_recovery, until, until_states};
use pool::Session;
use sqlx::{Connection as _, Executor as _, PgConnection};

#[tokio::test(flavor = "multi_thread")]
async fn no_read_of_a_lagging_replica_after_an_own_write() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let mut standby = PgConnection::connect(&pair.standby.url("postgres")).await.unwrap();

    // Replay paused: the replica is a little behind, within the limits, so that it is still read from.
    standby.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    let session = Session::default();
    put(&pools, &session, 1, "new").await.unwrap();
    assert!(session.written().is_some());
    let before = pools.snapshot().routing;
    assert_eq!(get_after(&pools, &session, 1).await.unwrap().as_deref(), Some("new"));
    let after = pools.snapshot().routing;
    assert_eq!(after.primary_reads_own_write, before.primary_reads_own_write + 1, "by way of the primary");
    // Another session has written nothing: the replica's older picture is right for it.
    assert_eq!(get_after(&pools, &Session::default(), 1).await.unwrap(), None);
    assert!(read_in_recovery(&pools).await.unwrap());

    // Under load, with replay stopping and going.
    let sessions = (0..16_i64).map(|n| {
        let pools = pools.clone();
        tokio::spawn(async move {
            let session = Session::default();
            for round in 0..40 {
                let v = format!("{n}/{round}");
                put(&pools, &session, 100 + n, &v).await.unwrap();
                assert_eq!(get_after(&pools, &session, 100 + n).await.unwrap(), Some(v));
            }
        })
    });
    let sessions = futures::future::join_all(sessions);
    tokio::pin!(sessions);
    let mut paused = true;
    loop {
        tokio::select! {
            done = &mut sessions => {
                for one in done { one.unwrap(); }
                break;
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(30)) => {
                let sql = if paused { "SELECT pg_wal_replay_resume()" } else { "SELECT pg_wal_replay_pause()" };
                standby.execute(sql).await.unwrap();
                paused = !paused;
            }
        }
    }
    standby.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    // Once it has caught up, the session's reads go to the replica again.
    until("the session reads from the replica", async || {
        let before = pools.snapshot().routing.replica_reads;
        get_after(&pools, &session, 1).await.unwrap();
        pools.snapshot().routing.replica_reads > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_too_far_behind_is_left_and_taken_back() {
    let pair = Pair::start(&[]).await;
    let mut settings = pair.settings("app");
    settings.max_lag_bytes = 100_000;
    let pools = pool::Pools::start(settings).unwrap();
    until_states(&pools, ["primary", "replica"]).await;
    let mut standby = PgConnection::connect(&pair.standby.url("postgres")).await.unwrap();
    standby.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    pair.primary
        .execute("postgres", "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1000, 4000) g")
        .await;
    until_states(&pools, ["primary", "left"]).await;
    assert!(!read_in_recovery(&pools).await.unwrap());
    let node = &pools.snapshot().nodes[1];
    assert!(node.reason.as_ref().unwrap().contains("behind") && node.lag_bytes.unwrap() > 100_000, "{node:?}");
    standby.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    until_states(&pools, ["primary", "replica"]).await;
    assert!(read_in_recovery(&pools).await.unwrap());
    assert_eq!(pools.snapshot().routing.role_changes, 0, "it came and went as a replica");
}
