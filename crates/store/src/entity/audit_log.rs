//! The audit log; see `repo::audit` for the chain.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// Position.
    pub seq: i64,
    /// When.
    pub at: i64,
    /// `user`, `token`, `cli`, `system`, `anonymous`.
    pub actor_kind: String,
    /// Who.
    pub actor_id: String,
    /// `page`, `api`, `cli`, `system`.
    pub source: String,
    /// From where.
    pub address: Option<String>,
    /// Use case.
    pub action: String,
    /// Kind of thing.
    pub object_kind: String,
    /// Which.
    pub object_id: String,
    /// `ok`, `refused`, `failed`.
    pub outcome: String,
    #[sea_orm(column_type = "Text", nullable)]
    /// JSON, secrets masked.
    pub before: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    /// JSON, secrets masked.
    pub after: Option<String>,
    /// Request.
    pub request_id: Option<String>,
    /// Hash of the row before.
    pub prev_hash: String,
    /// Hash of this row.
    pub hash: String,
}

impl ActiveModelBehavior for ActiveModel {}
