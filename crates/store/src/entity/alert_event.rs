//! What happened to alerts.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// Id, given by us.
    pub id: i64,
    /// Which alert.
    pub alert_id: i64,
    /// When.
    pub at: i64,
    /// What.
    pub kind: String,
    /// Severity after it.
    pub severity: String,
    /// Who; none when it happened by itself.
    pub actor: Option<String>,
    #[sea_orm(column_type = "Text")]
    /// The value, or what somebody said.
    pub note: String,
}

impl ActiveModelBehavior for ActiveModel {}
