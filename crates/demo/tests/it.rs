//! The demo and the platform's schema on a real cluster, at a small scale.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use demo::{DemoOptions, Estate, Workload, fill_statements};
use migration::{IdpMigrator, MigratorTrait as _};
use sea_orm::{ConnectOptions, Database};
use sqlx::{Connection as _, PgConnection};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("holdfast-test-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_has_data_faults_and_a_workload_and_is_taken_up_again() {
    let directory = directory();
    let options = DemoOptions { dir: directory.path().to_owned(), scale: 0.02 };
    let estate = Estate::start(&options, &|_| {}).await.unwrap();
    let mut primary = PgConnection::connect(&estate.superuser_url()).await.unwrap();

    assert_eq!(number(&mut primary, "SELECT count(*) FROM plugins").await, 800);
    assert_eq!(number(&mut primary, "SELECT count(*) FROM plugin_metrics").await, 60_000);
    assert_eq!(
        number(&mut primary, "SELECT count(*) FROM ONLY plugin_metrics_default").await,
        0,
        "every row has its month"
    );
    assert!(
        number(&mut primary, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'plugin_metrics'::regclass").await
            >= 8
    );
    // The guide's indexes are whole, on partitions too.
    for index in [
        "idx_plugins_tenant_status_health",
        "idx_plugins_search_gin",
        "idx_plugin_operations_env_type_status",
        "idx_plugin_metrics_timeseries",
        "idx_plugin_analytics_time_desc",
        "idx_audit_timestamp_desc",
        "idx_plugins_tenant_marks",
        "idx_plugin_dependencies_on",
        "idx_plugin_metrics_time",
    ] {
        let valid: Option<bool> =
            sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)")
                .bind(index)
                .fetch_optional(&mut primary)
                .await
                .unwrap();
        assert_eq!(valid, Some(true), "{index}");
    }
    assert_eq!(
        number(&mut primary, "SELECT count(*) FROM pg_index WHERE NOT indisvalid").await,
        1,
        "one fault on purpose"
    );
    assert!(
        number(&mut primary, "SELECT count(*) FROM v_active_plugins").await > 0
            && number(&mut primary, "SELECT count(*) FROM v_plugin_performance_summary").await > 0
    );

    // The page of each plugin has something to show.
    for without in [
        "SELECT count(*) FROM plugins p WHERE NOT EXISTS (SELECT FROM plugin_operations o WHERE o.plugin_id = p.id)",
        "SELECT count(*) FROM plugins p WHERE NOT EXISTS (SELECT FROM plugin_analytics e WHERE e.plugin_id = p.id AND e.tenant_id = p.tenant_id)",
        "SELECT count(*) FROM plugins p WHERE (SELECT count(DISTINCT m.metric_name) FROM plugin_metrics m WHERE m.plugin_id = p.id AND m.tenant_id = p.tenant_id AND m.\"timestamp\" > now() - interval '1 day') < 6",
    ] {
        assert_eq!(number(&mut primary, without).await, 0, "{without}");
    }

    // Nothing was left for the backfill, and tenants need only what is theirs.
    for table in ["plugin_versions", "plugin_dependencies", "plugin_operations", "plugin_metrics"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id IS NULL");
        let missing: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut primary).await.unwrap();
        assert_eq!(missing, 0, "{table}");
    }
    assert_eq!(
        number(&mut primary, "SELECT count(*) FROM plugin_dependencies d JOIN plugins p ON p.id = d.depends_on_id WHERE p.tenant_id <> d.tenant_id").await,
        0
    );
    assert!(number(&mut primary, "SELECT count(*) FROM plugin_dependencies").await > 400);

    // The monitoring role sees what it must and may not read the application's rows.
    let mut monitor = PgConnection::connect(&estate.database_url()).await.unwrap();
    assert!(sqlx::query("SELECT * FROM plugins LIMIT 1").fetch_one(&mut monitor).await.is_err());
    assert!(number(&mut monitor, "SELECT count(*) FROM pg_stat_statements").await > 0);
    let mut replica = PgConnection::connect(&estate.replica_url()).await.unwrap();
    let standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut replica).await.unwrap();
    assert!(standby);

    let stop = CancellationToken::new();
    let workload = Workload::start(&estate, &stop);
    let begun = Instant::now();
    while number(
        &mut primary,
        "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE usename = 'idp_app'",
    )
    .await
        < 6
    {
        assert!(begun.elapsed() < Duration::from_secs(100), "the workload does not start");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Operations end as they do elsewhere, and metrics of all kinds come in.
    for done in [
        "SELECT count(*) FROM plugin_operations WHERE started_by = 'operator' AND status IN ('succeeded', 'failed') AND finished_at > started_at",
        "SELECT count(*) FROM plugin_metrics WHERE metric_name = 'queue_depth' AND \"timestamp\" > (SELECT min(started_at) FROM plugin_operations WHERE started_by = 'operator')",
    ] {
        while number(&mut primary, done).await == 0 {
            assert!(begun.elapsed() < Duration::from_secs(100), "in vain: {done}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), workload.join())
        .await
        .expect("the workload stops when it is told to");

    let before = number(&mut primary, "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%filled_%'").await;
    fill_statements(&estate.superuser_url(), 50, 2_000).await.unwrap();
    assert_eq!(
        number(&mut primary, "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%filled_%'").await - before,
        50
    );

    drop((primary, monitor, replica));
    estate.stop().await.unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let again = Estate::start(&options, &|line| told.lock().unwrap().push(line.to_owned())).await.unwrap();
    assert!(!told.lock().unwrap().iter().any(|line| line.contains("making")), "{told:?}");
    let mut primary = PgConnection::connect(&again.superuser_url()).await.unwrap();
    assert!(number(&mut primary, "SELECT count(*) FROM plugin_metrics").await >= 60_000);
    drop(primary);
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_migrations_go_up_are_repeatable_and_go_down() {
    for install in test_support::versions() {
        let version = install.version.clone();
        let cluster = test_support::private_cluster_of(install, &[]).await;
        let mut options = ConnectOptions::new(cluster.server.url("postgres"));
        options.max_connections(2).sqlx_logging(false);
        let database = Database::connect(options).await.unwrap();
        for _ in 0..2 {
            IdpMigrator::up(&database, None).await.unwrap();
            // A second time nothing is left to do.
            assert!(IdpMigrator::get_pending_migrations(&database).await.unwrap().is_empty(), "{version}");
            IdpMigrator::up(&database, None).await.unwrap();
            IdpMigrator::down(&database, None).await.unwrap();
            let mut connection = PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
            assert_eq!(
                number(
                    &mut connection,
                    "SELECT count(*) FROM pg_class WHERE relname LIKE 'plugin%' OR relname LIKE 'idx_%'"
                )
                .await,
                0,
                "{version}"
            );
        }
        // Rows from before get their tenant.
        IdpMigrator::up(&database, Some(3)).await.unwrap();
        cluster.execute("postgres", "INSERT INTO tenants (slug, name) VALUES ('a', 'a'), ('b', 'b'); INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT g % 2 + 1, g::text, 'x', 'c', 'o' FROM generate_series(1, 10) g; INSERT INTO plugin_metrics (plugin_id, metric_name, value) SELECT g % 10 + 1, 'm', g FROM generate_series(1, 30000) g; INSERT INTO plugin_metrics (plugin_id, metric_name, value) VALUES (99, 'gone', 1); INSERT INTO plugin_versions (plugin_id, version) SELECT id, '1.0.0' FROM plugins; INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range) VALUES (1, 3, '*')").await;
        IdpMigrator::up(&database, None).await.unwrap();
        let mut connection = PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
        for table in ["plugin_versions", "plugin_dependencies", "plugin_metrics"] {
            let owner = if table == "plugin_dependencies" {
                "(SELECT plugin_id FROM plugin_versions v WHERE v.id = t.plugin_version_id)"
            } else {
                "t.plugin_id"
            };
            let sql = format!(
                "SELECT count(*) FROM {table} t JOIN plugins p ON p.id = {owner} WHERE t.tenant_id IS DISTINCT FROM p.tenant_id"
            );
            let wrong: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
            assert_eq!(wrong, 0, "{table} on {version}");
        }
        assert_eq!(
            number(&mut connection, "SELECT count(*) FROM plugin_metrics WHERE tenant_id IS NULL").await,
            1,
            "{version}"
        );
        drop(connection);
        IdpMigrator::down(&database, None).await.unwrap();
        // An index build that was cut short is made anew.
        IdpMigrator::up(&database, Some(1)).await.unwrap();
        cluster.execute("postgres", "INSERT INTO tenants (slug, name) VALUES ('a', 'a'); INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, g::text, 'x', 'c', 'o' FROM generate_series(1, 3) g; CREATE INDEX idx_plugins_search_gin ON plugins USING gin (keywords, tags); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_plugins_search_gin'::regclass").await;
        IdpMigrator::up(&database, None).await.unwrap();
        let mut connection = PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
        assert_eq!(number(&mut connection, "SELECT count(*) FROM pg_index WHERE NOT indisvalid").await, 0, "{version}");
    }
}
