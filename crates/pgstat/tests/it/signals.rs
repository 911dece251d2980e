//! Cancel and terminate, on every PostgreSQL found: what is done, what is refused and in which words.
use crate::cluster;
use domain::{
    ErrorKind, Timestamp,
    view::{SignalAction, SignalRequest},
};
use pgstat::{Cluster, SignalError};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::{Duration, Instant};
use test_support::{TestCluster, private_cluster_of, versions, watched_versions};

/// A session that runs `sql`, and what is known of it.
async fn session(url: &str, sql: &'static str) -> (tokio::task::JoinHandle<Result<(), sqlx::Error>>, i32) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let pid = connection.fetch_one("SELECT pg_backend_pid()").await.unwrap().get::<i32, _>(0);
    (tokio::spawn(async move { connection.execute(sql).await.map(|_| ()) }), pid)
}

async fn seen(cluster: &Cluster, pid: i32, active: bool) -> Timestamp {
    let began = Instant::now();
    loop {
        let reading = cluster.activity().await.unwrap();
        let found =
            reading.rows.iter().find(|row| row.pid == pid && (!active || row.state.as_deref() == Some("active")));
        if let Some(row) = found {
            return row.started_at.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{pid} is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const fn request(action: SignalAction, pid: i32, started_at: Timestamp) -> SignalRequest {
    SignalRequest { action, pid, started_at, autovacuum: false }
}

fn refused(outcome: Result<pgstat::Signalled, SignalError>, kind: ErrorKind, words: &str) -> SignalError {
    let error = outcome.unwrap_err();
    assert!(error.kind == kind && error.message.contains(words), "{error:?} is not {kind:?} with '{words}'");
    error
}

async fn prepared(install: test_support::Install) -> TestCluster {
    let server = private_cluster_of(install, &[]).await;
    server
        .execute(
            "postgres",
            "CREATE ROLE signaller LOGIN PASSWORD 's'; GRANT pg_monitor, pg_signal_backend TO signaller; \
             CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher; CREATE ROLE app LOGIN PASSWORD 'a'",
        )
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_cancelled_and_a_session_ended_on_every_version() {
    for install in watched_versions() {
        let server = prepared(install).await;
        let signaller = cluster(&server.server.url_as("signaller", "s", "postgres"));
        let app = server.server.url_as("app", "a", "postgres");

        let (running, pid) = session(&app, "SELECT pg_sleep(600)").await;
        let started_at = seen(&signaller, pid, true).await;
        let done = signaller.signal(&request(SignalAction::Cancel, pid, started_at)).await.unwrap();
        assert!(done.ended && done.user.as_deref() == Some("app"), "{done:?}");
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("57014"));

        let (running, pid) = session(&app, "SELECT pg_sleep(600)").await;
        let started_at = seen(&signaller, pid, true).await;
        assert!(signaller.signal(&request(SignalAction::Terminate, pid, started_at)).await.unwrap().ended);
        assert!(running.await.unwrap().is_err());
        refused(
            signaller.signal(&request(SignalAction::Terminate, pid, started_at)).await,
            ErrorKind::NotFound,
            "is gone",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_signalled_is_left_alone_and_a_refusal_of_the_server_is_explained() {
    let server = prepared(versions().remove(0)).await;
    let signaller = cluster(&server.server.url_as("signaller", "s", "postgres"));
    let app = server.server.url_as("app", "a", "postgres");
    let (running, pid) = session(&app, "SELECT pg_sleep(600)").await;
    let started_at = seen(&signaller, pid, true).await;

    // Somebody else's start: the pid went to another since.
    let other = Timestamp(started_at.0 - 1);
    refused(signaller.signal(&request(SignalAction::Terminate, pid, other)).await, ErrorKind::NotFound, "is another");
    // A role without the right, told with the GRANT.
    let watcher = cluster(&server.server.url_as("watcher", "w", "postgres"));
    let error = refused(
        watcher.signal(&request(SignalAction::Cancel, pid, started_at)).await,
        ErrorKind::Forbidden,
        "GRANT pg_signal_backend TO \"watcher\"",
    );
    assert_eq!(error.sqlstate.as_deref(), Some("42501"));
    // A superuser's session.
    let (root, root_pid) = session(&server.server.url("postgres"), "SELECT pg_sleep(600)").await;
    let root_started = seen(&signaller, root_pid, true).await;
    refused(
        signaller.signal(&request(SignalAction::Cancel, root_pid, root_started)).await,
        ErrorKind::Forbidden,
        "superuser",
    );
    // Ourselves.
    let (own, own_started) = {
        let reading = watcher.activity().await.unwrap();
        signaller.activity().await.unwrap();
        let reading = if reading.rows.iter().any(|row| row.user.as_deref() == Some("signaller")) {
            reading
        } else {
            watcher.activity().await.unwrap()
        };
        let row = reading
            .rows
            .iter()
            .find(|row| row.user.as_deref() == Some("signaller") && row.application == "holdfast")
            .cloned()
            .unwrap();
        (row.pid, row.started_at.unwrap())
    };
    refused(
        signaller.signal(&request(SignalAction::Terminate, own, own_started)).await,
        ErrorKind::Conflict,
        "own session",
    );
    // The server's own processes, and a walsender.
    let _standby = server.standby("replica1").await;
    for (kind, words) in [("checkpointer", "never signalled"), ("walsender", "walsender")] {
        let began = Instant::now();
        let row = loop {
            let reading = signaller.activity().await.unwrap();
            if let Some(row) = reading.rows.into_iter().find(|row| row.backend_type == kind) {
                break row;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no {kind} is seen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let request = request(SignalAction::Terminate, row.pid, row.started_at.unwrap());
        refused(signaller.signal(&request).await, ErrorKind::Conflict, words);
    }
    // A session that runs nothing has nothing to cancel.
    let mut idle = PgConnection::connect(&app).await.unwrap();
    let idle_pid = idle.fetch_one("SELECT pg_backend_pid()").await.unwrap().get::<i32, _>(0);
    let idle_started = seen(&signaller, idle_pid, false).await;
    refused(
        signaller.signal(&request(SignalAction::Cancel, idle_pid, idle_started)).await,
        ErrorKind::Conflict,
        "runs no statement",
    );
    idle.execute("SELECT 1").await.unwrap();

    assert!(!running.is_finished() && !root.is_finished(), "nothing was signalled");
    running.abort();
    root.abort();
}

/// What gives way by itself is ended only by whoever says that it is meant, and of a statement in parallel only the leader.
#[tokio::test(flavor = "multi_thread")]
async fn an_autovacuum_worker_is_left_alone_unless_it_is_meant_and_a_parallel_worker_always() {
    let install = versions().remove(0);
    let in_parallel = if install.major >= 16 {
        "SET debug_parallel_query = on; SELECT pg_sleep(600)"
    } else {
        "SET force_parallel_mode = on; SELECT pg_sleep(600)"
    };
    // A worker comes soon and takes a minute for what would be over at once.
    let slowly =
        [("autovacuum_naptime", "1"), ("autovacuum_vacuum_cost_delay", "100"), ("autovacuum_vacuum_cost_limit", "1")];
    let server = private_cluster_of(install, &slowly).await;
    let url = server.server.url("postgres");
    let root = cluster(&url);
    let found = async |backend_type: &str, words: &str| {
        let began = Instant::now();
        loop {
            let reading = root.activity().await.unwrap();
            let is_it = |row: &domain::reading::Backend| {
                row.backend_type == backend_type && row.query.as_deref().is_some_and(|query| query.contains(words))
            };
            if let Some(row) = reading.rows.into_iter().find(is_it) {
                break request(SignalAction::Terminate, row.pid, row.started_at.unwrap());
            }
            assert!(began.elapsed() < Duration::from_secs(100), "no {backend_type} is seen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };

    let (running, leader) = session(&url, in_parallel).await;
    let worker = found("parallel worker", "pg_sleep").await;
    assert_ne!(worker.pid, leader);
    refused(root.signal(&worker).await, ErrorKind::Conflict, &format!("signal its leader with pid {leader}"));
    assert!(!running.is_finished(), "nothing was signalled");
    running.abort();

    server
        .execute(
            "postgres",
            "CREATE TABLE churned AS SELECT i, repeat('x', 200) AS filler FROM generate_series(1, 20000) i",
        )
        .await;
    server.execute("postgres", "DELETE FROM churned").await;
    let worker = found("autovacuum worker", "public.churned").await;
    refused(root.signal(&worker).await, ErrorKind::Conflict, "Confirm that you mean it");
    let done = root.signal(&SignalRequest { autovacuum: true, ..worker }).await.unwrap();
    assert!(done.ended && done.user.is_none(), "{done:?}");
}
