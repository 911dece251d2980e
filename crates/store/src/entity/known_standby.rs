//! Standbys that primaries have had.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "known_standby")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Of which primary.
    pub cluster_id: String,
    #[sea_orm(column_type = "Text")]
    /// As it is shown.
    pub name: String,
    /// Last seen.
    pub seen_at: i64,
    /// What it had replayed by then: the 64 bits of the position.
    pub replayed_lsn: Option<i64>,
    /// Several had its name: its address stands behind it.
    pub by_address: bool,
}

impl ActiveModelBehavior for ActiveModel {}
