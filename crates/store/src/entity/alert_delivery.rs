//! Messages on their way.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_delivery")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    #[sea_orm(unique)]
    /// What makes a message one and the same.
    pub key: String,
    /// To which channel.
    pub channel_id: i64,
    /// About which alert.
    pub alert_id: Option<i64>,
    /// `firing`, `raised`, `resolved`, `notice`.
    pub kind: String,
    #[sea_orm(column_type = "Text")]
    /// In one line.
    pub subject: String,
    #[sea_orm(column_type = "Text")]
    /// The message, JSON.
    pub payload: String,
    /// `waiting`, `sent`, `dead`, `dropped`.
    pub state: String,
    /// Attempts.
    pub attempts: i64,
    /// Written down.
    pub created_at: i64,
    /// Due.
    pub next_at: i64,
    /// Arrived.
    pub sent_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
