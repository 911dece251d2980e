//! Samples of statements from a server's log.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "statement_log_sample")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// Our id of the statement.
    pub statement_id: i64,
    /// When it ended.
    pub at: i64,
    /// How long it took.
    pub duration_ms: f64,
    /// Application.
    pub application: String,
    /// Address of the client.
    pub client: String,
    /// Parameters that were bound.
    pub parameters: i64,
    /// Text as it was sent, literals masked.
    pub query: String,
}

impl ActiveModelBehavior for ActiveModel {}
