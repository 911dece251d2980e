//! One server after the other stands still in the midst of the load, its connections open: no answer is wrong, what fails is told
//! apart, and all goes on by itself.
use crate::{Pair, get_after, put, until, until_states};
use pool::{PoolError, Pools, Session};
use sqlx::{Connection as _, PgConnection};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use test_support::Weather;

const CLIENTS: i64 = 8;

/// What one client knows of its row.
#[derive(Debug, Default)]
struct Known {
    /// The number that was confirmed last.
    confirmed: u64,
    /// Numbers after it of which it was not learned whether they were committed.
    open: BTreeSet<u64>,
    /// Rounds in which all went well.
    well: u64,
    errors: Vec<PoolError>,
    wrong: Vec<String>,
}

impl Known {
    fn may_be(&self, found: Option<&str>) -> bool {
        let found: Option<u64> = found.map_or(Some(0), |text| text.parse().ok());
        found.is_some_and(|number| number == self.confirmed || self.open.contains(&number))
    }
}

/// Writes ever greater numbers into its own row, and reads each back.
async fn client(pools: Pools, row: i64, known: Arc<Mutex<Known>>, stop: Arc<AtomicBool>) {
    let session = Session::default();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let written = put(&pools, &session, row, &number.to_string()).await;
        {
            let mut known = known.lock().unwrap();
            match &written {
                Ok(()) => {
                    known.confirmed = number;
                    known.open.clear();
                }
                Err(PoolError::CommitUnknown { .. }) => {
                    known.open.insert(number);
                }
                // It says that nothing was changed.
                Err(_) => {}
            }
        }
        let read = get_after(&pools, &session, row).await;
        let mut known = known.lock().unwrap();
        if let Ok(found) = &read
            && !known.may_be(found.as_deref())
        {
            let said = format!("row {row}: {found:?} was read, and {known:?} is known");
            known.wrong.push(said);
        }
        if written.is_ok() && read.is_ok() {
            known.well += 1;
        }
        known.errors.extend(written.err().into_iter().chain(read.err()));
    }
}

fn well(clients: &[Arc<Mutex<Known>>]) -> Vec<u64> {
    clients.iter().map(|known| known.lock().unwrap().well).collect()
}

/// Each of the clients has done so many rounds more.
async fn until_all_go_on(clients: &[Arc<Mutex<Known>>], rounds: u64) {
    let before = well(clients);
    until("each client goes on", async || {
        well(clients).iter().zip(&before).all(|(now, before)| *now >= before + rounds)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_under_load_gives_no_wrong_answer_and_is_used_again() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|_| Arc::new(Mutex::new(Known::default()))).collect::<Vec<_>>();
    let tasks = (0..CLIENTS)
        .zip(&clients)
        .map(|(row, known)| tokio::spawn(client(pools.clone(), row, known.clone(), stop.clone())))
        .collect::<Vec<_>>();
    until_all_go_on(&clients, 20).await;
    assert!(pools.snapshot().routing.replica_reads > 0, "the replica takes reads");

    // The replica: the primary does everything meanwhile, and nothing fails.
    pair.before_standby.set(Weather::BlackHole);
    until_states(&pools, ["primary", "down"]).await;
    until_all_go_on(&clients, 20).await;
    pair.before_standby.set(Weather::Fair);
    until_states(&pools, ["primary", "replica"]).await;
    let reads = pools.snapshot().routing.replica_reads;
    until("the replica takes reads again", async || pools.snapshot().routing.replica_reads > reads + 20).await;
    for known in &clients {
        let known = known.lock().unwrap();
        assert!(known.errors.is_empty(), "while the replica stood still: {known:?}");
    }

    // The primary: what was under way may fail, and says whether it may have been done.
    pair.before_primary.set(Weather::BlackHole);
    until("it is left", async || pools.snapshot().nodes[0].state.as_str() == "down").await;
    pair.before_primary.set(Weather::Fair);
    until_states(&pools, ["primary", "replica"]).await;
    until_all_go_on(&clients, 20).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let mut primary = PgConnection::connect(&pair.primary.server.url("postgres")).await.unwrap();
    for (row, known) in (0..CLIENTS).zip(&clients) {
        let kept: String =
            sqlx::query_scalar("SELECT v FROM t WHERE id = $1").bind(row).fetch_one(&mut primary).await.unwrap();
        let known = known.lock().unwrap();
        assert!(known.wrong.is_empty(), "{:?}", known.wrong);
        assert!(known.errors.len() <= 3, "{:?}", known.errors);
        for error in &known.errors {
            let told =
                matches!(error, PoolError::CommitUnknown { .. } | PoolError::Lost { .. } | PoolError::Unavailable(_));
            assert!(told, "{error:?}");
        }
        assert!(known.may_be(Some(&kept)), "row {row} has {kept}, and {known:?} is known");
    }
}
