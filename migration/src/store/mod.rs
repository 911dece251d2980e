//! The control store: accounts, sessions, tokens, the audit log, and history. SQLite and PostgreSQL.
//!
//! All times are milliseconds since 1970 in a `BIGINT`: the same on both, and no time-zone rule of a driver in between.
use sea_orm_migration::prelude::*;

mod m20261124_000001_identity;
mod m20261124_000002_audit_log;
mod m20261124_000003_history;
mod m20261125_000101_alerts;
mod m20261125_000201_lock_snapshot;
mod m20261125_000202_session_history;
mod m20261125_000203_tiers;
mod m20261125_000301_jobs;
mod m20261127_000501_disaster_recovery;
mod m20261127_000601_plans;
mod m20261127_000602_dismissals;
mod m20261127_000701_tenant;
mod m20261129_000901_sample_histogram;
mod m20261129_000921_log_samples;
mod m20261129_000922_health_weights;
mod m20261130_000923_known_standbys;
mod m20261130_000924_rule_groups;

/// Migrations of the control store, the oldest first.
#[derive(Debug)]
pub struct StoreMigrator;

#[async_trait::async_trait]
impl MigratorTrait for StoreMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_identity::Migration),
            Box::new(m20261124_000002_audit_log::Migration),
            Box::new(m20261124_000003_history::Migration),
            Box::new(m20261125_000101_alerts::Migration),
            Box::new(m20261125_000201_lock_snapshot::Migration),
            Box::new(m20261125_000202_session_history::Migration),
            Box::new(m20261125_000203_tiers::Migration),
            Box::new(m20261125_000301_jobs::Migration),
            Box::new(m20261127_000501_disaster_recovery::Migration),
            Box::new(m20261127_000701_tenant::Migration),
            Box::new(m20261127_000601_plans::Migration),
            Box::new(m20261127_000602_dismissals::Migration),
            Box::new(m20261129_000901_sample_histogram::Migration),
            Box::new(m20261129_000921_log_samples::Migration),
            Box::new(m20261129_000922_health_weights::Migration),
            Box::new(m20261130_000923_known_standbys::Migration),
            Box::new(m20261130_000924_rule_groups::Migration),
        ]
    }
}
