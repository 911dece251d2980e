//! What was measured: metrics, statements, events.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum MetricSeries {
    Table,
    Id,
    ClusterId,
    Metric,
    Label,
}

#[derive(DeriveIden)]
enum MetricSample {
    Table,
    SeriesId,
    At,
    Value,
}

#[derive(DeriveIden)]
enum StatementText {
    Table,
    Id,
    ClusterId,
    Dbid,
    Userid,
    Queryid,
    Toplevel,
    DatabaseName,
    UserName,
    Query,
    FirstSeenAt,
    LastSeenAt,
}

#[derive(DeriveIden)]
enum StatementSample {
    Table,
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
enum Event {
    Table,
    Id,
    ClusterId,
    At,
    Kind,
    Title,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A sample is three numbers: what it is a sample of stands in the series, once.
        let series = Table::create()
            .table(MetricSeries::Table)
            .col(big_integer(MetricSeries::Id).auto_increment().primary_key())
            .col(string(MetricSeries::ClusterId))
            .col(string(MetricSeries::Metric))
            .col(string(MetricSeries::Label))
            .to_owned();
        manager.create_table(series).await?;
        let unique = Index::create()
            .name("metric_series_key")
            .table(MetricSeries::Table)
            .col(MetricSeries::ClusterId)
            .col(MetricSeries::Metric)
            .col(MetricSeries::Label)
            .unique()
            .to_owned();
        manager.create_index(unique).await?;
        let sample = Table::create()
            .table(MetricSample::Table)
            .col(big_integer(MetricSample::SeriesId))
            .col(big_integer(MetricSample::At))
            .col(double(MetricSample::Value))
            .primary_key(Index::create().col(MetricSample::SeriesId).col(MetricSample::At))
            .to_owned();
        manager.create_table(sample).await?;
        let by_time =
            Index::create().name("metric_sample_at").table(MetricSample::Table).col(MetricSample::At).to_owned();
        manager.create_index(by_time).await?;

        let text_table = Table::create()
            .table(StatementText::Table)
            .col(big_integer(StatementText::Id).auto_increment().primary_key())
            .col(string(StatementText::ClusterId))
            .col(big_integer(StatementText::Dbid))
            .col(big_integer(StatementText::Userid))
            .col(big_integer(StatementText::Queryid))
            .col(boolean(StatementText::Toplevel))
            .col(string(StatementText::DatabaseName))
            .col(string(StatementText::UserName))
            .col(text(StatementText::Query))
            .col(big_integer(StatementText::FirstSeenAt))
            .col(big_integer(StatementText::LastSeenAt))
            .to_owned();
        manager.create_table(text_table).await?;
        let unique = Index::create()
            .name("statement_text_key")
            .table(StatementText::Table)
            .col(StatementText::ClusterId)
            .col(StatementText::Dbid)
            .col(StatementText::Userid)
            .col(StatementText::Queryid)
            .col(StatementText::Toplevel)
            .unique()
            .to_owned();
        manager.create_index(unique).await?;
        let sample = Table::create()
            .table(StatementSample::Table)
            .col(big_integer(StatementSample::StatementId))
            .col(big_integer(StatementSample::At))
            .col(big_integer(StatementSample::IntervalMs))
            .col(big_integer(StatementSample::Calls))
            .col(double(StatementSample::TotalMs))
            .col(double(StatementSample::M2))
            .col(double(StatementSample::MaxMs))
            .col(big_integer(StatementSample::RowCount))
            .col(big_integer(StatementSample::SharedBlksHit))
            .col(big_integer(StatementSample::SharedBlksRead))
            .col(big_integer(StatementSample::TempBlksWritten))
            .col(big_integer(StatementSample::WalBytes))
            .primary_key(Index::create().col(StatementSample::StatementId).col(StatementSample::At))
            .to_owned();
        manager.create_table(sample).await?;
        let by_time = Index::create()
            .name("statement_sample_at")
            .table(StatementSample::Table)
            .col(StatementSample::At)
            .to_owned();
        manager.create_index(by_time).await?;

        let event = Table::create()
            .table(Event::Table)
            .col(big_integer(Event::Id).auto_increment().primary_key())
            .col(string(Event::ClusterId))
            .col(big_integer(Event::At))
            .col(string(Event::Kind))
            .col(string(Event::Title))
            .to_owned();
        manager.create_table(event).await?;
        let by_cluster = Index::create()
            .name("event_cluster_at")
            .table(Event::Table)
            .col(Event::ClusterId)
            .col(Event::At)
            .to_owned();
        manager.create_index(by_cluster).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Event::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(StatementSample::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(StatementText::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(MetricSample::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(MetricSeries::Table).to_owned()).await
    }
}
