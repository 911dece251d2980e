//! Indexes of the tiers by time. They were block range indexes, of which the newest blocks know nothing until a vacuum:
//! each day of a first roll-up read all days that were rolled up before it.
use super::concurrent_index::ConcurrentIndex;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [ConcurrentIndex; 6] = [
    of("idx_analytics_events_minute_bucket", "analytics_events_minute"),
    of("idx_analytics_events_hour_bucket", "analytics_events_hour"),
    of("idx_analytics_events_day_bucket", "analytics_events_day"),
    of("idx_analytics_metrics_minute_bucket", "analytics_metrics_minute"),
    of("idx_analytics_metrics_hour_bucket", "analytics_metrics_hour"),
    of("idx_analytics_metrics_day_bucket", "analytics_metrics_day"),
];

/// Many rows have the same bucket: the index keeps it once for them.
const fn of(name: &'static str, table: &'static str) -> ConcurrentIndex {
    ConcurrentIndex { name, table, definition: "(bucket)" }
}

fn before(table: &'static str) -> String {
    format!("idx_{table}_time")
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `CONCURRENTLY` needs it so; each step is repeatable instead.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for index in INDEXES {
            index.build(db).await?;
            db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY IF EXISTS {}", before(index.table))).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for index in INDEXES {
            db.execute_unprepared(&format!(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} USING brin (bucket)",
                before(index.table),
                index.table
            ))
            .await?;
            index.drop(db).await?;
        }
        Ok(())
    }
}
