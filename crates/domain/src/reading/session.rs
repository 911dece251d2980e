//! Samples of active sessions, added up.
use super::Backend;
use crate::Lsn;
use serde::{Deserialize, Serialize};

/// The active sessions at one moment: who works or waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionReading {
    /// Newest position of a primary: the lag of standbys is measured against these, second by second.
    pub lsn: Option<Lsn>,
    /// Only what a sample needs is filled: no statement text, no ages.
    pub rows: Vec<Backend>,
}

/// What a sample tells apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionKey {
    /// `CPU`, `IO`, `Lock`, …
    pub wait_class: String,
    /// `wait_event`; empty on the CPU.
    pub wait_event: String,
    /// `query_id`; 0 when the server does not tell it (before 14, or without `compute_query_id`).
    pub query_id: i64,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// `application_name`, or the kind of process.
    pub application: String,
    /// Address of the client; `local` for a socket.
    pub host: String,
}

/// How often each was seen active in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionBucket {
    /// Samples taken; the average of active sessions is the sum of counts divided by it.
    pub samples: i64,
    /// Samples that were due and not taken, because the one before had not ended.
    pub skipped: i64,
    /// Length.
    pub interval_ms: i64,
    /// The counts.
    pub rows: Vec<(SessionKey, i64)>,
}
