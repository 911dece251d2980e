//! A figure over a stretch of time.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_rollup")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// 1 is five minutes, 2 an hour.
    pub tier: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    /// Of what.
    pub series_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    /// Its begin.
    pub at: i64,
    /// Samples in it.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The newest.
    pub last: f64,
    /// Samples are missing in it.
    pub gap: bool,
    /// Counters were reset, or the server was started anew, in it.
    pub reset: bool,
    #[sea_orm(column_type = "Text", nullable)]
    /// Counts by class, where the figure is a histogram: a JSON array.
    pub histogram: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
