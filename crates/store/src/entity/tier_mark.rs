//! How far a tier of history is filled and emptied.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tier_mark")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// `metric/0`, `metric/1`, …; 0 is raw.
    pub name: String,
    /// Everything before is rolled up into it.
    pub rolled_to: i64,
    /// Everything in it before is removed.
    pub pruned_to: i64,
}

impl ActiveModelBehavior for ActiveModel {}
