//! Long work and its log, recovery objectives that were changed, and what a token may do beyond its role.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Job {
    Table,
    Id,
    ClusterId,
    Kind,
    Lane,
    State,
    Title,
    Params,
    ScheduleKey,
    RequestedBy,
    RequestedAt,
    StartedAt,
    FinishedAt,
    Attempt,
    Holder,
    LeaseUntil,
    CancelRequested,
    Progress,
    Result,
    Error,
}

#[derive(DeriveIden)]
enum JobLog {
    Table,
    Id,
    JobId,
    At,
    Line,
}

#[derive(DeriveIden)]
enum RecoveryObjective {
    Table,
    ClusterId,
    RpoSeconds,
    RtoSeconds,
    ChangedBy,
    ChangedAt,
}

#[derive(DeriveIden)]
enum ApiToken {
    Table,
    Scopes,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let job = Table::create()
            .table(Job::Table)
            .col(big_integer(Job::Id).auto_increment().primary_key())
            .col(string(Job::ClusterId))
            .col(string(Job::Kind))
            .col(string(Job::Lane))
            .col(string(Job::State))
            .col(text(Job::Title))
            .col(text(Job::Params))
            .col(string_null(Job::ScheduleKey))
            .col(string(Job::RequestedBy))
            .col(big_integer(Job::RequestedAt))
            .col(big_integer_null(Job::StartedAt))
            .col(big_integer_null(Job::FinishedAt))
            .col(big_integer(Job::Attempt))
            .col(string_null(Job::Holder))
            .col(big_integer_null(Job::LeaseUntil))
            .col(boolean(Job::CancelRequested))
            .col(text_null(Job::Progress))
            .col(text_null(Job::Result))
            .col(text_null(Job::Error))
            .to_owned();
        manager.create_table(job).await?;
        // Two servers that see the same moment of a schedule ask for one job.
        let once = Index::create().name("job_schedule_key").table(Job::Table).col(Job::ScheduleKey).unique().to_owned();
        manager.create_index(once).await?;
        // One job of a lane runs at a time, whoever wants to run another: the database itself refuses it.
        let lane = Index::create()
            .name("job_running_lane")
            .table(Job::Table)
            .col(Job::Lane)
            .unique()
            .and_where(Expr::col(Job::State).eq("running"))
            .to_owned();
        manager.create_index(lane).await?;
        let state = Index::create().name("job_state").table(Job::Table).col(Job::State).to_owned();
        manager.create_index(state).await?;
        let log = Table::create()
            .table(JobLog::Table)
            .col(big_integer(JobLog::Id).auto_increment().primary_key())
            .col(big_integer(JobLog::JobId))
            .col(big_integer(JobLog::At))
            .col(text(JobLog::Line))
            .to_owned();
        manager.create_table(log).await?;
        let by_job = Index::create().name("job_log_job").table(JobLog::Table).col(JobLog::JobId).to_owned();
        manager.create_index(by_job).await?;
        let objective = Table::create()
            .table(RecoveryObjective::Table)
            .col(string(RecoveryObjective::ClusterId).primary_key())
            .col(double(RecoveryObjective::RpoSeconds))
            .col(double(RecoveryObjective::RtoSeconds))
            .col(string(RecoveryObjective::ChangedBy))
            .col(big_integer(RecoveryObjective::ChangedAt))
            .to_owned();
        manager.create_table(objective).await?;
        let scopes = Table::alter()
            .table(ApiToken::Table)
            .add_column(ColumnDef::new(ApiToken::Scopes).string().not_null().default(""))
            .to_owned();
        manager.alter_table(scopes).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(ApiToken::Table).drop_column(ApiToken::Scopes).to_owned()).await?;
        manager.drop_table(Table::drop().table(RecoveryObjective::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(JobLog::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Job::Table).to_owned()).await
    }
}
