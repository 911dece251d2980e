//! Events and metrics come in by batch: COPY into a table of the session, then one statement into the tenant's rows.
//!
//! PostgreSQL takes no COPY into a table with row-level security from a role that it binds, so there is always a second
//! step; it also leaves out what is there already and what names no plugin of the tenant.
use crate::{
    AT, Analytics, AnalyticsError, DAY_MS,
    error::said,
    item::{self, Accepted},
    partitions::Month,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{IngestProblem, IngestReport},
};
use pool::{Reader, Session, Work, Writer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};
use std::collections::BTreeSet;

/// Most items of one batch.
pub const MOST_ITEMS: usize = 10_000;
/// Problems listed in a report.
const MOST_PROBLEMS: usize = 100;
/// Months that are there in any case: they are made ahead.
const SURELY_THERE: i32 = 1;

/// What is sent at once.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Names the batch: sent again with it, nothing is counted twice. Metrics, which have no id each, need it for that.
    pub key: Option<String>,
    /// Events, each as it was sent.
    pub events: Vec<Value>,
    /// Metrics, each as it was sent.
    pub metrics: Vec<Value>,
}

/// Checked items as lines of COPY.
#[derive(Debug, Default)]
struct Staged {
    events: String,
    metrics: String,
    event_count: u64,
    metric_count: u64,
    months: BTreeSet<Month>,
    problems: Vec<IngestProblem>,
}

impl Analytics {
    /// Stores a batch. Wrong items are named in the report and the others are taken; an event that is there already, by
    /// its id within the month (UTC) of its time, counts once.
    ///
    /// # Errors
    /// [`AnalyticsError::Invalid`] for a batch that is too large or empty; [`AnalyticsError::Conflict`] for a key that
    /// named another batch before.
    pub async fn ingest(&self, tenant: Tenant, batch: &Batch) -> Result<IngestReport, AnalyticsError> {
        let items = batch.events.len() + batch.metrics.len();
        if items == 0 || items > MOST_ITEMS {
            return Err(AnalyticsError::invalid(
                "events",
                format!("a batch has 1 to {MOST_ITEMS} events and metrics together, this one has {items}"),
            ));
        }
        if let Some(key) = &batch.key
            && (key.is_empty() || key.len() > 200 || key.chars().any(char::is_control))
        {
            return Err(AnalyticsError::invalid("Idempotency-Key", "Idempotency-Key has 1 to 200 characters"));
        }
        let (events_from, metrics_from) = self.kept_from().await?;
        let staged = stage(batch, events_from, metrics_from);
        let this = Month::of(crate::now());
        let unusual =
            staged.months.iter().copied().filter(|month| month.0 < this.0 || month.0 > this.0 + SURELY_THERE).collect();
        if staged.event_count > 0 {
            self.ensure("plugin_analytics", &unusual).await?;
        }
        if staged.metric_count > 0 {
            self.ensure("plugin_metrics", &unusual).await?;
        }
        let hash = batch.key.as_ref().map(|_| fingerprint(batch));
        let (staged, hash) = (&staged, &hash);
        self.pools
            .write(&tenant.scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    store(writer.connection()?, tenant, batch.key.as_deref().zip(hash.as_deref()), staged).await
                })
            })
            .await
            .map_err(said)
    }

    /// From which moment on items are taken: what is older is archived, or would be at once.
    async fn kept_from(&self) -> Result<(Timestamp, Timestamp), AnalyticsError> {
        let by_age = Timestamp(crate::now().0 - i64::from(self.retention_days) * DAY_MS);
        let rows = self
            .pools
            .read_primary(&catalog::platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let rows = sqlx::query("SELECT kind, CASE WHEN raw_from > '-infinity' THEN (extract(epoch FROM raw_from) * 1000)::int8 ELSE 0 END AS raw_from_ms FROM analytics_state")
                        .fetch_all(reader.connection()?)
                        .await?;
                    rows.iter()
                        .map(|row| Ok((row.try_get::<String, _>(0)?, row.try_get::<i64, _>(1)?)))
                        .collect::<Result<Vec<_>, AnalyticsError>>()
                })
            })
            .await
            .map_err(said)?;
        let of = |kind: &str| Timestamp(rows.iter().find(|row| row.0 == kind).map_or(0, |row| row.1)).max(by_age);
        Ok((of("events"), of("metrics")))
    }
}

