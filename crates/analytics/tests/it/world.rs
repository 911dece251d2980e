//! A migrated database with two tenants of three plugins each, and what the tests ask it.
use analytics::Analytics;
use catalog::Tenant;
use migration::{IdpMigrator, MigratorTrait as _};
use pool::{PoolSettings, Pools};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const A: Tenant = Tenant(1);
pub const B: Tenant = Tenant(2);
pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

pub struct World {
    pub superuser_url: String,
    pub url: String,
}

/// Plugins 1 to 3 are A's, 4 to 6 are B's.
const SEED: &str = "
    INSERT INTO tenants (slug, name) VALUES ('a', 'A'), ('b', 'B');
    INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT t, 'plugin-' || n, 'P', 'docs', 'o' FROM generate_series(1, 2) t, generate_series(1, 3) n ORDER BY t, n;";

impl World {
    pub async fn new() -> Self {
        let database = test_support::database().await;
        let mut options = sea_orm::ConnectOptions::new(database.url.clone());
        options.max_connections(1).sqlx_logging(false);
        let migrating = sea_orm::Database::connect(options).await.unwrap();
        IdpMigrator::up(&migrating, None).await.unwrap();
        migrating.close().await.unwrap();
        let world =
            Self { url: database.url.replace("postgres:secret@", "idp_api:secret@"), superuser_url: database.url };
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
        world.sql(SEED).await;
        world
    }

    pub fn analytics(&self) -> Analytics {
        let settings = PoolSettings {
            min: 0,
            primary_max: 8,
            probe_interval: Duration::from_millis(200),
            acquire_timeout: Duration::from_secs(10),
            ..PoolSettings::new(self.url.clone(), None)
        };
        Analytics::new(Pools::start(settings).unwrap(), 90)
    }

    /// As superuser.
    pub async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.superuser_url).await.unwrap();
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.unwrap();
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.superuser_url).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn at(ms: i64) -> domain::Timestamp {
    domain::Timestamp(ms)
}

pub fn event(id: &str, plugin: i64, kind: &str, user: &str, country: &str, ms: i64) -> Value {
    json!({"id": id, "plugin_id": plugin.to_string(), "type": kind, "user": user, "country": country, "at": at(ms), "properties": {"n": 1}})
}

pub fn metric(plugin: i64, name: &str, value: f64, ms: i64) -> Value {
    json!({"plugin_id": plugin.to_string(), "name": name, "value": value, "at": at(ms)})
}

/// Rolls up until nothing is marked.
pub async fn roll_up(analytics: &Analytics) {
    loop {
        let done = analytics.roll_up().await.unwrap();
        if done.days == 0 && !done.busy {
            return;
        }
    }
}
