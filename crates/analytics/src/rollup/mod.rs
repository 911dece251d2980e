//! Roll-ups. Each change of rows leaves a mark in `analytics_dirty` in its own transaction; a roll-up takes the marks of
//! one day, counts the marked hours anew from the rows, and removes the marks, all in one transaction. So every row is
//! counted exactly once, however late it comes, however often a roll-up is killed, and whoever else rolls up.
mod clear;
mod events;
mod metrics;
mod users;

pub(crate) use users::forget;

use crate::{Analytics, AnalyticsError, DAY_MS, HOUR_MS, error::said, floor};
use catalog::platform_scope;
use pool::{PoolError, Reader, Work};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use std::collections::BTreeSet;

/// Minutes are kept for so long; questions use them for an hour less.
pub(crate) const MINUTES_KEPT_MS: i64 = 48 * HOUR_MS;
/// Hours, and who used what on which day, are kept for so long; hours at least as long as there are rows, from which the day is
/// counted anew by way of its hours. Days are kept.
pub(crate) const HOURS_KEPT_DAYS: i64 = 400;
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
    /// Rolls up what is marked, events and metrics at the same time, the newest days first.
    ///
    /// # Errors
    /// [`AnalyticsError`]; what was rolled up before stays.
    pub async fn roll_up(&self) -> Result<RolledUp, AnalyticsError> {
        let (events, metrics) = tokio::join!(self.roll_up_kind(Kind::Events), self.roll_up_kind(Kind::Metrics));
        let (events, metrics) = (events?, metrics?);
        Ok(RolledUp {
            days: events.days + metrics.days,
            hours: events.hours + metrics.hours,
            busy: events.busy || metrics.busy,
        })
    }

    /// Rolls up everything that is marked at this moment. What is marked meanwhile is left to the next round: on a database that is
    /// written to, something always is.
    ///
    /// # Errors
    /// As [`Self::roll_up`].
    pub async fn roll_up_all(&self) -> Result<RolledUp, AnalyticsError> {
        let mut all = RolledUp::default();
        let Some((_, newest)) = self.marks().await? else { return Ok(all) };
        while self.marks().await?.is_some_and(|(oldest, _)| oldest <= newest) {
            let done = self.roll_up().await?;
            all.days += done.days;
            all.hours += done.hours;
            all.busy = done.busy;
            if done.busy || done.days == 0 {
                break;
            }
        }
        Ok(all)
    }

    /// The mark that was made first and the one that was made last.
    async fn marks(&self) -> Result<Option<(i64, i64)>, AnalyticsError> {
        self.pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let (first, last) = sqlx::query_as::<_, (Option<i64>, Option<i64>)>(
                        "SELECT (SELECT min(id) FROM analytics_dirty), (SELECT max(id) FROM analytics_dirty)",
                    )
                    .fetch_one(reader.connection()?)
                    .await?;
                    Ok::<_, AnalyticsError>(first.zip(last))
                })
            })
            .await
            .map_err(said)
    }

    async fn roll_up_kind(&self, kind: Kind) -> Result<RolledUp, AnalyticsError> {
        let mut done = RolledUp::default();
        if !self.is_marked(kind).await? {
            return Ok(done);
        }
        // A connection of its own: a day of millions of rows takes longer than the pools let a statement run.
        let mut connection = self.long_connection().await?;
        connection.execute("SET jit = off; SET work_mem = '64MB'").await.map_err(PoolError::Sql)?;
        let mut before = i64::MAX;
        for _ in 0..DAYS_AT_ONCE {
            let mut transaction = connection.begin().await?;
            let step = day(&mut transaction, kind, before).await?;
            transaction.commit().await?;
            match step {
                Step::Busy => return Ok(RolledUp { busy: true, ..done }),
                Step::Nothing => break,
                Step::Did { day_ms, hours } => {
                    before = day_ms;
                    done.days += 1;
                    done.hours += hours;
                }
            }
        }
        Ok(done)
    }

    async fn is_marked(&self, kind: Kind) -> Result<bool, AnalyticsError> {
        self.pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    Ok::<_, AnalyticsError>(
                        sqlx::query_scalar("SELECT EXISTS (SELECT FROM analytics_dirty WHERE kind = $1)")
                            .bind(kind.as_str())
                            .fetch_one(reader.connection()?)
                            .await?,
                    )
                })
            })
            .await
            .map_err(said)
    }
}

/// Takes the roll-ups of a kind for this transaction, if nobody has them. Whoever drops a month takes those of both.
async fn take(connection: &mut PgConnection, kind: Kind) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_xact_lock_shared(hashtextextended('holdfast analytics roll-up', 0)) AND pg_try_advisory_xact_lock(hashtextextended('holdfast analytics roll-up of ' || $1, 0))")
        .bind(kind.as_str())
        .fetch_one(connection)
        .await
}

/// As [`take`], but waits for whoever has them.
pub(crate) async fn wait_for(connection: &mut PgConnection, kind: Kind) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared(hashtextextended('holdfast analytics roll-up', 0)), pg_advisory_xact_lock(hashtextextended('holdfast analytics roll-up of ' || $1, 0))")
        .bind(kind.as_str())
        .execute(connection)
        .await?;
    Ok(())
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
    day: i64,
}

