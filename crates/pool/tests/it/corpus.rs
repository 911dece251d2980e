//! Statements that routers by parsing get wrong (pgcat#489, #750, #829, #884, #887 and their like), sent as reads.
use crate::{Pair, until_states};
use pool::{PoolError, Pools, Reader, Scope, Work};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_support::Weather;

enum Is {
    /// A read; it is answered.
    Answered,
    /// A write; it is refused as such.
    Refused,
    /// Something else is wrong with it.
    Wrong,
    /// Answered or not by version and server; it must leave nothing behind in any case.
    Either,
}
use Is::{Answered, Either, Refused, Wrong};

const CORPUS: &[(&str, Is)] = &[
    ("SELECT 1", Answered),
    ("select id from t order by id", Answered),
    ("TABLE t", Answered),
    ("VALUES (1), (2)", Answered),
    ("WITH x AS (SELECT id FROM t) SELECT count(*) FROM x", Answered),
    ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n", Answered),
    ("SELECT 'INSERT INTO t VALUES (1)'", Answered),
    ("SELECT /* UPDATE */ 1 -- DELETE", Answered),
    ("SHOW server_version", Answered),
    ("EXPLAIN SELECT * FROM t", Answered),
    ("EXPLAIN INSERT INTO t VALUES (100)", Answered),
    ("EXPLAIN ANALYZE SELECT * FROM t", Answered),
    ("EXPLAIN ANALYZE INSERT INTO t VALUES (100)", Refused),
    ("EXPLAIN (ANALYZE, FORMAT JSON) DELETE FROM t", Refused),
    ("SELECT random(), clock_timestamp()", Answered),
    ("SELECT pure()", Answered),
    ("SELECT writes()", Refused),
    ("SELECT id, writes() FROM t", Refused),
    ("SELECT hides()", Refused),
    ("CALL writes_too()", Refused),
    ("INSERT INTO t VALUES (100)", Refused),
    ("  \n/* SELECT */ INSERT INTO t VALUES (100)", Refused),
    ("INSERT INTO t SELECT id + 100 FROM t", Refused),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", Refused),
    ("INSERT INTO t VALUES (100) RETURNING id", Refused),
    ("UPDATE t SET v = 'x'", Refused),
    ("UPDATE t SET v = 'x' WHERE false", Refused),
    ("UPDATE v_t SET v = 'x'", Refused),
    ("DELETE FROM t", Refused),
    ("MERGE INTO t USING (VALUES (1::bigint)) AS s (id) ON t.id = s.id WHEN MATCHED THEN DELETE", Refused),
    ("WITH i AS (INSERT INTO t VALUES (100) RETURNING id) SELECT * FROM i", Refused),
    ("WITH u AS (UPDATE t SET v = 'x' RETURNING id) SELECT count(*) FROM u", Refused),
    ("WITH d AS (DELETE FROM t RETURNING id) SELECT 1", Refused),
    ("WITH a AS (SELECT 1), d AS (DELETE FROM t) SELECT * FROM a", Refused),
    ("SELECT * FROM t FOR UPDATE", Refused),
    ("SELECT * FROM t FOR NO KEY UPDATE", Refused),
    ("SELECT * FROM t FOR SHARE", Refused),
    ("SELECT * FROM t FOR KEY SHARE", Refused),
    ("SELECT * FROM t LIMIT 1 FOR UPDATE SKIP LOCKED", Refused),
    ("SELECT * FROM (SELECT * FROM t FOR UPDATE) AS s", Refused),
    ("SELECT nextval('s')", Refused),
    ("SELECT setval('s', 50)", Refused),
    ("SELECT currval('s')", Wrong),
    ("SELECT lastval()", Wrong),
    ("SELECT last_value FROM s", Answered),
    ("SELECT id INTO made FROM t", Refused),
    ("CREATE TABLE made AS SELECT * FROM t", Refused),
    ("CREATE TABLE made (id int)", Refused),
    ("CREATE TEMP TABLE made (id int)", Refused),
    ("CREATE TEMP SEQUENCE made", Refused),
    ("CREATE VIEW made AS SELECT 1", Refused),
    ("CREATE INDEX ON t (v)", Refused),
    ("CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'", Refused),
    ("ALTER TABLE t ADD COLUMN w int", Refused),
    ("DROP TABLE t", Refused),
    ("TRUNCATE t", Refused),
    ("REFRESH MATERIALIZED VIEW m_t", Refused),
    ("GRANT SELECT ON t TO public", Refused),
    ("COMMENT ON TABLE t IS 'x'", Refused),
    ("DO $$ BEGIN INSERT INTO t VALUES (100); END $$", Refused),
    ("DO $$ BEGIN EXECUTE 'CREATE ' || 'TABLE made (id int)'; END $$", Refused),
    ("DO $$ BEGIN PERFORM 1; END $$", Answered),
    ("COPY t FROM STDIN", Refused),
    ("COPY t TO STDOUT", Wrong),
    ("COPY (DELETE FROM t RETURNING id) TO STDOUT", Refused),
    ("PREPARE made AS INSERT INTO t VALUES (100)", Answered),
    ("DECLARE c CURSOR FOR SELECT * FROM t", Answered),
    ("LOCK TABLE t IN ACCESS SHARE MODE", Answered),
    ("LOCK TABLE t IN ACCESS EXCLUSIVE MODE", Answered),
    ("LISTEN news", Answered),
    ("NOTIFY news", Answered),
    ("SELECT pg_notify('news', 'x')", Answered),
    ("SELECT txid_current()", Answered),
    ("SELECT pg_advisory_lock(7)", Answered),
    ("SELECT pg_try_advisory_lock(8)", Answered),
    ("SELECT pg_advisory_xact_lock(9)", Answered),
    ("SELECT lo_create(4711)", Either),
    ("ANALYZE t", Either),
    ("VACUUM t", Wrong),
    ("SET default_transaction_read_only = off", Answered),
    ("SELECT set_config('default_transaction_read_only', 'off', false)", Answered),
    ("SELECT unlocks()", Answered),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", Answered),
    ("SET TRANSACTION READ WRITE", Wrong),
    ("SELECT set_config('transaction_read_only', 'off', true)", Wrong),
    ("BEGIN READ WRITE", Wrong),
    ("SET statement_timeout = 1", Answered),
];

