//! Doing it, in transactions that survive a kill.
use super::{
    BulkMode, BulkOperation, BulkRequest,
    report::report,
    verdicts::{Verdict, verdicts},
};
use crate::{
    Catalog, CatalogError, Tenant,
    bulk_status::{check_key, other_request},
    error::said,
    listen::CHANNEL,
};
use domain::view::BulkReport;
use pool::{Reader, Work, Writer};
use sqlx::{Executor as _, PgConnection};
use std::collections::BTreeMap;

/// Items of one transaction when each is by itself.
const CHUNK: usize = 500;
/// Items of one statement when all are in one transaction.
const BATCH: usize = 5_000;

/// Told how many of how many items are through.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

impl Catalog {
    /// Does it, once for each key of the tenant: a repeated call goes on where the first was cut off, or tells what it
    /// did.
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
        let done = match request.mode {
            BulkMode::Atomic => self.run_atomic(tenant, key, by, request, progress).await,
            BulkMode::Each => self.run_each(tenant, key, by, request, progress).await,
        };
        // In any case: what failed may have been committed.
        self.cache.changed(tenant);
        done.map_err(said)
    }

    async fn run_atomic(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        let ids = &request.plugins.iter().copied().collect::<Vec<_>>();
        let session = self.cache.session(tenant);
        self.pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    let (bulk, repeated) = begin(connection, tenant, key, by, request).await?;
                    if repeated {
                        return report(connection, bulk, true).await;
                    }
                    lock(connection, ids).await?;
                    let verdicts = verdicts(connection, request, ids, ids).await?;
                    let refused = verdicts.iter().any(Verdict::is_refused);
                    let will = verdicts.iter().filter(|verdict| !refused && verdict.is_done()).collect::<Vec<_>>();
                    for (i, batch) in will.chunks(BATCH).enumerate() {
                        change(connection, tenant, by, request, batch).await?;
                        progress((i * BATCH + batch.len()).min(ids.len()), ids.len());
                    }
                    let kept = verdicts.iter().filter(|verdict| !refused || !verdict.is_done());
                    record(connection, tenant, bulk, kept).await?;
                    finish(connection, tenant, bulk, if refused { "refused" } else { "done" }).await?;
                    progress(ids.len(), ids.len());
                    report(connection, bulk, false).await
                })
            })
            .await
    }

    async fn run_each(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        let ids = &request.plugins.iter().copied().collect::<Vec<_>>();
        let session = self.cache.session(tenant);
        let (bulk, repeated) = self
            .pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { begin(writer.connection()?, tenant, key, by, request).await })
            })
            .await?;
        let all = &self.possible(tenant, request, ids).await?;
        for (i, chunk) in ids.chunks(CHUNK).enumerate() {
            let over = self
                .pools
                .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                    Box::pin(async move {
                        let connection = writer.connection()?;
                        run_chunk(connection, tenant, by, request, bulk, all, chunk).await
                    })
                })
                .await?;
            if over {
                break;
            }
            self.cache.changed(tenant);
            progress((i * CHUNK + chunk.len()).min(ids.len()), ids.len());
        }
        self.pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    finish(connection, tenant, bulk, "done").await?;
                    report(connection, bulk, repeated).await
                })
            })
            .await
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
        BulkOperation::Tag => sqlx::query("UPDATE plugins SET updated_at = now(), tags = (SELECT coalesce(array_agg(DISTINCT t ORDER BY t), '{}') FROM unnest(tags || $2::text[]) t WHERE t <> ALL($3::text[])) WHERE id = ANY($1)")
            .bind(ids)
            .bind(&request.add_tags)
            .bind(&request.remove_tags),
        BulkOperation::Delete => sqlx::query("DELETE FROM plugins WHERE id = ANY($1)").bind(ids),
    };
    change.persistent(false).execute(connection).await?;
    Ok(())
}

/// The items of a chunk that have no outcome yet; `true` when the operation is over already.
async fn run_chunk(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    request: &BulkRequest,
    bulk: i64,
    all: &[i64],
    chunk: &[i64],
) -> Result<bool, CatalogError> {
    // Two callers with one key take turns.
    let state = sqlx::query_scalar::<_, String>("SELECT state FROM plugin_bulks WHERE id = $1 FOR UPDATE")
        .bind(bulk)
        .fetch_one(&mut *connection)
        .await?;
    if state != "running" {
        return Ok(true);
    }
    let left = sqlx::query_scalar::<_, i64>("SELECT u.id FROM unnest($1::int8[]) AS u (id) WHERE NOT EXISTS (SELECT FROM plugin_bulk_items i WHERE i.bulk_id = $2 AND i.plugin_id = u.id) ORDER BY 1")
        .bind(chunk)
        .bind(bulk)
        .fetch_all(&mut *connection)
        .await?;
    if left.is_empty() {
        return Ok(false);
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
    Ok(false)
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
        Err(CatalogError::Pool(pool::PoolError::Sql(sqlx::Error::Database(error))))
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

async fn finish(connection: &mut PgConnection, tenant: Tenant, bulk: i64, state: &str) -> Result<(), CatalogError> {
    sqlx::query(
        "UPDATE plugin_bulks SET state = $3, finished_at = now() WHERE id = $1 AND tenant_id = $2 AND state = 'running'",
    )
    .bind(bulk)
    .bind(tenant.0)
    .bind(state)
    .execute(connection)
    .await?;
    Ok(())
}