impl Marks {
    /// What it is bound to: $1 hours of all tenants, $2 and $3 tenants and hours, $4 and $5 the span.
    async fn run(&self, connection: &mut PgConnection, sql: String, from: i64, to: i64) -> Result<(), sqlx::Error> {
        sqlx::query(AssertSqlSafe(sql))
            .bind(&self.all)
            .bind(&self.tenants)
            .bind(&self.hours)
            .bind(from)
            .bind(to)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Over the whole day.
    async fn run_day(&self, connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
        self.run(connection, sql, self.day, self.day + DAY_MS).await
    }
}

/// Rows of `time` within $4..$5 that a mark is about. Two sets that are hashed once each.
fn marked(time: &str) -> String {
    let hour = bin("hour", time);
    format!(
        "{time} >= to_timestamp($4::int8 / 1000.0) AND {time} < to_timestamp($5::int8 / 1000.0) AND ({hour} IN (SELECT to_timestamp(h / 1000.0) FROM unnest($1::int8[]) h) OR (tenant_id, {hour}) IN (SELECT t, to_timestamp(h / 1000.0) FROM unnest($2::int8[], $3::int8[]) AS m (t, h)))"
    )
}

/// Rows of `time` within $4..$5 of every tenant that has a mark in the day.
fn of_day(time: &str) -> String {
    format!(
        "{time} >= to_timestamp($4::int8 / 1000.0) AND {time} < to_timestamp($5::int8 / 1000.0) AND (cardinality($1::int8[]) > 0 OR tenant_id = ANY ($2::int8[])) AND $3::int8[] IS NOT NULL"
    )
}

/// The start of the minute, hour or day (UTC) of a moment; half the time of `date_trunc` with a zone.
fn bin(tier: &str, time: &str) -> String {
    format!("date_bin('1 {tier}', {time}, timestamptz 'epoch')")
}

/// Fills a table whose rows of the span may be there: what did not change is not written. Where there are none, which is
/// how an old heap is rolled up, it need not look for each.
struct Fill<'a> {
    table: &'a str,
    key: &'a str,
    values: &'a str,
    fresh: String,
}

impl Fill<'_> {
    async fn is_empty(&self, connection: &mut PgConnection, from: i64, to: i64) -> Result<bool, sqlx::Error> {
        let sql = format!(
            "SELECT NOT EXISTS (SELECT FROM {} WHERE bucket >= to_timestamp($1::int8 / 1000.0) AND bucket < to_timestamp($2::int8 / 1000.0))",
            self.table
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(from).bind(to).fetch_one(connection).await
    }

    fn sql(&self, empty: bool) -> String {
        let Self { table, key, values, fresh } = self;
        let insert = format!("INSERT INTO {table} AS t ({key}, {values}) {fresh}");
        if empty {
            // Bins are in order only so that they compare with those that are there, and sorting those of each row takes
            // a third of all the time. Whoever reads them needs no order.
            return insert.replace(" ORDER BY bin", "");
        }
        let of = |prefix: &str| values.split(", ").map(|it| format!("{prefix}.{it}")).collect::<Vec<_>>().join(", ");
        let set = values.split(", ").map(|it| format!("{it} = EXCLUDED.{it}")).collect::<Vec<_>>().join(", ");
        format!(
            "{insert} ON CONFLICT ({key}) DO UPDATE SET {set} WHERE ({}) IS DISTINCT FROM ({})",
            of("t"),
            of("EXCLUDED")
        )
    }
}

async fn day(connection: &mut PgConnection, kind: Kind, before: i64) -> Result<Step, AnalyticsError> {
    // What is read after it was got was committed before: nobody else rolls up, and a mark is never older than its rows.
    if !take(&mut *connection, kind).await? {
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
        day: day_ms,
    };
    // From the rows: minutes and hours that are marked.
    let minutes_from = floor(crate::now().0 - MINUTES_KEPT_MS, HOUR_MS);
    for (tier, from) in [("minute", marks.from.max(minutes_from)), ("hour", marks.from)] {
        if from >= marks.to {
            continue;
        }
        if marks.removed {
            let sql = format!("DELETE FROM analytics_{}_{tier} WHERE {}", kind.as_str(), marked("bucket"));
            marks.run(&mut *connection, sql, from, marks.to).await?;
        }
        let table = format!("analytics_{}_{tier}", kind.as_str());
        let fill = match kind {
            Kind::Events => events::from_rows(&table, tier),
            Kind::Metrics => metrics::from_rows(&table, tier),
        };
        let empty = fill.is_empty(&mut *connection, from, marks.to).await?;
        marks.run(&mut *connection, fill.sql(empty), from, marks.to).await?;
    }
    // From the hours, which stand now: the day, and what is read over many days.
    match kind {
        Kind::Events => events::day(&mut *connection, &marks).await?,
        Kind::Metrics => metrics::day(&mut *connection, &marks).await?,
    }
    sqlx::query("UPDATE analytics_state SET rolled_up_at = now() WHERE kind = $1")
        .bind(kind.as_str())
        .execute(connection)
        .await?;
    Ok(Step::Did { day_ms, hours: u32::try_from(hours.len()).unwrap_or(u32::MAX) })
}
