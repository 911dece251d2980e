//! Metrics and events.
use domain::{
    Timestamp,
    reading::{SessionBucket, SessionKey},
    view::{Event, EventKind, LoadBy, LockNode, LockSnapshot, LockSnapshotSummary, Metric},
};
use sea_orm::ConnectionTrait as _;
use std::collections::HashMap;
use store::{EventRepo, LockRepo, MetricPoint, MetricRepo, Sample, SessionHistoryRepo, Store};

on_both_databases!(
    metrics_come_back_as_means_of_buckets,
    a_batch_that_is_tried_again_replaces_its_samples,
    figures_that_are_no_numbers_are_left_out,
    old_metrics_are_removed,
    events_come_back_in_order_and_of_one_cluster,
    an_event_of_an_unknown_kind_is_left_out,
    graphs_of_locks_are_kept_once_and_read_back,
    active_sessions_are_added_up_by_each_way,
    a_moment_is_found_in_its_stretch_and_a_hole_is_a_hole,
    lines_that_were_above_zero_are_found_with_their_last_moment,
);

fn sample(metric: Metric, label: &str, value: f64) -> Sample {
    Sample { metric, label: label.into(), value, histogram: None }
}

fn point(label: &str, bucket: i64, value: f64) -> MetricPoint {
    MetricPoint { label: label.into(), bucket, value, gap: false, reset: false }
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
    Event::new(Timestamp(at), kind, title.into())
}

