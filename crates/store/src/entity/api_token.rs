//! API tokens; only a hash is stored.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_token")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Name.
    pub name: String,
    #[sea_orm(unique)]
    /// SHA-256 of the token in hexadecimal.
    pub token_hash: String,
    /// First characters, to tell tokens apart.
    pub prefix: String,
    /// A `domain::Role`.
    pub role: String,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: i64,
    /// Over.
    pub expires_at: Option<i64>,
    /// Last used.
    pub last_used_at: Option<i64>,
    /// From where.
    pub last_used_address: Option<String>,
    /// Revoked.
    pub revoked_at: Option<i64>,
    /// What it may beyond its role, separated by spaces: `restore`.
    pub scopes: String,
    /// The platform's tenant that it belongs to.
    pub tenant_id: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
