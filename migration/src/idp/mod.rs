//! The platform's schema `saas_idp` in the target PostgreSQL: plugins of tenants, what was done with them, what they
//! measured, how they were used.
use sea_orm_migration::prelude::*;

mod concurrent_index;
mod m20261124_000001_tables;
mod m20261124_000002_indexes;
mod m20261124_000003_views;
mod m20261125_000401_tenancy;
mod m20261125_000402_tenant_backfill;
mod m20261125_000403_search;
mod m20261125_000404_indexes;
mod m20261127_000702_bulk_request;
mod m20261127_000801_analytics;
mod m20261127_000802_analytics_indexes;
mod m20261129_000813_analytics_totals;
mod m20261129_000814_analytics_bucket_indexes;
mod m20261129_000901_marks;
mod m20261129_000902_marks_index;
mod m20261129_000903_version_key;
mod m20261129_000941_whole_words;
mod m20261129_000942_bulk_cancel;
mod m20261129_000943_restored_spans;
mod m20261130_000951_tenant_backfill_again;
mod m20261130_000952_totals_with_events;
mod m20261130_000953_migrations_told;
mod m20261130_000954_analytics_plugin_indexes;
mod roles;
mod tenant_backfill;

/// Migrations of the platform's tables, the oldest first.
#[derive(Debug)]
pub struct IdpMigrator;

#[async_trait::async_trait]
impl MigratorTrait for IdpMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_tables::Migration),
            Box::new(m20261124_000002_indexes::Migration),
            Box::new(m20261124_000003_views::Migration),
            Box::new(m20261125_000401_tenancy::Migration),
            Box::new(m20261125_000402_tenant_backfill::Migration),
            Box::new(m20261125_000403_search::Migration),
            Box::new(m20261125_000404_indexes::Migration),
            Box::new(m20261127_000702_bulk_request::Migration),
            Box::new(m20261127_000801_analytics::Migration),
            Box::new(m20261127_000802_analytics_indexes::Migration),
            Box::new(m20261129_000813_analytics_totals::Migration),
            Box::new(m20261129_000814_analytics_bucket_indexes::Migration),
            Box::new(m20261129_000901_marks::Migration),
            Box::new(m20261129_000902_marks_index::Migration),
            Box::new(m20261129_000903_version_key::Migration),
            Box::new(m20261129_000941_whole_words::Migration),
            Box::new(m20261129_000942_bulk_cancel::Migration),
            Box::new(m20261129_000943_restored_spans::Migration),
            Box::new(m20261130_000951_tenant_backfill_again::Migration),
            Box::new(m20261130_000952_totals_with_events::Migration),
            Box::new(m20261130_000953_migrations_told::Migration),
            Box::new(m20261130_000954_analytics_plugin_indexes::Migration),
        ]
    }

    /// Beside the platform's own tables other tools may keep a `seaql_migrations`.
    fn migration_table_name() -> sea_orm::DynIden {
        "holdfast_idp_migrations".into_iden()
    }
}
