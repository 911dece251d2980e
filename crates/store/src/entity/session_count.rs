//! How often sessions of one kind were seen active in a bucket; the names are in `session_name`.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "session_count")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// Bucket.
    pub bucket_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    /// Number within the bucket.
    pub position: i32,
    /// Wait class.
    pub wait_class_id: i64,
    /// Wait event.
    pub wait_event_id: i64,
    /// Fingerprint; 0 when not known.
    pub query_id: i64,
    /// Database.
    pub database_id: i64,
    /// Role.
    pub user_id: i64,
    /// Application.
    pub application_id: i64,
    /// Client.
    pub host_id: i64,
    /// Samples in which it was seen, each session once.
    pub samples: i64,
}

impl ActiveModelBehavior for ActiveModel {}