/// More than one statement in a message, as the simple protocol allows.
const SCRIPTS: &[&str] = &[
    "SELECT 1; INSERT INTO t VALUES (100)",
    "PREPARE made_2 AS INSERT INTO t VALUES (100); EXECUTE made_2",
    "SAVEPOINT a; INSERT INTO t VALUES (100)",
    "COMMIT; INSERT INTO t VALUES (100)",
    "ROLLBACK; DELETE FROM t",
    "COMMIT; CREATE TABLE made (id int)",
    "SET default_transaction_read_only = off; INSERT INTO t VALUES (100)",
];

const SCHEMA: &str = "
    INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 10) g;
    CREATE SEQUENCE s; SELECT nextval('s');
    CREATE VIEW v_t AS SELECT * FROM t;
    CREATE MATERIALIZED VIEW m_t AS SELECT * FROM t;
    CREATE FUNCTION pure() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
    CREATE FUNCTION writes() RETURNS bigint LANGUAGE sql VOLATILE AS 'INSERT INTO t VALUES (100) RETURNING id';
    CREATE FUNCTION hides() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN EXECUTE 'SELECT nextval(''s'')'; RETURN 1; END $$;
    CREATE FUNCTION unlocks() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT set_config('default_transaction_read_only', 'off', false) $$;
    CREATE PROCEDURE writes_too() LANGUAGE sql AS 'INSERT INTO t VALUES (100)';
    ALTER TABLE t OWNER TO app; ALTER SEQUENCE s OWNER TO app; ALTER VIEW v_t OWNER TO app; ALTER MATERIALIZED VIEW m_t OWNER TO app;
    GRANT CREATE ON SCHEMA public TO app";

/// Everything that one of them could have changed.
async fn state(url: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT concat_ws(' ', (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t), (SELECT last_value FROM s), (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_largeobject_metadata), (SELECT relacl::text FROM pg_class WHERE relname = 't'), (SELECT count(*) FROM pg_description), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'))")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn send(pools: &Pools, sql: &'static str, script: bool) -> Result<(), PoolError> {
    pools
        .read(&Scope::default(), |reader: &mut Reader, _: Work<'_, '_>| {
            Box::pin(async move {
                if script {
                    reader.connection()?.execute(sqlx::raw_sql(sql)).await?;
                } else {
                    sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(reader.connection()?).await?;
                }
                Ok(())
            })
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_never_writes_on_whichever_server() {
    assert!(CORPUS.len() + SCRIPTS.len() >= 60);
    let pair = Pair::start(&[]).await;
    pair.primary.execute("postgres", SCHEMA).await;
    let url = pair.primary.server.url("postgres");
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let before = state(&url).await;
    for with_replica in [true, false] {
        if !with_replica {
            pair.before_standby.set(Weather::Cut);
            until_states(&pools, ["primary", "down"]).await;
        }
        for (sql, is) in CORPUS {
            let got = send(&pools, sql, false).await;
            match is {
                Answered => assert!(got.is_ok(), "{sql} (replica: {with_replica}): {got:?}"),
                Refused => {
                    assert!(matches!(got, Err(PoolError::ReadOnly(_))), "{sql} (replica: {with_replica}): {got:?}")
                }
                Wrong => assert!(matches!(got, Err(PoolError::Sql(_))), "{sql} (replica: {with_replica}): {got:?}"),
                Either => {}
            }
            assert_eq!(state(&url).await, before, "{sql} (replica: {with_replica}) has changed something: {got:?}");
            // What it set does not reach whoever has the connection next.
            let after = send(&pools, "INSERT INTO t VALUES (101)", false).await;
            assert!(matches!(after, Err(PoolError::ReadOnly(_))), "after {sql}: {after:?}");
        }
        for sql in SCRIPTS {
            let got = send(&pools, sql, true).await;
            assert!(matches!(got, Err(PoolError::ReadOnly(_))), "{sql} (replica: {with_replica}): {got:?}");
            assert_eq!(state(&url).await, before, "{sql} (replica: {with_replica}) has changed something");
        }
    }
    let routing = pools.snapshot().routing;
    assert!(routing.replica_reads > 10, "reads went to the replica: {routing:?}");
    assert!(routing.primary_reads_standby_refused >= 5, "what needs a primary was repeated there: {routing:?}");
    assert!(routing.refused_writes > 100, "{routing:?}");
    assert_eq!(routing.writes, 0);
}
