//! What an application does all day, well and badly.

use super::Job;
use crate::{
    data::seconds_now,
    usage::{METRICS, Turn, value},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How many plugins and tenants there are.
async fn size(connection: &mut PgConnection) -> Result<(u32, u32), sqlx::Error> {
    let (plugins, tenants) = sqlx::query_as::<_, (i64, i64)>(
        "SELECT coalesce(max(id), 1), greatest(1, (SELECT count(*) FROM tenants)) FROM plugins",
    )
    .fetch_one(connection)
    .await?;
    let number = |it: i64| u32::try_from(it).unwrap_or(1);
    Ok((number(plugins), number(tenants)))
}

/// Statements with an index behind them.
pub struct Lookups {
    rng: StdRng,
    tenants: i64,
}

impl Lookups {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), tenants: 0 }
    }
}

impl Job for Lookups {
    const APPLICATION: &'static str = "portal-api";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        if self.tenants == 0 {
            self.tenants = sqlx::query_scalar("SELECT count(*) FROM tenants").fetch_one(&mut *connection).await?;
        }
        let tenant = self.rng.random_range(1..=self.tenants.max(1));
        let plugins = sqlx::query_as::<_, (i64, String, i16)>("SELECT id, name, health_score FROM plugins WHERE tenant_id = $1 AND status = 'active' ORDER BY health_score DESC LIMIT 20")
            .bind(tenant)
            .fetch_all(&mut *connection)
            .await?;
        if let Some((id, name, _)) = plugins.first() {
            sqlx::query("SELECT * FROM plugins WHERE tenant_id = $1 AND name = $2")
                .bind(tenant)
                .bind(name)
                .fetch_optional(&mut *connection)
                .await?;
            sqlx::query(
                "SELECT version, released_at FROM plugin_versions WHERE plugin_id = $1 ORDER BY released_at DESC",
            )
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
            sqlx::query("SELECT \"timestamp\", value FROM plugin_metrics WHERE plugin_id = $1 AND metric_name = 'cpu_usage' ORDER BY \"timestamp\" DESC LIMIT 50").bind(id).fetch_all(&mut *connection).await?;
        }
        // Some requests are given up.
        if self.rng.random_bool(0.02) {
            let mut transaction = connection.begin().await?;
            sqlx::query("UPDATE plugins SET updated_at = now() WHERE id = $1")
                .bind(plugins.first().map_or(1, |plugin| plugin.0))
                .execute(&mut *transaction)
                .await?;
            transaction.rollback().await?;
        }
        Ok(ms(self.rng.random_range(20..80)))
    }
}

/// Search by keyword, through the GIN index.
pub struct Search {
    rng: StdRng,
}

impl Search {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }
}

impl Job for Search {
    const APPLICATION: &'static str = "portal-search";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        let word = ["kubernetes", "postgres", "oauth", "billing", "dns"][self.rng.random_range(0..5)];
        sqlx::query("SELECT id, name, display_name FROM plugins WHERE keywords @> ARRAY[$1] AND is_enabled ORDER BY health_score DESC LIMIT 25").bind(word).fetch_all(&mut *connection).await?;
        sqlx::query("SELECT * FROM v_active_plugins WHERE tenant_id = $1 LIMIT 50")
            .bind(self.rng.random_range(1_i64..100))
            .fetch_all(&mut *connection)
            .await?;
        Ok(ms(400))
    }
}

/// Statements that read a whole table, for want of an index.
pub struct Unindexed {
    rng: StdRng,
}

impl Unindexed {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }
}

impl Job for Unindexed {
    const APPLICATION: &'static str = "ops-console";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        let owner = ["payments@acme", "data@northwind", "search@globex", "growth@initech"][self.rng.random_range(0..4)];
        sqlx::query("SELECT count(*), avg(health_score) FROM plugins WHERE owner = $1")
            .bind(owner)
            .fetch_one(&mut *connection)
            .await?;
        let plugin = self.rng.random_range(1_i64..1_000);
        sqlx::query("SELECT * FROM plugin_operations WHERE plugin_id = $1 ORDER BY started_at DESC LIMIT 20")
            .bind(plugin)
            .fetch_all(&mut *connection)
            .await?;
        if self.rng.random_bool(0.25) {
            sqlx::query("SELECT p.name FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins p ON p.id = v.plugin_id WHERE d.depends_on_id = $1").bind(plugin).fetch_all(&mut *connection).await?;
        }
        Ok(ms(700))
    }
}

