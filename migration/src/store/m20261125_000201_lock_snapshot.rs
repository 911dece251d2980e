//! The worst moments of times in which sessions waited for each other.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum LockSnapshot {
    Table,
    Id,
    ClusterId,
    At,
    DurationMs,
    Waiters,
    Roots,
    LongestWaitMs,
    Root,
    Graph,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(LockSnapshot::Table)
            .col(big_integer(LockSnapshot::Id).auto_increment().primary_key())
            .col(string(LockSnapshot::ClusterId))
            .col(big_integer(LockSnapshot::At))
            .col(big_integer(LockSnapshot::DurationMs))
            .col(big_integer(LockSnapshot::Waiters))
            .col(big_integer(LockSnapshot::Roots))
            .col(big_integer_null(LockSnapshot::LongestWaitMs))
            .col(text(LockSnapshot::Root))
            .col(text(LockSnapshot::Graph))
            .to_owned();
        manager.create_table(table).await?;
        // One episode has one worst moment: a batch that is written again finds its row.
        let by_cluster = Index::create()
            .name("lock_snapshot_cluster_at")
            .table(LockSnapshot::Table)
            .col(LockSnapshot::ClusterId)
            .col(LockSnapshot::At)
            .unique()
            .to_owned();
        manager.create_index(by_cluster).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(LockSnapshot::Table).to_owned()).await
    }
}
