//! Recovery objectives that were changed on the page; the configuration holds those that were not.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "recovery_objective")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// Cluster.
    pub cluster_id: String,
    /// Most seconds of work that may be lost.
    pub rpo_seconds: f64,
    /// Most seconds a restore may take.
    pub rto_seconds: f64,
    /// By whom.
    pub changed_by: String,
    /// When.
    pub changed_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
