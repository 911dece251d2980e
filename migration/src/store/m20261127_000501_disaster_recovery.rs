//! Plans for disasters, what people decided while one was carried out, and what each run showed.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum DrPlan {
    Table,
    Id,
    ClusterId,
    Name,
    Spec,
    Hash,
    ChangedBy,
    ChangedAt,
    RemovedAt,
}

#[derive(DeriveIden)]
enum DrDecision {
    Table,
    Id,
    JobId,
    Step,
    Decision,
    Actor,
    At,
    Note,
}

#[derive(DeriveIden)]
enum DrRun {
    Table,
    Id,
    PlanId,
    PlanName,
    ClusterId,
    Kind,
    StartedAt,
    FinishedAt,
    Ok,
    RtoSeconds,
    RpoSeconds,
    RtoObjective,
    RpoObjective,
    Error,
    Report,
    ReportSha256,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let plan = Table::create()
            .table(DrPlan::Table)
            .col(big_integer(DrPlan::Id).auto_increment().primary_key())
            .col(string(DrPlan::ClusterId))
            .col(string(DrPlan::Name))
            .col(text(DrPlan::Spec))
            .col(string(DrPlan::Hash))
            .col(string(DrPlan::ChangedBy))
            .col(big_integer(DrPlan::ChangedAt))
            .col(big_integer_null(DrPlan::RemovedAt))
            .to_owned();
        manager.create_table(plan).await?;
        // Two plans of one name could not be told apart at three in the morning.
        let name = Index::create()
            .name("dr_plan_name")
            .table(DrPlan::Table)
            .col(DrPlan::ClusterId)
            .col(DrPlan::Name)
            .unique()
            .and_where(Expr::col(DrPlan::RemovedAt).is_null())
            .to_owned();
        manager.create_index(name).await?;
        let decision = Table::create()
            .table(DrDecision::Table)
            .col(big_integer(DrDecision::Id).auto_increment().primary_key())
            .col(big_integer(DrDecision::JobId))
            .col(big_integer(DrDecision::Step))
            .col(string(DrDecision::Decision))
            .col(string(DrDecision::Actor))
            .col(big_integer(DrDecision::At))
            .col(text(DrDecision::Note))
            .to_owned();
        manager.create_table(decision).await?;
        // A step is decided once: of two people who decide at once one is told that it is decided.
        let once = Index::create()
            .name("dr_decision_once")
            .table(DrDecision::Table)
            .col(DrDecision::JobId)
            .col(DrDecision::Step)
            .col(DrDecision::Decision)
            .unique()
            .to_owned();
        manager.create_index(once).await?;
        let run = Table::create()
            .table(DrRun::Table)
            .col(string(DrRun::Id).primary_key())
            .col(big_integer_null(DrRun::PlanId))
            .col(string(DrRun::PlanName))
            .col(string(DrRun::ClusterId))
            .col(string(DrRun::Kind))
            .col(big_integer(DrRun::StartedAt))
            .col(big_integer(DrRun::FinishedAt))
            .col(boolean(DrRun::Ok))
            .col(double_null(DrRun::RtoSeconds))
            .col(double_null(DrRun::RpoSeconds))
            .col(double_null(DrRun::RtoObjective))
            .col(double_null(DrRun::RpoObjective))
            .col(text_null(DrRun::Error))
            .col(text_null(DrRun::Report))
            .col(string_null(DrRun::ReportSha256))
            .to_owned();
        manager.create_table(run).await?;
        let newest = Index::create()
            .name("dr_run_newest")
            .table(DrRun::Table)
            .col(DrRun::ClusterId)
            .col(DrRun::FinishedAt)
            .to_owned();
        manager.create_index(newest).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(DrRun::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(DrDecision::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(DrPlan::Table).to_owned()).await
    }
}
