//! One-time links for the first administrator.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "setup_link")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// SHA-256 of the token in hexadecimal.
    pub token_hash: String,
    /// Made.
    pub created_at: i64,
    /// Over.
    pub expires_at: i64,
    /// Used.
    pub used_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
