//! A database whose owner is no superuser and inherits nothing: row-level security is forced on the owner too, and PostgreSQL 16 and
//! later let nobody act as a role for having made it.
use crate::{A, World, migrating};
use catalog::{Catalog, Installed, PluginFilter, Sort};
use migration::{IdpMigrator, MigratorTrait as _};
use pool::{PoolSettings, Pools};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

const TABLES: [&str; 4] = ["plugin_versions", "plugin_dependencies", "plugin_operations", "plugin_metrics"];

/// As before rows knew their tenant.
const ROWS: &str = "
    INSERT INTO tenants (slug, name) VALUES ('a', 'A'), ('b', 'B');
    INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT g % 2 + 1, g::text, 'x', 'c', 'o' FROM generate_series(1, 10) g;
    INSERT INTO plugin_versions (plugin_id, version) SELECT id, '1.0.0' FROM plugins;
    INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range) VALUES (1, 3, '*');
    INSERT INTO plugin_operations (plugin_id, environment, operation_type, status, started_by) SELECT id, 'production', 'install', 'succeeded', 'x' FROM plugins;
    INSERT INTO plugin_metrics (plugin_id, metric_name, value) SELECT g % 10 + 1, 'm', g FROM generate_series(1, 100) g";

async fn all_have_their_tenant(world: &World, version: &str) {
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id IS NULL");
        assert_eq!(world.number(&sql).await, 0, "{table} on {version}");
    }
    let wrong =
        "SELECT count(*) FROM plugin_metrics m JOIN plugins p ON p.id = m.plugin_id WHERE p.tenant_id <> m.tenant_id";
    assert_eq!(world.number(wrong).await, 0, "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_sees_no_row_migrates_them_all_and_serves_the_platform() {
    for install in test_support::versions() {
        let version = install.version.clone();
        let cluster = test_support::private_cluster_of(install, &[]).await;
        cluster.execute("postgres", "CREATE ROLE owner LOGIN CREATEROLE NOINHERIT PASSWORD 'secret'").await;
        cluster.execute("postgres", "CREATE DATABASE platform OWNER owner").await;
        cluster.execute("platform", "ALTER SCHEMA public OWNER TO owner").await;
        let superuser_url = cluster.server.url("platform");
        let url = superuser_url.replace("postgres:secret@", "owner:secret@");
        let world = World { superuser_url, url };
        let database = migrating(&world.url).await;
        let before = IdpMigrator::migrations().iter().position(|it| it.name().ends_with("_tenancy")).unwrap();
        IdpMigrator::up(&database, Some(u32::try_from(before).unwrap())).await.unwrap();
        world.sql(ROWS).await;
        IdpMigrator::up(&database, None).await.unwrap();
        all_have_their_tenant(&world, &version).await;

        // What an older version left where it saw nothing: filled in afterwards, and rolled up again.
        for table in TABLES {
            world.sql(&format!("ALTER TABLE {table} DISABLE TRIGGER USER; UPDATE {table} SET tenant_id = NULL; ALTER TABLE {table} ENABLE TRIGGER USER")).await;
        }
        world.sql("TRUNCATE analytics_dirty; DELETE FROM holdfast_idp_migrations WHERE version LIKE '%_tenant_backfill_again'").await;
        IdpMigrator::up(&database, None).await.unwrap();
        all_have_their_tenant(&world, &version).await;
        let marked = "SELECT count(DISTINCT tenant_id) FROM analytics_dirty WHERE kind = 'metrics'";
        assert_eq!(world.number(marked).await, 2, "{version}");
        database.close().await.unwrap();

        // By itself the owner sees nothing; as the tenant's role it serves the tenant.
        let mut owner = PgConnection::connect(&world.url).await.unwrap();
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM plugins").fetch_one(&mut owner).await.unwrap();
        assert_eq!(seen, 0, "{version}");
        let settings = PoolSettings {
            min: 0,
            primary_max: 4,
            acquire_timeout: Duration::from_secs(10),
            ..PoolSettings::new(world.url.clone(), None)
        };
        let catalog = Catalog::new(Pools::start(settings).unwrap(), world.url.clone().into());
        let page = catalog.plugins(A, &PluginFilter::default(), Sort::Name, None, 50).await.unwrap();
        assert_eq!(page.plugins.len(), 5, "{version}");

        // The roles are the whole cluster's: an owner to whom they were not granted is told what is to be run.
        cluster.execute("postgres", "CREATE ROLE stranger LOGIN PASSWORD 'secret'").await;
        cluster.execute("postgres", "CREATE DATABASE other OWNER stranger").await;
        cluster.execute("other", "ALTER SCHEMA public OWNER TO stranger").await;
        let other = migrating(&cluster.server.url("other").replace("postgres:secret@", "stranger:secret@")).await;
        let refused = IdpMigrator::up(&other, None).await.unwrap_err().to_string();
        let grant = "GRANT holdfast_tenant, holdfast_platform TO stranger";
        assert!(refused.contains(grant), "{refused} on {version}");
        cluster.execute("postgres", grant).await;
        IdpMigrator::up(&other, None).await.unwrap();
        other.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_not_taken_for_this_one() {
    let url = test_support::database().await.url;
    let settings = PoolSettings::new(url.clone(), None);
    let database = migrating(&url).await;
    let migrations = IdpMigrator::migrations();
    let newest = migrations.last().unwrap().name();
    assert_eq!(Installed::look(&settings, newest).await.unwrap(), Installed::Missing);
    let place = migrations.iter().position(|it| it.name().ends_with("_restored_spans")).unwrap();
    IdpMigrator::up(&database, Some(u32::try_from(place).unwrap())).await.unwrap();
    assert_eq!(Installed::look(&settings, newest).await.unwrap(), Installed::Missing);
    // It can be worked with, and is told as outdated: before the migration that lets it be read which there were, and after.
    let ready = |outdated| Installed::Ready { role: "postgres".to_owned(), bypasses: true, outdated };
    let told = migrations.iter().position(|it| it.name().ends_with("_migrations_told")).unwrap();
    IdpMigrator::up(&database, Some(u32::try_from(told - place).unwrap())).await.unwrap();
    assert_eq!(Installed::look(&settings, newest).await.unwrap(), ready(true));
    IdpMigrator::up(&database, None).await.unwrap();
    assert_eq!(Installed::look(&settings, newest).await.unwrap(), ready(false));
    assert_eq!(Installed::look(&settings, "m29991231_000001_of_the_next_version").await.unwrap(), ready(true));
    database.close().await.unwrap();
}
