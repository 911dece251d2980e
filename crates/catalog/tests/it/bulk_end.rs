//! Operations that end before their time: cancelled, or their server died; with two servers on one database.
use crate::{A, World, until};
use catalog::{BulkMode, BulkOperation, BulkRequest, CatalogError, UNATTENDED};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Plugins 1 to 60 and 121 to 6,060 of tenant A.
async fn many() -> (World, BTreeSet<i64>) {
    let world = World::new().await;
    world.sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'many-' || n, 'Many', 'docs', 'o' FROM generate_series(1, 11940) n; UPDATE plugins SET tags = '{}'; ANALYZE plugins").await;
    let ids = (1..=60).chain(121..=12_060).collect::<BTreeSet<_>>();
    (world, ids)
}

fn tag(mode: BulkMode, plugins: BTreeSet<i64>) -> BulkRequest {
    BulkRequest {
        operation: BulkOperation::Tag,
        mode,
        plugins,
        add_tags: vec!["bulk".to_owned()],
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    }
}

const TAGGED: &str = "SELECT count(*) FROM plugins WHERE 'bulk' = ANY(tags)";

#[tokio::test(flavor = "multi_thread")]
async fn another_server_cancels_it_between_two_parts() {
    for mode in [BulkMode::Each, BulkMode::Atomic] {
        let (world, ids) = many().await;
        let (working, other) = (world.catalog().await, world.catalog().await);
        let (through, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let run = {
            let (through, go_on, request) = (through.clone(), go_on.clone(), tag(mode, ids.clone()));
            tokio::spawn(async move {
                // Waits after the first part until it was cancelled.
                let progress = |done: usize, _: usize| {
                    through.store(done, Ordering::Release);
                    while go_on.load(Ordering::Acquire) == 0 {
                        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(5)));
                    }
                };
                working.bulk_run(A, "c", "ada", &request, &progress).await
            })
        };
        until("the first part is through", async || through.load(Ordering::Acquire) > 0).await;
        let state = other.bulk_state(A, "c").await.unwrap().expect("the record is there from the beginning");
        assert!(state.attended && state.report.state == "running", "{state:?}");
        assert!(other.bulk_cancel(A, "c", "bob").await.unwrap());
        go_on.store(1, Ordering::Release);
        let report = run.await.unwrap().unwrap();
        assert_eq!(report.state, "cancelled", "{report:?}");
        let tagged = world.number(TAGGED).await;
        match mode {
            BulkMode::Atomic => assert_eq!((tagged, report.done), (0, 0)),
            BulkMode::Each => assert!((500..12_000).contains(&tagged) && tagged == report.done, "{tagged}"),
        }
        let state = other.bulk_state(A, "c").await.unwrap().unwrap();
        assert_eq!((state.report.state.as_str(), state.cancelled_by.as_deref()), ("cancelled", Some("bob")));
        // It is over: for whoever cancels it again, and for whoever sends it again.
        assert!(matches!(other.bulk_cancel(A, "c", "bob").await, Err(CatalogError::Conflict(_))));
        let again = other.bulk_run(A, "c", "ada", &tag(mode, ids), &|_, _| {}).await.unwrap();
        assert!(again.repeated && again.state == "cancelled", "{again:?}");
        assert_eq!(world.number(TAGGED).await, tagged);
    }
    let (world, _) = many().await;
    assert!(!world.catalog().await.bulk_cancel(A, "nothing", "bob").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_takes_up_what_lost_its_own() {
    for mode in [BulkMode::Each, BulkMode::Atomic] {
        let (world, ids) = many().await;
        let (dying, other) = (world.catalog().await, world.catalog().await);
        let request = tag(mode, ids.clone());
        let (at, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
        let run = {
            let (at, held, request) = (at.clone(), held.clone(), request.clone());
            tokio::spawn(async move {
                let progress = |_: usize, _: usize| {
                    at.fetch_add(1, Ordering::AcqRel);
                    while at.load(Ordering::Acquire) >= 2 && held.load(Ordering::Acquire) == 1 {
                        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(5)));
                    }
                };
                // The server dies here: neither outcome nor error is written down.
                let dies = async {
                    while held.load(Ordering::Acquire) == 1 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    _ = dying.bulk_run(A, "d", "ada", &request, &progress) => {}
                    () = dies => {}
                }
                drop(dying);
            })
        };
        until("two parts are through", async || at.load(Ordering::Acquire) >= 2).await;
        if mode == BulkMode::Atomic {
            // As long as it is in its transaction nobody takes it up, however long that is.
            world.sql("UPDATE plugin_bulks SET worked_at = now() - interval '1 hour'").await;
            assert!(other.bulks_unfinished(UNATTENDED).await.unwrap().is_empty());
        }
        held.store(0, Ordering::Release);
        run.await.unwrap();
        until("its sessions are gone", async || {
            world.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").await == 0
        })
        .await;
        let before = world.number(TAGGED).await;
        assert!(before < 12_000, "it was not over: {before}");
        if mode == BulkMode::Each {
            // A moment ago somebody worked on it.
            assert!(other.bulks_unfinished(UNATTENDED).await.unwrap().is_empty());
            assert!(other.bulk_state(A, "d").await.unwrap().unwrap().attended);
            world.sql("UPDATE plugin_bulks SET worked_at = now() - interval '1 hour'").await;
        }
        assert!(!other.bulk_state(A, "d").await.unwrap().unwrap().attended);
        let left = other.bulks_unfinished(UNATTENDED).await.unwrap();
        let (tenant, key, by, found) = left.into_iter().next().expect("it is found");
        assert_eq!((tenant, key.as_str(), by.as_str(), &found), (A, "d", "ada", &request));
        let report = other.bulk_run(tenant, &key, &by, &found, &|_, _| {}).await.unwrap();
        assert_eq!((report.state.as_str(), report.done), ("done", 12_000));
        assert_eq!(world.number(TAGGED).await, 12_000);
        assert_eq!(world.number("SELECT count(*) FROM plugin_operations WHERE started_by = 'ada'").await, 12_000);
        assert!(other.bulks_unfinished(Duration::ZERO).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_finished_in_a_week_is_declared_ended_and_what_nobody_works_on_is_cancelled_at_once() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let insert = "INSERT INTO plugin_bulks (tenant_id, idempotency_key, request_hash, operation, mode, state, total, started_by, created_at, worked_at) SELECT 1, k, 'h', 'tag', 'each', 'running', 1, 'ada', now() - age, now() - age FROM (VALUES ('old', interval '8 days'), ('young', interval '1 day')) AS v (k, age)";
    world.sql(insert).await;
    // Neither has a request that this version reads.
    assert!(catalog.bulks_unfinished(UNATTENDED).await.unwrap().is_empty());
    let state = catalog.bulk_state(A, "old").await.unwrap().unwrap();
    assert_eq!((state.report.state.as_str(), state.cancelled_by.as_deref()), ("cancelled", Some("holdfast")));
    assert_eq!(catalog.bulk_state(A, "young").await.unwrap().unwrap().report.state, "running");
    assert!(catalog.bulk_cancel(A, "young", "bob").await.unwrap());
    assert_eq!(catalog.bulk_state(A, "young").await.unwrap().unwrap().report.state, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_over_for_ninety_days_is_forgotten_one_at_a_time() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let request = tag(BulkMode::Each, [1, 2, 3].into());
    for key in ["first", "second", "third"] {
        catalog.bulk_run(A, key, "ada", &request, &|_, _| {}).await.unwrap();
    }
    let done = world.number("SELECT count(*) FROM audit_logs WHERE actor = 'ada'").await;
    world.sql("UPDATE plugin_bulks SET finished_at = now() - CASE idempotency_key WHEN 'third' THEN interval '89 days' ELSE interval '91 days' END").await;
    for left in [["second", "third"].as_slice(), &["third"], &["third"]] {
        assert!(catalog.bulks_unfinished(UNATTENDED).await.unwrap().is_empty());
        assert_eq!(world.texts("SELECT idempotency_key FROM plugin_bulks ORDER BY id").await, left);
        let items = world.number("SELECT count(*) FROM plugin_bulk_items").await;
        assert_eq!(items, 3 * i64::try_from(left.len()).unwrap());
    }
    assert!(done > 0);
    assert_eq!(world.number("SELECT count(*) FROM audit_logs WHERE actor = 'ada'").await, done);
    // The key is free again.
    let report = catalog.bulk_run(A, "first", "ada", &request, &|_, _| {}).await.unwrap();
    assert!(!report.repeated && report.unchanged == 3, "{report:?}");
}
