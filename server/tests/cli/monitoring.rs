//! The commands about statements, indexes and statistics as a DBA types them, on a real server and without a store.
use super::{complaint, holdfast};
use domain::{Timestamp, reading::KnownStandby};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::Output,
    time::{Duration, Instant},
};
use store::{KnownStandbyRepo, Store};
use test_support::{ConnInfo, ReplicationConnection, private_cluster};

const SCHEMA: &str = "CREATE EXTENSION pg_stat_statements; \
 CREATE TABLE plugins (id int PRIMARY KEY, name text); \
 CREATE TABLE plugin_events (id int PRIMARY KEY, plugin_id int, kind text, payload text); \
 INSERT INTO plugins SELECT i, 'plugin ' || i FROM generate_series(1, 5000) i; \
 INSERT INTO plugin_events SELECT i, i % 5000 + 1, 'kind ' || i % 4, repeat('x', 60) FROM generate_series(1, 60000) i; \
 ALTER TABLE plugin_events ADD FOREIGN KEY (plugin_id) REFERENCES plugins; CREATE INDEX twice ON plugins (id); ANALYZE";

const SUGGESTION: &str = "index:postgres.public.plugin_events(plugin_id)";

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The statement that has no index, among those of a report.
fn the_slow_one(report: &Value) -> &Value {
    let is_it = |row: &&Value| row["query"].as_str().unwrap().contains("FROM plugin_events WHERE plugin_id = $1");
    list(&report["statements"]).iter().find(is_it).unwrap_or_else(|| panic!("{report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_indexes_are_reviewed_by_the_servers_own_counters_and_nothing_is_made() {
    let cluster = private_cluster(&[]).await;
    let url = cluster.server.url("postgres");
    let run = |arguments: &[&str]| holdfast(arguments, &[("DATABASE_URL", &url)], "");
    let (code, line) = complaint(&run(&["queries", "slow"]));
    assert!(code == Some(1) && line.contains("CREATE EXTENSION"), "the cure is told: {code:?} {line}");
    cluster.execute("postgres", SCHEMA).await;
    cluster.execute("postgres", "SELECT pg_stat_statements_reset()").await;
    // Health looks for itself, and knows by the store of a Holdfast that serves whom to miss.
    let (store_url, _directory) = test_support::sqlite_url();
    let store = Store::connect(&store_url).await.unwrap();
    store.migrate().await.unwrap();
    let gone = KnownStandby {
        name: "replica1".to_owned(),
        seen_at: Timestamp(1_700_000_000_000),
        replayed: None,
        by_address: false,
    };
    KnownStandbyRepo(store.db()).change("main", None, &[gone]).await.unwrap();
    let environment = [("DATABASE_URL", url.as_str()), ("HOLDFAST_STORE_URL", store_url.as_str())];
    let health = json(&holdfast(&["--json", "health"], &environment, ""));
    let dashboard = &health[0]["dashboard"];
    assert!(dashboard["health"]["score"].as_u64() > Some(0) && dashboard["cluster"]["role"] == "primary", "{health:#}");
    assert!(dashboard["connections"]["usable"].as_i64() > Some(0), "{health:#}");
    let missed = list(&dashboard["replication"]).iter().map(|it| (it["name"].as_str(), it["state"].as_str()));
    assert_eq!(missed.collect::<Vec<_>>(), [(Some("replica1"), Some("disconnected"))], "{health:#}");
    let work = (0..20).map(|i| format!("SELECT count(*) FROM plugin_events WHERE plugin_id = {i} AND kind = 'kind 1'"));
    cluster.execute("postgres", &work.collect::<Vec<_>>().join("; ")).await;

    let slow = json(&run(&["--json", "queries", "slow", "--threshold-ms", "0", "--limit", "500"]));
    assert!(slow["from"].as_str().unwrap().starts_with("from the server's counters"), "{slow:#}");
    let row = the_slow_one(&slow);
    assert_eq!((row["calls"].as_i64(), row["database"].as_str()), (Some(20), Some("postgres")), "{row}");
    assert!(row["mean_ms"].as_f64() > Some(0.0) && row["max_ms"].as_f64() >= row["mean_ms"].as_f64(), "{row}");
    let rows = list(&slow["statements"]);
    assert!(rows.iter().all(|row| !row["query"].as_str().unwrap().contains("holdfast:")), "our own are left out");
    let means = rows.iter().map(|row| row["mean_ms"].as_f64().unwrap()).collect::<Vec<_>>();
    assert!(means.is_sorted_by(|a, b| a >= b), "{means:?}");
    let none = told(&run(&["queries", "slow", "--threshold-ms", "1000000000"]));
    assert!(none.starts_with("main: 0 statements with a mean of "), "{none}");
    let (code, line) = complaint(&run(&["queries", "slow", "--threshold-ms=-1"]));
    assert!(code == Some(2) && line.contains("--threshold-ms"), "{code:?} {line}");

    let review = json(&run(&["--json", "queries", "review", "--limit", "40"]));
    let row = the_slow_one(&review);
    assert!(row["plan"].as_str().unwrap().contains("plugin_events") && row["cost"].as_f64() > Some(0.0), "{row:#}");
    assert!(list(&row["findings"]).iter().any(|finding| finding["kind"] == "seq_scan_filter"), "{row:#}");
    assert!(list(&row["suggestions"]).iter().any(|key| *key == SUGGESTION), "{row:#}");
    let review = told(&run(&["queries", "review", "--limit", "40"]));
    assert!(review.contains(&format!("    + {SUGGESTION}")), "{review}");

    let review = told(&run(&["indexes", "review"]));
    for said in [
        "  duplicate  postgres.public.twice (",
        "DROP INDEX CONCURRENTLY",
        "undo: CREATE INDEX",
        "  no index   postgres.public.plugin_events, plugin_events_plugin_id_fkey",
        "would help postgres.public.plugin_events (plugin_id):",
        "CREATE INDEX CONCURRENTLY",
    ] {
        assert!(review.contains(said), "{said}: {review}");
    }
    let review = json(&run(&["--json", "indexes", "review"]));
    assert!(list(&review["advice"]["suggestions"]).iter().any(|one| one["key"] == SUGGESTION), "{review:#}");
    let names = list(&review["indexes"]["rows"]).iter().map(|row| row["name"].as_str().unwrap());
    let mut names = names.collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(names, ["plugin_events_pkey", "plugins_pkey", "twice"], "nothing was made or dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_statistics_are_renewed_and_what_could_not_be_is_said() {
    let cluster = private_cluster(&[]).await;
    let url = cluster.server.url("postgres");
    let run = |arguments: &[&str]| holdfast(arguments, &[("DATABASE_URL", &url)], "");
    for table in ["stale", "held"] {
        // Autovacuum must not come before us.
        let sql = format!(
            "CREATE TABLE {table} (a int) WITH (autovacuum_enabled = off); INSERT INTO {table} SELECT generate_series(1, 1000)"
        );
        cluster.execute("postgres", &sql).await;
    }
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    let outcomes = |output: &Output| {
        let report = json(output);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        list(&report["stale"]).iter().map(|row| (text(row, "table"), text(row, "outcome"))).collect::<BTreeMap<_, _>>()
    };
    let both = |outcome: &str| {
        BTreeMap::from(["postgres.public.held", "postgres.public.stale"].map(|it| (it.to_owned(), outcome.to_owned())))
    };

    // What a session has counted is seen once it has ended.
    let begun = Instant::now();
    loop {
        let planned = outcomes(&run(&["--json", "stats", "analyze", "--dry-run"]));
        if planned == both("planned") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(100), "{planned:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let watcher = cluster.server.url_as("watcher", "w", "postgres");
    let output = holdfast(&["--json", "stats", "analyze"], &[("DATABASE_URL", &watcher)], "");
    assert_eq!((outcomes(&output), output.status.code()), (both("not_ours"), Some(1)));
    assert!(told(&output).contains("GRANT pg_maintain"), "{output:?}");

    // Somebody holds one of them: it is left out, not waited for.
    let info = ConnInfo::parse(&url).unwrap();
    let mut holder = ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
    holder.query("BEGIN").await.unwrap();
    holder.query("LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let output = run(&["stats", "analyze"]);
    let (code, line) = complaint(&output);
    assert!(code == Some(1) && line.contains("1 table could not be analyzed"), "{code:?} {line}");
    let said = told(&output);
    for row in ["  done     postgres.public.stale (never analyzed)", "  locked   postgres.public.held (never analyzed)"]
    {
        assert!(said.contains(row), "{row}: {said}");
    }
    holder.query("ROLLBACK").await.unwrap();

    let output = run(&["--json", "stats", "analyze"]);
    let held = BTreeMap::from([("postgres.public.held".to_owned(), "done".to_owned())]);
    assert_eq!((outcomes(&output), output.status.code()), (held, Some(0)));
    assert_eq!(outcomes(&run(&["--json", "stats", "analyze"])), BTreeMap::new());
    let (code, line) = complaint(&run(&["stats", "analyze", "--changed-percent=-1"]));
    assert!(code == Some(2) && line.contains("--changed-percent"), "{code:?} {line}");
}
