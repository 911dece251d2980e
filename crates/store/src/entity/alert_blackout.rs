//! Times in which nobody is told.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_blackout")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    #[sea_orm(column_type = "Text")]
    /// Why.
    pub reason: String,
    /// Only this cluster.
    pub cluster_id: Option<String>,
    /// Only this rule.
    pub rule: Option<String>,
    /// From.
    pub starts_at: i64,
    /// To.
    pub ends_at: i64,
    /// When each window begins.
    pub cron: Option<String>,
    /// How long each lasts.
    pub duration_seconds: Option<i64>,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
