//! Gives rows from before their tenant, some at a time, so that no lock is held for long and a run that was cut short
//! goes on where it stopped.
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const ROWS: u32 = 20_000;

/// Table, and where its tenant comes from.
const TABLES: [(&str, &str); 4] = [
    ("plugin_versions", "SELECT p.tenant_id FROM plugins p WHERE p.id = t.plugin_id"),
    ("plugin_dependencies", "SELECT v.tenant_id FROM plugin_versions v WHERE v.id = t.plugin_version_id"),
    ("plugin_operations", "SELECT p.tenant_id FROM plugins p WHERE p.id = t.plugin_id"),
    ("plugin_metrics", "SELECT p.tenant_id FROM plugins p WHERE p.id = t.plugin_id"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (table, tenant) in TABLES {
            // Whose plugin is gone belongs to nobody and stays unseen. The place of a row is told apart by its
            // partition too.
            let sql = format!(
                "WITH batch AS MATERIALIZED (SELECT tableoid, ctid FROM {table} AS t WHERE tenant_id IS NULL AND ({tenant}) IS NOT NULL LIMIT {ROWS}) UPDATE {table} AS t SET tenant_id = ({tenant}) FROM batch WHERE t.tableoid = batch.tableoid AND t.ctid = batch.ctid"
            );
            loop {
                let done = db.execute_raw(Statement::from_string(db.get_database_backend(), sql.clone())).await?;
                if done.rows_affected() == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // The columns go with the migration before.
        Ok(())
    }
}
