//! Doing it, in transactions that survive a kill.
use super::{
    BulkMode, BulkOperation, BulkRequest,
    report::report,
    verdicts::{Verdict, verdicts},
};
use crate::{
    Catalog, CatalogError, Tenant,
    bulk_status::{check_key, lock_name, other_request},
    error::said,
    listen::CHANNEL,
};
use domain::view::BulkReport;
use pool::{PoolError, Reader, Work, WorkError, Writer};
use sqlx::{Executor as _, PgConnection};
use std::collections::BTreeMap;

/// Items of one transaction when each is by itself.
const CHUNK: usize = 500;
/// Items of one statement when all are in one transaction.
const BATCH: usize = 5_000;

/// Told how many of how many items are through.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// An operation that is being carried out.
#[derive(Clone, Copy)]
struct Run<'a> {
    tenant: Tenant,
    by: &'a str,
    request: &'a BulkRequest,
    /// All of it, sorted.
    ids: &'a [i64],
    /// Its record.
    bulk: i64,
    progress: Progress<'a>,
}

impl Catalog {
    /// Does it, once for each key of the tenant: a repeated call goes on where the first was cut off, or tells what it
    /// did. Whoever cancels it meanwhile ([`Self::bulk_cancel`]) is heard between two parts: item by item what was done stays
    /// done, of all or none nothing is.
    ///
    /// # Errors
    /// [`CatalogError`]; items that are refused or fail are in the report. After
    /// [`pool::PoolError::CommitUnknown`] repeat it with the same key.
    pub async fn bulk_run(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        request.check()?;
        check_key(key)?;
        let done = self.run(tenant, key, by, request, progress).await;
        // In any case: what failed may have been committed.
        self.cache.changed(tenant);
        done.map_err(said)
    }

