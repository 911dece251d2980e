//! One figure at one moment.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_sample")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// Of what.
    pub series_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    /// When.
    pub at: i64,
    /// How much.
    pub value: f64,
    /// Counts by class, where the figure has a distribution: a JSON array.
    pub histogram: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
