//! Alerts, what happened to them, settings of rules, blackouts, channels, and messages on their way.
use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(Debug, DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Alert {
    Table,
    Id,
    ClusterId,
    Rule,
    Object,
    Title,
    Detail,
    Severity,
    Phase,
    Value,
    Measured,
    Threshold,
    StartedAt,
    FiredAt,
    ResolvedAt,
    ExpiresAt,
    NoDataSince,
    Sequence,
    Page,
    Machine,
    Notified,
    SuppressedBy,
    AckBy,
    AckAt,
    AckNote,
    AckUntil,
    AckSeverity,
    SilenceBy,
    SilenceNote,
    SilenceUntil,
}

#[derive(DeriveIden)]
enum AlertEvent {
    Table,
    Id,
    AlertId,
    At,
    Kind,
    Severity,
    Actor,
    Note,
}

#[derive(DeriveIden)]
enum AlertRule {
    Table,
    Id,
    ClusterId,
    Rule,
    Settings,
    UpdatedBy,
    UpdatedAt,
}

#[derive(DeriveIden)]
enum AlertBlackout {
    Table,
    Id,
    Reason,
    ClusterId,
    Rule,
    StartsAt,
    EndsAt,
    Cron,
    DurationSeconds,
    CreatedBy,
    CreatedAt,
}

#[derive(DeriveIden)]
enum AlertChannel {
    Table,
    Id,
    Name,
    Kind,
    Target,
    MinSeverity,
    Clusters,
    Enabled,
    Sealed,
    CreatedBy,
    CreatedAt,
    LastSentAt,
    LastError,
}

#[derive(DeriveIden)]
enum AlertDelivery {
    Table,
    Id,
    Key,
    ChannelId,
    AlertId,
    Kind,
    Subject,
    Payload,
    State,
    Attempts,
    CreatedAt,
    NextAt,
    SentAt,
    LastError,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Ids are given by us, before the row is written: an alert is known and shown while the store does not answer.
        let alert = Table::create()
            .table(Alert::Table)
            .col(big_integer(Alert::Id).primary_key())
            .col(string(Alert::ClusterId))
            .col(string(Alert::Rule))
            .col(text(Alert::Object))
            .col(text(Alert::Title))
            .col(text_null(Alert::Detail))
            .col(string(Alert::Severity))
            .col(string(Alert::Phase))
            .col(double_null(Alert::Value))
            .col(text(Alert::Measured))
            .col(text(Alert::Threshold))
            .col(big_integer(Alert::StartedAt))
            .col(big_integer_null(Alert::FiredAt))
            .col(big_integer_null(Alert::ResolvedAt))
            .col(big_integer_null(Alert::ExpiresAt))
            .col(big_integer_null(Alert::NoDataSince))
            .col(big_integer(Alert::Sequence))
            .col(string(Alert::Page))
            .col(text(Alert::Machine))
            .col(string_null(Alert::Notified))
            .col(text_null(Alert::SuppressedBy))
            .col(string_null(Alert::AckBy))
            .col(big_integer_null(Alert::AckAt))
            .col(text_null(Alert::AckNote))
            .col(big_integer_null(Alert::AckUntil))
            .col(string_null(Alert::AckSeverity))
            .col(string_null(Alert::SilenceBy))
            .col(text_null(Alert::SilenceNote))
            .col(big_integer_null(Alert::SilenceUntil))
            .to_owned();
        manager.create_table(alert).await?;
        for (name, column) in [("alert_resolved_at", Alert::ResolvedAt), ("alert_fired_at", Alert::FiredAt)] {
            manager.create_index(Index::create().name(name).table(Alert::Table).col(column).to_owned()).await?;
        }

        let event = Table::create()
            .table(AlertEvent::Table)
            .col(big_integer(AlertEvent::Id).primary_key())
            .col(big_integer(AlertEvent::AlertId))
            .col(big_integer(AlertEvent::At))
            .col(string(AlertEvent::Kind))
            .col(string(AlertEvent::Severity))
            .col(string_null(AlertEvent::Actor))
            .col(text(AlertEvent::Note))
            .to_owned();
        manager.create_table(event).await?;
        let by_alert =
            Index::create().name("alert_event_alert_id").table(AlertEvent::Table).col(AlertEvent::AlertId).to_owned();
        manager.create_index(by_alert).await?;

        // An empty cluster stands for all: NULLs would not be one and the same in a unique index.
        let rule = Table::create()
            .table(AlertRule::Table)
            .col(big_integer(AlertRule::Id).auto_increment().primary_key())
            .col(string(AlertRule::ClusterId))
            .col(string(AlertRule::Rule))
            .col(text(AlertRule::Settings))
            .col(string(AlertRule::UpdatedBy))
            .col(big_integer(AlertRule::UpdatedAt))
            .to_owned();
        manager.create_table(rule).await?;
        let unique = Index::create()
            .name("alert_rule_key")
            .table(AlertRule::Table)
            .col(AlertRule::ClusterId)
            .col(AlertRule::Rule)
            .unique()
            .to_owned();
        manager.create_index(unique).await?;

        let blackout = Table::create()
            .table(AlertBlackout::Table)
            .col(big_integer(AlertBlackout::Id).auto_increment().primary_key())
            .col(text(AlertBlackout::Reason))
            .col(string_null(AlertBlackout::ClusterId))
            .col(string_null(AlertBlackout::Rule))
            .col(big_integer(AlertBlackout::StartsAt))
            .col(big_integer(AlertBlackout::EndsAt))
            .col(string_null(AlertBlackout::Cron))
            .col(big_integer_null(AlertBlackout::DurationSeconds))
            .col(string(AlertBlackout::CreatedBy))
            .col(big_integer(AlertBlackout::CreatedAt))
            .to_owned();
        manager.create_table(blackout).await?;

        let channel = Table::create()
            .table(AlertChannel::Table)
            .col(big_integer(AlertChannel::Id).auto_increment().primary_key())
            .col(string_uniq(AlertChannel::Name))
            .col(string(AlertChannel::Kind))
            .col(text(AlertChannel::Target))
            .col(string(AlertChannel::MinSeverity))
            .col(text(AlertChannel::Clusters))
            .col(boolean(AlertChannel::Enabled))
            .col(text(AlertChannel::Sealed))
            .col(string(AlertChannel::CreatedBy))
            .col(big_integer(AlertChannel::CreatedAt))
            .col(big_integer_null(AlertChannel::LastSentAt))
            .col(text_null(AlertChannel::LastError))
            .to_owned();
        manager.create_table(channel).await?;

        let delivery = Table::create()
            .table(AlertDelivery::Table)
            .col(big_integer(AlertDelivery::Id).auto_increment().primary_key())
            .col(string_uniq(AlertDelivery::Key))
            .col(big_integer(AlertDelivery::ChannelId))
            .col(big_integer_null(AlertDelivery::AlertId))
            .col(string(AlertDelivery::Kind))
            .col(text(AlertDelivery::Subject))
            .col(text(AlertDelivery::Payload))
            .col(string(AlertDelivery::State))
            .col(big_integer(AlertDelivery::Attempts))
            .col(big_integer(AlertDelivery::CreatedAt))
            .col(big_integer(AlertDelivery::NextAt))
            .col(big_integer_null(AlertDelivery::SentAt))
            .col(text_null(AlertDelivery::LastError))
            .to_owned();
        manager.create_table(delivery).await?;
        let due = Index::create()
            .name("alert_delivery_due")
            .table(AlertDelivery::Table)
            .col(AlertDelivery::State)
            .col(AlertDelivery::NextAt)
            .to_owned();
        manager.create_index(due).await?;
        let by_alert = Index::create()
            .name("alert_delivery_alert_id")
            .table(AlertDelivery::Table)
            .col(AlertDelivery::AlertId)
            .to_owned();
        manager.create_index(by_alert).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(AlertDelivery::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(AlertChannel::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(AlertBlackout::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(AlertRule::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(AlertEvent::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Alert::Table).to_owned()).await
    }
}
