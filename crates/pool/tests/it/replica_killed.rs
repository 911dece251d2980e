//! The replica dies in the midst of the load, again and again: no read fails, none is wrong, and it comes back by itself.
use crate::{Pair, get_after, put, read_in_recovery, until, until_states};
use pool::Session;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use test_support::ShutdownMode;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_killed_under_load_costs_no_answer_and_rejoins_by_itself() {
    let mut pair = Pair::durable().await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (rounds, troubles) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let load = (0..8).map(|client: i64| {
        let (pools, stop, rounds, troubles, longest) =
            (pools.clone(), stop.clone(), rounds.clone(), troubles.clone(), longest.clone());
        tokio::spawn(async move {
            let session = Session::default();
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let written = n.to_string();
                // The primary is well all the time: each write and each read must do.
                let begun = Instant::now();
                if let Err(error) = put(&pools, &session, client, &written).await {
                    troubles.lock().unwrap().push(format!("write: {error}"));
                }
                match get_after(&pools, &session, client).await {
                    Ok(Some(read)) if read == written => {}
                    other => troubles.lock().unwrap().push(format!("wrote {written}, read {other:?}")),
                }
                if let Err(error) = read_in_recovery(&pools).await {
                    troubles.lock().unwrap().push(format!("read: {error}"));
                }
                let mut longest = longest.lock().unwrap();
                *longest = (*longest).max(begun.elapsed());
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let load = load.collect::<Vec<_>>();
    for _ in 0..2 {
        let at = rounds.load(Ordering::Relaxed);
        until("there is some load", async || rounds.load(Ordering::Relaxed) > at + 100).await;
        let before = pools.snapshot().routing.replica_reads;
        assert!(before > 0, "the replica takes reads");
        pair.standby.stop(ShutdownMode::Immediate).await.unwrap();
        until("the loss is noticed", async || pools.snapshot().nodes[1].state.as_str() == "down").await;
        let at = rounds.load(Ordering::Relaxed);
        until("it goes on without", async || rounds.load(Ordering::Relaxed) > at + 100).await;
        pair.standby.start().await.unwrap();
        until_states(&pools, ["primary", "replica"]).await;
        until("it takes reads again", async || pools.snapshot().routing.replica_reads > before + 50).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let troubles = std::mem::take(&mut *troubles.lock().unwrap());
    assert!(troubles.is_empty(), "{} of {} rounds: {troubles:?}", troubles.len(), rounds.load(Ordering::Relaxed));
    assert!(*longest.lock().unwrap() < Duration::from_secs(40), "{:?}", longest.lock().unwrap());
}
