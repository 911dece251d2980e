//! What samples are of.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_series")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// A `domain::view::Metric`.
    pub metric: String,
    /// Wait class, standby; empty for the only line.
    pub label: String,
}

impl ActiveModelBehavior for ActiveModel {}
