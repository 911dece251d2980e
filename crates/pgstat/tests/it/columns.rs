//! Columns with the planner's statistics, on every PostgreSQL found: what there is, and what a role without the right sees.
use crate::cluster;
use domain::reading::{ColumnReading, ColumnStatistics};
use test_support::{private_cluster_of, watched_versions};

const TABLES: &str = "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'new', \
  total numeric(12,2), twice numeric GENERATED ALWAYS AS (total * 2) STORED, note text, gone int); \
 ALTER TABLE orders DROP COLUMN gone; ALTER TABLE orders ALTER note SET STATISTICS 0; ALTER TABLE orders ALTER state SET STATISTICS 500; \
 INSERT INTO orders (state, total) SELECT CASE WHEN g % 10 < 7 THEN 'verysecret' ELSE 'new' END, g FROM generate_series(1, 10000) g; \
 CREATE TABLE parts (id int, at date) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100000); \
 INSERT INTO parts SELECT g, current_date FROM generate_series(1, 5000) g; \
 CREATE TABLE secured (a int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY; INSERT INTO secured VALUES (1); \
 CREATE TABLE never (a int); ANALYZE orders; ANALYZE parts; ANALYZE secured; \
 CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher; GRANT SELECT (state) ON orders TO watcher; \
 GRANT SELECT ON secured, parts TO watcher";

