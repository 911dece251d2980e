//! Roll-ups. Each change of rows leaves a mark in `analytics_dirty` in its own transaction; a roll-up takes the marks of
//! one day, counts the marked hours anew from the rows, and removes the marks, all in one transaction. So every row is
//! counted exactly once, however late it comes, however often a roll-up is killed, and whoever else rolls up.
use crate::{Analytics, AnalyticsError, DAY_MS, HOUR_MS, error::said, floor};
use catalog::platform_scope;
use pool::{Session, Work, Writer};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::BTreeSet;

/// Minutes are kept for so long; questions use them for an hour less.
pub(crate) const MINUTES_KEPT_MS: i64 = 48 * HOUR_MS;
/// Hours, and who used what on which day, are kept for so long. Days are kept.
const HOURS_KEPT_DAYS: i64 = 400;
/// Days rolled up in one call, of each kind: the newest first, so that an old heap of them never keeps today waiting.
const DAYS_AT_ONCE: usize = 32;

/// What one call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolledUp {
    /// Days touched.
    pub days: u32,
    /// Hours counted anew, over all tenants.
    pub hours: u32,
    /// Another process was at it; it does the same work.
    pub busy: bool,
}

/// What is rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Events,
    Metrics,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Events, Self::Metrics];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
        }
    }

    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Events => "plugin_analytics",
            Self::Metrics => "plugin_metrics",
        }
    }
}

enum Step {
    Busy,
    Nothing,
    Did { day_ms: i64, hours: u32 },
}

impl Analytics {
    /// Rolls up what is marked, the newest days first.
    ///
    /// # Errors
    /// [`AnalyticsError`]; what was rolled up before stays.
    pub async fn roll_up(&self) -> Result<RolledUp, AnalyticsError> {
        let mut done = RolledUp::default();
        for kind in Kind::ALL {
            let mut before = i64::MAX;
            for _ in 0..DAYS_AT_ONCE {
                match self.roll_up_day(kind, before).await? {
                    Step::Busy => return Ok(RolledUp { busy: true, ..done }),
                    Step::Nothing => break,
                    Step::Did { day_ms, hours } => {
                        before = day_ms;
                        done.days += 1;
                        done.hours += hours;
                    }
                }
            }
        }
        Ok(done)
    }

    async fn roll_up_day(&self, kind: Kind, before: i64) -> Result<Step, AnalyticsError> {
        self.pools
            .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { day(writer.connection()?, kind, before).await })
            })
            .await
            .map_err(said)
    }

    /// Removes minutes, hours, days of users and keys of batches that are past their time.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn clear_out(&self) -> Result<u64, AnalyticsError> {
        let now = crate::now().0;
        let minutes = floor(now - MINUTES_KEPT_MS, HOUR_MS) - HOUR_MS;
        let hours = floor(now - HOURS_KEPT_DAYS * DAY_MS, DAY_MS);
        let batches = now - i64::from(self.retention_days) * DAY_MS;
        self.pools
            .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let mut gone = 0;
                    for (sql, until) in [
                        ("DELETE FROM analytics_events_minute WHERE bucket < to_timestamp($1 / 1000.0)", minutes),
                        ("DELETE FROM analytics_metrics_minute WHERE bucket < to_timestamp($1 / 1000.0)", minutes),
                        ("DELETE FROM analytics_events_hour WHERE bucket < to_timestamp($1 / 1000.0)", hours),
                        ("DELETE FROM analytics_metrics_hour WHERE bucket < to_timestamp($1 / 1000.0)", hours),
                        ("DELETE FROM analytics_user_days WHERE day < (to_timestamp($1 / 1000.0) AT TIME ZONE 'UTC')::date", hours),
                        ("DELETE FROM analytics_batches WHERE created_at < to_timestamp($1 / 1000.0)", batches),
                    ] {
                        gone += sqlx::query(sql).bind(until).execute(writer.connection()?).await?.rows_affected();
                    }
                    Ok::<_, AnalyticsError>(gone)
                })
            })
            .await
            .map_err(said)
    }
}