fn stage(batch: &Batch, events_from: Timestamp, metrics_from: Timestamp) -> Staged {
    let mut staged = Staged::default();
    let now = crate::now();
    let at = |list: &str, index: u32, message| IngestProblem { list: list.to_owned(), index, message };
    for (index, event) in (0..).zip(&batch.events) {
        match item::event(index, event, Accepted { now, oldest: events_from }, &mut staged.events) {
            Ok(moment) => {
                staged.event_count += 1;
                staged.months.insert(Month::of(moment));
            }
            Err(message) => staged.problems.push(at("events", index, message)),
        }
    }
    for (index, metric) in (0..).zip(&batch.metrics) {
        match item::metric(index, metric, Accepted { now, oldest: metrics_from }, &mut staged.metrics) {
            Ok(moment) => {
                staged.metric_count += 1;
                staged.months.insert(Month::of(moment));
            }
            Err(message) => staged.problems.push(at("metrics", index, message)),
        }
    }
    staged
}

/// The same batch has the same.
fn fingerprint(batch: &Batch) -> String {
    let mut hasher = Sha256::new();
    for list in [&batch.events, &batch.metrics] {
        hasher.update(serde_json::to_vec(list).unwrap_or_default());
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn store(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: Option<(&str, &str)>,
    staged: &Staged,
) -> Result<IngestReport, AnalyticsError> {
    if let Some((key, hash)) = key
        && let Some(report) = came_before(&mut *connection, tenant, key, hash).await?
    {
        return Ok(report);
    }
    let mut report = IngestReport { problems: staged.problems.clone(), ..Default::default() };
    if staged.event_count > 0 {
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS staged_events (n int, event_id text, plugin_id bigint, event_type text, user_id text, country text, properties jsonb, at_ms bigint) ON COMMIT DELETE ROWS").await?;
        copy(&mut *connection, "COPY staged_events FROM STDIN", &staged.events).await?;
        let stored = insert_events(&mut *connection, tenant).await?;
        report.accepted += stored;
        if stored < staged.event_count {
            let unknown = strangers(&mut *connection, "staged_events", "events", tenant, &mut report).await?;
            report.duplicates = staged.event_count.saturating_sub(unknown).saturating_sub(stored);
        }
    }
    if staged.metric_count > 0 {
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS staged_metrics (n int, plugin_id bigint, metric_name text, value double precision, at_ms bigint) ON COMMIT DELETE ROWS").await?;
        copy(&mut *connection, "COPY staged_metrics FROM STDIN", &staged.metrics).await?;
        let sql = format!(
            "INSERT INTO plugin_metrics (plugin_id, tenant_id, metric_name, value, \"timestamp\") SELECT s.plugin_id, $1, s.metric_name, s.value, {AT} s.at_ms FROM staged_metrics s JOIN plugins p ON p.id = s.plugin_id AND p.tenant_id = $1 ORDER BY s.n"
        );
        let stored = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).execute(&mut *connection).await?.rows_affected();
        report.accepted += stored;
        if stored < staged.metric_count {
            strangers(&mut *connection, "staged_metrics", "metrics", tenant, &mut report).await?;
        }
    }
    report.rejected = report.problems.len() as u64;
    report.problems.sort_by(|a, b| (&a.list, a.index).cmp(&(&b.list, b.index)));
    report.problems.truncate(MOST_PROBLEMS);
    if let Some((key, _)) = key {
        let text = serde_json::to_string(&report).unwrap_or_default();
        sqlx::query("UPDATE analytics_batches SET report = $3::jsonb WHERE tenant_id = $1 AND batch_key = $2")
            .bind(tenant.0)
            .bind(key)
            .bind(text)
            .execute(&mut *connection)
            .await?;
    }
    Ok(report)
}

/// Moves staged events into the tenant's rows; gives how many were not there yet. Looking for each before it is inserted
/// costs a third of the insert, so they are taken for new at first; when one is not, all are inserted again, with a look.
/// What was sent before begins or ends, nearly always, with an event that is there: then it is not tried in vain.
async fn insert_events(connection: &mut PgConnection, tenant: Tenant) -> Result<u64, AnalyticsError> {
    let sql = format!(
        "INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country, properties, \"timestamp\", event_id) SELECT s.plugin_id, $1, s.event_type, s.user_id, s.country, s.properties, {AT} s.at_ms, s.event_id FROM staged_events s JOIN plugins p ON p.id = s.plugin_id AND p.tenant_id = $1 ORDER BY s.n"
    );
    let sent_before: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM (SELECT event_id FROM staged_events WHERE n = (SELECT min(n) FROM staged_events) OR n = (SELECT max(n) FROM staged_events) OFFSET 0) AS s CROSS JOIN LATERAL (SELECT FROM plugin_analytics a WHERE a.tenant_id = $1 AND a.event_id = s.event_id LIMIT 1) AS a)")
        .bind(tenant.0)
        .fetch_one(&mut *connection)
        .await?;
    if !sent_before {
        connection.execute("SAVEPOINT as_new").await?;
        match sqlx::query(AssertSqlSafe(sql.clone())).bind(tenant.0).execute(&mut *connection).await {
            Ok(done) => return Ok(done.rows_affected()),
            Err(error) if error.as_database_error().is_some_and(|it| it.is_unique_violation()) => {}
            Err(error) => return Err(error.into()),
        }
        connection.execute("ROLLBACK TO SAVEPOINT as_new").await?;
    }
    // No target is named, so the unique index of each partition decides, whatever columns it has.
    let sql = sql + " ON CONFLICT DO NOTHING";
    Ok(sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).execute(&mut *connection).await?.rows_affected())
}

