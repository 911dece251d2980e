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
use pool::{Asker, Reader, Work};
use sqlx::{AssertSqlSafe, Row as _};

/// Longest idempotency key.
const LONGEST_KEY: usize = 200;

/// A request that was begun and not finished: whose, its key, by whom, what.
pub type Unfinished = (Tenant, String, String, BulkRequest);

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

    /// What was done under a key so far; `None` when the tenant has not used it, or nothing of it was committed.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn bulk_report(&self, tenant: Tenant, key: &str) -> Result<Option<BulkReport>, CatalogError> {
        let session = self.cache.session(tenant);
        self.pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = reader.connection()?;
                    let id = sqlx::query_scalar::<_, i64>(
                        "SELECT id FROM plugin_bulks WHERE tenant_id = $1 AND idempotency_key = $2",
                    )
                    .bind(tenant.0)
                    .bind(key)
                    .fetch_optional(&mut *connection)
                    .await?;
                    match id {
                        Some(id) => Ok(Some(report(connection, id, false).await?)),
                        None => Ok(None),
                    }
                })
            })
            .await
            .map_err(said)
    }

    /// What was begun in the last week and not finished, of all tenants.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn bulks_unfinished(&self) -> Result<Vec<Unfinished>, CatalogError> {
        let rows = self
            .pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    Ok::<Vec<(i64, String, String, String)>, CatalogError>(
                        sqlx::query_as("SELECT tenant_id, idempotency_key, started_by, request::text FROM plugin_bulks WHERE state = 'running' AND request IS NOT NULL AND created_at > now() - interval '7 days' ORDER BY id")
                            .fetch_all(reader.connection()?)
                            .await?,
                    )
                })
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
