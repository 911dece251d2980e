//! What people decided, and what was begun, while a plan was carried out.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "dr_decision")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// The run's job.
    pub job_id: i64,
    /// Position of the step, from 0.
    pub step: i64,
    /// `approve` or `abort` of a person; `begun` and `done` of a hook, which must not run twice.
    pub decision: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: i64,
    #[sea_orm(column_type = "Text")]
    /// Why.
    pub note: String,
}

impl ActiveModelBehavior for ActiveModel {}
