//! Everything about one plugin.
use crate::{
    Catalog, CatalogError, Tenant, discovery::plugin, error::said, question::columns, versions::CURRENT_VERSION,
};
use domain::{
    Timestamp,
    view::{Dependency, MetricSummary, OperationRow, PluginDetails, VersionRow},
};
use pool::{Reader, Work};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use std::sync::Arc;

impl Catalog {
    /// One plugin.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], also for another tenant's.
    pub async fn plugin(&self, tenant: Tenant, id: i64) -> Result<Arc<PluginDetails>, CatalogError> {
        let session = self.cache.session(tenant);
        let load = async {
            self.pools
                .read_after(&tenant.asking(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                    Box::pin(async move { details(reader.connection()?, tenant, id).await })
                })
                .await
                .map_err(said)
        };
        self.cache.get(tenant, "plugin", &id, load).await
    }

    /// The newest operations on a plugin, before the one with the id `before`.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn operations(
        &self,
        tenant: Tenant,
        plugin: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<OperationRow>, CatalogError> {
        let session = self.cache.session(tenant);
        self.pools
            .read_after(&tenant.asking(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { operations(reader.connection()?, plugin, before, limit).await })
            })
            .await
            .map_err(said)
    }
}

pub(crate) async fn details(
    connection: &mut PgConnection,
    tenant: Tenant,
    id: i64,
) -> Result<PluginDetails, CatalogError> {
    // The text is ours; the id is bound.
    let sql = format!("SELECT {} FROM plugins WHERE tenant_id = $1 AND id = $2", columns());
    let row = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).bind(id).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Err(CatalogError::NotFound(id.to_string())) };
    let versions = sqlx::query("SELECT version, (extract(epoch FROM released_at) * 1000)::int8 AS released_ms, yanked, changelog FROM plugin_versions WHERE plugin_id = $1 ORDER BY version_key DESC NULLS LAST, id DESC LIMIT 50")
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
    let needs = format!(
        "SELECT d.depends_on_id, n.name, d.version_range, d.optional FROM plugins p CROSS JOIN LATERAL ({CURRENT_VERSION}) AS current JOIN plugin_dependencies d ON d.plugin_version_id = current.id LEFT JOIN plugins n ON n.id = d.depends_on_id WHERE p.id = $1 ORDER BY n.name"
    );
    let needs = sqlx::query(AssertSqlSafe(needs)).bind(id).fetch_all(&mut *connection).await?;
    let dependents = sqlx::query_scalar("SELECT count(DISTINCT v.plugin_id) FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id WHERE d.depends_on_id = $1")
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
    let metrics = sqlx::query("SELECT metric_name, count(*) AS samples, avg(value) AS mean, max(value) AS largest, (array_agg(value ORDER BY \"timestamp\" DESC))[1] AS newest FROM plugin_metrics WHERE plugin_id = $1 AND \"timestamp\" > now() - interval '1 day' GROUP BY metric_name ORDER BY metric_name")
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
    Ok(PluginDetails {
        plugin: plugin(&row)?,
        versions: versions.iter().map(version).collect::<Result<_, _>>()?,
        operations: operations(connection, id, None, 20).await?,
        dependencies: needs.iter().map(need).collect::<Result<_, _>>()?,
        dependents,
        metrics: metrics.iter().map(metric).collect::<Result<_, _>>()?,
    })
}

async fn operations(
    connection: &mut PgConnection,
    plugin: i64,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<OperationRow>, CatalogError> {
    let rows = sqlx::query("SELECT id, operation_type, environment, status, started_by, (extract(epoch FROM started_at) * 1000)::int8 AS started_ms, (extract(epoch FROM finished_at - started_at) * 1000)::int8 AS took_ms, error FROM plugin_operations WHERE plugin_id = $1 AND ($2::int8 IS NULL OR (started_at, id) < (SELECT started_at, id FROM plugin_operations WHERE id = $2)) ORDER BY started_at DESC, id DESC LIMIT $3")
        .bind(plugin)
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(operation).collect::<Result<_, _>>()?)
}

fn version(row: &PgRow) -> Result<VersionRow, sqlx::Error> {
    Ok(VersionRow {
        version: row.try_get("version")?,
        released_at: Timestamp(row.try_get("released_ms")?),
        yanked: row.try_get("yanked")?,
        changelog: row.try_get("changelog")?,
    })
}

pub(crate) fn need(row: &PgRow) -> Result<Dependency, sqlx::Error> {
    Ok(Dependency {
        id: row.try_get::<i64, _>("depends_on_id")?.to_string(),
        name: row.try_get("name")?,
        range: row.try_get("version_range")?,
        optional: row.try_get("optional")?,
    })
}

fn metric(row: &PgRow) -> Result<MetricSummary, sqlx::Error> {
    Ok(MetricSummary {
        name: row.try_get("metric_name")?,
        samples: row.try_get("samples")?,
        mean: row.try_get("mean")?,
        max: row.try_get("largest")?,
        last: row.try_get("newest")?,
    })
}

fn operation(row: &PgRow) -> Result<OperationRow, sqlx::Error> {
    Ok(OperationRow {
        id: row.try_get::<i64, _>("id")?.to_string(),
        operation: row.try_get("operation_type")?,
        environment: row.try_get("environment")?,
        status: row.try_get("status")?,
        started_by: row.try_get("started_by")?,
        started_at: Timestamp(row.try_get("started_ms")?),
        duration_ms: row.try_get("took_ms")?,
        error: row.try_get("error")?,
    })
}
