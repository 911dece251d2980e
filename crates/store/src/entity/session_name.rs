//! Names that samples of sessions point to.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "session_name")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    #[sea_orm(unique)]
    /// The name.
    pub name: String,
}

impl ActiveModelBehavior for ActiveModel {}
