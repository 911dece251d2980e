//! Findings and suggestions that a person put aside.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum AdviceDismissal {
    Table,
    Id,
    ClusterId,
    AdviceKey,
    Reason,
    Actor,
    At,
    Until,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(AdviceDismissal::Table)
            .col(big_integer(AdviceDismissal::Id).auto_increment().primary_key())
            .col(string(AdviceDismissal::ClusterId))
            .col(text(AdviceDismissal::AdviceKey))
            .col(text(AdviceDismissal::Reason))
            .col(string(AdviceDismissal::Actor))
            .col(big_integer(AdviceDismissal::At))
            .col(big_integer_null(AdviceDismissal::Until))
            .to_owned();
        manager.create_table(table).await?;
        let by_key = Index::create()
            .name("advice_dismissal_cluster_key")
            .table(AdviceDismissal::Table)
            .col(AdviceDismissal::ClusterId)
            .col(AdviceDismissal::AdviceKey)
            .unique()
            .to_owned();
        manager.create_index(by_key).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(AdviceDismissal::Table).to_owned()).await
    }
}
