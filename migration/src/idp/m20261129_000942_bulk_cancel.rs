//! Bulk operations can be cancelled, and are taken up by another server when theirs has died: whoever works on one says so
//! after each part (docs/adr/0069-who-works-on-a-bulk-operation.md).
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = "
ALTER TABLE plugin_bulks
    ADD COLUMN worked_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN cancel_asked_by text,
    ADD COLUMN cancel_asked_at timestamptz,
    DROP CONSTRAINT plugin_bulks_state_check,
    ADD CONSTRAINT plugin_bulks_state_check CHECK (state IN ('running', 'done', 'refused', 'cancelled'))";

/// As the platform's role: the owner would see no row.
const DOWN: &str = "
SET LOCAL ROLE holdfast_platform;
UPDATE plugin_bulks SET state = 'done' WHERE state = 'cancelled';
RESET ROLE;
ALTER TABLE plugin_bulks
    DROP COLUMN worked_at,
    DROP COLUMN cancel_asked_by,
    DROP COLUMN cancel_asked_at,
    DROP CONSTRAINT plugin_bulks_state_check,
    ADD CONSTRAINT plugin_bulks_state_check CHECK (state IN ('running', 'done', 'refused'))";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(UP).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}
