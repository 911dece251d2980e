//! Advice from a real workload: the index that is missing is found, and no longer once it is there; plans are kept and
//! their change is noticed.
use crate::{PATIENCE, Watching};
use control::Actor;
use domain::view::{AdviceBasis, AdvicePage, IndexesPage, QueriesParams, QueryFlag};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE plugins (id int PRIMARY KEY, tenant_id int, name text); \
 CREATE TABLE plugin_events (id bigint PRIMARY KEY, plugin_id int, kind text, at timestamptz, payload text); \
 INSERT INTO plugins SELECT i, i % 20, 'plugin ' || i FROM generate_series(1, 300) i; \
 INSERT INTO plugin_events SELECT i, i % 5000, 'kind ' || i % 4, now() - i * interval '1 second', repeat('x', 60) FROM generate_series(1, 60000) i; \
 CREATE TABLE metrics (plugin_id int, day date, value float8) PARTITION BY RANGE (day); \
 CREATE TABLE metrics_old PARTITION OF metrics FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); \
 CREATE TABLE metrics_new PARTITION OF metrics FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
 INSERT INTO metrics SELECT i % 2000, '2026-01-01'::date + i % 58, i FROM generate_series(1, 60000) i; ANALYZE";

async fn work(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    for i in 0..20 {
        connection
            .execute(sqlx::AssertSqlSafe(format!(
                "SELECT count(*) FROM plugin_events WHERE plugin_id = {i} AND kind = 'kind 1'"
            )))
            .await
            .unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("SELECT * FROM plugins WHERE tenant_id = {i}"))).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("SELECT * FROM plugin_events WHERE id = {i}"))).await.unwrap();
        connection
            .execute(sqlx::AssertSqlSafe(format!("SELECT sum(value) FROM metrics WHERE plugin_id = {i}")))
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

