//! The tenant of rows that were there before rows knew theirs.
use sea_orm_migration::prelude::*;

const ROWS: u32 = 20_000;

/// Table, and where its tenant comes from.
const TABLES: [(&str, &str); 4] = [
    ("plugin_versions", "SELECT p.tenant_id FROM plugins p WHERE p.id = t.plugin_id"),
    ("plugin_dependencies", "SELECT v.tenant_id FROM plugin_versions v WHERE v.id = t.plugin_version_id"),
    ("plugin_operations", "SELECT p.tenant_id FROM plugins p WHERE p.id = t.plugin_id"),
    (METRICS, "SELECT p.tenant_id FROM plugins p WHERE p.id = t.plugin_id"),
];
const METRICS: &str = "plugin_metrics";

/// Fills it in, of metrics where `metrics` holds, a part in each transaction. Repeatable.
///
/// As the platform's role: row-level security is forced, and the owner of the tables sees no row where it does not inherit what that
/// role may (`NOINHERIT`, and since PostgreSQL 16 whoever made the role).
pub async fn fill(db: &SchemaManagerConnection<'_>, metrics: &str) -> Result<(), DbErr> {
    for (table, tenant) in TABLES {
        let of = if table == METRICS { metrics } else { "true" };
        // Whose plugin is gone belongs to nobody and stays unseen. The place of a row is told apart by its partition too.
        // One message is one transaction; of its statements only the UPDATE counts rows.
        let sql = format!(
            "SET LOCAL ROLE holdfast_platform; WITH batch AS MATERIALIZED (SELECT tableoid, ctid FROM {table} AS t WHERE tenant_id IS NULL AND {of} AND ({tenant}) IS NOT NULL LIMIT {ROWS}) UPDATE {table} AS t SET tenant_id = ({tenant}) FROM batch WHERE t.tableoid = batch.tableoid AND t.ctid = batch.ctid; RESET ROLE"
        );
        while db.execute_unprepared(&sql).await?.rows_affected() > 0 {}
    }
    Ok(())
}
