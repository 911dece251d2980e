//! Percentiles from the server's log: measured where it holds durations, and the cure said where it cannot be read.
use super::*;
use domain::view::{ExplainMethod, LatencySource, QueryPlanPage};

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
    assert!((29.0..300.0).contains(&latency.p95_ms), "{latency:?}");
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
        assert!(begun.elapsed() < PATIENCE, "{slow} slow calls are counted: {counted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let slow = counted.iter().skip(analysis::latency_classes::class_of(25.0)).sum::<u64>();
    // Some of our own are as slow where the machine is busy.
    assert!(slow <= 2_000, "each call counts once: {slow}");
    let day = watching.control.history_get(&Actor::system(), None, Metric::LatencyP99Ms, Range::Hours24).await.unwrap();
    let p99 = day.series[0].values.iter().flatten().copied().fold(0.0, f64::max);
    assert!((25.0..500.0).contains(&p99), "{p99}");
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

/// What the plan page of a statement has, once `is_there` finds it there.
async fn page_of(watching: &Watching, words: &str, is_there: impl Fn(&QueryPlanPage) -> bool) -> QueryPlanPage {
    let begun = Instant::now();
    loop {
        let list = watching.control.queries_top(&Actor::system(), &Default::default()).await.unwrap();
        if let Some(row) = list.rows.iter().find(|row| row.query.contains(words)) {
            let page = watching.control.query_plan_get(&Actor::system(), None, &row.id, None, None).await.unwrap();
            if is_there(&page) {
                return page;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?} {:?}", page.log, page.history);
        }
        assert!(begun.elapsed() < PATIENCE, "the statement is not listed: {:?}", list.rows);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_the_log_become_samples_of_their_statement_without_a_literal() {
    for destination in ["stderr", "csvlog"] {
        let cluster = with_statements(&[
            ("logging_collector", "on"),
            ("log_destination", destination),
            ("log_line_prefix", "%m [%p] %q%u@%d/%a "),
            ("log_min_duration_statement", "20"),
        ])
        .await;
        cluster.execute("postgres", "CREATE TABLE kept (a int PRIMARY KEY, secret text)").await;
        let watching = Watching::start(&cluster.server.url("postgres")).await;
        watching
            .until("a first look at the log", |it| is_up(it) && state(it, CollectorKind::Log) == CollectorState::Fresh)
            .await;
        use sqlx::Connection as _;
        let url = format!("{}?application_name=the-shop", cluster.server.url("postgres"));
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        let begun = Instant::now();
        let found = loop {
            // By the simple protocol with a literal, and with a parameter.
            sqlx::query("SELECT pg_sleep(0.03) WHERE $1 <> 'x'")
                .bind("bound secret")
                .execute(&mut connection)
                .await
                .unwrap();
            sqlx::raw_sql("SELECT count(*), pg_sleep(0.03) FROM kept WHERE secret = 'ada@example.com'")
                .execute(&mut connection)
                .await
                .unwrap();
            let list = watching.control.queries_top(&Actor::system(), &Default::default()).await.unwrap();
            if list.rows.iter().any(|row| row.query.contains("count(*), pg_sleep")) {
                break page_of(&watching, "count(*), pg_sleep", |page| !page.log.samples.is_empty()).await;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?}", list.rows);
        };
        let sample = &found.log.samples[0];
        assert!(sample.duration_ms >= 30.0 && sample.duration_ms < 2_000.0, "{sample:?}");
        assert_eq!(sample.application, "the-shop", "{destination}");
        assert!(sample.query.contains("secret = ?") && !sample.query.contains("ada"), "{sample:?}");
        let age = control::now().seconds_since(sample.at);
        assert!((0.0..300.0).contains(&age), "{age} s ago by the log");
        let bound = page_of(&watching, "<>", |page| !page.log.samples.is_empty()).await;
        assert_eq!(bound.log.samples[0].parameters, 1, "{:?}", bound.log);
        assert!(bound.log.samples.len() <= 40 && !format!("{bound:?}").contains("bound secret"));
        assert!(found.log.auto_explain.is_some_and(|hint| hint.contains("not loaded")), "said as a hint");
        watching.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_auto_explain_stand_in_the_history_with_their_source() {
    for format in ["text", "json"] {
        let cluster = with_statements(&[
            ("logging_collector", "on"),
            // Durations are not logged at all: the plans are.
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "20"),
            ("auto_explain.log_format", format),
        ])
        .await;
        cluster
            .execute("postgres", "CREATE TABLE planned (a int, b text); INSERT INTO planned SELECT i, 'x' FROM generate_series(1, 2000) i; INSERT INTO planned VALUES (987654321, 'x')")
            .await;
        let watching = Watching::start(&cluster.server.url("postgres")).await;
        watching.until("the log", |it| is_up(it) && state(it, CollectorKind::Log) == CollectorState::Fresh).await;
        let calls = || {
            cluster.execute("postgres", "SELECT a, pg_sleep(0.03) FROM planned WHERE a = 987654321 AND b <> 'secret'")
        };
        let begun = Instant::now();
        loop {
            calls().await;
            let list = watching.control.queries_top(&Actor::system(), &Default::default()).await.unwrap();
            if list.rows.iter().any(|row| row.query.contains("FROM planned")) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?}", list.rows);
        }
        calls().await;
        let page = page_of(&watching, "FROM planned", |page| {
            page.history.iter().any(|plan| plan.method == ExplainMethod::AutoExplain)
        })
        .await;
        let plan = page.history.iter().find(|plan| plan.method == ExplainMethod::AutoExplain).unwrap();
        assert_eq!(plan.taken_by, "log", "{format}");
        assert!(plan.shape.contains("Seq Scan planned"), "{format}: {plan:?}");
        let all = format!("{page:?}");
        assert!(!all.contains("secret") && !all.contains("987654321"), "{format}: a literal stayed: {all}");
        assert_eq!(page.log.auto_explain, None);
        assert!(!page.log.samples.is_empty(), "{format}: a call with its plan is a sample too");
        // With an index it does something else: that is told once.
        cluster.execute("postgres", "CREATE INDEX planned_a ON planned (a); ANALYZE planned").await;
        calls().await;
        let begun = Instant::now();
        let changed = loop {
            calls().await;
            let page = page_of(&watching, "FROM planned", |_| true).await;
            if !page.changes.is_empty() {
                break page;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?}", page.history);
        };
        let ran = changed.history.iter().filter(|plan| plan.method == ExplainMethod::AutoExplain).count();
        assert!(ran >= 2, "{:?}", changed.history);
        watching.end().await;
    }
}
