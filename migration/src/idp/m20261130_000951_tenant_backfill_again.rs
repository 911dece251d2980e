//! Once more gives rows from before their tenant: until now the migration that does it worked as the owner of the tables, who, where
//! it is no superuser and does not inherit what the platform's role may, saw none of them, so that they stayed unseen for ever.
//!
//! Where all is well it reads the tables once and changes nothing.
use super::{roles, tenant_backfill};
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Nothing can be changed in what was archived meanwhile.
const LIVE: &str = "t.\"timestamp\" >= (SELECT raw_from FROM analytics_state WHERE kind = 'metrics')";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        roles::may_be_taken_on(db).await?;
        tenant_backfill::fill(db, LIVE).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
