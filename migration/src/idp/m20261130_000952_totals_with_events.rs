//! Totals of events carry the events in the index by which they are found: a question over many days reads them side by side there, where
//! the rows of a tenant lie far apart in the table. It is the primary key with a column more, and takes its place.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Tables, and their keys.
const TOTALS: [(&str, &str); 2] = [
    ("analytics_events_hour_total", "tenant_id, bucket"),
    ("analytics_events_day_total", "tenant_id, dimension, bucket, key"),
];

/// An index under a name of its own becomes the primary key, and is named so then.
async fn make_key(db: &SchemaManagerConnection<'_>, (table, key): (&str, &str), included: &str) -> Result<(), DbErr> {
    // What a build that was cut short left over.
    db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY IF EXISTS idx_{table}_key")).await?;
    db.execute_unprepared(&format!("CREATE UNIQUE INDEX CONCURRENTLY idx_{table}_key ON {table} ({key}){included}"))
        .await?;
    db.execute_unprepared(&format!(
        "ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX idx_{table}_key"
    ))
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
        for (table, key) in TOTALS {
            make_key(db, (table, key), " INCLUDE (events)").await?;
            // The index alone answers only for pages that VACUUM has seen since they changed.
            db.execute_unprepared(&format!(
                "ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)"
            ))
            .await?;
            db.execute_unprepared(&format!("VACUUM (ANALYZE) {table}")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (table, key) in TOTALS {
            db.execute_unprepared(&format!(
                "ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)"
            ))
            .await?;
            make_key(db, (table, key), "").await?;
        }
        Ok(())
    }
}