/// Marks of one day.
struct Marks {
    /// Hours in which all tenants count.
    all: Vec<i64>,
    /// Tenant and hour.
    tenants: Vec<i64>,
    hours: Vec<i64>,
    removed: bool,
    from: i64,
    to: i64,
}

async fn day(connection: &mut PgConnection, kind: Kind, before: i64) -> Result<Step, AnalyticsError> {
    // What is read after it was got was committed before: nobody else rolls up, and a mark is never older than its rows.
    let got: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended('holdfast analytics roll-up', 0))")
            .fetch_one(&mut *connection)
            .await?;
    if !got {
        return Ok(Step::Busy);
    }
    // Of archived months there is nothing to count any more.
    sqlx::query("DELETE FROM analytics_dirty d USING analytics_state s WHERE s.kind = $1 AND d.kind = $1 AND d.hour < s.raw_from")
        .bind(kind.as_str())
        .execute(&mut *connection)
        .await?;
    let newest: Option<i64> = sqlx::query_scalar("SELECT (extract(epoch FROM max(hour)) * 1000)::int8 FROM analytics_dirty WHERE kind = $1 AND ($2::int8 IS NULL OR hour < to_timestamp($2::int8 / 1000.0))")
        .bind(kind.as_str())
        .bind(Some(before).filter(|it| *it < i64::MAX))
        .fetch_one(&mut *connection)
        .await?;
    let Some(newest) = newest else { return Ok(Step::Nothing) };
    let day_ms = floor(newest, DAY_MS);
    let rows = sqlx::query("DELETE FROM analytics_dirty WHERE kind = $1 AND hour >= to_timestamp($2 / 1000.0) AND hour < to_timestamp($3 / 1000.0) RETURNING tenant_id, (extract(epoch FROM hour) * 1000)::int8, removed")
        .bind(kind.as_str())
        .bind(day_ms)
        .bind(day_ms + DAY_MS)
        .fetch_all(&mut *connection)
        .await?;
    let (mut all, mut pairs, mut removed) = (BTreeSet::new(), BTreeSet::new(), false);
    for row in &rows {
        let hour: i64 = row.try_get(1)?;
        match row.try_get::<Option<i64>, _>(0)? {
            None => {
                all.insert(hour);
            }
            Some(tenant) => {
                pairs.insert((tenant, hour));
            }
        }
        removed |= row.try_get::<bool, _>(2)?;
    }
    pairs.retain(|(_, hour)| !all.contains(hour));
    let hours = all.iter().copied().chain(pairs.iter().map(|pair| pair.1)).collect::<BTreeSet<_>>();
    let marks = Marks {
        from: hours.first().copied().unwrap_or(day_ms),
        to: hours.last().copied().unwrap_or(day_ms) + HOUR_MS,
        all: all.into_iter().collect(),
        tenants: pairs.iter().map(|pair| pair.0).collect(),
        hours: pairs.iter().map(|pair| pair.1).collect(),
        removed,
    };
    count(&mut *connection, kind, &marks, day_ms).await?;
    sqlx::query("UPDATE analytics_state SET rolled_up_at = now() WHERE kind = $1")
        .bind(kind.as_str())
        .execute(connection)
        .await?;
    Ok(Step::Did { day_ms, hours: hours.len() as u32 })
}

/// Rows of `time` within $4..$5 that a mark is about; $1 hours of all tenants, $2 and $3 tenants and hours. Two sets
/// that are hashed once each.
fn marked(time: &str) -> String {
    format!(
        "{time} >= to_timestamp($4::int8 / 1000.0) AND {time} < to_timestamp($5::int8 / 1000.0) AND (date_trunc('hour', {time}, 'UTC') IN (SELECT to_timestamp(h / 1000.0) FROM unnest($1::int8[]) h) OR (tenant_id, date_trunc('hour', {time}, 'UTC')) IN (SELECT t, to_timestamp(h / 1000.0) FROM unnest($2::int8[], $3::int8[]) AS m (t, h)))"
    )
}

