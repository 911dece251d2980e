//! Indexes beyond the guide's, each for a question that was measured without it (docs/adr/0031-tenants-by-row-level-security.md).
//!
//! They begin with the tenant: under row-level security a condition whose operator is not leakproof (`@@`, `@>`, `%`)
//! is only asked of rows that the policy has let through, so that no GIN index can serve a tenant's search, while
//! `tenant_id = …` always can be an index condition.
use super::concurrent_index::ConcurrentIndex;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [ConcurrentIndex; 9] = [
    // Discovery by name and its keyset pages; the tenant's rows for every other filter.
    ConcurrentIndex { name: "idx_plugins_tenant_id", table: "plugins", definition: "(tenant_id, id)" },
    // The default order of discovery: an index scan of one page where a sort of the tenant's rows was.
    ConcurrentIndex {
        name: "idx_plugins_tenant_health",
        table: "plugins",
        definition: "(tenant_id, health_score DESC, id DESC)",
    },
    ConcurrentIndex {
        name: "idx_plugins_tenant_updated",
        table: "plugins",
        definition: "(tenant_id, updated_at DESC, id DESC)",
    },
    // Reverse closure: who depends on it. Without it each step read all dependencies.
    ConcurrentIndex {
        name: "idx_plugin_dependencies_on",
        table: "plugin_dependencies",
        definition: "(depends_on_id, tenant_id)",
    },
    // Operations of a plugin, the newest first: details, and ON DELETE CASCADE.
    ConcurrentIndex {
        name: "idx_plugin_operations_plugin",
        table: "plugin_operations",
        definition: "(plugin_id, started_at DESC)",
    },
    ConcurrentIndex {
        name: "idx_plugin_bulk_items_outcome",
        table: "plugin_bulk_items",
        definition: "(bulk_id, outcome)",
    },
    // Roll-ups read a span of time over all plugins. Metrics come in the order of time: a block range index is a
    // thousandth of a B-tree's size.
    ConcurrentIndex {
        name: "idx_plugin_metrics_time",
        table: "plugin_metrics",
        definition: "USING brin (\"timestamp\")",
    },
    ConcurrentIndex {
        name: "idx_plugin_analytics_tenant_time",
        table: "plugin_analytics",
        definition: "(tenant_id, \"timestamp\")",
    },
    // A subject's rows, for export and erasure.
    ConcurrentIndex {
        name: "idx_plugin_analytics_user",
        table: "plugin_analytics",
        definition: "(tenant_id, user_id, \"timestamp\")",
    },
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
