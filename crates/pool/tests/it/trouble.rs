//! Silent peers, cut connections, ended sessions, too many callers.
use crate::{Pair, get_after, put, read_in_recovery, until, until_states};
use pool::{PoolError, PoolSettings, Pools, Reader, Scope, Session, Work, Writer};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::{Duration, Instant};
use test_support::Weather;

/// No permit of a node's pool is kept: the last connections come back on their own tasks, and the look at the server takes
/// one for a moment.
async fn all_come_back(pools: &Pools, node: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let slots = pools.snapshot().nodes[node].slots.unwrap();
        if (slots.in_use, slots.waiting) == (0, 0) {
            break;
        }
        assert!(Instant::now() < deadline, "{slots:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_replica_is_left_its_permits_come_back_and_it_rejoins() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    for _ in 0..2 {
        pair.before_standby.set(Weather::BlackHole);
        // Three times as many callers as the replica has connections, all of them into the silence.
        let begun = Instant::now();
        let readers = (0..18).map(|_| {
            let pools = pools.clone();
            tokio::spawn(async move { read_in_recovery(&pools).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert!(!reader.await.unwrap().unwrap(), "answered by the primary");
        }
        // Not as long as the network would let them wait.
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        until_states(&pools, ["primary", "down"]).await;
        let node = &pools.snapshot().nodes[1];
        assert!(node.retry_in_seconds.is_some() && node.failures >= 2 && node.failures_total >= 2, "{node:?}");
        assert!(node.reason.as_ref().unwrap().contains("no answer"), "{node:?}");

        pair.before_standby.set(Weather::Fair);
        until_states(&pools, ["primary", "replica"]).await;
        assert!(read_in_recovery(&pools).await.unwrap());
        all_come_back(&pools, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_primary_makes_bounded_errors_and_is_found_again() {
    let pair = Pair::start(&[]).await;
    let mut settings = pair.settings("app");
    settings.acquire_timeout = Duration::from_secs(2);
    let pools = Pools::start(settings).unwrap();
    until_states(&pools, ["primary", "replica"]).await;
    put(&pools, &Session::default(), 1, "x").await.unwrap();
    pair.before_primary.set(Weather::BlackHole);
    let begun = Instant::now();
    let error = put(&pools, &Session::default(), 2, "x").await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(
        matches!(error, PoolError::Lost { .. } | PoolError::Unavailable(_) | PoolError::CommitUnknown { .. }),
        "{error:?}"
    );
    // Reads that the replica may answer go on.
    assert!(read_in_recovery(&pools).await.unwrap());
    pair.before_primary.set(Weather::Fair);
    until_states(&pools, ["primary", "replica"]).await;
    put(&pools, &Session::default(), 3, "x").await.unwrap();
    all_come_back(&pools, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_sessions_are_replaced_unseen_by_the_caller() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let session = Session::default();
    put(&pools, &session, 1, "x").await.unwrap();
    let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'holdfast%'";
    for round in 0..5 {
        for url in [pair.primary.server.url("postgres"), pair.standby.url("postgres")] {
            PgConnection::connect(&url).await.unwrap().execute(end_all).await.unwrap();
        }
        // 57P01 or a broken pipe, by what comes first: nothing was committed, so it is done again.
        put(&pools, &session, 1, &format!("{round}")).await.unwrap();
        assert_eq!(get_after(&pools, &session, 1).await.unwrap(), Some(round.to_string()));
    }
    until_states(&pools, ["primary", "replica"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_callers_are_told_so_and_no_change_is_half_made() {
    let cluster = test_support::private_cluster(&[]).await;
    cluster.execute("postgres", "CREATE TABLE t (id bigint PRIMARY KEY)").await;
    let settings = PoolSettings {
        min: 0,
        primary_max: 2,
        acquire_timeout: Duration::from_secs(1),
        work_timeout: Duration::from_secs(8),
        probe_interval: Duration::from_millis(100),
        ..PoolSettings::new(cluster.server.url("postgres"), None)
    };
    let pools = Pools::start(settings.clone()).unwrap();
    let hold = |id: i64, seconds: f64| {
        let pools = pools.clone();
        async move {
            pools
                .write(&Scope::default(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                    Box::pin(async move {
                        sqlx::query("INSERT INTO t VALUES ($1)").bind(id).execute(writer.connection()?).await?;
                        sqlx::query("SELECT pg_sleep($1)").bind(seconds).execute(writer.connection()?).await?;
                        Ok::<_, PoolError>(())
                    })
                })
                .await
        }
    };
    hold(1, 0.0).await.unwrap();
    let (two, three) = (tokio::spawn(hold(2, 4.0)), tokio::spawn(hold(3, 4.0)));
    until("both are in use", async || pools.snapshot().nodes[0].slots.unwrap().in_use == 2).await;
    let error = hold(4, 0.0).await.unwrap_err();
    assert!(matches!(error, PoolError::Exhausted { role: "primary", max: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("DB_POOL_MAX"));
    two.await.unwrap().unwrap();
    three.await.unwrap().unwrap();

    // Given up for its time, or by the caller: it is rolled back, and the connection is not handed out again.
    assert!(matches!(hold(5, 30.0).await.unwrap_err(), PoolError::TooLong { limit_ms: 8_000 }));
    assert!(tokio::time::timeout(Duration::from_millis(100), hold(6, 30.0)).await.is_err());
    let failed = pools
        .write(&Scope::default(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
            Box::pin(async move {
                sqlx::query("INSERT INTO t VALUES (7)").execute(writer.connection()?).await?;
                // The error is swallowed; the transaction has failed all the same, and the commit must say so.
                let _ = sqlx::query("SELECT 1/0").execute(writer.connection()?).await;
                Ok::<_, PoolError>(())
            })
        })
        .await;
    assert_eq!(failed.unwrap_err().code().as_deref(), Some("25P02"));
    let ids = pools
        .read_primary(&Scope::default(), |reader: &mut Reader, _: Work<'_, '_>| {
            Box::pin(async move {
                Ok::<Vec<i64>, PoolError>(
                    sqlx::query_scalar("SELECT id FROM t ORDER BY id").fetch_all(reader.connection()?).await?,
                )
            })
        })
        .await
        .unwrap();
    assert_eq!(ids, [1, 2, 3]);
    all_come_back(&pools, 0).await;
    let node = pools.snapshot().nodes.remove(0);
    assert_eq!(node.slots.as_ref().map(|slots| slots.exhausted), Some(1));
    assert!(node.timing.execute.quantile_ms(1.0).unwrap() >= 900.0 && node.timing.wait.count() >= 4, "{node:?}");
    assert!(pools.snapshot().warnings.is_empty());

    // Sixty connections less the reserved ones: twenty-seven are less than half, and more together with those of another process.
    let second = Pools::start(PoolSettings { primary_max: 27, ..settings.clone() }).unwrap();
    until("both are warned", async || {
        [&pools, &second].iter().all(|one| {
            let warnings = one.snapshot().warnings;
            warnings.iter().any(|said| said.contains("2 Holdfast processes may take 29 of the 57"))
        })
    })
    .await;
    drop(second);
    until("the other one is gone", async || pools.snapshot().warnings.is_empty()).await;
    drop(pools);
    let greedy = Pools::start(PoolSettings { primary_max: 40, ..settings }).unwrap();
    until("it is warned", async || {
        greedy.snapshot().warnings.iter().any(|said| said.contains("40 of the 57") && said.contains("more than half"))
    })
    .await;
}

#[test]
fn a_wrong_setting_is_named() {
    let wrong = Pools::start(PoolSettings::new("mysql://x", None)).unwrap_err();
    assert!(wrong.to_string().contains("DATABASE_URL"));
    let wrong = Pools::start(PoolSettings { min: 60, ..PoolSettings::new("postgres://x@y/z", None) }).unwrap_err();
    assert!(wrong.to_string().contains("DB_POOL_MIN is 60"));
}