/// Samples in one batch, four of which come in a second.
const BATCH: u32 = 100;
/// Those of them that go round through all plugins: about three times a day, as in the day before.
const OF_ALL: u32 = 2;

/// Metrics and events as they come in.
pub struct Ingest {
    rng: StdRng,
    size: (u32, u32),
    few: u32,
    all: u32,
}

impl Ingest {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), size: (0, 0), few: 0, all: 0 }
    }

    /// The next samples: plugins, names and values.
    fn batch(&mut self, at_seconds: u64) -> (Vec<i64>, Vec<&'static str>, Vec<f64>) {
        let (mut plugins, mut names, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..BATCH {
            let turn = if n < OF_ALL {
                self.all = self.all.wrapping_add(1);
                Turn::All(self.all)
            } else {
                self.few = self.few.wrapping_add(1);
                Turn::Few(self.few)
            };
            let (kind, plugin) = turn.series(self.size);
            plugins.push(i64::from(plugin));
            names.push(METRICS[kind as usize]);
            values.push((value(&mut self.rng, (kind, plugin), at_seconds) * 100.0).round() / 100.0);
        }
        (plugins, names, values)
    }
}

impl Job for Ingest {
    const APPLICATION: &'static str = "metrics-ingest";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        let now = seconds_now();
        if self.size == (0, 0) {
            self.size = size(&mut *connection).await?;
            // Where the clock is: a start shall not always begin with the same ones.
            self.all = (now * u64::from(OF_ALL) * 4 % (u64::from(self.size.0) * METRICS.len() as u64)) as u32;
        }
        let (plugins, names, values) = self.batch(now);
        sqlx::query("INSERT INTO plugin_metrics (plugin_id, metric_name, value) SELECT plugin, name, value FROM unnest($1::bigint[], $2::text[], $3::float8[]) AS batch (plugin, name, value)").bind(&plugins).bind(&names).bind(&values).execute(&mut *connection).await?;
        let plugin = self.rng.random_range(1..=self.size.0);
        // Now and then, as often as in the months before: a day of the demo shall not look like a year of it. By a user whom
        // the tenant had before.
        if self.rng.random_bool(0.05) {
            sqlx::query("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country) SELECT id, tenant_id, 'invoke', 'user-' || (tenant_id * 1000 + $2::int8), 'DE' FROM plugins WHERE id = $1")
                .bind(i64::from(plugin))
                .bind(self.rng.random_range(0_i64..30))
                .execute(&mut *connection)
                .await?;
        }
        let cpu = value(&mut self.rng, (0, plugin), now);
        sqlx::query("UPDATE plugins SET health_score = $2, cpu_usage = $3, updated_at = now() WHERE id = $1")
            .bind(i64::from(plugin))
            .bind(self.rng.random_range(40_i16..=100))
            .bind(cpu as f32)
            .execute(&mut *connection)
            .await?;
        Ok(ms(250))
    }
}

/// Operations on plugins, each with its row in the audit log.
pub struct Operations {
    rng: StdRng,
    size: (u32, u32),
    /// One may have been left under way.
    unfinished: bool,
}

impl Operations {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), size: (0, 0), unfinished: true }
    }
}

impl Job for Operations {
    const APPLICATION: &'static str = "operator";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        if self.size == (0, 0) {
            self.size = size(&mut *connection).await?;
        }
        if self.unfinished {
            sqlx::query("UPDATE plugin_operations SET status = 'failed', finished_at = now(), error = 'interrupted by a restart' WHERE environment = 'production' AND operation_type = 'upgrade' AND status = 'running' AND started_by = 'operator'").execute(&mut *connection).await?;
        }
        self.unfinished = true;
        let plugin = i64::from(self.rng.random_range(1..=self.size.0));
        let mut transaction = connection.begin().await?;
        let operation = sqlx::query_scalar::<_, i64>("INSERT INTO plugin_operations (plugin_id, environment, operation_type, status, started_by) VALUES ($1, 'production', 'upgrade', 'running', 'operator') RETURNING id").bind(plugin).fetch_one(&mut *transaction).await?;
        sqlx::query("INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id) SELECT tenant_id, 'operator', 'plugin.upgrade', 'plugin', id::text FROM plugins WHERE id = $1").bind(plugin).execute(&mut *transaction).await?;
        transaction.commit().await?;
        sqlx::query("SELECT * FROM audit_logs ORDER BY \"timestamp\" DESC LIMIT 50")
            .fetch_all(&mut *connection)
            .await?;
        sqlx::query("SELECT status, count(*) FROM plugin_operations WHERE environment = 'production' AND operation_type = 'upgrade' GROUP BY status").fetch_all(&mut *connection).await?;
        tokio::time::sleep(ms(self.rng.random_range(500..2_000))).await;
        // As many fail as before.
        let failed = self.rng.random_bool(0.06);
        sqlx::query("UPDATE plugin_operations SET status = $2, finished_at = now(), error = $3 WHERE id = $1")
            .bind(operation)
            .bind(if failed { "failed" } else { "succeeded" })
            .bind(failed.then_some("time-out waiting for the health check"))
            .execute(&mut *connection)
            .await?;
        self.unfinished = false;
        Ok(ms(500))
    }
}