    async fn run(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        let ids = request.plugins.iter().copied().collect::<Vec<_>>();
        let session = self.cache.session(tenant);
        // The record comes first, in a transaction of its own: other servers see that it is there, cancel it, take it up.
        let (bulk, repeated) = self
            .pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { begin(writer.connection()?, tenant, key, by, request).await })
            })
            .await?;
        let run = Run { tenant, by, request, ids: &ids, bulk, progress };
        let how = match request.mode {
            BulkMode::Atomic => self.run_atomic(run).await,
            BulkMode::Each => self.run_each(run).await,
        };
        let end = match how {
            Ok(Some(end)) => end,
            Ok(None) => return self.told(run, true, None).await,
            Err(Stopped::Cancelled) => "cancelled",
            Err(Stopped::Failed(error)) => {
                self.forget(run, &error).await;
                return Err(error);
            }
        };
        self.told(run, repeated && request.mode == BulkMode::Each, Some(end)).await
    }

    /// All in one transaction, its end too. `None` when it was over before.
    async fn run_atomic(&self, run: Run<'_>) -> Result<Option<&'static str>, Stopped> {
        let session = self.cache.session(run.tenant);
        self.pools
            .write(&run.tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    if !is_to_be_done(connection, run.bulk).await? {
                        return Ok(None);
                    }
                    lock(connection, run.ids).await?;
                    let verdicts = verdicts(connection, run.request, run.ids, run.ids).await?;
                    let refused = verdicts.iter().any(Verdict::is_refused);
                    let will = verdicts.iter().filter(|verdict| !refused && verdict.is_done()).collect::<Vec<_>>();
                    for (i, batch) in will.chunks(BATCH).enumerate() {
                        not_cancelled(connection, run.bulk).await?;
                        change(connection, run.tenant, run.by, run.request, batch).await?;
                        (run.progress)((i * BATCH + batch.len()).min(run.ids.len()), run.ids.len());
                    }
                    let kept = verdicts.iter().filter(|verdict| !refused || !verdict.is_done());
                    record(connection, run.tenant, run.bulk, kept).await?;
                    let end = if refused { "refused" } else { "done" };
                    // The last moment: from here on nobody can cancel it.
                    finish(connection, run.bulk, end).await?;
                    not_cancelled(connection, run.bulk).await?;
                    (run.progress)(run.ids.len(), run.ids.len());
                    Ok(Some(end))
                })
            })
            .await
    }

    /// Part by part, each a transaction. `None` when it was over before.
    async fn run_each(&self, run: Run<'_>) -> Result<Option<&'static str>, Stopped> {
        let session = self.cache.session(run.tenant);
        let all = &self.possible(run.tenant, run.request, run.ids).await?;
        for (i, chunk) in run.ids.chunks(CHUNK).enumerate() {
            let goes_on = self
                .pools
                .write(&run.tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                    Box::pin(async move { run_chunk(writer.connection()?, run, all, chunk).await })
                })
                .await?;
            if !goes_on {
                return Ok(None);
            }
            self.cache.changed(run.tenant);
            (run.progress)((i * CHUNK + chunk.len()).min(run.ids.len()), run.ids.len());
        }
        Ok(Some("done"))
    }

    /// How it ended, written down unless it is.
    async fn told(&self, run: Run<'_>, repeated: bool, end: Option<&str>) -> Result<BulkReport, CatalogError> {
        let session = self.cache.session(run.tenant);
        self.pools
            .write(&run.tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    if let Some(end) = end {
                        finish(connection, run.bulk, end).await?;
                    }
                    report(connection, run.bulk, repeated).await
                })
            })
            .await
    }

    /// All or none, and it was none: its key is free again. Where that is not known the record stays, and whoever takes it up
    /// finds out.
    async fn forget(&self, run: Run<'_>, error: &CatalogError) {
        if run.request.mode == BulkMode::Each || matches!(error, CatalogError::Pool(PoolError::CommitUnknown { .. })) {
            return;
        }
        let session = self.cache.session(run.tenant);
        let done = self
            .pools
            .write(&run.tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    hold(connection, run.bulk).await?;
                    sqlx::query("DELETE FROM plugin_bulks WHERE id = $1 AND state = 'running'")
                        .bind(run.bulk)
                        .execute(connection)
                        .await?;
                    Ok::<_, CatalogError>(())
                })
            })
            .await;
        if let Err(error) = done {
            tracing::debug!(%error, bulk = run.bulk, "the record of an operation that failed stays; it will be taken up");
        }
    }

    /// What a part of an operation may count on of the others: what is refused in the end because of a third comes in none
    /// of its parts.
    async fn possible(&self, tenant: Tenant, request: &BulkRequest, ids: &[i64]) -> Result<Vec<i64>, CatalogError> {
        if ids.len() <= CHUNK || !request.operation.moves() {
            return Ok(ids.to_vec());
        }
        let session = self.cache.session(tenant);
        let verdicts = self
            .pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { verdicts(reader.connection()?, request, ids, ids).await })
            })
            .await?;
        Ok(verdicts.iter().filter(|verdict| !verdict.is_refused()).map(|verdict| verdict.id).collect())
    }
}

/// Why it did not come to its end.
enum Stopped {
    Cancelled,
    Failed(CatalogError),
}

impl From<CatalogError> for Stopped {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error)
    }
}

impl From<PoolError> for Stopped {
    fn from(error: PoolError) -> Self {
        Self::Failed(CatalogError::Pool(error))
    }
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl WorkError for Stopped {
    fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Cancelled => None,
            Self::Failed(error) => error.sql(),
        }
    }
}

/// One at a time works on an operation, of however many servers: until the end of the transaction. It is no lock of the record,
/// which whoever cancels it must be able to change meanwhile.
async fn hold(connection: &mut PgConnection, bulk: i64) -> Result<(), CatalogError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(lock_name(bulk))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes it, unless it is over; `false` when it is.
async fn is_to_be_done(connection: &mut PgConnection, bulk: i64) -> Result<bool, Stopped> {
    hold(connection, bulk).await?;
    let state = sqlx::query_scalar::<_, String>("SELECT state FROM plugin_bulks WHERE id = $1")
        .bind(bulk)
        .fetch_optional(&mut *connection)
        .await?;
    let state = state.ok_or_else(|| {
        CatalogError::Conflict(
            "the operation failed on another server meanwhile, and nothing was done; send it again".to_owned(),
        )
    })?;
    if state != "running" {
        return Ok(false);
    }
    not_cancelled(connection, bulk).await?;
    Ok(true)
}

