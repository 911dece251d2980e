//! Who holds back vacuum, and temporary files wherever they are put.
use crate::cluster;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::{Duration, Instant};
use test_support::private_cluster;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_holder_of_the_horizon_is_named() {
    let primary = private_cluster(&[
        ("max_prepared_transactions", "4"),
        ("wal_level", "logical"),
        ("hot_standby_feedback", "on"),
    ])
    .await;
    primary.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    primary.execute("postgres", "CREATE TABLE t (a int)").await;
    // A logical slot waits for every open transaction: it comes first.
    primary.execute("postgres", "SELECT pg_create_logical_replication_slot('changes', 'test_decoding')").await;
    let standby = primary.standby("replica1").await;
    let url = format!("{}?application_name=reports", primary.server.url("postgres"));
    let mut reader = PgConnection::connect(&url).await.unwrap();
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t").await.unwrap();
    let mut writer = PgConnection::connect(&primary.server.url("postgres")).await.unwrap();
    for statement in ["BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'half done'"] {
        writer.execute(statement).await.unwrap();
    }
    let watcher = cluster(&primary.server.url_as("watcher", "w", "postgres"));
    let until = async |what: &str, source: &str, id: &str| {
        let begun = Instant::now();
        loop {
            let horizon = watcher.vacuum().await.unwrap().horizon;
            if let Some(found) = horizon.iter().find(|it| it.source == source && it.id == id) {
                return found.clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{what} is not among {horizon:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // The feedback of a standby with a slot is kept by the slot, also while the standby is away.
    let slot = until("the slot of the standby", "slot", "replica1").await;
    assert_eq!((slot.detail.as_str(), slot.seconds), ("physical", None));
    assert_eq!(until("the logical slot", "slot", "changes").await.detail, "logical");
    let prepared = until("the prepared transaction", "prepared transaction", "half done").await;
    assert!(prepared.detail.ends_with(" in postgres") && prepared.seconds.is_some_and(|it| it >= 0.0), "{prepared:?}");
    let horizon = watcher.vacuum().await.unwrap().horizon;
    let session = horizon.iter().find(|it| it.source == "backend" && it.detail.starts_with("reports, ")).unwrap();
    assert!(session.detail.ends_with("idle in transaction") && session.seconds.is_some(), "{session:?}");
    assert!(horizon.windows(2).all(|pair| pair[0].age >= pair[1].age), "the oldest first: {horizon:?}");

    // Without a slot the standby itself is the holder.
    let mut there = PgConnection::connect(&standby.url("postgres")).await.unwrap();
    for statement in ["ALTER SYSTEM SET primary_slot_name = ''", "SELECT pg_reload_conf()"] {
        there.execute(statement).await.unwrap();
    }
    until("the standby", "standby", "replica1").await;
    writer.execute("ROLLBACK PREPARED 'half done'").await.unwrap();
    let horizon = watcher.vacuum().await.unwrap().horizon;
    assert!(!horizon.iter().any(|it| it.source == "prepared transaction"), "{horizon:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_files_are_seen_in_every_tablespace_while_they_are_written() {
    let server = test_support::cluster().await;
    let url = server.server.url("postgres");
    let mut spilling = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "SET allow_in_place_tablespaces = on",
        "CREATE TABLESPACE elsewhere LOCATION ''",
        "SET temp_tablespaces = 'elsewhere'",
        "SET work_mem = '64kB'",
        "BEGIN",
        "DECLARE sorted CURSOR FOR SELECT g FROM generate_series(1, 200000) g ORDER BY g DESC",
        "FETCH 1 FROM sorted",
    ] {
        spilling.execute(statement).await.unwrap();
    }
    let watcher = cluster(&url);
    let during = watcher.vacuum().await.unwrap().temp.unwrap();
    assert!(during.files >= 1 && during.bytes > 100_000, "{during:?}");
    for statement in ["ROLLBACK", "DROP TABLESPACE elsewhere"] {
        spilling.execute(statement).await.unwrap();
    }
}
