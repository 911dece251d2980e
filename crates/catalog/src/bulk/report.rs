//! How an operation ended, as its record in the database says.
use crate::CatalogError;
use domain::view::{BulkReport, RefusedItem};
use sqlx::{PgConnection, Row as _};

/// Problems listed in a report.
pub(super) const MOST_PROBLEMS: i64 = 100;

pub(crate) async fn report(
    connection: &mut PgConnection,
    bulk: i64,
    repeated: bool,
) -> Result<BulkReport, CatalogError> {
    let row = sqlx::query("SELECT operation, mode, state, total::int8 AS total, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'done') AS done, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'unchanged') AS unchanged, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'refused') AS refused, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'failed') AS failed FROM plugin_bulks WHERE id = $1")
        .bind(bulk)
        .fetch_one(&mut *connection)
        .await?;
    let problems = sqlx::query_as::<_, (i64, String, Option<String>)>("SELECT plugin_id, outcome, reason FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome IN ('refused', 'failed') ORDER BY plugin_id LIMIT $2")
        .bind(bulk)
        .bind(MOST_PROBLEMS)
        .fetch_all(connection)
        .await?;
    let item = |(id, outcome, reason): (i64, String, Option<String>)| RefusedItem {
        id: id.to_string(),
        outcome,
        reason: reason.unwrap_or_default(),
    };
    Ok(BulkReport {
        id: Some(bulk.to_string()),
        operation: row.try_get("operation")?,
        mode: row.try_get("mode")?,
        state: row.try_get("state")?,
        total: row.try_get("total")?,
        done: row.try_get("done")?,
        unchanged: row.try_get("unchanged")?,
        refused: row.try_get("refused")?,
        failed: row.try_get("failed")?,
        problems: problems.into_iter().map(item).collect(),
        repeated,
        changes: Vec::new(),
    })
}