/// Reports over all metrics: slow, now and then.
#[derive(Default)]
pub struct Reports {
    turn: u32,
}

impl Job for Reports {
    const APPLICATION: &'static str = "monthly-report";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        self.turn += 1;
        let sql = if self.turn % 2 == 1 {
            "SELECT date_trunc('day', \"timestamp\") AS day, metric_name, avg(value), percentile_cont(0.95) WITHIN GROUP (ORDER BY value) FROM plugin_metrics WHERE \"timestamp\" > now() - interval '14 days' GROUP BY 1, 2 ORDER BY 1"
        } else {
            "SELECT p.category, count(*), avg(m.value) FROM plugin_metrics m JOIN plugins p ON p.id = m.plugin_id WHERE m.metric_name = 'latency_ms' GROUP BY p.category ORDER BY 3 DESC"
        };
        sqlx::query(sql).fetch_all(&mut *connection).await?;
        Ok(ms(18_000))
    }
}

/// Sorts that do not fit into `work_mem`.
pub struct BigSorts;

impl Job for BigSorts {
    const APPLICATION: &'static str = "export";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        sqlx::query("SET work_mem = '1MB'").execute(&mut *connection).await?;
        sqlx::query("SELECT count(*) FROM (SELECT user_id, country, row_number() OVER (PARTITION BY country ORDER BY user_id, \"timestamp\") FROM plugin_analytics WHERE \"timestamp\" > now() - interval '20 days') AS ranked").fetch_one(&mut *connection).await?;
        Ok(ms(20_000))
    }
}

/// Reading from the replica.
pub struct Dashboards {
    rng: StdRng,
    size: (u32, u32),
}

impl Dashboards {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), size: (0, 0) }
    }
}

impl Job for Dashboards {
    const APPLICATION: &'static str = "dashboards";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        if self.size == (0, 0) {
            self.size = size(&mut *connection).await?;
        }
        let plugin = i64::from(self.rng.random_range(1..=self.size.0));
        sqlx::query("SELECT date_trunc('hour', \"timestamp\"), count(*) FROM plugin_analytics WHERE plugin_id = $1 GROUP BY 1 ORDER BY 1 DESC LIMIT 48").bind(plugin).fetch_all(&mut *connection).await?;
        sqlx::query(
            "SELECT country, count(*) FROM plugin_analytics WHERE plugin_id = $1 GROUP BY country ORDER BY 2 DESC",
        )
        .bind(plugin)
        .fetch_all(&mut *connection)
        .await?;
        Ok(ms(500))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_metric_of_every_plugin_has_its_turn_and_a_few_are_always_measured() {
        let mut ingest = Ingest { size: (80, 4), ..Ingest::new(1) };
        let (mut seen, mut last) = (HashSet::new(), HashSet::new());
        for batch in 0..80 * METRICS.len() as u32 / OF_ALL {
            let (plugins, names, values) = ingest.batch(1_000_000 + u64::from(batch));
            assert!(values.iter().all(|it| it.is_finite() && *it >= 0.0), "{values:?}");
            last = plugins.into_iter().zip(names).collect::<HashSet<_>>();
            assert_eq!(values.len(), BATCH as usize);
            seen.extend(last.iter().copied());
        }
        assert_eq!(seen.len(), 80 * METRICS.len());
        assert!(last.len() > 50, "{}", last.len());
    }
}
