//! Samples of statements from a server's log, and plans from there: a plan that ran may have the shape of one that was
//! asked for, so that how it was had is part of what a row is.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum StatementLogSample {
    Table,
    Id,
    StatementId,
    At,
    DurationMs,
    Application,
    Client,
    Parameters,
    Query,
}

#[derive(DeriveIden)]
enum QueryPlan {
    Table,
    StatementId,
    PlanHash,
    Method,
}

const BY_HASH: &str = "query_plan_statement_hash";
const BY_METHOD: &str = "query_plan_statement_hash_method";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(StatementLogSample::Table)
            .col(big_integer(StatementLogSample::Id).auto_increment().primary_key())
            .col(big_integer(StatementLogSample::StatementId))
            .col(big_integer(StatementLogSample::At))
            .col(double(StatementLogSample::DurationMs))
            .col(string(StatementLogSample::Application))
            .col(string(StatementLogSample::Client))
            .col(big_integer(StatementLogSample::Parameters))
            .col(text(StatementLogSample::Query))
            .to_owned();
        manager.create_table(table).await?;
        let by_statement = Index::create()
            .name("statement_log_sample_statement_at")
            .table(StatementLogSample::Table)
            .col(StatementLogSample::StatementId)
            .col(StatementLogSample::At)
            .to_owned();
        manager.create_index(by_statement).await?;
        let by_time = Index::create()
            .name("statement_log_sample_at")
            .table(StatementLogSample::Table)
            .col(StatementLogSample::At)
            .to_owned();
        manager.create_index(by_time).await?;
        manager.drop_index(Index::drop().name(BY_HASH).table(QueryPlan::Table).to_owned()).await?;
        let by_method = Index::create()
            .name(BY_METHOD)
            .table(QueryPlan::Table)
            .col(QueryPlan::StatementId)
            .col(QueryPlan::PlanHash)
            .col(QueryPlan::Method)
            .unique()
            .to_owned();
        manager.create_index(by_method).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(BY_METHOD).table(QueryPlan::Table).to_owned()).await?;
        // Those of one shape that were had in several ways would break the older rule: the newest stays.
        let surplus =
            "DELETE FROM query_plan WHERE id NOT IN (SELECT MAX(id) FROM query_plan GROUP BY statement_id, plan_hash)";
        manager.get_connection().execute_unprepared(surplus).await?;
        let by_hash = Index::create()
            .name(BY_HASH)
            .table(QueryPlan::Table)
            .col(QueryPlan::StatementId)
            .col(QueryPlan::PlanHash)
            .unique()
            .to_owned();
        manager.create_index(by_hash).await?;
        manager.drop_table(Table::drop().table(StatementLogSample::Table).to_owned()).await
    }
}
