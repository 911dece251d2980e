//! Percentiles from the server's log: measured where it holds durations, and the cure said where it cannot be read.
use super::*;
use domain::view::LatencySource;

async fn cluster() -> TestCluster {
    with_statements(&[("logging_collector", "on"), ("log_min_duration_statement", "0"), ("track_io_timing", "on")])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_are_measured_where_the_log_holds_durations() {
    let cluster = cluster().await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching
        .until("a first look at the log", |it| is_up(it) && state(it, CollectorKind::Log) == CollectorState::Fresh)
        .await;
    // Far more than our own statements, and each much longer.
    let url = cluster.server.url("postgres");
    let work = (0..8).map(|_| {
        let url = url.clone();
        tokio::spawn(async move {
            use sqlx::Connection as _;
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            for _ in 0..150 {
                sqlx::query("SELECT pg_sleep(0.03)").execute(&mut connection).await.unwrap();
            }
        })
    });
    for one in work.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let dashboard = watching
        .until("measured percentiles", |it| {
            it.latency.as_ref().is_some_and(|latency| latency.source == LatencySource::Log && latency.p95_ms > 25.0)
        })
        .await;
    let latency = dashboard.latency.unwrap();
    assert_eq!(latency.log_from_ms, Some(0.0));
    assert!((29.0..60.0).contains(&latency.p95_ms), "{latency:?}");
    // Over a day, the calls counted by class say the same as far as they can: these 1,200 and our own.
    let counts = async || {
        let (store, to) = (watching.control.store(), control::now());
        let repo = store::MetricRepo(store.db());
        let day = 86_400_000;
        let found = repo.histograms("main", Metric::MeanLatencyMs, to.plus_ms(-day), to, day).await.unwrap();
        found.into_values().next().unwrap_or_default()
    };
    let begun = Instant::now();
    let counted = loop {
        let counted = counts().await;
        let slow = counted.iter().skip(analysis::latency_classes::class_of(25.0)).sum::<u64>();
        if slow >= 1_000 {
            break counted;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{slow} slow calls are counted: {counted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let slow = counted.iter().skip(analysis::latency_classes::class_of(25.0)).sum::<u64>();
    assert!(slow <= 1_300, "each call counts once: {slow}");
    let day = watching.control.history_get(&Actor::system(), None, Metric::LatencyP99Ms, Range::Hours24).await.unwrap();
    let p99 = day.series[0].values.iter().flatten().copied().fold(0.0, f64::max);
    assert!((25.0..70.0).contains(&p99), "{p99}");
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_the_grant_is_shown_and_cures_it() {
    let cluster = cluster().await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'secret'").await;
    cluster.execute("postgres", "GRANT pg_monitor TO watcher").await;
    let url = cluster.server.url("postgres");
    let (_, place) = url.rsplit_once('@').unwrap();
    let watching = Watching::start(&format!("postgres://watcher:secret@{place}")).await;
    let dashboard = watching
        .until("the state of the log", |it| is_up(it) && state(it, CollectorKind::Log) != CollectorState::Pending)
        .await;
    let CollectorState::NoPermission { cure: Some(cure), .. } = state(&dashboard, CollectorKind::Log) else {
        panic!("{:?}", state(&dashboard, CollectorKind::Log));
    };
    cluster.execute("postgres", &cure).await;
    watching.until("the log", |it| state(it, CollectorKind::Log) == CollectorState::Fresh).await;
    watching.end().await;
}
