//! Cancelling a statement and ending a session.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// What to do to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignalAction {
    /// End its statement (`pg_cancel_backend`); the session and, outside a failed statement, its transaction stay.
    Cancel,
    /// End the session (`pg_terminate_backend`); its transaction is rolled back.
    Terminate,
}

impl SignalAction {
    /// The name in addresses and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
        }
    }
}

/// Which session, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRequest {
    /// What.
    pub action: SignalAction,
    /// Process id.
    pub pid: i32,
    /// When the session was started: another one may have got the pid since.
    pub started_at: Timestamp,
    /// The caller knows that it is an autovacuum worker.
    pub autovacuum: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignalResult {
    /// Process id.
    pub pid: i32,
    /// What was done.
    pub action: SignalAction,
    /// The statement or session was seen to end; false when the signal was sent and it goes on still.
    pub ended: bool,
    /// In a sentence.
    pub message: String,
    /// Role of the session.
    pub user: Option<String>,
    /// Application of the session.
    pub application: String,
    /// Its statement, literals masked.
    pub query: Option<String>,
}
