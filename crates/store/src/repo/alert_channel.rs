//! Channels, and messages on their way through them.
use crate::{
    StoreError,
    entity::{alert_channel, alert_delivery},
};
use domain::{
    Timestamp,
    alert::{ChannelKind, Severity},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, SqlErr, Statement,
    sea_query::{Expr, OnConflict},
};

/// A way to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Id; not read by [`ChannelRepo::insert`].
    pub id: i64,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: ChannelKind,
    /// Where it leads, without secrets.
    pub target: String,
    /// Messages from this severity on.
    pub min_severity: Severity,
    /// Only of these clusters; empty is all.
    pub clusters: Vec<String>,
    /// In use.
    pub enabled: bool,
    /// Address and secrets, sealed.
    pub sealed: String,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: Timestamp,
    /// Last message that arrived.
    pub last_sent_at: Option<Timestamp>,
    /// What went wrong at the last attempt.
    pub last_error: Option<String>,
}

impl ChannelRow {
    /// Whether it wants to hear of an alert of that severity.
    pub fn wants(&self, cluster: &str, severity: Severity) -> bool {
        self.enabled
            && severity >= self.min_severity
            && (self.clusters.is_empty() || self.clusters.iter().any(|id| id == cluster))
    }
}

/// Channels over a connection or a transaction.
#[derive(Debug)]
pub struct ChannelRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> ChannelRepo<'_, C> {
    /// All by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<ChannelRow>, StoreError> {
        let rows = alert_channel::Entity::find().order_by_asc(alert_channel::Column::Name).all(self.0).await;
        rows.map_err(StoreError::query("list channels"))?.into_iter().map(channel).collect()
    }

    /// One by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: i64) -> Result<Option<ChannelRow>, StoreError> {
        let row = alert_channel::Entity::find_by_id(id).one(self.0).await;
        row.map_err(StoreError::query("find a channel"))?.map(channel).transpose()
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    pub async fn insert(&self, new: &ChannelRow) -> Result<ChannelRow, StoreError> {
        let row = alert_channel::ActiveModel {
            created_by: Set(new.created_by.clone()),
            created_at: Set(new.created_at.0),
            last_sent_at: Set(None),
            last_error: Set(None),
            ..active(new)
        };
        let row = alert_channel::Entity::insert(row).exec_with_returning(self.0).await;
        channel(row.map_err(|error| taken(error, &new.name))?)
    }

    /// Changes one.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    pub async fn update(&self, row: &ChannelRow) -> Result<(), StoreError> {
        let updated = alert_channel::Entity::update_many()
            .set(active(row))
            .filter(alert_channel::Column::Id.eq(row.id))
            .exec(self.0)
            .await;
        updated.map(drop).map_err(|error| taken(error, &row.name))
    }

    /// Removes one with its messages.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, id: i64) -> Result<(), StoreError> {
        let failed = || StoreError::query("remove a channel");
        alert_delivery::Entity::delete_many()
            .filter(alert_delivery::Column::ChannelId.eq(id))
            .exec(self.0)
            .await
            .map_err(failed())?;
        alert_channel::Entity::delete_by_id(id).exec(self.0).await.map(drop).map_err(failed())
    }

    /// Notes how the last attempt ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note(&self, id: i64, sent_at: Option<Timestamp>, error: Option<&str>) -> Result<(), StoreError> {
        let mut update = alert_channel::Entity::update_many()
            .col_expr(alert_channel::Column::LastError, Expr::value(error.map(str::to_owned)));
        if let Some(at) = sent_at {
            update = update.col_expr(alert_channel::Column::LastSentAt, Expr::value(at.0));
        }
        let noted = update.filter(alert_channel::Column::Id.eq(id)).exec(self.0).await;
        noted.map(drop).map_err(StoreError::query("note the use of a channel"))
    }
}

fn taken(error: sea_orm::DbErr, name: &str) -> StoreError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => StoreError::Exists { what: "channel", name: name.to_owned() },
        _ => StoreError::Query { operation: "keep a channel", source: error },
    }
}

fn active(row: &ChannelRow) -> alert_channel::ActiveModel {
    alert_channel::ActiveModel {
        name: Set(row.name.clone()),
        kind: Set(row.kind.as_str().to_owned()),
        target: Set(row.target.clone()),
        min_severity: Set(row.min_severity.as_str().to_owned()),
        clusters: Set(serde_json::to_string(&row.clusters).unwrap_or_default()),
        enabled: Set(row.enabled),
        sealed: Set(row.sealed.clone()),
        ..Default::default()
    }
}

