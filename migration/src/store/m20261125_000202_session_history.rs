//! Active sessions over time. A row is a handful of small numbers: names stand once, in a dictionary.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum SessionName {
    Table,
    Id,
    Name,
}

#[derive(DeriveIden)]
enum SessionBucket {
    Table,
    Id,
    ClusterId,
    At,
    IntervalMs,
    Samples,
    Skipped,
}

#[derive(DeriveIden)]
enum SessionCount {
    Table,
    BucketId,
    Position,
    WaitClassId,
    WaitEventId,
    QueryId,
    DatabaseId,
    UserId,
    ApplicationId,
    HostId,
    Samples,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = Table::create()
            .table(SessionName::Table)
            .col(big_integer(SessionName::Id).auto_increment().primary_key())
            .col(string_uniq(SessionName::Name))
            .to_owned();
        manager.create_table(name).await?;
        let bucket = Table::create()
            .table(SessionBucket::Table)
            .col(big_integer(SessionBucket::Id).auto_increment().primary_key())
            .col(string(SessionBucket::ClusterId))
            .col(big_integer(SessionBucket::At))
            .col(big_integer(SessionBucket::IntervalMs))
            .col(big_integer(SessionBucket::Samples))
            .col(big_integer(SessionBucket::Skipped))
            .to_owned();
        manager.create_table(bucket).await?;
        let unique = Index::create()
            .name("session_bucket_cluster_at")
            .table(SessionBucket::Table)
            .col(SessionBucket::ClusterId)
            .col(SessionBucket::At)
            .unique()
            .to_owned();
        manager.create_index(unique).await?;
        let count = Table::create()
            .table(SessionCount::Table)
            .col(big_integer(SessionCount::BucketId))
            .col(integer(SessionCount::Position))
            .col(big_integer(SessionCount::WaitClassId))
            .col(big_integer(SessionCount::WaitEventId))
            .col(big_integer(SessionCount::QueryId))
            .col(big_integer(SessionCount::DatabaseId))
            .col(big_integer(SessionCount::UserId))
            .col(big_integer(SessionCount::ApplicationId))
            .col(big_integer(SessionCount::HostId))
            .col(big_integer(SessionCount::Samples))
            .primary_key(Index::create().col(SessionCount::BucketId).col(SessionCount::Position))
            .to_owned();
        manager.create_table(count).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SessionCount::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(SessionBucket::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(SessionName::Table).to_owned()).await
    }
}