async fn run(connection: &mut PgConnection, sql: String, marks: &Marks, from: i64, to: i64) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(&marks.all)
        .bind(&marks.tenants)
        .bind(&marks.hours)
        .bind(from)
        .bind(to)
        .execute(connection)
        .await?;
    Ok(())
}

async fn count(connection: &mut PgConnection, kind: Kind, marks: &Marks, day_ms: i64) -> Result<(), sqlx::Error> {
    let minutes_from = floor(crate::now().0 - MINUTES_KEPT_MS, HOUR_MS);
    let raw = marked("\"timestamp\"");
    for (tier, from) in [("minute", marks.from.max(minutes_from)), ("hour", marks.from)] {
        if from >= marks.to {
            continue;
        }
        if marks.removed {
            let sql = format!("DELETE FROM analytics_{}_{tier} WHERE {}", kind.as_str(), marked("bucket"));
            run(connection, sql, marks, from, marks.to).await?;
        }
        let fresh = match kind {
            Kind::Events => format!(
                "SELECT tenant_id, date_trunc('{tier}', \"timestamp\", 'UTC') AS bucket, plugin_id, event_type, coalesce(country::text, '') AS country, count(*) AS events FROM plugin_analytics WHERE {raw} GROUP BY 1, 2, 3, 4, 5"
            ),
            // A value that is no number is counted by nobody.
            Kind::Metrics => format!(
                "SELECT tenant_id, metric_name, bucket, plugin_id, sum(n)::int8 AS samples, sum(s) AS value_sum, min(lo) AS value_min, max(hi) AS value_max, array_agg(bin ORDER BY bin) AS bins, array_agg(n ORDER BY bin) AS bin_samples FROM (SELECT tenant_id, metric_name, date_trunc('{tier}', \"timestamp\", 'UTC') AS bucket, plugin_id, analytics_bin(value) AS bin, count(*) AS n, sum(value) AS s, min(value) AS lo, max(value) AS hi FROM plugin_metrics WHERE {raw} AND tenant_id IS NOT NULL AND value > '-Infinity' AND value < 'Infinity' GROUP BY 1, 2, 3, 4, 5) AS by_bin GROUP BY 1, 2, 3, 4"
            ),
        };
        run(connection, upsert(kind, tier, &fresh), marks, from, marks.to).await?;
    }
    // The day is the sum of its hours, which stand now; of every tenant that has a mark in it.
    let hours = "bucket >= to_timestamp($4::int8 / 1000.0) AND bucket < to_timestamp($5::int8 / 1000.0) AND (cardinality($1::int8[]) > 0 OR tenant_id = ANY ($2::int8[])) AND $3::int8[] IS NOT NULL";
    if marks.removed {
        let sql = format!("DELETE FROM analytics_{}_day WHERE {hours}", kind.as_str());
        run(connection, sql, marks, day_ms, day_ms + DAY_MS).await?;
    }
    let fresh = match kind {
        Kind::Events => format!(
            "SELECT tenant_id, date_trunc('day', bucket, 'UTC') AS bucket, plugin_id, event_type, country, sum(events)::int8 AS events FROM analytics_events_hour WHERE {hours} GROUP BY 1, 2, 3, 4, 5"
        ),
        Kind::Metrics => format!(
            "WITH h AS MATERIALIZED (SELECT * FROM analytics_metrics_hour WHERE {hours}), b AS (SELECT tenant_id, metric_name, plugin_id, bin, sum(n)::int8 AS n FROM h CROSS JOIN LATERAL unnest(bins, bin_samples) AS u (bin, n) GROUP BY 1, 2, 3, 4), g AS (SELECT tenant_id, metric_name, plugin_id, array_agg(bin ORDER BY bin) AS bins, array_agg(n ORDER BY bin) AS bin_samples FROM b GROUP BY 1, 2, 3), a AS (SELECT tenant_id, metric_name, plugin_id, min(date_trunc('day', bucket, 'UTC')) AS bucket, sum(samples)::int8 AS samples, sum(value_sum) AS value_sum, min(value_min) AS value_min, max(value_max) AS value_max FROM h GROUP BY 1, 2, 3) SELECT tenant_id, metric_name, bucket, plugin_id, samples, value_sum, value_min, value_max, bins, bin_samples FROM a JOIN g USING (tenant_id, metric_name, plugin_id)"
        ),
    };
    run(connection, upsert(kind, "day", &fresh), marks, day_ms, day_ms + DAY_MS).await?;
    if kind == Kind::Events {
        users(connection, marks, day_ms).await?;
    }
    Ok(())
}

