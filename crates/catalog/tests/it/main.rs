//! The catalogue on a real database, as an ordinary role, for tenants who must not see each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod bulk;
mod bulk_end;
mod cache;
mod dependencies;
mod discovery;
mod isolation;
mod marks;
mod owner;
mod versions;
mod words;

use catalog::{Catalog, Tenant};
use migration::{IdpMigrator, MigratorTrait as _};
use pool::{PoolSettings, Pools};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::time::{Duration, Instant};

const A: Tenant = Tenant(1);
const B: Tenant = Tenant(2);

/// A migrated database with two tenants, each with the same plugins.
struct World {
    superuser_url: String,
    url: String,
}

/// For tenant 1 and 2: sixty plugins each, ids 1-60 and 61-120, three versions each; number n needs n / 2.
const SEED: &str = "
    INSERT INTO tenants (slug, name) VALUES ('a', 'A'), ('b', 'B');
    INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, environment, status, keywords, tags, health_score, is_installed, is_enabled, installed_version, updated_at)
    SELECT t, 'plugin-' || n, (ARRAY['Swift Pipeline', 'Quiet Tracer', 'Amber Vault'])[n % 3 + 1] || ' ' || n, 'Keeps things ' || CASE t WHEN 1 THEN 'alpha' ELSE 'beta' END,
        (ARRAY['ci-cd', 'security', 'docs'])[n % 3 + 1], 'team-' || n % 4, (ARRAY['production', 'staging'])[n % 2 + 1], (ARRAY['active', 'inactive', 'failed'])[n % 3 + 1],
        ARRAY['k' || n % 5, 'common'], ARRAY['tier-' || n % 3], n % 50, n % 2 = 0, n % 4 = 0, CASE WHEN n % 2 = 0 THEN '1.1.0' END, now() - n * interval '1 minute'
    FROM generate_series(1, 2) t, generate_series(1, 60) n ORDER BY t, n;
    INSERT INTO plugin_versions (plugin_id, version, released_at) SELECT id, v.version, now() - v.age * interval '1 day' FROM plugins, (VALUES ('1.0.0', 30), ('1.1.0', 20), ('2.0.0', 10)) AS v (version, age);
    INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range)
    SELECT v.id, p.id - n.n + n.n / 2, '^1' FROM plugins p JOIN plugin_versions v ON v.plugin_id = p.id CROSS JOIN LATERAL (SELECT substr(p.name, 8)::int AS n) n WHERE n.n >= 20 AND v.version <> '2.0.0';
    INSERT INTO plugin_operations (plugin_id, environment, operation_type, status, started_by) SELECT id, environment, 'install', 'succeeded', 'seed' FROM plugins;
    INSERT INTO plugin_metrics (plugin_id, metric_name, value) SELECT id, 'cpu_usage', id FROM plugins;
    INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id) SELECT id, tenant_id, 'view', 'u' || id FROM plugins;
    INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id) SELECT tenant_id, 'seed', 'x', 'plugin', id::text FROM plugins;
    ANALYZE";

impl World {
    async fn new() -> Self {
        let world = Self::empty(test_support::database().await.url).await;
        world.sql(SEED).await;
        world
    }

    /// Migrated, without a row.
    async fn empty(superuser_url: String) -> Self {
        let migrating = migrating(&superuser_url).await;
        IdpMigrator::up(&migrating, None).await.unwrap();
        migrating.close().await.unwrap();
        let world = Self { url: superuser_url.replace("postgres:secret@", "idp_api:secret@"), superuser_url };
        // The cluster is shared: another test may be making the role at this moment.
        world.sql("DO $$ BEGIN CREATE ROLE idp_api LOGIN NOINHERIT PASSWORD 'secret'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$").await;
        while PgConnection::connect(&world.superuser_url)
            .await
            .unwrap()
            .execute("GRANT holdfast_tenant, holdfast_platform TO idp_api")
            .await
            .is_err()
        {
            // tuple concurrently updated
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world
    }

    /// As superuser.
    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.superuser_url).await.unwrap();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.superuser_url).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = PgConnection::connect(&self.superuser_url).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap()
    }

    /// Of the plugins for which a condition holds.
    async fn ids(&self, condition: &str) -> std::collections::BTreeSet<i64> {
        let mut connection = PgConnection::connect(&self.superuser_url).await.unwrap();
        let sql = format!("SELECT id FROM plugins WHERE {condition}");
        let ids = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        ids.into_iter().collect()
    }

    fn settings(&self) -> PoolSettings {
        PoolSettings {
            min: 0,
            primary_max: 8,
            probe_interval: Duration::from_millis(200),
            acquire_timeout: Duration::from_secs(10),
            ..PoolSettings::new(self.url.clone(), None)
        }
    }

    /// Of a process that hears of changes.
    async fn catalog(&self) -> Catalog {
        let catalog = Catalog::new(Pools::start(self.settings()).unwrap(), self.url.clone().into());
        until("it listens", async || catalog.cache_stats().listening).await;
        catalog
    }
}

async fn migrating(url: &str) -> sea_orm::DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(100), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
