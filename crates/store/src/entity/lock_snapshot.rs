//! The worst moment of a time in which sessions waited.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "lock_snapshot")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// When it was at its worst.
    pub at: i64,
    /// How long the waiting lasted.
    pub duration_ms: i64,
    /// Sessions that waited.
    pub waiters: i64,
    /// Sessions that blocked them.
    pub roots: i64,
    /// The longest wait.
    pub longest_wait_ms: Option<i64>,
    #[sea_orm(column_type = "Text")]
    /// The root that blocked most, in a line.
    pub root: String,
    #[sea_orm(column_type = "Text")]
    /// The nodes as JSON.
    pub graph: String,
}

impl ActiveModelBehavior for ActiveModel {}
