//! Which spans of analytics were brought back from the archive: questions read their rows where roll-ups are too coarse, and say
//! so. What was brought back before this migration is not known by its span; it is brought back again, or discarded.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Spans tell nothing of a tenant.
const UP: &str = "
CREATE TABLE analytics_restored.spans (
    kind text NOT NULL CHECK (kind IN ('events', 'metrics')),
    begins timestamptz NOT NULL,
    ends timestamptz NOT NULL CHECK (begins < ends),
    restored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, begins, ends)
);
GRANT SELECT ON analytics_restored.spans TO holdfast_tenant, holdfast_platform;
GRANT INSERT, UPDATE, DELETE ON analytics_restored.spans TO holdfast_platform";

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
        manager.get_connection().execute_unprepared("DROP TABLE analytics_restored.spans").await?;
        Ok(())
    }
}
