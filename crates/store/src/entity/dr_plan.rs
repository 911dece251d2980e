//! Plans for disasters.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "dr_plan")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// Name, one of its cluster.
    pub name: String,
    #[sea_orm(column_type = "Text")]
    /// A `domain::view::DrPlanSpec` as JSON.
    pub spec: String,
    /// SHA-256 of `spec`.
    pub hash: String,
    /// By whom.
    pub changed_by: String,
    /// When.
    pub changed_at: i64,
    /// It is no longer offered; runs still name it.
    pub removed_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
