//! `pg_stat_activity` and the waiting part of `pg_locks`.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One backend (`pg_stat_activity`), our own left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Process id.
    pub pid: i32,
    /// When it was started: with the pid it names one session, for pids are used again.
    pub started_at: Option<Timestamp>,
    /// Leader of a parallel group.
    pub leader_pid: Option<i32>,
    /// Database.
    pub database: Option<String>,
    /// Role name.
    pub user: Option<String>,
    /// `application_name`.
    pub application: String,
    /// `client_addr`; `None` for a local socket.
    pub client_address: Option<String>,
    /// `client backend`, `autovacuum worker`, `walsender`, …
    pub backend_type: String,
    /// `active`, `idle`, `idle in transaction`, …; `None` without the right to see it.
    pub state: Option<String>,
    /// `wait_event_type`.
    pub wait_event_type: Option<String>,
    /// `wait_event`.
    pub wait_event: Option<String>,
    /// `query_id` as text (14+, with `compute_query_id`).
    pub query_id: Option<String>,
    /// Age of its transaction.
    pub transaction_seconds: Option<f64>,
    /// Age of its statement.
    pub query_seconds: Option<f64>,
    /// Time in this state.
    pub state_seconds: Option<f64>,
    /// `age(backend_xmin)` in transactions.
    pub xmin_age: Option<i64>,
    /// The statement, at most 1,000 characters, literals included: mask before showing.
    pub query: Option<String>,
    /// `pg_blocking_pids`, asked only when it waits for a lock.
    pub blocked_by: Vec<i32>,
}

/// All backends at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActivityReading {
    /// The backends.
    pub rows: Vec<Backend>,
    /// How many rows hide their statement (`<insufficient privilege>`).
    pub hidden: i64,
}

/// One lock that is waited for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockWait {
    /// The waiting backend.
    pub pid: i32,
    /// `relation`, `transactionid`, `tuple`, `advisory`, …
    pub lock_type: String,
    /// `AccessExclusiveLock`, `ShareLock`, …
    pub mode: String,
    /// Schema-qualified relation, where there is one in this database or among those that all share.
    pub relation: Option<String>,
    /// Its oid, wherever it is.
    pub relation_oid: Option<u32>,
    /// The database that the lock is in; `None` for what belongs to none.
    pub database: Option<String>,
    /// Time waited (14+: `waitstart`).
    pub wait_seconds: Option<f64>,
    /// Who holds it.
    pub blocked_by: Vec<i32>,
}

/// The requests that wait; empty when nobody does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockReading {
    /// Waiting requests.
    pub waits: Vec<LockWait>,
}
