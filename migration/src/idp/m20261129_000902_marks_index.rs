//! The index by which a tenant's plugins are gone through: in the default order, with all that most filters ask for, so that
//! only rows that are shown, or nearly so, are read. It takes the place of the index of that order alone.
use super::concurrent_index::ConcurrentIndex;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Everything in it is short (the catalogue takes at most 60 bytes of category and 120 of owner): an entry of a B-tree has at
/// most 2,704 bytes, and a row that does not fit is refused. That is why it holds marks and not the words, keywords and
/// tags themselves.
const WITH_MARKS: ConcurrentIndex = ConcurrentIndex {
    name: "idx_plugins_tenant_marks",
    table: "plugins",
    definition: "(tenant_id, health_score DESC, id DESC) INCLUDE (marks, category, status, environment, owner, is_installed, is_enabled)",
};
const ORDER_ALONE: ConcurrentIndex = ConcurrentIndex {
    name: "idx_plugins_tenant_health",
    table: "plugins",
    definition: "(tenant_id, health_score DESC, id DESC)",
};

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `CONCURRENTLY` and VACUUM need it so; each step is repeatable instead.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        WITH_MARKS.build(db).await?;
        ORDER_ALONE.drop(db).await?;
        // The column before wrote the table anew: no page is known to be all visible, so that every entry would have its row
        // read, and autovacuum sees nothing to do.
        db.execute_unprepared("VACUUM (ANALYZE) plugins").await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        ORDER_ALONE.build(db).await?;
        WITH_MARKS.drop(db).await
    }
}
