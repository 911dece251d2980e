//! How bulk operations stand: what the database says of them, also of those that another process began.
use crate::{
    BulkRequest, Catalog, CatalogError, PluginFilter, Tenant,
    bulk::report,
    discovery::plugin,
    error::said,
    question::{columns, ids_question},
    tenancy::platform_scope,
};
use domain::view::{BulkReport, Plugin};
use pool::{Asker, Reader, Session, Work, Writer};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::time::Duration;

/// Longest idempotency key.
const LONGEST_KEY: usize = 200;

/// A request that was begun and not finished: whose, its key, by whom, what.
pub type Unfinished = (Tenant, String, String, BulkRequest);

/// An operation that nobody has worked on for so long has lost its server. Longer than any of its transactions may take.
pub const UNATTENDED: Duration = Duration::from_secs(90);
/// What was begun so long ago is not taken up any more: the plugins are others by now.
const GIVEN_UP: &str = "7 days";
/// The record of an operation that is over, its key and its items are kept for so long. What was done to each plugin stays in
/// `plugin_operations` and `audit_logs`.
const KEPT: &str = "90 days";

/// How an operation stands.
#[derive(Clone, Debug)]
pub struct BulkState {
    /// What was done so far.
    pub report: BulkReport,
    /// It runs, and a server has worked on it a moment ago ([`UNATTENDED`]).
    pub attended: bool,
    /// Who asked for its end.
    pub cancelled_by: Option<String>,
}

/// The name of the lock that whoever works on an operation holds.
pub(crate) fn lock_name(bulk: i64) -> String {
    format!("holdfast_bulk:{bulk}")
}

impl Catalog {
    /// Whether the request can be begun with this key.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`], and [`CatalogError::Conflict`] when the key stands for another request.
    pub async fn bulk_check(&self, tenant: Tenant, key: &str, request: &BulkRequest) -> Result<(), CatalogError> {
        request.check()?;
        check_key(key)?;
        let session = self.cache.session(tenant);
        let first = self
            .pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    Ok::<Option<String>, CatalogError>(
                        sqlx::query_scalar(
                            "SELECT request_hash FROM plugin_bulks WHERE tenant_id = $1 AND idempotency_key = $2",
                        )
                        .bind(tenant.0)
                        .bind(key)
                        .fetch_optional(reader.connection()?)
                        .await?,
                    )
                })
            })
            .await
            .map_err(said)?;
        match first {
            Some(first) if first != request.hash() => Err(other_request(key)),
            _ => Ok(()),
        }
    }

    /// How what was begun under a key stands; `None` when the tenant has not used it, or it failed and nothing was done.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn bulk_state(&self, tenant: Tenant, key: &str) -> Result<Option<BulkState>, CatalogError> {
        let session = self.cache.session(tenant);
        self.pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = reader.connection()?;
                    let found = sqlx::query_as::<_, (i64, bool, Option<String>)>(
                        "SELECT id, state = 'running' AND worked_at > clock_timestamp() - $3 * interval '1 second', cancel_asked_by FROM plugin_bulks WHERE tenant_id = $1 AND idempotency_key = $2",
                    )
                    .bind(tenant.0)
                    .bind(key)
                    .bind(UNATTENDED.as_secs_f64())
                    .fetch_optional(&mut *connection)
                    .await?;
                    match found {
                        Some((id, attended, cancelled_by)) => {
                            Ok(Some(BulkState { report: report(connection, id, false).await?, attended, cancelled_by }))
                        }
                        None => Ok(None),
                    }
                })
            })
            .await
            .map_err(said)
    }

    /// Asks for the end of an operation, on whichever server it runs: that one hears of it between two parts, and writes down
    /// that it is cancelled. Where nobody works on it this does. `false` when the tenant has not used the key, or it is
    /// not begun yet.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] when it is over.
    pub async fn bulk_cancel(&self, tenant: Tenant, key: &str, by: &str) -> Result<bool, CatalogError> {
        let session = self.cache.session(tenant);
        self.pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { cancel(writer.connection()?, tenant, key, by).await })
            })
            .await
            .map_err(said)
    }

    /// What was begun and not finished, of all tenants, and has not been worked on for `idle`. What was begun too long ago is
    /// declared ended; of what was over long ago the oldest is forgotten.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn bulks_unfinished(&self, idle: Duration) -> Result<Vec<Unfinished>, CatalogError> {
        let rows = self
            .pools
            .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { unfinished(writer.connection()?, idle).await })
            })
            .await
            .map_err(said)?;
        let read = |(tenant, key, by, request): (i64, String, String, String)| {
            // One that an older version wrote in another form is left to whoever sends it again.
            Some((Tenant(tenant), key, by, serde_json::from_str(&request).ok()?))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The ids of the plugins that a filter finds, the smallest first, at most `most`. Words alone are searched for: what
    /// is only similar is not changed in bulk.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn ids(&self, tenant: Tenant, filter: &PluginFilter, most: u32) -> Result<Vec<i64>, CatalogError> {
        filter.check()?;
        let session = self.cache.session(tenant);
        self.pools
            .ask(&tenant.asking(), &session, |asker: &mut Asker, _: Work<'_, '_>| {
                Box::pin(async move {
                    let rows = asker.ask(&ids_question(tenant, filter, most)).await?;
                    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>()?)
                })
            })
            .await
            .map_err(said)
    }

    /// Those of the plugins that are there, by name.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn plugins_by_id(&self, tenant: Tenant, ids: &[i64]) -> Result<Vec<Plugin>, CatalogError> {
        let session = self.cache.session(tenant);
        // The text is ours; ids and tenant are bound.
        let sql = &format!("SELECT {} FROM plugins WHERE tenant_id = $1 AND id = ANY($2) ORDER BY name", columns());
        self.pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                        .bind(tenant.0)
                        .bind(ids)
                        .fetch_all(reader.connection()?)
                        .await?;
                    Ok(rows.iter().map(plugin).collect::<Result<_, _>>()?)
                })
            })
            .await
            .map_err(said)
    }
}

