//! Long work.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// A `domain::view::JobKind`.
    pub kind: String,
    /// Of the jobs of one lane one runs at a time.
    pub lane: String,
    /// A `domain::view::JobState`.
    pub state: String,
    #[sea_orm(column_type = "Text")]
    /// What exactly, for people.
    pub title: String,
    #[sea_orm(column_type = "Text")]
    /// What exactly, as JSON.
    pub params: String,
    #[sea_orm(unique)]
    /// The moment of the schedule that it serves.
    pub schedule_key: Option<String>,
    /// By whom.
    pub requested_by: String,
    /// When.
    pub requested_at: i64,
    /// Begun first.
    pub started_at: Option<i64>,
    /// Over.
    pub finished_at: Option<i64>,
    /// Tries so far.
    pub attempt: i64,
    /// Who works on it.
    pub holder: Option<String>,
    /// Until when that is certain, by the store's clock.
    pub lease_until: Option<i64>,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    #[sea_orm(column_type = "Text")]
    /// A `domain::view::JobProgress` as JSON.
    pub progress: Option<String>,
    #[sea_orm(column_type = "Text")]
    /// A `domain::view::JobResult` as JSON.
    pub result: Option<String>,
    #[sea_orm(column_type = "Text")]
    /// Why it failed.
    pub error: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
