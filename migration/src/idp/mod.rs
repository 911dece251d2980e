//! The platform's schema `saas_idp` in the target PostgreSQL.
use sea_orm_migration::prelude::*;

/// Migrations of the platform's tables, the oldest first.
#[derive(Debug)]
pub struct IdpMigrator;

#[async_trait::async_trait]
impl MigratorTrait for IdpMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![]
    }
}
