//! What waits is counted, and nothing else.
use crate::world::{World, roll_up};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_until_it_is_done() {
    let world = World::new().await;
    let analytics = world.analytics();
    analytics.partitions_ahead().await.unwrap();
    // The schema itself has marked the hours of its partitions.
    roll_up(&analytics).await;
    let before = analytics.backlog().await.unwrap();
    assert_eq!((before.marked_hours, before.first_mark, before.erasures_pending), (0, None, 0), "{before:?}");
    assert_eq!(before.rows_without_partition, 0);

    world.sql("SELECT analytics_ensure_partition('plugin_analytics', (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '7 months')::date);
        INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, \"timestamp\") SELECT 1, 1, 'view', date_trunc('hour', now()) - n * interval '1 hour' FROM unnest(ARRAY[1, 2, 2]) AS n;
        INSERT INTO analytics_erasures (subject, subject_hash, state, requested_by) VALUES ('x', 'y', 'pending', 'ada')").await;
    let waits = analytics.backlog().await.unwrap();
    assert_eq!((waits.marked_hours, waits.erasures_pending, waits.months_due), (2, 1, before.months_due + 1));
    assert_eq!(
        waits.oldest_marked.unwrap().0,
        world.number("SELECT (extract(epoch FROM min(\"timestamp\")) * 1000)::int8 FROM plugin_analytics").await
    );
    assert!(waits.first_mark.is_some());
    roll_up(&analytics).await;
    let done = analytics.backlog().await.unwrap();
    assert_eq!((done.marked_hours, done.first_mark, done.oldest_marked), (0, None, None));

    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, \"timestamp\") VALUES (1, 1, 'view', now() + interval '2 years')").await;
    assert!(analytics.backlog().await.unwrap().rows_without_partition >= 1);
    analytics.partitions_ahead().await.unwrap();
    assert_eq!(analytics.backlog().await.unwrap().rows_without_partition, 0, "it has its own now");
}
