//! What a job did, line by line.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job_log")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Of which job.
    pub job_id: i64,
    /// When.
    pub at: i64,
    #[sea_orm(column_type = "Text")]
    /// What.
    pub line: String,
}

impl ActiveModelBehavior for ActiveModel {}
