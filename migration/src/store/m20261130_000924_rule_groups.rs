//! A rule can be set for a group of clusters: narrower than for all, wider than for one.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum AlertRule {
    Table,
    ClusterId,
    GroupName,
    Rule,
}

const KEY: &str = "alert_rule_key";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Empty where it is set for no group: NULLs would not be one and the same in a unique index.
        let column =
            Table::alter().table(AlertRule::Table).add_column(string(AlertRule::GroupName).default("")).to_owned();
        manager.alter_table(column).await?;
        manager.drop_index(Index::drop().name(KEY).table(AlertRule::Table).to_owned()).await?;
        let unique = Index::create()
            .name(KEY)
            .table(AlertRule::Table)
            .col(AlertRule::ClusterId)
            .col(AlertRule::GroupName)
            .col(AlertRule::Rule)
            .unique()
            .to_owned();
        manager.create_index(unique).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // They would be taken for settings of all clusters.
        manager.get_connection().execute_unprepared("DELETE FROM alert_rule WHERE group_name <> ''").await?;
        manager.drop_index(Index::drop().name(KEY).table(AlertRule::Table).to_owned()).await?;
        manager
            .alter_table(Table::alter().table(AlertRule::Table).drop_column(AlertRule::GroupName).to_owned())
            .await?;
        let unique = Index::create()
            .name(KEY)
            .table(AlertRule::Table)
            .col(AlertRule::ClusterId)
            .col(AlertRule::Rule)
            .unique()
            .to_owned();
        manager.create_index(unique).await
    }
}
