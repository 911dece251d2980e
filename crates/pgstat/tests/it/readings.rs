//! Every reading, on every PostgreSQL found.
use crate::cluster;
use domain::reading::{ExtensionState, Provider, ReplicationReading, ServerRole};
use pgstat::{Cluster, PgstatError};
use std::time::{Duration, Instant};
use test_support::{private_cluster_of, watched_versions};

const PATIENCE: Duration = Duration::from_secs(60);

async fn every_reading(cluster: &Cluster) {
    let server = cluster.server().await.unwrap();
    assert!(server.has_pg_monitor && server.used_connections >= 1 && server.usable_connections > 0, "{server:?}");
    assert!(server.system_identifier.is_some() && server.timeline.is_some(), "{server:?}");
    assert!(matches!(server.statements_extension, ExtensionState::Installed { .. }), "{server:?}");
    assert_eq!(server.clock.at_least_seconds(), 0.0, "it runs on this machine: {:?}", server.clock);
    let databases = cluster.database(true).await.unwrap();
    assert!(databases.rows.iter().any(|row| row.name == "postgres" && row.bytes.is_some()), "{databases:?}");
    let activity = cluster.activity().await.unwrap();
    assert_eq!(activity.hidden, 0, "a statement is hidden");
    assert!(activity.rows.iter().any(|row| row.backend_type == "checkpointer"));
    assert!(cluster.locks().await.unwrap().waits.is_empty());
    let sessions = cluster.sessions().await.unwrap();
    assert_eq!(sessions.lsn.is_some(), server.role == ServerRole::Primary);
    let vacuum = cluster.vacuum().await.unwrap();
    assert!(vacuum.temp.is_some() && vacuum.freeze_max_age > 0, "{vacuum:?}");
    // Before 16 sessions are counted together, and what they read by database.
    let (who, what) = if server.version_num >= 160_000 {
        ("client backend", "relation")
    } else {
        ("all sessions", "database postgres")
    };
    // Before 15 a process of its own counts, and what it counted is seen up to a second later.
    let begun = Instant::now();
    loop {
        let io = cluster.io().await.unwrap();
        let mut read = io.rows.iter().filter(|row| row.backend_type == who && row.object == what);
        if read.any(|row| row.read_bytes.is_some() && row.hits.is_some_and(|hits| hits > 0)) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{io:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.replication().await.unwrap();
    let wal = cluster.wal().await.unwrap();
    // What 14 added: `pg_stat_wal` and `pg_stat_statements_info`.
    let since_14 = server.version_num >= 140_000;
    assert!(wal.lsn.is_some() && wal.checkpoints.is_some() && wal.wal.is_some() == since_14, "{wal:?}");
    let statements = cluster.statements().await.unwrap();
    assert!(!statements.rows.is_empty() && statements.hidden == 0);
    assert_eq!(statements.dealloc.is_some(), since_14);
    let keys = statements.rows.iter().map(|row| row.key).collect::<Vec<_>>();
    let texts = cluster.statement_texts(&keys).await.unwrap();
    assert!(texts.iter().any(|text| text.query.contains("CREATE TABLE parent")), "{texts:?}");
    let tables = cluster.tables().await.unwrap();
    assert!(tables.skipped.is_empty() && tables.rows.iter().any(|row| row.name == "child"), "{tables:?}");
    let indexes = cluster.indexes().await.unwrap();
    assert!(
        indexes.skipped.is_empty() && indexes.rows.iter().any(|row| row.name == "parent_pkey" && row.primary),
        "{indexes:?}"
    );
    assert!(indexes.foreign_keys.iter().any(|key| key.table == "child" && !key.indexed), "{indexes:?}");
    assert!(cluster.settings().await.unwrap().rows.iter().any(|row| row.name == "shared_preload_libraries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reading_works_as_superuser_and_with_pg_monitor_alone_on_primary_and_standby() {
    for install in watched_versions() {
        let complete = install.is_complete();
        let primary = private_cluster_of(install, &[("wal_level", "logical")]).await;
        primary.execute("postgres", "CREATE EXTENSION pg_stat_statements").await;
        primary.execute("postgres", "CREATE TABLE parent (id int PRIMARY KEY)").await;
        primary.execute("postgres", "CREATE TABLE child (parent int REFERENCES parent)").await;
        primary.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
        every_reading(&cluster(&primary.server.url("postgres"))).await;
        let watcher = cluster(&primary.server.url_as("watcher", "w", "postgres"));
        every_reading(&watcher).await;
        if !complete {
            continue;
        }

        let standby = primary.standby("replica1").await;
        let there = cluster(&standby.url_as("watcher", "w", "postgres"));
        let server = there.server().await.unwrap();
        assert_eq!(server.role, ServerRole::Standby);
        let replication = there.replication().await.unwrap();
        assert!(replication.conflicts.is_some());
        assert!(replication.standby.is_some_and(|state| state.replay_lsn.is_some()));
        there.activity().await.unwrap();
        there.locks().await.unwrap();
        assert!(there.sessions().await.unwrap().lsn.is_none());
        there.vacuum().await.unwrap();
        there.database(true).await.unwrap();
        there.indexes().await.unwrap();
        there.tables().await.unwrap();
        there.columns().await.unwrap();
        there.statements().await.unwrap();
        assert!(there.wal().await.unwrap().lsn.is_some());
        let senders = |seen: &ReplicationReading| {
            seen.senders.iter().map(|sender| (sender.name.clone(), sender.logical)).collect::<Vec<_>>()
        };
        let seen = watcher.replication().await.unwrap();
        assert_eq!(senders(&seen), [("replica1".to_owned(), false)]);
        assert!(seen.slots.iter().any(|slot| slot.name == "replica1" && slot.active), "{seen:?}");

        // A subscriber is known by its slot, and a slot that nobody uses is there too.
        primary.execute("postgres", "SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')").await;
        primary.execute("postgres", "SELECT pg_create_physical_replication_slot('idle')").await;
        primary.execute("postgres", "CREATE PUBLICATION parents FOR TABLE parent").await;
        primary.execute("postgres", "CREATE DATABASE elsewhere").await;
        primary.execute("elsewhere", "CREATE TABLE parent (id int PRIMARY KEY)").await;
        let subscribe = format!(
            "CREATE SUBSCRIPTION subscriber CONNECTION '{}' PUBLICATION parents WITH (create_slot = false, copy_data = false)",
            primary.server.url("postgres")
        );
        primary.execute("elsewhere", &subscribe).await;
        let begun = Instant::now();
        let seen = loop {
            let seen = watcher.replication().await.unwrap();
            if seen.senders.iter().any(|sender| sender.name == "subscriber" && sender.replay_lsn.is_some()) {
                break seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{seen:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!(senders(&seen), [("replica1".to_owned(), false), ("subscriber".to_owned(), true)]);
        let slots = seen.slots.iter().map(|slot| (slot.name.as_str(), slot.slot_type.as_str(), slot.active));
        assert_eq!(
            slots.collect::<Vec<_>>(),
            [("idle", "physical", false), ("replica1", "physical", true), ("subscriber", "logical", true)]
        );
        primary.execute("elsewhere", "DROP SUBSCRIPTION subscriber").await;

        // A service is known by its roles, and has a way of its own to the extension; not to whoever is superuser.
        primary.execute("postgres", "DROP EXTENSION pg_stat_statements; CREATE ROLE rds_superuser").await;
        let hosted = cluster(&primary.server.url_as("watcher", "w", "postgres"));
        assert_eq!(hosted.server().await.unwrap().provider, Some(Provider::Rds));
        let error = hosted.statements().await.unwrap_err();
        let PgstatError::Unsupported { cure: Some(cure), .. } = &error else { panic!("{error}") };
        assert!(cure.ends_with("as a member of rds_superuser") && !cure.contains("ALTER SYSTEM"), "{cure}");
        let own = cluster(&primary.server.url("postgres")).server().await.unwrap();
        assert_eq!(own.provider, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pg_stat_statements_only_statements_fail_and_the_cure_is_told() {
    let database = test_support::database().await;
    let cluster = cluster(&database.url);
    let error = cluster.statements().await.unwrap_err();
    let PgstatError::Unsupported { reason, cure } = &error else { panic!("{error}") };
    assert!(reason.contains(&database.name), "{reason}");
    assert_eq!(cure.as_deref(), Some("CREATE EXTENSION pg_stat_statements;"));
    assert!(!error.is_connection());
    cluster.activity().await.unwrap();
    test_support::cluster().await.execute(&database.name, cure.as_deref().unwrap()).await;
    cluster.server().await.unwrap();
    cluster.statements().await.unwrap();
}

#[test]
fn every_statement_of_the_catalogue_is_marked_and_reads_only() {
    let source = include_str!("../../src/sql.rs").replace("\\\n", " ");
    let mut marked = 0;
    for part in source.split("/* holdfast:").skip(1) {
        let (name, rest) = part.split_once("*/").unwrap();
        let words = rest.split_whitespace().next().unwrap();
        // EXPLAIN without ANALYZE runs nothing; ANALYZE is what somebody at the command line asks for.
        assert!(
            matches!(words, "SELECT" | "WITH" | "EXPLAIN" | "ANALYZE") && !rest.contains("EXPLAIN (ANALYZE"),
            "{name}: {words}"
        );
        marked += 1;
    }
    assert!(marked >= 20, "{marked}");
    for word in [
        "\"SELECT ",
        "\"WITH ",
        "\"INSERT ",
        "\"UPDATE ",
        "\"DELETE ",
        "\"TRUNCATE ",
        "pg_stat_statements_reset",
        "pg_stat_reset",
    ] {
        assert!(!source.contains(word), "{word}");
    }
}
