//! Who waits for whom.
use super::Availability;
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One session of a tree: a root holds what others wait for and waits for nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockNode {
    /// How deep it stands: 0 is a root, and each waiter follows the one that it waits for.
    pub depth: u32,
    /// Process id; 0 is a prepared transaction, which has no process.
    pub pid: i32,
    /// When the session was started.
    pub started_at: Option<Timestamp>,
    /// Kind of process; `prepared transaction` for pid 0.
    pub backend_type: String,
    /// Database.
    pub database: Option<String>,
    /// Role.
    pub user: Option<String>,
    /// Application.
    pub application: String,
    /// State.
    pub state: Option<String>,
    /// Age of its transaction.
    pub transaction_seconds: Option<f64>,
    /// What kind of lock it waits for: `relation`, `transactionid`, `tuple`, …
    pub lock_type: Option<String>,
    /// In which mode it wants it.
    pub mode: Option<String>,
    /// On which relation, where that is known.
    pub relation: Option<String>,
    /// How long it has waited.
    pub wait_seconds: Option<f64>,
    /// Its statement, literals masked.
    pub query: Option<String>,
    /// Its `query_id` as text, where the server tells it.
    #[serde(default)]
    pub query_id: Option<String>,
    /// Everybody it waits for.
    pub blocked_by: Vec<i32>,
    /// How many sessions wait for it, directly or behind another.
    pub blocks: i64,
    /// It stands as a root only because all of its tree wait for each other: a deadlock that the server has not broken
    /// yet.
    pub cycle: bool,
}

/// A kept graph in a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockSnapshotSummary {
    /// For `/locks/{id}`; `"0"` is the one that goes on now and is not kept yet.
    pub id: String,
    /// When it was at its worst.
    pub at: Timestamp,
    /// For how long somebody waited without a break.
    pub duration_seconds: f64,
    /// Sessions that waited then.
    pub waiters: i64,
    /// Sessions that blocked them.
    pub roots: i64,
    /// The longest wait then.
    pub longest_wait_seconds: Option<f64>,
    /// The root that blocked most: application, role, statement.
    pub root: String,
}

/// A kept graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockSnapshot {
    /// In a line.
    pub summary: LockSnapshotSummary,
    /// The trees, the root that blocks most first.
    pub nodes: Vec<LockNode>,
}

/// Who waits for whom now, and the worst of the last days.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LocksPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Seconds since then, when this was served.
    pub age_seconds: Option<f64>,
    /// Whether it can be read.
    pub availability: Availability,
    /// Sessions that wait.
    pub waiters: i64,
    /// Sessions that block them.
    pub roots: i64,
    /// The longest wait.
    pub longest_wait_seconds: Option<f64>,
    /// The trees, the root that blocks most first.
    pub nodes: Vec<LockNode>,
    /// Kept graphs, the newest first.
    pub snapshots: Vec<LockSnapshotSummary>,
}
