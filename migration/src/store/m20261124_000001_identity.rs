//! Accounts, sessions, API tokens, throttling and the one-time link for the first administrator.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Account {
    Table,
    Id,
    Name,
    Role,
    PasswordHash,
    DisabledAt,
    CreatedAt,
    PasswordChangedAt,
    LastLoginAt,
    SessionEpoch,
}

#[derive(DeriveIden)]
enum Session {
    Table,
    IdHash,
    AccountId,
    Data,
    CreatedAt,
    ExpiresAt,
    AbsoluteExpiresAt,
}

#[derive(DeriveIden)]
enum ApiToken {
    Table,
    Id,
    Name,
    TokenHash,
    Prefix,
    Role,
    CreatedBy,
    CreatedAt,
    ExpiresAt,
    LastUsedAt,
    LastUsedAddress,
    RevokedAt,
}

#[derive(DeriveIden)]
enum LoginThrottle {
    Table,
    Subject,
    Failures,
    LastFailureAt,
    BlockedUntil,
}

#[derive(DeriveIden)]
enum SetupLink {
    Table,
    TokenHash,
    CreatedAt,
    ExpiresAt,
    UsedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let account = Table::create()
            .table(Account::Table)
            .col(big_integer(Account::Id).auto_increment().primary_key())
            .col(string_uniq(Account::Name))
            .col(string(Account::Role))
            .col(string(Account::PasswordHash))
            .col(big_integer_null(Account::DisabledAt))
            .col(big_integer(Account::CreatedAt))
            .col(big_integer(Account::PasswordChangedAt))
            .col(big_integer_null(Account::LastLoginAt))
            .col(big_integer(Account::SessionEpoch))
            .to_owned();
        manager.create_table(account).await?;
        let session = Table::create()
            .table(Session::Table)
            .col(string(Session::IdHash).primary_key())
            .col(big_integer_null(Session::AccountId))
            .col(text(Session::Data))
            .col(big_integer(Session::CreatedAt))
            .col(big_integer(Session::ExpiresAt))
            .col(big_integer(Session::AbsoluteExpiresAt))
            .to_owned();
        manager.create_table(session).await?;
        let by_account =
            Index::create().name("session_account_id").table(Session::Table).col(Session::AccountId).to_owned();
        manager.create_index(by_account).await?;
        let by_expiry =
            Index::create().name("session_expires_at").table(Session::Table).col(Session::ExpiresAt).to_owned();
        manager.create_index(by_expiry).await?;
        let token = Table::create()
            .table(ApiToken::Table)
            .col(big_integer(ApiToken::Id).auto_increment().primary_key())
            .col(string(ApiToken::Name))
            .col(string_uniq(ApiToken::TokenHash))
            .col(string(ApiToken::Prefix))
            .col(string(ApiToken::Role))
            .col(string(ApiToken::CreatedBy))
            .col(big_integer(ApiToken::CreatedAt))
            .col(big_integer_null(ApiToken::ExpiresAt))
            .col(big_integer_null(ApiToken::LastUsedAt))
            .col(string_null(ApiToken::LastUsedAddress))
            .col(big_integer_null(ApiToken::RevokedAt))
            .to_owned();
        manager.create_table(token).await?;
        let throttle = Table::create()
            .table(LoginThrottle::Table)
            .col(string(LoginThrottle::Subject).primary_key())
            .col(big_integer(LoginThrottle::Failures))
            .col(big_integer(LoginThrottle::LastFailureAt))
            .col(big_integer(LoginThrottle::BlockedUntil))
            .to_owned();
        manager.create_table(throttle).await?;
        let link = Table::create()
            .table(SetupLink::Table)
            .col(string(SetupLink::TokenHash).primary_key())
            .col(big_integer(SetupLink::CreatedAt))
            .col(big_integer(SetupLink::ExpiresAt))
            .col(big_integer_null(SetupLink::UsedAt))
            .to_owned();
        manager.create_table(link).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SetupLink::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(LoginThrottle::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(ApiToken::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Session::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Account::Table).to_owned()).await
    }
}
