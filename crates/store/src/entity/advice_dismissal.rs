//! Findings and suggestions that a person put aside.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "advice_dismissal")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// What, as its `key`.
    pub advice_key: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub actor: String,
    /// When.
    pub at: i64,
    /// Until when; none: until it is taken back.
    pub until: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
