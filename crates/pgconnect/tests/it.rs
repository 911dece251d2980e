//! Connections to a real server from a runtime whose workers have no time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use sqlx::{
    Row as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{str::FromStr as _, time::Duration};
use test_support::Busy;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_does_not_wait_for_the_busy_tasks_turns() {
    let database = test_support::database().await;
    let options = PgConnectOptions::from_str(&database.url).unwrap();
    let busy = Busy::start().await;

    let (connected, turns) = busy.turns_during(pgconnect::connect(options)).await;
    let mut connection = connected.unwrap();
    assert!(turns < Busy::TURNS_OF_SCRAM / 4, "the busy tasks had {turns} turns");
    drop(busy);

    // The password was asked for, with as many rounds as are said.
    let row = sqlx::query("SELECT rolpassword, current_database() FROM pg_authid WHERE rolname = session_user")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(row.get::<String, _>(0).starts_with("SCRAM-SHA-256$4096:"));
    assert_eq!(row.get::<String, _>(1), database.name);
    let methods = "SELECT DISTINCT auth_method FROM pg_hba_file_rules";
    assert_eq!(sqlx::query_scalar::<_, String>(methods).fetch_all(&mut connection).await.unwrap(), ["scram-sha-256"]);
}

#[tokio::test]
async fn a_wrong_password_is_the_servers_error() {
    let cluster = test_support::cluster().await;
    let options = PgConnectOptions::from_str(&cluster.server.url("postgres")).unwrap().password("wrong");
    let error = pgconnect::connect(options).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "28P01");
}

#[tokio::test]
async fn a_connection_that_nobody_waits_for_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(silent.local_addr().unwrap().port())
        .username("nobody")
        .ssl_mode(PgSslMode::Disable);
    let connecting = tokio::spawn(pgconnect::connect(options));
    let (mut peer, _) = silent.accept().await.unwrap();
    // It has sent its first message and waits for the answer.
    let mut first = [0; 1];
    peer.read_exact(&mut first).await.unwrap();
    connecting.abort();
    assert!(connecting.await.unwrap_err().is_cancelled());
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), peer.read_to_end(&mut rest))
        .await
        .expect("the connection is still open")
        .unwrap();
}