fn channel(row: alert_channel::Model) -> Result<ChannelRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "channel", detail };
    Ok(ChannelRow {
        id: row.id,
        name: row.name,
        kind: row.kind.parse().map_err(damaged)?,
        target: row.target,
        min_severity: row.min_severity.parse().map_err(damaged)?,
        clusters: serde_json::from_str(&row.clusters).map_err(|error| damaged(error.to_string()))?,
        enabled: row.enabled,
        sealed: row.sealed,
        created_by: row.created_by,
        created_at: Timestamp(row.created_at),
        last_sent_at: row.last_sent_at.map(Timestamp),
        last_error: row.last_error,
    })
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// What makes it one and the same, here and for the receiver.
    pub key: String,
    /// To which channel.
    pub channel_id: i64,
    /// About which alert.
    pub alert_id: Option<i64>,
    /// `firing`, `raised`, `resolved`, `notice`.
    pub kind: String,
    /// In one line.
    pub subject: String,
    /// The message, JSON.
    pub payload: String,
    /// Now.
    pub at: Timestamp,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be sent, or to be tried again.
    Waiting,
    /// In hand: an attempt is being made.
    Sending,
    /// It arrived.
    Sent,
    /// Given up.
    Dead,
    /// Not worth sending any more: what it would take back was never told.
    Dropped,
}

impl DeliveryState {
    /// Name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Id; grows in the order in which messages were written down.
    pub id: i64,
    /// What makes it one and the same.
    pub key: String,
    /// To which channel.
    pub channel_id: i64,
    /// About which alert.
    pub alert_id: Option<i64>,
    /// Kind.
    pub kind: String,
    /// In one line.
    pub subject: String,
    /// JSON.
    pub payload: String,
    /// Where it stands.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Written down.
    pub created_at: Timestamp,
    /// Due.
    pub next_at: Timestamp,
    /// Arrived.
    pub sent_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// How many messages of a channel are under way and given up.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct DeliveryCount {
    /// Channel.
    pub channel_id: i64,
    /// State.
    pub state: String,
    /// How many.
    pub number: i64,
}

