//! How much each part of the health score counts, where that is not as shipped.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum HealthWeights {
    Table,
    Id,
    ClusterId,
    Weights,
    UpdatedBy,
    UpdatedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(HealthWeights::Table)
            .col(big_integer(HealthWeights::Id).auto_increment().primary_key())
            // Empty: for all clusters.
            .col(string_uniq(HealthWeights::ClusterId))
            .col(text(HealthWeights::Weights))
            .col(string(HealthWeights::UpdatedBy))
            .col(big_integer(HealthWeights::UpdatedAt))
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(HealthWeights::Table).to_owned()).await
    }
}