async fn cancel(connection: &mut PgConnection, tenant: Tenant, key: &str, by: &str) -> Result<bool, CatalogError> {
    let asked = sqlx::query_scalar::<_, i64>("UPDATE plugin_bulks SET cancel_asked_by = coalesce(cancel_asked_by, $3), cancel_asked_at = coalesce(cancel_asked_at, now()) WHERE tenant_id = $1 AND idempotency_key = $2 AND state = 'running' RETURNING id")
        .bind(tenant.0)
        .bind(key)
        .bind(by)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(bulk) = asked else {
        let state = sqlx::query_scalar::<_, String>(
            "SELECT state FROM plugin_bulks WHERE tenant_id = $1 AND idempotency_key = $2",
        )
        .bind(tenant.0)
        .bind(key)
        .fetch_optional(connection)
        .await?;
        return match state {
            Some(state) => Err(CatalogError::Conflict(format!(
                "the operation is over already ({state}): there is nothing to cancel"
            ))),
            None => Ok(false),
        };
    };
    sqlx::query("UPDATE plugin_bulks SET state = 'cancelled', finished_at = now() WHERE id = $1 AND pg_try_advisory_xact_lock(hashtextextended($2, 0))")
        .bind(bulk)
        .bind(lock_name(bulk))
        .execute(connection)
        .await?;
    Ok(true)
}

async fn unfinished(
    connection: &mut PgConnection,
    idle: Duration,
) -> Result<Vec<(i64, String, String, String)>, CatalogError> {
    // The text is ours.
    let end = format!(
        "UPDATE plugin_bulks SET state = 'cancelled', finished_at = now(), cancel_asked_by = coalesce(cancel_asked_by, 'holdfast') WHERE state = 'running' AND greatest(created_at, worked_at) < now() - interval '{GIVEN_UP}'"
    );
    let ended = sqlx::query(AssertSqlSafe(end)).execute(&mut *connection).await?.rows_affected();
    if ended > 0 {
        tracing::warn!(ended, "bulk operations that nobody finished in a week are declared ended");
    }
    // One each time: it may have a hundred thousand items. The text is ours.
    let forget = format!(
        "DELETE FROM plugin_bulks WHERE id = (SELECT id FROM plugin_bulks WHERE state <> 'running' AND finished_at < now() - interval '{KEPT}' ORDER BY id LIMIT 1)"
    );
    sqlx::query(AssertSqlSafe(forget)).execute(&mut *connection).await?;
    // Whoever works on one holds its lock, and is not disturbed: a long transaction tells nothing before its end.
    let left = sqlx::query_as::<_, (i64, i64, String, String, String)>("SELECT id, tenant_id, idempotency_key, started_by, request::text FROM plugin_bulks WHERE state = 'running' AND request IS NOT NULL AND worked_at <= clock_timestamp() - $1 * interval '1 second' ORDER BY id")
        .bind(idle.as_secs_f64())
        .fetch_all(&mut *connection)
        .await?;
    let mut free = Vec::new();
    for (bulk, tenant, key, by, request) in left {
        let free_now = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(lock_name(bulk))
            .fetch_one(&mut *connection)
            .await?;
        if free_now {
            free.push((tenant, key, by, request));
        }
    }
    Ok(free)
}

pub(crate) fn check_key(key: &str) -> Result<(), CatalogError> {
    if key.is_empty() || key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
        let message = format!("an idempotency key has 1 to {LONGEST_KEY} bytes, none of them a control character");
        return Err(CatalogError::invalid("idempotency_key", message));
    }
    Ok(())
}

pub(crate) fn other_request(key: &str) -> CatalogError {
    CatalogError::Conflict(format!(
        "the idempotency key '{key}' was used for another request; use a new key for a new request"
    ))
}
