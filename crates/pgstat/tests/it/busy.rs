//! A server that answers is not taken for one that does not, however busy this process is.
use pgstat::{Cluster, Limits, Target};
use std::time::Duration;
use test_support::Busy;

/// So long that no time decides here.
const PATIENT: Limits = Limits {
    connect: Duration::from_secs(60),
    statement: Duration::from_secs(60),
    lock: Duration::from_secs(1),
    deadline: Duration::from_secs(90),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reached_without_waiting_for_busy_tasks() {
    let database = test_support::database().await;
    let cluster = Cluster::new(Target::parse(&database.url).unwrap(), PATIENT);
    let busy = Busy::start().await;
    let (found, turns) = busy.turns_during(async move { cluster.probe().await }).await;
    assert_eq!(found.unwrap().database, database.name);
    assert!(turns < Busy::TURNS_OF_SCRAM / 4, "the busy tasks had {turns} turns");
}
