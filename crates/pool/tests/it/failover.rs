//! The primary dies, the standby is promoted, the old one comes back.
use crate::{Pair, put, read_in_recovery, until, until_states};
use pool::{PoolError, Session};
use sqlx::{Connection as _, PgConnection};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use test_support::ShutdownMode;

async fn ids(url: &str) -> BTreeSet<i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT id FROM t").fetch_all(&mut connection).await.unwrap().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_loses_nothing_that_was_confirmed() {
    // Synchronous, so that what was confirmed is on the standby too: the pools must not be blamed for asynchrony.
    let mut pair = Pair::durable().await;
    pair.primary.server.set_and_reload("synchronous_standby_names", "*").unwrap();
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;

    let next = Arc::new(AtomicI64::new(1));
    let confirmed = Arc::new(Mutex::new(BTreeSet::new()));
    let (failures, longest) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Duration::ZERO)));
    let stop = Arc::new(AtomicBool::new(false));
    let load = (0..8).map(|_| {
        let (pools, next, confirmed, failures, longest, stop) =
            (pools.clone(), next.clone(), confirmed.clone(), failures.clone(), longest.clone(), stop.clone());
        tokio::spawn(async move {
            let session = Session::default();
            while !stop.load(Ordering::Relaxed) {
                let id = next.fetch_add(1, Ordering::Relaxed);
                let begun = Instant::now();
                match put(&pools, &session, id, "x").await {
                    Ok(()) => {
                        confirmed.lock().unwrap().insert(id);
                    }
                    Err(error) => failures.lock().unwrap().push(error),
                }
                {
                    let mut longest = longest.lock().unwrap();
                    *longest = (*longest).max(begun.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    });
    let load = load.collect::<Vec<_>>();
    until("there is some load", async || confirmed.lock().unwrap().len() > 200).await;

    pair.primary.server.stop(ShutdownMode::Immediate).await.unwrap();
    until("the loss is noticed", async || pools.snapshot().nodes[0].state.as_str() == "down").await;
    assert!(read_in_recovery(&pools).await.unwrap(), "reads go on meanwhile");
    pair.standby.set_and_reload("synchronous_standby_names", "").unwrap();
    pair.standby.promote().await.unwrap();
    until_states(&pools, ["down", "primary"]).await;
    let at = confirmed.lock().unwrap().len();
    until("writes go on", async || confirmed.lock().unwrap().len() > at + 200).await;

    // The old primary comes back as if nothing had happened, and would take writes.
    pair.primary.server.set_and_reload("synchronous_standby_names", "").unwrap();
    pair.primary.server.start().await.unwrap();
    until_states(&pools, ["left", "primary"]).await;
    let split = pools.snapshot().split_brain.expect("it is reported");
    assert!(split.contains("timeline 1") && split.contains("pg_rewind"), "{split}");
    let old = ids(&pair.primary.server.url("postgres")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ids(&pair.primary.server.url("postgres")).await, old, "nothing is written to it");

    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let found = ids(&pair.standby.url("postgres")).await;
    let lost = confirmed.lock().unwrap().difference(&found).copied().collect::<Vec<_>>();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
    // What was under way may have failed, but each is told apart, and nobody waited without an end.
    let failures = std::mem::take(&mut *failures.lock().unwrap());
    assert!(failures.len() <= 16, "{} failures: {failures:?}", failures.len());
    for failure in &failures {
        assert!(
            matches!(failure, PoolError::CommitUnknown { .. } | PoolError::Lost { .. } | PoolError::Unavailable(_)),
            "{failure:?}"
        );
    }
    assert!(*longest.lock().unwrap() < Duration::from_secs(60), "{:?}", longest.lock().unwrap());

    // It is rebuilt as a standby of the new primary and rejoins by itself; then all goes back.
    pair.primary.server.stop(ShutdownMode::Immediate).await.unwrap();
    let rebuilt = pair.standby.standby_in(&pair.primary.root.join("rebuilt"), "rebuilt").await.unwrap();
    pair.before_primary.forward_to(rebuilt.port());
    until_states(&pools, ["replica", "primary"]).await;
    assert_eq!(pools.snapshot().split_brain, None);
    assert!(read_in_recovery(&pools).await.unwrap());
    put(&pools, &Session::default(), -1, "x").await.unwrap();

    pair.standby.stop(ShutdownMode::Fast).await.unwrap();
    rebuilt.promote().await.unwrap();
    until_states(&pools, ["primary", "down"]).await;
    put(&pools, &Session::default(), -2, "x").await.unwrap();
    assert!(ids(&rebuilt.url("postgres")).await.contains(&-2));
    // The standby was promoted, the old primary came back as a standby and was promoted: however often they came and went.
    assert_eq!(pools.snapshot().routing.role_changes, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_beside_a_living_primary_moves_all_writes_to_the_newer_timeline() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    put(&pools, &Session::default(), 1, "before").await.unwrap();
    pair.standby.promote().await.unwrap();
    until_states(&pools, ["left", "primary"]).await;
    put(&pools, &Session::default(), 2, "after").await.unwrap();
    assert!(!ids(&pair.primary.server.url("postgres")).await.contains(&2));
    assert!(ids(&pair.standby.url("postgres")).await.contains(&2));
    assert!(pools.snapshot().split_brain.is_some());
    drop(pools);
}
