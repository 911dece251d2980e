//! Which tenant of the platform an account or a token belongs to: its id in the platform's database, which is never
//! given to another tenant, as a name may be.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Account {
    Table,
    TenantId,
}

#[derive(DeriveIden)]
enum ApiToken {
    Table,
    TenantId,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let account = Table::alter().table(Account::Table).add_column(big_integer_null(Account::TenantId)).to_owned();
        manager.alter_table(account).await?;
        let token = Table::alter().table(ApiToken::Table).add_column(big_integer_null(ApiToken::TenantId)).to_owned();
        manager.alter_table(token).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(ApiToken::Table).drop_column(ApiToken::TenantId).to_owned()).await?;
        manager.alter_table(Table::alter().table(Account::Table).drop_column(Account::TenantId).to_owned()).await
    }
}
