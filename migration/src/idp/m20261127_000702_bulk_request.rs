//! The request of a bulk operation is kept with it: after a kill the next process knows what is left to do.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE plugin_bulks ADD COLUMN request jsonb";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE plugin_bulks DROP COLUMN request";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
