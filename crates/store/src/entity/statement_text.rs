//! Statements seen in `pg_stat_statements`.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "statement_text")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// Database oid.
    pub dbid: i64,
    /// Role oid.
    pub userid: i64,
    /// Fingerprint.
    pub queryid: i64,
    /// Sent by a client.
    pub toplevel: bool,
    /// Database.
    pub database_name: String,
    /// Role.
    pub user_name: String,
    #[sea_orm(column_type = "Text")]
    /// Normalised text.
    pub query: String,
    /// First seen by us.
    pub first_seen_at: i64,
    /// Last seen with calls.
    pub last_seen_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
