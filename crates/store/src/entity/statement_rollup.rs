//! What a statement did in a stretch of time.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "statement_rollup")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// 1 is ten minutes, 2 an hour.
    pub tier: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    /// Our id of the statement.
    pub statement_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    /// Its end.
    pub at: i64,
    /// Its length.
    pub interval_ms: i64,
    /// Calls.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
    /// Sum of squared deviations from the mean of the whole stretch.
    pub m2: f64,
    /// Longest since the entry was made.
    pub max_ms: f64,
    /// Rows.
    pub row_count: i64,
    /// Blocks from the cache.
    pub shared_blks_hit: i64,
    /// Blocks read.
    pub shared_blks_read: i64,
    /// Temporary blocks written.
    pub temp_blks_written: i64,
    /// WAL.
    pub wal_bytes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
