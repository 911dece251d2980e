//! Failed sign-ins by account and by address.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "login_throttle")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// `account:name` or `address:ip`.
    pub subject: String,
    /// In a row.
    pub failures: i64,
    /// The last one.
    pub last_failure_at: i64,
    /// No attempt before.
    pub blocked_until: i64,
}

impl ActiveModelBehavior for ActiveModel {}