/// Messages over a connection or a transaction.
#[derive(Debug)]
pub struct DeliveryRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> DeliveryRepo<'_, C> {
    /// Writes messages down; one with a key that is there already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, new: &[NewDelivery]) -> Result<(), StoreError> {
        for it in new {
            let row = alert_delivery::ActiveModel {
                key: Set(it.key.clone()),
                channel_id: Set(it.channel_id),
                alert_id: Set(it.alert_id),
                kind: Set(it.kind.clone()),
                subject: Set(it.subject.clone()),
                payload: Set(it.payload.clone()),
                state: Set(DeliveryState::Waiting.as_str().to_owned()),
                attempts: Set(0),
                created_at: Set(it.at.0),
                next_at: Set(it.at.0),
                sent_at: Set(None),
                last_error: Set(None),
                ..Default::default()
            };
            let mut conflict = OnConflict::column(alert_delivery::Column::Key);
            conflict.update_column(alert_delivery::Column::Key);
            alert_delivery::Entity::insert(row)
                .on_conflict(conflict)
                .exec_without_returning(self.0)
                .await
                .map_err(StoreError::query("write a message down"))?;
        }
        Ok(())
    }

    /// Messages that are due, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&self, at: Timestamp, limit: u64) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = alert_delivery::Entity::find()
            .filter(
                alert_delivery::Column::State.is_in([DeliveryState::Waiting.as_str(), DeliveryState::Sending.as_str()]),
            )
            .filter(alert_delivery::Column::NextAt.lte(at.0))
            .order_by_asc(alert_delivery::Column::Id)
            .limit(limit)
            .all(self.0)
            .await;
        Ok(rows.map_err(StoreError::query("list messages"))?.into_iter().map(delivery).collect())
    }

    /// Those about an alert, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_alert(&self, alert_id: i64) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = alert_delivery::Entity::find()
            .filter(alert_delivery::Column::AlertId.eq(alert_id))
            .order_by_asc(alert_delivery::Column::Id)
            .all(self.0)
            .await;
        Ok(rows.map_err(StoreError::query("list messages"))?.into_iter().map(delivery).collect())
    }

    /// The newest of a channel, or of all, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(&self, channel: Option<i64>, limit: u64) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut query = alert_delivery::Entity::find();
        if let Some(channel) = channel {
            query = query.filter(alert_delivery::Column::ChannelId.eq(channel));
        }
        let rows = query.order_by_desc(alert_delivery::Column::Id).limit(limit).all(self.0).await;
        Ok(rows.map_err(StoreError::query("list messages"))?.into_iter().map(delivery).collect())
    }

    /// Takes one in hand: it counts as an attempt, and if we end before it is told how that went, it is tried again at
    /// `again_at`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take(&self, id: i64, again_at: Timestamp) -> Result<(), StoreError> {
        use alert_delivery::Column as C;
        let taken = alert_delivery::Entity::update_many()
            .col_expr(C::State, Expr::value(DeliveryState::Sending.as_str()))
            .col_expr(C::Attempts, Expr::col(C::Attempts).add(1))
            .col_expr(C::NextAt, Expr::value(again_at.0))
            .filter(C::Id.eq(id))
            .exec(self.0)
            .await;
        taken.map(drop).map_err(StoreError::query("take a message in hand"))
    }

    /// At the start: what was in hand when we ended is due now. How it fared is not known, so it is sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(&self, at: Timestamp) -> Result<u64, StoreError> {
        use alert_delivery::Column as C;
        let released = alert_delivery::Entity::update_many()
            .col_expr(C::State, Expr::value(DeliveryState::Waiting.as_str()))
            .col_expr(C::NextAt, Expr::value(at.0))
            .filter(C::State.eq(DeliveryState::Sending.as_str()))
            .exec(self.0)
            .await;
        released.map(|result| result.rows_affected).map_err(StoreError::query("take messages up again"))
    }

    /// Notes how an attempt ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(
        &self,
        id: i64,
        state: DeliveryState,
        at: Timestamp,
        next_at: Timestamp,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        use alert_delivery::Column as C;
        let mut update = alert_delivery::Entity::update_many()
            .col_expr(C::State, Expr::value(state.as_str()))
            .col_expr(C::NextAt, Expr::value(next_at.0))
            .col_expr(C::LastError, Expr::value(error.map(str::to_owned)));
        if state == DeliveryState::Sent {
            update = update.col_expr(C::SentAt, Expr::value(at.0));
        }
        let ended = update.filter(C::Id.eq(id)).exec(self.0).await;
        ended.map(drop).map_err(StoreError::query("note how a message fared"))
    }

    /// Tries those given up again; how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revive(&self, channel: i64, at: Timestamp) -> Result<u64, StoreError> {
        use alert_delivery::Column as C;
        let revived = alert_delivery::Entity::update_many()
            .col_expr(C::State, Expr::value(DeliveryState::Waiting.as_str()))
            .col_expr(C::Attempts, Expr::value(0))
            .col_expr(C::NextAt, Expr::value(at.0))
            .filter(C::ChannelId.eq(channel))
            .filter(C::State.eq(DeliveryState::Dead.as_str()))
            .exec(self.0)
            .await;
        revived.map(|result| result.rows_affected).map_err(StoreError::query("try messages again"))
    }

    /// How many of each channel wait and are given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn counts(&self) -> Result<Vec<DeliveryCount>, StoreError> {
        let sql = "SELECT channel_id AS channel_id, CASE WHEN state = 'dead' THEN 'dead' ELSE 'waiting' END AS state, \
                   COUNT(*) AS number FROM alert_delivery \
                   WHERE state IN ('waiting', 'sending', 'dead') GROUP BY 1, 2";
        DeliveryCount::find_by_statement(Statement::from_string(self.0.get_database_backend(), sql))
            .all(self.0)
            .await
            .map_err(StoreError::query("count messages"))
    }

    /// Removes those that ended before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = alert_delivery::Entity::delete_many()
            .filter(
                alert_delivery::Column::State
                    .is_not_in([DeliveryState::Waiting.as_str(), DeliveryState::Sending.as_str()]),
            )
            .filter(alert_delivery::Column::CreatedAt.lt(before.0))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old messages"))
    }
}

fn delivery(row: alert_delivery::Model) -> DeliveryRow {
    DeliveryRow {
        id: row.id,
        key: row.key,
        channel_id: row.channel_id,
        alert_id: row.alert_id,
        kind: row.kind,
        subject: row.subject,
        payload: row.payload,
        state: row.state,
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        created_at: Timestamp(row.created_at),
        next_at: Timestamp(row.next_at),
        sent_at: row.sent_at.map(Timestamp),
        last_error: row.last_error,
    }
}
