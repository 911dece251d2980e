//! A stretch of time in which sessions were sampled.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "session_bucket")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// Its end.
    pub at: i64,
    /// Its length.
    pub interval_ms: i64,
    /// Samples taken.
    pub samples: i64,
    /// Samples that were due and not taken.
    pub skipped: i64,
}

impl ActiveModelBehavior for ActiveModel {}
