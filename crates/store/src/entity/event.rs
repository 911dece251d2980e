//! What happened to a cluster.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// When.
    pub at: i64,
    /// A `domain::view::EventKind`.
    pub kind: String,
    /// In a few words.
    pub title: String,
}

impl ActiveModelBehavior for ActiveModel {}
