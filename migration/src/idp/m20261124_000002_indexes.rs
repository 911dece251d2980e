//! The guide's indexes.
use super::concurrent_index::ConcurrentIndex;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [ConcurrentIndex; 6] = [
    ConcurrentIndex {
        name: "idx_plugins_tenant_status_health",
        table: "plugins",
        definition: "(tenant_id, status, health_score)",
    },
    ConcurrentIndex { name: "idx_plugins_search_gin", table: "plugins", definition: "USING gin (keywords, tags)" },
    ConcurrentIndex {
        name: "idx_plugin_operations_env_type_status",
        table: "plugin_operations",
        definition: "(environment, operation_type, status, started_at)",
    },
    ConcurrentIndex {
        name: "idx_plugin_metrics_timeseries",
        table: "plugin_metrics",
        definition: "(plugin_id, metric_name, \"timestamp\" DESC)",
    },
    ConcurrentIndex {
        name: "idx_plugin_analytics_time_desc",
        table: "plugin_analytics",
        definition: "(plugin_id, \"timestamp\" DESC)",
    },
    ConcurrentIndex { name: "idx_audit_timestamp_desc", table: "audit_logs", definition: "(\"timestamp\" DESC)" },
];

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
