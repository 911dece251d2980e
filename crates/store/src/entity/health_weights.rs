//! Weights of the health score.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "health_weights")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Of which cluster; empty for all.
    #[sea_orm(unique)]
    pub cluster_id: String,
    /// A `domain::view::HealthWeights`, as JSON.
    pub weights: String,
    /// Who.
    pub updated_by: String,
    /// When.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
