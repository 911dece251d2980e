//! Metrics and events.
use domain::{
    Timestamp,
    view::{Event, EventKind, Metric},
};
use sea_orm::ConnectionTrait as _;
use std::collections::HashMap;
use store::{EventRepo, MetricPoint, MetricRepo, Sample, Store};

on_both_databases!(
    metrics_come_back_as_means_of_buckets,
    a_batch_that_is_tried_again_replaces_its_samples,
    figures_that_are_no_numbers_are_left_out,
    old_metrics_are_removed,
    events_come_back_in_order_and_of_one_cluster,
    an_event_of_an_unknown_kind_is_left_out,
);

fn sample(metric: Metric, label: &str, value: f64) -> Sample {
    Sample { metric, label: label.into(), value }
}

fn point(label: &str, bucket: i64, value: f64) -> MetricPoint {
    MetricPoint { label: label.into(), bucket, value }
}

async fn metrics_come_back_as_means_of_buckets(store: Store) {
    let metrics = MetricRepo(store.db());
    let mut main = HashMap::new();
    for (at, io, lock) in [(1_000, 1.0, 10.0), (1_500, 3.0, 10.0), (3_000, 5.0, 20.0)] {
        let samples = [
            sample(Metric::ActiveSessions, "IO", io),
            sample(Metric::ActiveSessions, "Lock", lock),
            sample(Metric::HealthScore, "", 99.0),
        ];
        metrics.insert("main", Timestamp(at), &samples, &mut main).await.unwrap();
    }
    let mut other = HashMap::new();
    metrics
        .insert("other", Timestamp(1_000), &[sample(Metric::ActiveSessions, "IO", 1_000.0)], &mut other)
        .await
        .unwrap();
    assert_eq!((main.len(), other.len()), (3, 1));
    let history = async |to| {
        metrics.history("main", Metric::ActiveSessions, Timestamp(1_000), Timestamp(to), 1_000).await.unwrap()
    };
    assert_eq!(
        history(3_000).await,
        [point("IO", 0, 2.0), point("Lock", 0, 10.0), point("IO", 2, 5.0), point("Lock", 2, 20.0)]
    );
    assert_eq!(history(2_999).await, [point("IO", 0, 2.0), point("Lock", 0, 10.0)]);
    let score = metrics.history("main", Metric::HealthScore, Timestamp(0), Timestamp(9_000), 0).await.unwrap();
    assert_eq!(score.len(), 3, "a step of nothing does not divide by zero");
}

async fn a_batch_that_is_tried_again_replaces_its_samples(store: Store) {
    let metrics = MetricRepo(store.db());
    for value in [1.0, 7.0] {
        // A new cache each time, as after a restart of ours.
        metrics
            .insert("main", Timestamp(5), &[sample(Metric::CallsPerSecond, "", value)], &mut HashMap::new())
            .await
            .unwrap();
    }
    let history = metrics.history("main", Metric::CallsPerSecond, Timestamp(0), Timestamp(9), 100).await.unwrap();
    assert_eq!(history, [point("", 0, 7.0)]);
}

async fn figures_that_are_no_numbers_are_left_out(store: Store) {
    let metrics = MetricRepo(store.db());
    let samples = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|value| sample(Metric::CallsPerSecond, "", value));
    metrics.insert("main", Timestamp(5), &samples, &mut HashMap::new()).await.unwrap();
    assert_eq!(metrics.history("main", Metric::CallsPerSecond, Timestamp(0), Timestamp(9), 1).await.unwrap(), []);
}

async fn old_metrics_are_removed(store: Store) {
    let metrics = MetricRepo(store.db());
    let mut series = HashMap::new();
    for at in 1..=5 {
        metrics.insert("main", Timestamp(at), &[sample(Metric::HealthScore, "", 1.0)], &mut series).await.unwrap();
    }
    assert_eq!(metrics.prune(Timestamp(4)).await.unwrap(), 3);
    assert_eq!(metrics.history("main", Metric::HealthScore, Timestamp(0), Timestamp(9), 1).await.unwrap().len(), 2);
}

fn event(at: i64, kind: EventKind, title: &str) -> Event {
    Event { at: Timestamp(at), kind, title: title.into() }
}

async fn events_come_back_in_order_and_of_one_cluster(store: Store) {
    let events = EventRepo(store.db());
    let all = EventKind::ALL
        .into_iter()
        .enumerate()
        .map(|(i, kind)| event(i64::try_from(i).unwrap(), kind, kind.as_str()))
        .collect::<Vec<_>>();
    let reversed = all.iter().rev().cloned().collect::<Vec<_>>();
    events.insert("main", &reversed).await.unwrap();
    events.insert("other", &[event(2, EventKind::Down, "elsewhere")]).await.unwrap();
    events.insert("main", &[]).await.unwrap();
    assert_eq!(events.list("main", Timestamp(0), Timestamp(100)).await.unwrap(), all);
    assert_eq!(events.list("main", Timestamp(2), Timestamp(3)).await.unwrap(), all[2..=3]);
    assert_eq!(events.prune(Timestamp(2)).await.unwrap(), 2);
    let many = (0..250).map(|at| event(1_000 + at, EventKind::Up, "up")).collect::<Vec<_>>();
    events.insert("main", &many).await.unwrap();
    assert_eq!(events.list("main", Timestamp(0), Timestamp(9_999)).await.unwrap(), many[50..], "the newest 200");
}

async fn an_event_of_an_unknown_kind_is_left_out(store: Store) {
    store
        .db()
        .execute_unprepared("INSERT INTO event (cluster_id, at, kind, title) VALUES ('main', 1, 'of_the_future', 'x')")
        .await
        .unwrap();
    assert_eq!(EventRepo(store.db()).list("main", Timestamp(0), Timestamp(9)).await.unwrap(), []);
}
