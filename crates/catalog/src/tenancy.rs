//! Whose rows: the one place where a transaction is given its tenant, or is made one of the platform's own.
use crate::{Catalog, CatalogError, error::said};
use domain::view::TenantView;
use pool::{Reader, Scope, Work};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

/// The role that sees one tenant's rows; made by the migration, without BYPASSRLS.
pub(crate) const TENANT_ROLE: &str = "holdfast_tenant";
/// The role that sees all tenants' rows; made by the migration, without BYPASSRLS.
pub(crate) const PLATFORM_ROLE: &str = "holdfast_platform";

/// A tenant's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant(pub i64);

impl Tenant {
    /// `SET LOCAL` of the role and the tenant: both end with the transaction.
    pub fn scope(self) -> Scope {
        Scope::default().set("role", TENANT_ROLE).set("holdfast.tenant_id", self.0.to_string())
    }

    /// As [`Self::scope`], for questions that a connection asks again and again: each is planned once a connection, and not for its
    /// values, which takes longer than answering. It is for questions whose plan is good whatever they ask for.
    pub fn asking(self) -> Scope {
        self.scope().set("plan_cache_mode", "force_generic_plan")
    }
}

/// Of the platform's own work over all tenants: finding tenants, roll-ups, retention, erasure. Never of anything that a tenant
/// asked for.
pub fn platform_scope() -> Scope {
    Scope::default().set("role", PLATFORM_ROLE)
}

impl Catalog {
    /// A tenant by its id, asked as that tenant.
    ///
    /// # Errors
    /// [`CatalogError::NoTenant`].
    pub async fn tenant_by_id(&self, tenant: Tenant) -> Result<TenantView, CatalogError> {
        self.pools
            .read(&tenant.scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let row = sqlx::query("SELECT id, slug, name FROM tenants WHERE id = $1")
                        .bind(tenant.0)
                        .fetch_optional(reader.connection()?)
                        .await?;
                    let row = row.ok_or_else(|| CatalogError::NoTenant(tenant.0.to_string()))?;
                    Ok(view(&row)?)
                })
            })
            .await
            .map_err(said)
    }

    /// A tenant by its name, or by its id.
    ///
    /// # Errors
    /// [`CatalogError::NoTenant`].
    pub async fn tenant(&self, text: &str) -> Result<TenantView, CatalogError> {
        let id = text.parse::<i64>().ok();
        self.pools
            .read(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    // A name of digits is found by its name first.
                    let row = sqlx::query(
                        "SELECT id, slug, name FROM tenants WHERE slug = $1 OR id = $2 ORDER BY slug = $1 DESC LIMIT 1",
                    )
                    .bind(text)
                    .bind(id)
                    .fetch_optional(reader.connection()?)
                    .await?;
                    let row = row.ok_or_else(|| CatalogError::NoTenant(text.chars().take(80).collect()))?;
                    Ok(view(&row)?)
                })
            })
            .await
            .map_err(said)
    }

    /// Tenants whose name or slug begins like `text`, by name; at most `limit`.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn tenants(&self, text: &str, limit: u32) -> Result<Vec<TenantView>, CatalogError> {
        let like = format!("{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").to_lowercase());
        let like = &like;
        self.pools
            .read(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let rows = sqlx::query("SELECT id, slug, name FROM tenants WHERE lower(slug) LIKE $1 OR lower(name) LIKE $1 ORDER BY length(slug), slug LIMIT $2")
                        .bind(like)
                        .bind(i64::from(limit))
                        .fetch_all(reader.connection()?)
                        .await?;
                    Ok(rows.iter().map(view).collect::<Result<_, _>>()?)
                })
            })
            .await
            .map_err(said)
    }
}

fn view(row: &sqlx::postgres::PgRow) -> Result<TenantView, sqlx::Error> {
    Ok(TenantView {
        id: row.try_get::<i64, _>("id")?.to_string(),
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
    })
}
