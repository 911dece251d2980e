//! Ways to tell people.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_channel")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    #[sea_orm(unique)]
    /// Name.
    pub name: String,
    /// A `domain::alert::ChannelKind`.
    pub kind: String,
    #[sea_orm(column_type = "Text")]
    /// Where it leads, without secrets.
    pub target: String,
    /// A `domain::alert::Severity`.
    pub min_severity: String,
    #[sea_orm(column_type = "Text")]
    /// Ids of clusters, JSON; empty is all.
    pub clusters: String,
    /// In use.
    pub enabled: bool,
    #[sea_orm(column_type = "Text")]
    /// Address and secrets, sealed.
    pub sealed: String,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: i64,
    /// Last message that arrived.
    pub last_sent_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    /// What went wrong at the last attempt.
    pub last_error: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
