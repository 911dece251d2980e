//! People who may sign in.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    #[sea_orm(unique)]
    /// Lower-case name.
    pub name: String,
    /// A `domain::Role`.
    pub role: String,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// May not sign in since.
    pub disabled_at: Option<i64>,
    /// Made.
    pub created_at: i64,
    /// Password set.
    pub password_changed_at: i64,
    /// Last sign-in.
    pub last_login_at: Option<i64>,
    /// Sessions of an older epoch are over.
    pub session_epoch: i64,
    /// The platform's tenant that they belong to.
    pub tenant_id: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
