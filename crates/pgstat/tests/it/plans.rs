//! Plans on every PostgreSQL found: as the statement's role, with nothing run, and with nothing let through that is not one
//! statement.
use crate::cluster;
use domain::{
    ErrorKind,
    view::{ExplainMethod, ExplainRequest},
};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use test_support::{TestCluster, private_cluster_of, versions, watched_versions};

fn request(user: &str, sql: &str) -> ExplainRequest {
    ExplainRequest {
        database: "postgres".to_owned(),
        user: user.to_owned(),
        sql: sql.to_owned(),
        hypothetical: Vec::new(),
    }
}

async fn prepared(install: test_support::Install) -> TestCluster {
    let server = private_cluster_of(install, &[]).await;
    server
        .execute(
            "postgres",
            "CREATE ROLE app LOGIN PASSWORD 'a'; CREATE ROLE other LOGIN PASSWORD 'o'; \
             CREATE ROLE planner LOGIN PASSWORD 'p'; GRANT pg_monitor, app TO planner; \
             CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher; \
             CREATE SCHEMA shop AUTHORIZATION app; ALTER ROLE app SET search_path = shop; ALTER ROLE app SET work_mem = '64MB'; \
             CREATE TABLE shop.orders AS SELECT i AS id, i % 1000 AS customer, now() - i * interval '1 minute' AS at FROM generate_series(1, 20000) i; \
             ALTER TABLE shop.orders OWNER TO app; CREATE SEQUENCE shop.numbers; ALTER SEQUENCE shop.numbers OWNER TO app; \
             ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY; \
             CREATE POLICY mine ON shop.orders TO app USING (customer < 500); ANALYZE shop.orders",
        )
        .await;
    server
}

