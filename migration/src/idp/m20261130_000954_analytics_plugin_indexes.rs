//! Indexes of the tiers by plugin. Their keys are in the order of a tenant's questions, time before plugin: a question about one
//! plugin went through the entries of all plugins of its tenant. 30 days of hours of one metric are 720 entries for one plugin and
//! 720,000 where the tenant has a thousand.
use super::concurrent_index::ConcurrentIndex;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const EVENTS: &str = "(plugin_id, bucket)";
/// One metric at a time is asked for.
const METRICS: &str = "(plugin_id, metric_name, bucket)";

const INDEXES: [ConcurrentIndex; 6] = [
    of("idx_analytics_events_minute_plugin", "analytics_events_minute", EVENTS),
    of("idx_analytics_events_hour_plugin", "analytics_events_hour", EVENTS),
    of("idx_analytics_events_day_plugin", "analytics_events_day", EVENTS),
    of("idx_analytics_metrics_minute_plugin", "analytics_metrics_minute", METRICS),
    of("idx_analytics_metrics_hour_plugin", "analytics_metrics_hour", METRICS),
    of("idx_analytics_metrics_day_plugin", "analytics_metrics_day", METRICS),
];

const fn of(name: &'static str, table: &'static str, definition: &'static str) -> ConcurrentIndex {
    ConcurrentIndex { name, table, definition }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `CONCURRENTLY` needs it so; each step is repeatable instead.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in INDEXES {
            index.build(manager.get_connection()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in INDEXES {
            index.drop(manager.get_connection()).await?;
        }
        Ok(())
    }
}
