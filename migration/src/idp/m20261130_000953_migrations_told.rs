//! The role of the platform's own work may read which migrations were applied: who runs the server is told when one is outstanding,
//! and the pools' own role sees nothing by itself.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("GRANT SELECT ON holdfast_idp_migrations TO holdfast_platform")
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("REVOKE SELECT ON holdfast_idp_migrations FROM holdfast_platform")
            .await?;
        Ok(())
    }
}
