//! What drills and executions showed; kept longer than their jobs.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "dr_run")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// The job's id; for a run of the command line a name of its own.
    pub id: String,
    /// Plan.
    pub plan_id: Option<i64>,
    /// Its name then.
    pub plan_name: String,
    /// Cluster.
    pub cluster_id: String,
    /// A `domain::view::DrKind`.
    pub kind: String,
    /// Begin.
    pub started_at: i64,
    /// End.
    pub finished_at: i64,
    /// All went well.
    pub ok: bool,
    /// Measured.
    pub rto_seconds: Option<f64>,
    /// Measured.
    pub rpo_seconds: Option<f64>,
    /// Promised then.
    pub rto_objective: Option<f64>,
    /// Promised then.
    pub rpo_objective: Option<f64>,
    #[sea_orm(column_type = "Text")]
    /// Why it did not.
    pub error: Option<String>,
    #[sea_orm(column_type = "Text")]
    /// A `domain::view::DrReport` as JSON, byte by byte as its hash was taken.
    pub report: Option<String>,
    /// SHA-256 of `report`.
    pub report_sha256: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
