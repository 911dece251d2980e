//! Gives rows from before their tenant, some at a time, so that no lock is held for long and a run that was cut short
//! goes on where it stopped.
use super::tenant_backfill;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tenant_backfill::fill(manager.get_connection(), "true").await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // The columns go with the migration before.
        Ok(())
    }
}