/// Takes the key, or gives the answer that was given for it. Whoever sends the same at the same time waits here.
async fn came_before(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: &str,
    hash: &str,
) -> Result<Option<IngestReport>, AnalyticsError> {
    let taken = sqlx::query("INSERT INTO analytics_batches (tenant_id, batch_key, request_hash, report) VALUES ($1, $2, $3, '{}') ON CONFLICT DO NOTHING")
        .bind(tenant.0)
        .bind(key)
        .bind(hash)
        .execute(&mut *connection)
        .await?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    let row =
        sqlx::query("SELECT request_hash, report::text FROM analytics_batches WHERE tenant_id = $1 AND batch_key = $2")
            .bind(tenant.0)
            .bind(key)
            .fetch_one(connection)
            .await?;
    if row.try_get::<String, _>(0)? != hash {
        return Err(AnalyticsError::Conflict(format!(
            "the key '{key}' named another batch before; give each batch a key of its own"
        )));
    }
    let report = serde_json::from_str::<IngestReport>(&row.try_get::<String, _>(1)?).unwrap_or_default();
    Ok(Some(IngestReport { repeated: true, ..report }))
}

async fn copy(connection: &mut PgConnection, statement: &'static str, lines: &str) -> Result<(), sqlx::Error> {
    let mut sink = connection.copy_in_raw(statement).await?;
    sink.send(lines.as_bytes()).await?;
    sink.finish().await?;
    Ok(())
}

/// Items whose plugin is not the tenant's.
async fn strangers(
    connection: &mut PgConnection,
    table: &'static str,
    list: &str,
    tenant: Tenant,
    report: &mut IngestReport,
) -> Result<u64, AnalyticsError> {
    let sql = format!(
        "SELECT s.n, s.plugin_id FROM {table} s WHERE NOT EXISTS (SELECT FROM plugins p WHERE p.id = s.plugin_id AND p.tenant_id = $1) ORDER BY s.n"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).fetch_all(connection).await?;
    for row in &rows {
        report.problems.push(IngestProblem {
            list: list.to_owned(),
            index: u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or_default(),
            message: format!("plugin_id: there is no plugin '{}'", row.try_get::<i64, _>(1)?),
        });
    }
    Ok(rows.len() as u64)
}
