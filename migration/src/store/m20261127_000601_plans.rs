//! Plans of statements, one row for each shape that a statement's plan has had.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum QueryPlan {
    Table,
    Id,
    StatementId,
    PlanHash,
    Method,
    VersionNum,
    RoleName,
    Shape,
    FirstAt,
    LastAt,
    Times,
    TakenBy,
    TotalCost,
    Plan,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(QueryPlan::Table)
            .col(big_integer(QueryPlan::Id).auto_increment().primary_key())
            .col(big_integer(QueryPlan::StatementId))
            .col(string(QueryPlan::PlanHash))
            .col(string(QueryPlan::Method))
            .col(big_integer(QueryPlan::VersionNum))
            .col(string(QueryPlan::RoleName))
            .col(text(QueryPlan::Shape))
            .col(big_integer(QueryPlan::FirstAt))
            .col(big_integer(QueryPlan::LastAt))
            .col(big_integer(QueryPlan::Times))
            .col(string(QueryPlan::TakenBy))
            .col(double(QueryPlan::TotalCost))
            .col(text(QueryPlan::Plan))
            .to_owned();
        manager.create_table(table).await?;
        let by_shape = Index::create()
            .name("query_plan_statement_hash")
            .table(QueryPlan::Table)
            .col(QueryPlan::StatementId)
            .col(QueryPlan::PlanHash)
            .unique()
            .to_owned();
        manager.create_index(by_shape).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(QueryPlan::Table).to_owned()).await
    }
}
