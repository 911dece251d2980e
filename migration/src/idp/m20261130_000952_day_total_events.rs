//! Totals of days carry their events in the index by which they are found: a question over many days reads them side by side there, where
//! each row is a page of its own in the table. It is the primary key with a column more, and takes its place.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// An index under its own name becomes the primary key, and is named so then.
async fn key(db: &SchemaManagerConnection<'_>, included: &str) -> Result<(), DbErr> {
    // What a build that was cut short left over.
    db.execute_unprepared("DROP INDEX CONCURRENTLY IF EXISTS idx_analytics_events_day_total_key").await?;
    db.execute_unprepared(&format!(
        "CREATE UNIQUE INDEX CONCURRENTLY idx_analytics_events_day_total_key ON analytics_events_day_total (tenant_id, dimension, bucket, key){included}"
    ))
    .await?;
    db.execute_unprepared(
        "ALTER TABLE analytics_events_day_total DROP CONSTRAINT analytics_events_day_total_pkey, ADD CONSTRAINT analytics_events_day_total_pkey PRIMARY KEY USING INDEX idx_analytics_events_day_total_key",
    )
    .await?;
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `CONCURRENTLY` and VACUUM need it so; each step is repeatable instead.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        key(db, " INCLUDE (events)").await?;
        // The index alone answers only for pages that VACUUM has seen since they changed.
        db.execute_unprepared("ALTER TABLE analytics_events_day_total SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)").await?;
        db.execute_unprepared("VACUUM (ANALYZE) analytics_events_day_total").await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("ALTER TABLE analytics_events_day_total RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)").await?;
        key(db, "").await
    }
}
