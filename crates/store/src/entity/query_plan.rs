//! Plans of statements.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "query_plan")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Our id of the statement.
    pub statement_id: i64,
    /// Hash of its shape.
    pub plan_hash: String,
    /// A `domain::view::ExplainMethod`.
    pub method: String,
    /// `server_version_num`.
    pub version_num: i64,
    /// With whose rights.
    pub role_name: String,
    /// In a few words.
    pub shape: String,
    /// First seen.
    pub first_at: i64,
    /// Last seen.
    pub last_at: i64,
    /// How often.
    pub times: i64,
    /// Who asked last.
    pub taken_by: String,
    /// Cost when it was seen last.
    pub total_cost: f64,
    /// JSON of EXPLAIN, literals masked.
    pub plan: String,
}

impl ActiveModelBehavior for ActiveModel {}
