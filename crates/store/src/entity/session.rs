//! Web sessions; the id itself is never stored.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// SHA-256 of the id in hexadecimal.
    pub id_hash: String,
    /// Whose, once signed in.
    pub account_id: Option<i64>,
    #[sea_orm(column_type = "Text")]
    /// The record as JSON.
    pub data: String,
    /// Made.
    pub created_at: i64,
    /// Over when idle until then.
    pub expires_at: i64,
    /// Over in any case.
    pub absolute_expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
