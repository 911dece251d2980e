//! Wrong passwords, silent peers, locks.
use crate::{LIMITS, cluster};
use pgstat::{Cluster, Limits, PgstatError, Target};
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, Weather, database};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_with_the_role_and_without_the_password() {
    let server = &test_support::cluster().await.server;
    let error = cluster(&server.url_as("postgres", "wr0ng", "postgres")).server().await.unwrap_err();
    assert!(matches!(&error, PgstatError::Refused { role, .. } if role == "postgres"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("wr0ng"));
    let error = cluster(&server.url("no_such_database")).server().await.unwrap_err();
    assert!(matches!(&error, PgstatError::Refused { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unreachable_at_once() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = cluster(&format!("postgres://postgres:secret@127.0.0.1:{port}/postgres")).server().await.unwrap_err();
    // Not asked again and again until time is up: then the reason would be another.
    assert!(
        matches!(&error, PgstatError::Unreachable { host, reason } if host.ends_with(&port.to_string()) && reason.contains("refused")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_says_so_and_is_read_as_soon_as_there_is_one() {
    let database = database().await;
    let shared = test_support::cluster().await;
    let role = format!("full_{}", database.name);
    shared.execute("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD 'f' CONNECTION LIMIT 0")).await;
    let cluster = cluster(&shared.server.url_as(&role, "f", &database.name));
    let error = cluster.server().await.unwrap_err();
    assert!(
        matches!(&error, PgstatError::Refused { reason, password: false, .. } if reason.contains("too many connections")),
        "{error:?}"
    );
    shared.execute("postgres", &format!("ALTER ROLE {role} CONNECTION LIMIT 1")).await;
    cluster.server().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_ends_within_the_deadline_and_the_same_cluster_reads_again_after_it() {
    let database = database().await;
    let proxy = ChaosProxy::start(test_support::cluster().await.server.port()).await;
    let url = format!("postgres://postgres:secret@127.0.0.1:{}/{}", proxy.port(), database.name);
    // So that it ends soon.
    let second = Duration::from_secs(1);
    let limits = Limits { connect: 3 * second, statement: 3 * second, lock: second, deadline: 4 * second };
    let cluster = Cluster::new(Target::parse(&url).unwrap(), limits);
    cluster.server().await.unwrap();
    proxy.set(Weather::BlackHole);
    for _ in 0..3 {
        let began = Instant::now();
        let error = cluster.activity().await.unwrap_err();
        assert!(matches!(&error, PgstatError::Unreachable { .. }), "{error:?}");
        assert!(began.elapsed() < 5 * limits.deadline, "{:?}", began.elapsed());
    }
    proxy.set(Weather::Fair);
    cluster.activity().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_an_exclusive_lock_stalls_no_collector() {
    use sqlx::{Connection as _, Executor as _};
    let database = database().await;
    let mut holder = sqlx::PgConnection::connect(&database.url).await.unwrap();
    holder
        .execute(
            "CREATE TABLE held (id int PRIMARY KEY, other int REFERENCES held); CREATE TABLE free (id int PRIMARY KEY)",
        )
        .await
        .unwrap();
    holder.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let cluster = cluster(&database.url);
    let began = Instant::now();
    let indexes = cluster.indexes().await.unwrap();
    let mine = indexes
        .rows
        .iter()
        .filter(|row| row.database == database.name)
        .map(|row| row.name.as_str())
        .collect::<Vec<_>>();
    assert!(
        mine.contains(&"free_pkey") && !indexes.skipped.iter().any(|(name, _)| *name == database.name),
        "{mine:?} {:?}",
        indexes.skipped
    );
    let tables = cluster.tables().await.unwrap();
    assert!(tables.rows.iter().any(|row| row.database == database.name && row.name == "free"), "{:?}", tables.skipped);
    cluster.database(true).await.unwrap();
    cluster.locks().await.unwrap();
    cluster.activity().await.unwrap();
    assert!(began.elapsed() < LIMITS.statement, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_somebody_alters_hides_no_table_and_is_said_to_be_unread() {
    use sqlx::{Connection as _, Executor as _};
    let database = database().await;
    let mut holder = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let made = "CREATE TABLE there (a int); CREATE SEQUENCE narrow AS smallint; SELECT setval('narrow', 32000)";
    holder.execute(made).await.unwrap();
    let cluster = cluster(&database.url);
    let key = format!("{}.public.narrow", database.name);
    let before = cluster.tables().await.unwrap();
    assert!(before.sequences.iter().any(|it| it.key == key && it.used_percent > 97.0), "{before:?}");
    assert!(!before.sequences_unread.contains(&database.name));
    holder.execute("BEGIN; DROP SEQUENCE narrow").await.unwrap();
    let during = cluster.tables().await.unwrap();
    assert!(during.rows.iter().any(|row| row.database == database.name && row.name == "there"), "{during:?}");
    assert!(during.sequences_unread.contains(&database.name), "{during:?}");
    holder.execute("ROLLBACK").await.unwrap();
    assert!(cluster.tables().await.unwrap().sequences.iter().any(|it| it.key == key));
}
