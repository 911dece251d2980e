//! Counts by class beside a figure: percentiles of longer times are made of them, since percentiles of parts cannot be
//! put together.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum MetricSample {
    Table,
    Histogram,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column =
            Table::alter().table(MetricSample::Table).add_column(text_null(MetricSample::Histogram)).to_owned();
        manager.alter_table(column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(Table::alter().table(MetricSample::Table).drop_column(MetricSample::Histogram).to_owned())
            .await
    }
}