/// Asks for reviews until one satisfies.
async fn reviewed(watching: &Watching, what: &str, done: impl Fn(&AdvicePage) -> bool) -> AdvicePage {
    let began = Instant::now();
    loop {
        watching.control.index_review(&Actor::cli(), None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let page = watching.control.index_advice_get(&Actor::cli(), None).await.unwrap();
        if done(&page) {
            return page;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {:#?}", page.advice);
    }
}

fn names(page: &AdvicePage) -> Vec<String> {
    let mut names =
        page.advice.suggestions.iter().map(|it| format!("{}({})", it.table, it.columns.join(","))).collect::<Vec<_>>();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_missing_index_is_suggested_and_no_longer_once_it_is_there() {
    for hypopg in [false, true] {
        let cluster = test_support::private_cluster(&[]).await;
        let url = cluster.server.url("postgres");
        let mut admin = PgConnection::connect(&url).await.unwrap();
        admin.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
        if hypopg && let Err(error) = admin.execute("CREATE EXTENSION hypopg").await {
            test_support::skipped(&format!("with HypoPG, which is not installed ({error})"));
            continue;
        }
        admin.execute(sqlx::raw_sql(SCHEMA)).await.unwrap();
        admin
            .execute(sqlx::raw_sql("CREATE TABLE twice (id int PRIMARY KEY); CREATE INDEX twice_again ON twice (id)"))
            .await
            .unwrap();
        let watching = Watching::start(&url).await;
        // The first reading counts from nothing; what is done after it is seen.
        let began = Instant::now();
        let page = loop {
            work(&url).await;
            let page = reviewed(&watching, "a review", |page| page.advice.reviewed_at.is_some()).await;
            if names(&page).len() >= 2 {
                break page;
            }
            assert!(began.elapsed() < PATIENCE, "{:#?}", page.advice);
        };
        // The small table is left alone, and what its key finds too.
        assert_eq!(names(&page), ["metrics(plugin_id)", "plugin_events(plugin_id)"], "{:#?}", page.advice);
        let of = |table: &str| page.advice.suggestions.iter().find(|it| it.table == table).unwrap();
        let basis = if hypopg { AdviceBasis::Hypopg } else { AdviceBasis::Estimate };
        assert_eq!(of("plugin_events").basis, basis);
        assert!(of("plugin_events").statements[0].saving_percent > 80.0);
        assert!(of("plugin_events").size_bytes > 100_000 && of("plugin_events").size_bytes < 8 << 20);
        assert_eq!(of("metrics").create_sql.lines().count(), 5, "{}", of("metrics").create_sql);

        // Its plan is kept already.
        let statement = of("plugin_events").statements[0].id.clone();
        let plan = watching.control.query_plan_get(&Actor::cli(), None, &statement, None, None).await.unwrap();
        let first = plan.plan.unwrap();
        assert!(first.text.contains("Seq Scan on public.plugin_events"), "{}", first.text);
        assert!(first.findings.iter().any(|it| it.kind == "seq_scan_filter"), "{:?}", first.findings);
        assert!(!first.json.contains("kind 1"));
        assert_eq!(plan.tables[0].name, "public.plugin_events");

        // What is put aside is left out of the list of indexes, and counted.
        let twice = "duplicate:postgres.public.twice_again";
        let listed = async || watching.control.indexes_list(&Actor::cli(), None, None).await.unwrap();
        let is_found =
            |page: &IndexesPage| page.rows.iter().any(|it| it.name == "twice_again" && !it.findings.is_empty());
        let before = listed().await;
        assert!(is_found(&before) && before.put_aside == 0, "{before:#?}");
        watching.control.advice_dismiss(&Actor::cli(), None, twice, "it is used elsewhere", None).await.unwrap();
        let without = listed().await;
        assert!(!is_found(&without) && without.put_aside == 1 && without.wasted_bytes < before.wasted_bytes);
        watching.control.advice_restore(&Actor::cli(), None, twice).await.unwrap();
        assert!(is_found(&listed().await));

        // One is put aside, and says so; the other is made by its own script.
        let key = of("metrics").key.clone();
        watching.control.advice_dismiss(&Actor::cli(), None, &key, "partitions go soon", None).await.unwrap();
        for statement in of("plugin_events").create_sql.lines().chain(of("metrics").create_sql.lines()) {
            admin.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.unwrap();
        }
        admin.execute("ANALYZE").await.unwrap();
        let page = reviewed(&watching, "nothing is missing any more", |page| page.advice.suggestions.is_empty()).await;
        assert_eq!(page.dismissals.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), [key.as_str()]);
        watching.control.advice_restore(&Actor::cli(), None, &key).await.unwrap();

        // The other plan was noticed, by nobody's asking.
        let plan = watching
            .control
            .query_plan_get(&Actor::cli(), None, &statement, None, Some(&first.summary.id))
            .await
            .unwrap();
        assert_eq!(plan.history.len(), 2, "{:?}", plan.history);
        assert!(plan.plan.as_ref().unwrap().text.contains("plugin_events_plugin_id_idx"));
        assert_eq!(plan.changes.len(), 1, "{:?}", plan.changes);
        let listed = watching.control.queries_top(&Actor::cli(), &QueriesParams::default()).await.unwrap().rows;
        let marked = listed.iter().filter(|row| row.flags.contains(&QueryFlag::PlanChanged)).collect::<Vec<_>>();
        assert!(marked.iter().any(|row| row.id == statement) && marked.len() < listed.len(), "{marked:#?}");
        assert!(plan.comparison.unwrap().lines.iter().any(|line| line.0 == "before" && line.1.contains("Seq Scan")));

        // A person may ask as well, and the log knows.
        let again = watching.control.query_explain(&Actor::cli(), None, &statement).await.unwrap();
        assert_eq!(again.summary.hash, plan.history[0].hash);
        let log = watching.control.audit_list(&Actor::cli(), store::AuditFilter::default(), None, 500).await.unwrap();
        for action in ["index_review", "advice_dismiss", "advice_restore", "query_explain_asked", "query_explain"] {
            assert!(log.rows.iter().any(|row| row.action == action), "{action} is not in the log");
        }
        let utility = watching.control.queries_top(&Actor::cli(), &QueriesParams::default()).await.unwrap();
        assert!(utility.rows.iter().all(|row| !row.query.contains("holdfast_explain")), "our own statements are shown");
        watching.end().await;
    }
}