async fn count(server: &TestCluster) -> (i64, i64) {
    let mut connection = PgConnection::connect(&server.server.url("postgres")).await.unwrap();
    let row = connection
        .fetch_one("SELECT (SELECT count(*) FROM shop.orders), (SELECT last_value FROM shop.numbers)")
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_planned_as_its_role_and_not_run() {
    for install in watched_versions() {
        let major = install.major;
        let server = prepared(install).await;
        let planner = cluster(&server.server.url_as("planner", "p", "postgres"));
        let before = count(&server).await;
        let plan = planner
            .explain(&request("app", "SELECT * FROM orders WHERE customer = $1 AND at > now() - CAST($2 AS interval)"))
            .await
            .unwrap();
        assert_eq!(plan.method, if major >= 16 { ExplainMethod::GenericPlan } else { ExplainMethod::Prepared });
        assert_eq!(plan.role, "app");
        // The role's search path, its policy and its settings hold.
        for part in ["\"orders\"", "customer = $1", "customer < 500", "\"work_mem\": \"64MB\""] {
            assert!(plan.json.contains(part), "{major}: {part} is not in {}", plan.json);
        }
        for sql in [
            "DELETE FROM orders WHERE id = $1",
            "UPDATE orders SET customer = $1",
            "INSERT INTO orders SELECT nextval('numbers'), $1, now()",
            "SELECT nextval('numbers') FROM orders FOR UPDATE",
            "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone",
            "VALUES (1), ($1)",
        ] {
            let plan =
                planner.explain(&request("app", sql)).await.unwrap_or_else(|error| panic!("{major} {sql}: {error}"));
            assert!(plan.json.contains("\"Plan\""), "{sql}: {}", plan.json);
        }
        // Types that cannot be told are ours to give.
        let plan = planner.explain(&request("app", "SELECT $2, $1 FROM orders WHERE $3 IS NULL")).await.unwrap();
        assert_eq!(plan.method, ExplainMethod::Prepared);
        assert_eq!(count(&server).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_one_statement_that_has_a_plan_is_let_through() {
    for install in versions() {
        let server = prepared(install).await;
        // As the superuser: nothing but the way it is asked stands in the way.
        let root = cluster(&server.server.url("postgres"));
        let before = count(&server).await;
        for sql in [
            "SELECT 1; DROP TABLE shop.orders",
            "SELECT 1; COMMIT; DROP TABLE shop.orders",
            "DROP TABLE shop.orders",
            "EXPLAIN ANALYZE DELETE FROM shop.orders",
            "SELECT 1\n; DELETE FROM shop.orders",
            "DO $$ BEGIN DELETE FROM shop.orders; END $$",
            "CALL x()",
            "COPY shop.orders TO PROGRAM 'true'",
            "",
            "EXECUTE holdfast_explain",
        ] {
            let error = root.explain(&request("app", sql)).await.unwrap_err();
            assert_eq!((error.kind, error.sqlstate.as_deref()), (ErrorKind::Conflict, Some("42601")), "{sql}: {error}");
        }
        // Functions that would write are not called, and could not write.
        server.execute("postgres", "CREATE FUNCTION shop.sly() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN DELETE FROM shop.orders; RETURN 1; END $$").await;
        let error = root.explain(&request("app", "SELECT * FROM shop.orders WHERE id = shop.sly()")).await;
        if let Err(error) = error {
            // By the read-only transaction, or already because of what the function says of itself.
            assert!(matches!(error.sqlstate.as_deref(), Some("25006" | "0A000")), "{error}");
        }
        assert_eq!(count(&server).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_is_missing_and_the_session_goes_on() {
    for install in versions() {
        let server = prepared(install).await;
        let watcher = cluster(&server.server.url_as("watcher", "w", "postgres"));
        let select = request("app", "SELECT * FROM orders WHERE id = $1");
        let mut session = watcher.explainer("postgres").await.unwrap();
        // Named with its schema the right is missing; without, the schema is passed over and the table not found.
        let named = request("app", "SELECT * FROM shop.orders WHERE id = $1");
        for (asked, kind) in [(&named, ErrorKind::Forbidden), (&select, ErrorKind::Conflict)] {
            let error = session.explain(asked).await.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains("GRANT \"app\" TO \"watcher\""), "{error}");
        }
        let error = session.explain(&select).await.unwrap_err();
        assert!(error.message.contains("GRANT pg_read_all_data TO \"watcher\""), "{error}");
        server.execute("postgres", "GRANT pg_read_all_data TO watcher").await;
        let plan = session.explain(&select).await.unwrap();
        assert_eq!(plan.role, "watcher");
        let error = session.explain(&request("app", "SELECT * FROM gone")).await.unwrap_err();
        assert_eq!(error.sqlstate.as_deref(), Some("42P01"), "{error}");
        // A lock is not waited for longer than is allowed.
        let mut holder = PgConnection::connect(&server.server.url("postgres")).await.unwrap();
        holder.execute("BEGIN; LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let began = std::time::Instant::now();
        let error = session.explain(&select).await.unwrap_err();
        assert_eq!(error.sqlstate.as_deref(), Some("55P03"), "{error}");
        assert!(began.elapsed() < std::time::Duration::from_secs(30));
        holder.execute("ROLLBACK").await.unwrap();
        session.explain(&select).await.unwrap();
        session.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hypothetical_index_is_used_and_gone_afterwards() {
    for install in versions() {
        let server = prepared(install).await;
        let root = cluster(&server.server.url("postgres"));
        let mut connection = PgConnection::connect(&server.server.url("postgres")).await.unwrap();
        if let Err(error) = connection.execute("CREATE EXTENSION hypopg").await {
            test_support::skipped(&format!("HypoPG is not installed for this PostgreSQL ({error})"));
            let mut with = request("app", "SELECT 1");
            with.hypothetical = vec!["CREATE INDEX ON shop.orders (customer)".to_owned()];
            assert_eq!(root.explain(&with).await.unwrap_err().kind, ErrorKind::Unavailable);
            continue;
        }
        let mut session = root.explainer("postgres").await.unwrap();
        assert!(session.has_hypopg());
        let select = request("app", "SELECT * FROM orders WHERE customer = $1");
        assert!(session.explain(&select).await.unwrap().json.contains("Seq Scan"));
        let mut with = select.clone();
        with.hypothetical = vec!["CREATE INDEX ON shop.orders (customer)".to_owned()];
        let plan = session.explain(&with).await.unwrap();
        assert!(plan.hypothetical[0].bytes > 8_192 && plan.json.contains(&plan.hypothetical[0].name), "{}", plan.json);
        assert!(session.explain(&select).await.unwrap().json.contains("Seq Scan"), "the index stayed");
    }
}
