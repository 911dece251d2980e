//! The audit log: a chain of hashes that shows tampering.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum AuditLog {
    Table,
    Seq,
    At,
    ActorKind,
    ActorId,
    Source,
    Address,
    Action,
    ObjectKind,
    ObjectId,
    Outcome,
    Before,
    After,
    RequestId,
    PrevHash,
    Hash,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // `seq` is given by us, one more than the last: a gap is a deleted row, so a database sequence would not do.
        let table = Table::create()
            .table(AuditLog::Table)
            .col(big_integer(AuditLog::Seq).primary_key())
            .col(big_integer(AuditLog::At))
            .col(string(AuditLog::ActorKind))
            .col(string(AuditLog::ActorId))
            .col(string(AuditLog::Source))
            .col(string_null(AuditLog::Address))
            .col(string(AuditLog::Action))
            .col(string(AuditLog::ObjectKind))
            .col(string(AuditLog::ObjectId))
            .col(string(AuditLog::Outcome))
            .col(text_null(AuditLog::Before))
            .col(text_null(AuditLog::After))
            .col(string_null(AuditLog::RequestId))
            .col(string(AuditLog::PrevHash))
            .col(string(AuditLog::Hash))
            .to_owned();
        manager.create_table(table).await?;
        let by_time = Index::create().name("audit_log_at").table(AuditLog::Table).col(AuditLog::At).to_owned();
        manager.create_index(by_time).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(AuditLog::Table).to_owned()).await
    }
}
