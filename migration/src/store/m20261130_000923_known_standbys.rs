//! Standbys that primaries have had: what is gone is missed after a restart too, and what was given up is not.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum KnownStandby {
    Table,
    Id,
    ClusterId,
    Name,
    SeenAt,
    ReplayedLsn,
    ByAddress,
}

/// Until now one that is missing was known after a restart by its open alert.
const FROM_ALERTS: &str = "INSERT INTO known_standby (cluster_id, name, seen_at, by_address) \
    SELECT cluster_id, object, MIN(started_at), FALSE FROM alert \
    WHERE rule IN ('replica_disconnected', 'replication_lag') AND phase <> 'resolved' \
    AND object <> 'this server' AND object <> '' GROUP BY cluster_id, object";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(KnownStandby::Table)
            .col(big_integer(KnownStandby::Id).auto_increment().primary_key())
            .col(string(KnownStandby::ClusterId))
            .col(text(KnownStandby::Name))
            .col(big_integer(KnownStandby::SeenAt))
            .col(big_integer_null(KnownStandby::ReplayedLsn))
            .col(boolean(KnownStandby::ByAddress))
            .to_owned();
        manager.create_table(table).await?;
        let by_name = Index::create()
            .name("known_standby_cluster_name")
            .table(KnownStandby::Table)
            .col(KnownStandby::ClusterId)
            .col(KnownStandby::Name)
            .unique()
            .to_owned();
        manager.create_index(by_name).await?;
        manager.get_connection().execute_unprepared(FROM_ALERTS).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(KnownStandby::Table).to_owned()).await
    }
}