async fn not_cancelled(connection: &mut PgConnection, bulk: i64) -> Result<(), Stopped> {
    let asked = sqlx::query_scalar::<_, bool>("SELECT cancel_asked_by IS NOT NULL FROM plugin_bulks WHERE id = $1")
        .bind(bulk)
        .fetch_one(connection)
        .await?;
    if asked { Err(Stopped::Cancelled) } else { Ok(()) }
}

/// Finds the operation of this key, or begins it; `true` when it was there.
async fn begin(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: &str,
    by: &str,
    request: &BulkRequest,
) -> Result<(i64, bool), CatalogError> {
    let (total, hash) = (request.plugins.len() as i32, request.hash());
    let made = sqlx::query_scalar::<_, i64>("INSERT INTO plugin_bulks (tenant_id, idempotency_key, request_hash, operation, mode, state, total, started_by, request) VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, $8::jsonb) ON CONFLICT (tenant_id, idempotency_key) DO NOTHING RETURNING id")
        .bind(tenant.0)
        .bind(key)
        .bind(&hash)
        .bind(request.operation.as_str())
        .bind(request.mode.as_str())
        .bind(total)
        .bind(by)
        .bind(serde_json::to_string(request).unwrap_or_default())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = made {
        return Ok((id, false));
    }
    let (id, first) = sqlx::query_as::<_, (i64, String)>(
        "SELECT id, request_hash FROM plugin_bulks WHERE tenant_id = $1 AND idempotency_key = $2",
    )
    .bind(tenant.0)
    .bind(key)
    .fetch_one(&mut *connection)
    .await?;
    if first != hash {
        return Err(other_request(key));
    }
    Ok((id, true))
}

/// In the order of ids: two operations on the same plugins wait for each other and never in a circle.
async fn lock(connection: &mut PgConnection, ids: &[i64]) -> Result<(), CatalogError> {
    sqlx::query("SELECT count(*) FROM (SELECT id FROM plugins WHERE id = ANY($1) ORDER BY id FOR UPDATE) AS locked")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}

/// Changes plugins, and writes the operation and the audit row of each.
async fn change(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    request: &BulkRequest,
    will: &[&Verdict],
) -> Result<(), CatalogError> {
    let ids = &will.iter().map(|verdict| verdict.id).collect::<Vec<_>>();
    if request.operation != BulkOperation::Delete {
        sqlx::query("INSERT INTO plugin_operations (plugin_id, tenant_id, environment, operation_type, status, started_by, finished_at) SELECT p.id, p.tenant_id, p.environment, u.does, 'succeeded', $3, now() FROM unnest($1::int8[], $2::text[]) AS u (id, does) JOIN plugins p ON p.id = u.id")
            .bind(ids)
            .bind(will.iter().map(|verdict| verdict.does).collect::<Vec<_>>())
            .bind(by)
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id) SELECT $2, $3, 'plugin.' || $4, 'plugin', id::text FROM unnest($1::int8[]) AS u (id)")
        .bind(ids)
        .bind(tenant.0)
        .bind(by)
        .bind(request.operation.as_str())
        .execute(&mut *connection)
        .await?;
    let change = match request.operation {
        // The version that was looked at, and no other that was released meanwhile.
        BulkOperation::Install | BulkOperation::Upgrade => sqlx::query("UPDATE plugins AS q SET is_installed = true, status = 'active', updated_at = now(), installed_version = u.version FROM unnest($1::int8[], $2::text[]) AS u (id, version) WHERE q.id = u.id")
            .bind(ids)
            .bind(will.iter().map(|verdict| verdict.to.as_deref().unwrap_or_default()).collect::<Vec<_>>()),
        BulkOperation::Enable => {
            sqlx::query("UPDATE plugins SET is_enabled = true, status = 'active', updated_at = now() WHERE id = ANY($1)").bind(ids)
        }
        BulkOperation::Disable => {
            sqlx::query("UPDATE plugins SET is_enabled = false, status = 'inactive', updated_at = now() WHERE id = ANY($1)").bind(ids)
        }
        BulkOperation::Tag => sqlx::query("UPDATE plugins SET updated_at = now(), tags = (SELECT coalesce(array_agg(DISTINCT t ORDER BY t), '{}') FROM unnest(tags || $2::text[]) t WHERE t IS NOT NULL AND t <> ALL($3::text[])) WHERE id = ANY($1)")
            .bind(ids)
            .bind(&request.add_tags)
            .bind(&request.remove_tags),
        BulkOperation::Delete => sqlx::query("DELETE FROM plugins WHERE id = ANY($1)").bind(ids),
    };
    change.persistent(false).execute(connection).await?;
    Ok(())
}

