//! Backends now.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One backend, literals in its statement masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackendRow {
    /// Process id.
    pub pid: i32,
    /// When it was started; with the pid it names one session, and a cancel or terminate must send it back.
    pub started_at: Option<Timestamp>,
    /// Database.
    pub database: Option<String>,
    /// Role.
    pub user: Option<String>,
    /// Application.
    pub application: String,
    /// Address; `None` for a local socket.
    pub client_address: Option<String>,
    /// Kind of process.
    pub backend_type: String,
    /// State.
    pub state: Option<String>,
    /// Class of what it waits for: `CPU` when it runs.
    pub wait_class: Option<String>,
    /// What it waits for.
    pub wait_event: Option<String>,
    /// Age of its transaction.
    pub transaction_seconds: Option<f64>,
    /// Age of its statement.
    pub query_seconds: Option<f64>,
    /// Time in this state.
    pub state_seconds: Option<f64>,
    /// Statement with literals masked.
    pub query: Option<String>,
    /// Its `query_id` as text (14+, with `compute_query_id`).
    pub query_id: Option<String>,
    /// Who blocks it.
    pub blocked_by: Vec<i32>,
    /// How many it blocks, directly or not.
    pub blocks: i64,
}

/// All backends at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Client backends first, the oldest statement first.
    pub rows: Vec<BackendRow>,
    /// Statements hidden from our role.
    pub hidden: i64,
}