fn of<'a>(reading: &'a ColumnReading, table: &str, column: &str) -> &'a ColumnStatistics {
    let found = reading.rows.iter().find(|row| row.database == "postgres" && row.table == table && row.name == column);
    found.unwrap_or_else(|| panic!("{table}.{column} is not among {reading:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_read_with_what_the_role_may_see_of_their_statistics_and_without_values() {
    for install in watched_versions() {
        let server = private_cluster_of(install, &[]).await;
        server.execute("postgres", TABLES).await;
        let all = cluster(&server.server.url("postgres")).columns().await.unwrap();
        assert!(all.skipped.is_empty(), "{:?}", all.skipped);
        let orders = all.rows.iter().filter(|row| row.table == "orders").map(|row| row.name.as_str());
        assert_eq!(orders.collect::<Vec<_>>(), ["id", "state", "total", "twice", "note"]);
        assert!(!format!("{all:?}").contains("verysecret"), "a value was read: {all:?}");

        let id = of(&all, "orders", "id");
        assert_eq!((id.data_type.as_str(), id.not_null, id.identity.as_str()), ("bigint", true, "a"));
        assert_eq!((id.seen, id.n_distinct, id.most_common, id.target), (true, Some(-1.0), None, None), "{id:?}");
        assert!(id.correlation.is_some_and(|it| it > 0.99) && id.width == Some(8) && id.default_target == 100);
        let state = of(&all, "orders", "state");
        assert_eq!(state.expression.as_deref(), Some("'new'::text"));
        assert_eq!((state.n_distinct, state.most_common, state.target), (Some(2.0), Some(2), Some(500)), "{state:?}");
        assert!(state.most_common_fraction.is_some_and(|it| (it - 0.7).abs() < 0.05), "{state:?}");
        assert_eq!(of(&all, "orders", "total").data_type, "numeric(12,2)");
        let twice = of(&all, "orders", "twice");
        assert!(twice.generated == "s" && twice.expression.as_deref().is_some_and(|it| it.contains('*')), "{twice:?}");
        let note = of(&all, "orders", "note");
        assert_eq!((note.target, note.seen, note.readable, note.n_distinct), (Some(0), false, true, None), "{note:?}");
        let whole = of(&all, "parts", "at");
        assert!(whole.partitioned && whole.seen && whole.n_distinct == Some(1.0), "{whole:?}");
        assert!(!of(&all, "never", "a").seen && of(&all, "secured", "a").seen);

        // With pg_monitor alone: what may be read, and of the rest that it may not.
        let watcher = cluster(&server.server.url_as("watcher", "w", "postgres")).columns().await.unwrap();
        let hidden = of(&watcher, "orders", "total");
        assert_eq!((hidden.readable, hidden.seen, hidden.null_fraction), (false, false, None), "{hidden:?}");
        assert_eq!(hidden.data_type, "numeric(12,2)");
        let granted = of(&watcher, "orders", "state");
        assert!(granted.readable && granted.seen && granted.most_common == Some(2), "{granted:?}");
        assert!(of(&watcher, "parts", "id").seen);
        let secured = of(&watcher, "secured", "a");
        assert!(secured.readable && secured.row_security && !secured.seen, "{secured:?}");
    }
}

/// What the README says to grant: everything of `pg_statistic` but the values.
const GRANT: &str = "GRANT SELECT (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, \
 stakind1, stakind2, stakind3, stakind4, stakind5, stanumbers1, stanumbers2, stanumbers3, stanumbers4, stanumbers5) \
 ON pg_catalog.pg_statistic TO watcher";

#[tokio::test(flavor = "multi_thread")]
async fn with_the_grant_on_pg_statistic_all_statistics_are_seen_and_no_value() {
    use sqlx::{Connection as _, Executor as _};
    let server = test_support::private_cluster(&[]).await;
    server.execute("postgres", TABLES).await;
    // Larger than what is left out; pg_monitor alone sees no width of its columns.
    let large = "CREATE TABLE large (id int PRIMARY KEY, total numeric); \
                 INSERT INTO large SELECT g, g FROM generate_series(1, 50000) g; CREATE INDEX ON large (total); ANALYZE large";
    server.execute("postgres", large).await;
    let url = server.server.url_as("watcher", "w", "postgres");
    let watcher = cluster(&url);
    let widths = async || {
        let (tables, indexes) = (watcher.bloat().await.unwrap(), watcher.index_bloat().await.unwrap());
        assert!(!tables.is_empty() && indexes.len() >= 2, "{tables:?} {indexes:?}");
        tables.iter().chain(&indexes).map(|it| it.row_bytes.is_some()).collect::<Vec<_>>()
    };
    assert!(widths().await.iter().all(|known| !known));

    server.execute("postgres", GRANT).await;
    assert!(widths().await.iter().all(|known| *known));
    let all = cluster(&server.server.url("postgres")).columns().await.unwrap();
    let seen = watcher.columns().await.unwrap();
    for (table, column) in [("orders", "state"), ("orders", "total"), ("secured", "a"), ("parts", "at")] {
        let (ours, theirs) = (of(&seen, table, column), of(&all, table, column));
        assert!(ours.seen && ours.readable && !ours.row_security, "{ours:?}");
        assert_eq!(ours, theirs, "a superuser sees no more of {table}.{column}");
    }
    assert_eq!(of(&seen, "orders", "state").most_common, Some(2));
    // The data and the values in the statistics stay closed.
    let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
    for closed in ["SELECT total FROM orders", "SELECT stavalues1 FROM pg_statistic", "SELECT * FROM pg_statistic"] {
        let refused = session.execute(closed).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_left_out_and_a_wide_one_is_read_in_time() {
    use sqlx::{Connection as _, Executor as _};
    let server = test_support::private_cluster(&[]).await;
    let wide = "DO $$ BEGIN FOR i IN 1..4 LOOP EXECUTE format('CREATE TABLE wide%s (%s)', i, \
      (SELECT string_agg('c' || g || ' int DEFAULT 1', ',') FROM generate_series(1, 1400) g)); \
     EXECUTE format('INSERT INTO wide%s SELECT FROM generate_series(1, 50 * %s)', i, i); END LOOP; END $$; ANALYZE; \
     CREATE TABLE held (a int); CREATE TABLE free (a int)";
    server.execute("postgres", wide).await;
    let mut holder = sqlx::PgConnection::connect(&server.server.url("postgres")).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reading = cluster(&server.server.url("postgres")).columns().await.unwrap();
    assert!(reading.skipped.is_empty(), "{:?}", reading.skipped);
    let number = |table: &str| reading.rows.iter().filter(|row| row.table == table).count();
    // The limit is met within the fourth: half of a table is not shown, and the smaller ones are behind it.
    assert_eq!(["wide4", "wide3", "wide2", "wide1", "free", "held"].map(number), [1_400, 1_400, 1_400, 0, 0, 0]);
    let first = of(&reading, "wide4", "c1");
    assert!(first.seen && first.expression.as_deref().is_some_and(|it| it.starts_with("(not read")), "{first:?}");
    // One by one: a lock for each default.
    for i in 1..=4 {
        server.execute("postgres", &format!("DROP TABLE wide{i}")).await;
    }
    let reading = cluster(&server.server.url("postgres")).columns().await.unwrap();
    let names = reading.rows.iter().map(|row| row.table.as_str()).collect::<Vec<_>>();
    assert!(names.contains(&"free") && !names.contains(&"held"), "{names:?}");
}