/// The items of a part that have no outcome yet; `false` when the operation is over already.
async fn run_chunk(connection: &mut PgConnection, run: Run<'_>, all: &[i64], chunk: &[i64]) -> Result<bool, Stopped> {
    let Run { tenant, by, request, bulk, .. } = run;
    if !is_to_be_done(connection, bulk).await? {
        return Ok(false);
    }
    let left = sqlx::query_scalar::<_, i64>("SELECT u.id FROM unnest($1::int8[]) AS u (id) WHERE NOT EXISTS (SELECT FROM plugin_bulk_items i WHERE i.bulk_id = $2 AND i.plugin_id = u.id) ORDER BY 1")
        .bind(chunk)
        .bind(bulk)
        .fetch_all(&mut *connection)
        .await?;
    if left.is_empty() {
        return Ok(true);
    }
    lock(connection, &left).await?;
    let mut verdicts = verdicts(connection, request, &left, all).await?;
    let will = verdicts.iter().filter(|verdict| verdict.is_done()).collect::<Vec<_>>();
    let mut failed = BTreeMap::new();
    if let Err(error) = attempt(connection, tenant, by, request, &will).await? {
        // One of them is bad: each by itself.
        tracing::debug!(%error, bulk, "a part of a bulk operation is done item by item");
        for verdict in will {
            if let Err(error) = attempt(connection, tenant, by, request, &[verdict]).await? {
                failed.insert(verdict.id, format!("failed: {error}"));
            }
        }
    }
    for verdict in &mut verdicts {
        if let Some(said) = failed.remove(&verdict.id) {
            verdict.said = said;
        }
    }
    record(connection, tenant, bulk, verdicts.iter()).await?;
    sqlx::query("UPDATE plugin_bulks SET worked_at = clock_timestamp() WHERE id = $1")
        .bind(bulk)
        .execute(connection)
        .await?;
    Ok(true)
}

/// Changes within a savepoint. The outer error is the connection's, the inner one the items'.
async fn attempt(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    request: &BulkRequest,
    will: &[&Verdict],
) -> Result<Result<(), String>, CatalogError> {
    if will.is_empty() {
        return Ok(Ok(()));
    }
    connection.execute("SAVEPOINT item").await?;
    match change(connection, tenant, by, request, will).await {
        Ok(()) => {
            connection.execute("RELEASE SAVEPOINT item").await?;
            Ok(Ok(()))
        }
        Err(CatalogError::Pool(PoolError::Sql(sqlx::Error::Database(error))))
            if !error.code().is_some_and(|code| code.starts_with("57") || code.starts_with("40")) =>
        {
            connection.execute("ROLLBACK TO SAVEPOINT item").await?;
            Ok(Err(error.message().to_owned()))
        }
        Err(error) => Err(error),
    }
}

async fn record(
    connection: &mut PgConnection,
    tenant: Tenant,
    bulk: i64,
    verdicts: impl Iterator<Item = &Verdict>,
) -> Result<(), CatalogError> {
    let (mut ids, mut outcomes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for verdict in verdicts {
        let (outcome, reason) = verdict.parts();
        ids.push(verdict.id);
        outcomes.push(outcome);
        reasons.push(reason);
    }
    sqlx::query("INSERT INTO plugin_bulk_items (bulk_id, tenant_id, plugin_id, outcome, reason) SELECT $1, $2, * FROM unnest($3::int8[], $4::text[], $5::text[])")
        .bind(bulk)
        .bind(tenant.0)
        .bind(ids)
        .bind(outcomes)
        .bind(reasons)
        .execute(&mut *connection)
        .await?;
    // Sent with the commit: other processes forget what they remember of the tenant.
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(tenant.0.to_string()).execute(connection).await?;
    Ok(())
}

async fn finish(connection: &mut PgConnection, bulk: i64, state: &str) -> Result<(), CatalogError> {
    sqlx::query("UPDATE plugin_bulks SET state = $2, finished_at = now() WHERE id = $1 AND state = 'running'")
        .bind(bulk)
        .bind(state)
        .execute(connection)
        .await?;
    Ok(())
}