async fn events_come_back_in_order_and_of_one_cluster(store: Store) {
    let events = EventRepo(store.db());
    let all = EventKind::ALL
        .into_iter()
        .enumerate()
        .map(|(i, kind)| event(i64::try_from(i).unwrap(), kind, kind.as_str()))
        .map(|event| Event { statement: (event.kind == EventKind::PlanChange).then(|| "5.10.-7".to_owned()), ..event })
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

fn graph(at: i64, waiters: i64, pid: i32) -> LockSnapshot {
    let node = LockNode { pid, query: Some("SELECT \u{0} ?".into()), ..LockNode::default() };
    let summary = LockSnapshotSummary {
        at: Timestamp(at),
        duration_seconds: 1.5,
        waiters,
        roots: 1,
        longest_wait_seconds: Some(0.5),
        root: "root\u{0}".into(),
        ..LockSnapshotSummary::default()
    };
    LockSnapshot { summary, nodes: vec![node] }
}

async fn graphs_of_locks_are_kept_once_and_read_back(store: Store) {
    let locks = LockRepo(store.db());
    locks.insert("main", &[graph(1, 2, 10), graph(5, 3, 11)]).await.unwrap();
    // The same batch again, with a later end.
    locks.insert("main", &[graph(5, 4, 12)]).await.unwrap();
    locks.insert("other", &[graph(5, 9, 13)]).await.unwrap();
    let list = locks.list("main", 10).await.unwrap();
    assert_eq!(list.iter().map(|one| (one.at.0, one.waiters)).collect::<Vec<_>>(), [(5, 4), (1, 2)]);
    let newest = list[0].id.parse().unwrap();
    let read = locks.get("main", newest).await.unwrap().unwrap();
    assert_eq!((read.nodes[0].pid, read.summary.duration_seconds), (12, 1.5));
    assert_eq!(locks.get("other", newest).await.unwrap(), None, "not of another cluster");
    assert_eq!(locks.prune(Timestamp(5)).await.unwrap(), 1);
}

fn counted(class: &str, event: &str, query_id: i64, user: &str, samples: i64) -> (SessionKey, i64) {
    let key = SessionKey {
        wait_class: class.into(),
        wait_event: event.into(),
        query_id,
        database: "shop".into(),
        user: user.into(),
        application: "app".into(),
        host: "local".into(),
    };
    (key, samples)
}

async fn a_moment_is_found_in_its_stretch_and_a_hole_is_a_hole(store: Store) {
    let sessions = SessionHistoryRepo(store.db());
    let mut names = HashMap::new();
    let bucket = |rows| SessionBucket { samples: 10, skipped: 1, interval_ms: 10_000, rows };
    let busy = bucket(vec![counted("IO", "DataFileRead", 7, "ada", 40), counted("CPU", "", 7, "ada", 6)]);
    let calm = bucket(vec![counted("CPU", "", 7, "bob", 1)]);
    // From 20 to 30 s nothing was sampled.
    for (at, rows) in [(10_000, &calm), (20_000, &busy), (40_000, &calm)] {
        sessions.insert("main", Timestamp(at), rows, &mut names).await.unwrap();
    }
    sessions.insert("other", Timestamp(30_000), &busy, &mut names).await.unwrap();
    let stretch = async |at| sessions.stretch("main", Timestamp(at)).await.unwrap().map(|it| (it.from.0, it.to.0));
    assert_eq!(stretch(15_000).await, Some((10_000, 20_000)));
    assert_eq!(stretch(20_000).await, Some((10_000, 20_000)), "the end belongs to it");
    assert_eq!(stretch(20_001).await, None, "a hole");
    assert_eq!(stretch(40_001).await, None);
    let ends = async |at| {
        let before = sessions.before("main", Timestamp(at)).await.unwrap().map(|it| it.to.0);
        (before, sessions.after("main", Timestamp(at)).await.unwrap().map(|it| it.to.0))
    };
    assert_eq!(ends(25_000).await, (Some(20_000), Some(40_000)));
    assert_eq!(ends(5_000).await, (None, Some(10_000)));
    assert_eq!(ends(40_000).await, (Some(40_000), None));
    let seen = sessions.seen("main", Timestamp(10_000), Timestamp(20_000)).await.unwrap();
    let seen = seen.iter().map(|it| (it.class.as_str(), it.event.as_str(), it.role.as_str(), it.query_id, it.samples));
    assert_eq!(seen.collect::<Vec<_>>(), [("IO", "DataFileRead", "ada", 7, 40), ("CPU", "", "ada", 7, 6)]);
    let both = sessions.seen("main", Timestamp(0), Timestamp(20_000)).await.unwrap();
    assert_eq!(both.iter().map(|it| it.samples).sum::<i64>(), 47);
    let busiest = sessions.busiest("main", Timestamp(0), Timestamp(40_000), 2).await.unwrap();
    let busiest = busiest.iter().map(|it| (it.from.0, it.to.0, it.average_active_sessions)).collect::<Vec<_>>();
    assert_eq!(busiest, [(10_000, 20_000, 4.6), (30_000, 40_000, 0.1)], "of two alike the newer first");
}

async fn lines_that_were_above_zero_are_found_with_their_last_moment(store: Store) {
    let metrics = MetricRepo(store.db());
    let mut series = HashMap::new();
    for (at, a, b) in [(1_000, 3.0, 0.0), (2_000, 0.5, 0.0), (3_000, 0.0, 0.0)] {
        let samples = [
            sample(Metric::IndexScansPerHour, "d.public.a", a),
            sample(Metric::IndexScansPerHour, "d.public.b", b),
            sample(Metric::IndexBytes, "d.public.a", 8_192.0),
        ];
        metrics.insert("main", Timestamp(at), &samples, &mut series).await.unwrap();
    }
    let last = metrics.last_above_zero("main", Metric::IndexScansPerHour).await.unwrap();
    assert_eq!(last, HashMap::from([("d.public.a".to_owned(), Timestamp(2_000))]));
    assert!(metrics.last_above_zero("other", Metric::IndexScansPerHour).await.unwrap().is_empty());
}

async fn active_sessions_are_added_up_by_each_way(store: Store) {
    let sessions = SessionHistoryRepo(store.db());
    let mut names = HashMap::new();
    let bucket = |rows| SessionBucket { samples: 10, skipped: 1, interval_ms: 10_000, rows };
    let first = bucket(vec![counted("IO", "DataFileRead", i64::MIN, "ada", 4), counted("CPU", "", 7, "ada", 6)]);
    let second = bucket(vec![counted("IO", "DataFileRead", i64::MIN, "bob", 1)]);
    sessions.insert("main", Timestamp(10_000), &first, &mut names).await.unwrap();
    sessions.insert("main", Timestamp(20_000), &second, &mut names).await.unwrap();
    // Written again, as after a lost answer, and by a process that knows no names yet.
    sessions.insert("main", Timestamp(20_000), &second, &mut HashMap::new()).await.unwrap();
    sessions.insert("other", Timestamp(20_000), &first, &mut names).await.unwrap();
    let load = async |by| {
        let points = sessions.load("main", by, Timestamp(0), Timestamp(20_000), 10_000).await.unwrap();
        points.into_iter().map(|it| (it.name, it.bucket, it.samples)).collect::<Vec<_>>()
    };
    let named = |name: &str, bucket, samples| (name.to_owned(), bucket, samples);
    assert_eq!(load(LoadBy::Wait).await, [named("CPU", 0, 6), named("IO", 0, 4), named("IO", 1, 1)]);
    assert_eq!(load(LoadBy::User).await, [named("ada", 0, 10), named("bob", 1, 1)]);
    assert_eq!(
        load(LoadBy::Event).await,
        [named("CPU", 0, 6), named("IO: DataFileRead", 0, 4), named("IO: DataFileRead", 1, 1)]
    );
    let by_query = load(LoadBy::Query).await;
    assert!(by_query.contains(&named(&i64::MIN.to_string(), 0, 4)), "{by_query:?}");
    for by in [LoadBy::Database, LoadBy::Application, LoadBy::Host] {
        assert_eq!(load(by).await.iter().map(|it| it.2).sum::<i64>(), 11);
    }
    let samples = sessions.samples("main", Timestamp(0), Timestamp(20_000), 10_000).await.unwrap();
    assert_eq!(
        samples.iter().map(|it| (it.bucket, it.samples, it.skipped)).collect::<Vec<_>>(),
        [(0, 10, 1), (1, 10, 1)]
    );
    let queries = sessions.queries("main", Timestamp(0), Timestamp(20_000)).await.unwrap();
    assert_eq!((queries[0].query_id, queries[0].class.as_str(), queries[0].samples), (7, "CPU", 6));
    assert_eq!(sessions.prune(Timestamp(20_000)).await.unwrap(), 1);
    assert_eq!(load(LoadBy::Wait).await, [named("IO", 1, 1)]);
}
