use crate::world::{A, B, DAY, HOUR, World, event, metric, now};
use analytics::{AnalyticsError, Batch};
use serde_json::json;

fn batch(events: Vec<serde_json::Value>, metrics: Vec<serde_json::Value>) -> Batch {
    Batch { key: None, events, metrics }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_items_are_named_and_the_others_are_stored() {
    let world = World::new().await;
    let analytics = world.analytics();
    let now = now();
    let events = vec![
        event("e1", 1, "view", "u1", "DE", now - HOUR),
        event("e2", 4, "view", "u1", "DE", now - HOUR),
        event("e3", 1, "view", "u\t1\\\n", "DE", now - 2 * HOUR),
        json!({"plugin_id": "1"}),
        event("e1", 1, "view", "u1", "DE", now - HOUR),
        event("e4", 1, "view", "u1", "DE", now - 91 * DAY),
    ];
    let report = analytics
        .ingest(A, &batch(events.clone(), vec![metric(1, "cpu", 2.5, now), metric(5, "cpu", 1.0, now)]))
        .await
        .unwrap();
    assert_eq!((report.accepted, report.duplicates, report.rejected), (2, 1, 5), "{report:?}");
    let said = report.problems.iter().map(|it| (it.list.as_str(), it.index)).collect::<Vec<_>>();
    assert_eq!(
        said,
        [("events", 2), ("events", 1), ("events", 3), ("events", 5), ("metrics", 1)]
            .iter()
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_once_and_a_batch_with_a_key_is_taken_once() {
    let world = World::new().await;
    let analytics = world.analytics();
    let now = now();
    let events = vec![event("e1", 1, "view", "u1", "DE", now - HOUR), event("e2", 1, "view", "u2", "FR", now - HOUR)];
    let first = Batch { key: Some("k".to_owned()), events: events.clone(), metrics: vec![metric(1, "cpu", 1.0, now)] };
    let report = analytics.ingest(A, &first).await.unwrap();
    assert_eq!((report.accepted, report.repeated), (3, false));
    // Many at once under one key: one of them stores, all have its answer.
    let again = futures::future::join_all((0..6).map(|_| analytics.ingest(A, &first))).await;
    assert!(again.into_iter().all(|it| it.is_ok_and(|it| it.repeated && it.accepted == 3)));
    let other = Batch { metrics: Vec::new(), ..first.clone() };
    assert!(matches!(analytics.ingest(A, &other).await, Err(AnalyticsError::Conflict(_))));
    // The key of another tenant is its own; so is the id of an event.
    let theirs = Batch {
        key: Some("k".to_owned()),
        events: vec![event("e1", 4, "view", "u1", "DE", now - HOUR)],
        metrics: Vec::new(),
    };
    assert_eq!(analytics.ingest(B, &theirs).await.unwrap().accepted, 1);
    // Without a key the ids alone keep events from counting twice, also with another time.
    let mut moved = events.clone();
    moved[0]["at"] = json!(crate::world::at(now - HOUR + 1));
    let report = analytics.ingest(A, &batch(moved, Vec::new())).await.unwrap();
    assert_eq!((report.accepted, report.duplicates), (0, 2));
    assert_eq!(world.number("SELECT count(*) FROM plugin_analytics").await, 3);
    assert_eq!(world.number("SELECT count(*) FROM plugin_metrics").await, 1);
    for size in [0, 10_001] {
        let metrics = vec![metric(1, "cpu", 1.0, now); size];
        assert!(matches!(analytics.ingest(A, &batch(Vec::new(), metrics)).await, Err(AnalyticsError::Invalid { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_made_ahead_and_for_what_comes_late() {
    let world = World::new().await;
    let analytics = world.analytics();
    // As if the months had passed since the migration: the default partition takes what has none of its own.
    world.sql("DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('plugin_analytics'::regclass, 'plugin_metrics'::regclass) AND inhrelid::regclass::text NOT LIKE '%default' LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$").await;
    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, event_id, \"timestamp\") SELECT 1, 1, 'view', 'old-' || n, now() FROM generate_series(1, 9) n UNION ALL SELECT 1, 1, 'view', 'old-10', now() - interval '250 days'").await;
    assert_eq!(world.number("SELECT count(*) FROM plugin_analytics_default").await, 10);
    assert_eq!(
        analytics.partitions_ahead().await.unwrap(),
        9,
        "four months of each, and that of the row from long ago"
    );
    assert_eq!(analytics.partitions_ahead().await.unwrap(), 0);
    assert_eq!(world.number("SELECT count(*) FROM plugin_analytics_default").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM plugin_analytics").await, 10);
    // Ids are known in the new partition too, and a late event gets a partition of its month.
    let late = now() - 62 * DAY;
    let events = vec![event("old-1", 1, "view", "u", "DE", now()), event("late", 1, "view", "u", "DE", late)];
    let report = analytics.ingest(A, &batch(events, Vec::new())).await.unwrap();
    assert_eq!((report.accepted, report.duplicates), (1, 1), "{report:?}");
    assert_eq!(world.number("SELECT count(*) FROM plugin_analytics_default").await, 0);
    let indexes = "SELECT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indrelid WHERE h.inhparent = 'plugin_analytics'::regclass AND indisvalid GROUP BY indrelid ORDER BY 1 LIMIT 1";
    assert_eq!(world.number(indexes).await, 5, "every partition has every index");
    // Nobody but the platform's role may call it.
    assert_eq!(world.number("SELECT has_function_privilege('holdfast_tenant', 'analytics_ensure_partition(text, date)', 'EXECUTE')::int::int8").await, 0);
}