/// What did not change is not written.
fn upsert(kind: Kind, tier: &str, fresh: &str) -> String {
    match kind {
        Kind::Events => format!(
            "INSERT INTO analytics_events_{tier} AS t (tenant_id, bucket, plugin_id, event_type, country, events) {fresh} ON CONFLICT (tenant_id, bucket, plugin_id, event_type, country) DO UPDATE SET events = EXCLUDED.events WHERE t.events <> EXCLUDED.events"
        ),
        Kind::Metrics => format!(
            "INSERT INTO analytics_metrics_{tier} AS t (tenant_id, metric_name, bucket, plugin_id, samples, value_sum, value_min, value_max, bins, bin_samples) {fresh} ON CONFLICT (tenant_id, metric_name, bucket, plugin_id) DO UPDATE SET samples = EXCLUDED.samples, value_sum = EXCLUDED.value_sum, value_min = EXCLUDED.value_min, value_max = EXCLUDED.value_max, bins = EXCLUDED.bins, bin_samples = EXCLUDED.bin_samples WHERE (t.samples, t.value_sum, t.value_min, t.value_max, t.bins, t.bin_samples) IS DISTINCT FROM (EXCLUDED.samples, EXCLUDED.value_sum, EXCLUDED.value_min, EXCLUDED.value_max, EXCLUDED.bins, EXCLUDED.bin_samples)"
        ),
    }
}

/// Who used what: new rows only add to the sets, so the marked hours are enough. When rows went, the day is made anew.
async fn users(connection: &mut PgConnection, marks: &Marks, day_ms: i64) -> Result<(), sqlx::Error> {
    let insert = |of: &str| {
        format!(
            "INSERT INTO analytics_user_days (tenant_id, day, user_id, plugin_id, country) SELECT DISTINCT tenant_id, (\"timestamp\" AT TIME ZONE 'UTC')::date, user_id, plugin_id, coalesce(country::text, '') FROM plugin_analytics WHERE user_id IS NOT NULL AND {of} ON CONFLICT DO NOTHING"
        )
    };
    if !marks.removed {
        return run(connection, insert(&marked("\"timestamp\"")), marks, marks.from, marks.to).await;
    }
    let of_day = |time: &str| {
        format!(
            "{time} >= to_timestamp($4::int8 / 1000.0) AND {time} < to_timestamp($5::int8 / 1000.0) AND (cardinality($1::int8[]) > 0 OR tenant_id = ANY ($2::int8[])) AND $3::int8[] IS NOT NULL"
        )
    };
    let sql = format!("DELETE FROM analytics_user_days WHERE {}", of_day("(day::timestamp AT TIME ZONE 'UTC')"));
    run(connection, sql, marks, day_ms, day_ms + DAY_MS).await?;
    run(connection, insert(&of_day("\"timestamp\"")), marks, day_ms, day_ms + DAY_MS).await
}
