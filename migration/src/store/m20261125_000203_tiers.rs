//! History in tiers: what is old is kept as sums over five minutes or an hour, and how far that has got.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum MetricRollup {
    Table,
    Tier,
    SeriesId,
    At,
    Count,
    Sum,
    Min,
    Max,
    Last,
    Gap,
    Reset,
    Histogram,
}

#[derive(DeriveIden)]
enum StatementRollup {
    Table,
    Tier,
    StatementId,
    At,
    IntervalMs,
    Calls,
    TotalMs,
    M2,
    MaxMs,
    RowCount,
    SharedBlksHit,
    SharedBlksRead,
    TempBlksWritten,
    WalBytes,
}

#[derive(DeriveIden)]
enum TierMark {
    Table,
    Name,
    RolledTo,
    PrunedTo,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let metric = Table::create()
            .table(MetricRollup::Table)
            .col(integer(MetricRollup::Tier))
            .col(big_integer(MetricRollup::SeriesId))
            .col(big_integer(MetricRollup::At))
            .col(big_integer(MetricRollup::Count))
            .col(double(MetricRollup::Sum))
            .col(double(MetricRollup::Min))
            .col(double(MetricRollup::Max))
            .col(double(MetricRollup::Last))
            .col(boolean(MetricRollup::Gap))
            .col(boolean(MetricRollup::Reset))
            .col(text_null(MetricRollup::Histogram))
            .primary_key(Index::create().col(MetricRollup::Tier).col(MetricRollup::SeriesId).col(MetricRollup::At))
            .to_owned();
        manager.create_table(metric).await?;
        let by_time = Index::create()
            .name("metric_rollup_tier_at")
            .table(MetricRollup::Table)
            .col(MetricRollup::Tier)
            .col(MetricRollup::At)
            .to_owned();
        manager.create_index(by_time).await?;
        let statement = Table::create()
            .table(StatementRollup::Table)
            .col(integer(StatementRollup::Tier))
            .col(big_integer(StatementRollup::StatementId))
            .col(big_integer(StatementRollup::At))
            .col(big_integer(StatementRollup::IntervalMs))
            .col(big_integer(StatementRollup::Calls))
            .col(double(StatementRollup::TotalMs))
            .col(double(StatementRollup::M2))
            .col(double(StatementRollup::MaxMs))
            .col(big_integer(StatementRollup::RowCount))
            .col(big_integer(StatementRollup::SharedBlksHit))
            .col(big_integer(StatementRollup::SharedBlksRead))
            .col(big_integer(StatementRollup::TempBlksWritten))
            .col(big_integer(StatementRollup::WalBytes))
            .primary_key(
                Index::create().col(StatementRollup::Tier).col(StatementRollup::StatementId).col(StatementRollup::At),
            )
            .to_owned();
        manager.create_table(statement).await?;
        let by_time = Index::create()
            .name("statement_rollup_tier_at")
            .table(StatementRollup::Table)
            .col(StatementRollup::Tier)
            .col(StatementRollup::At)
            .to_owned();
        manager.create_index(by_time).await?;
        let mark = Table::create()
            .table(TierMark::Table)
            .col(string(TierMark::Name).primary_key())
            .col(big_integer(TierMark::RolledTo))
            .col(big_integer(TierMark::PrunedTo))
            .to_owned();
        manager.create_table(mark).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TierMark::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(StatementRollup::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(MetricRollup::Table).to_owned()).await
    }
}
