//! What holds back vacuum, what runs for long with progress, temporary files being written, I/O by kind of process.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that keeps old row versions from being removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HorizonHolder {
    /// `backend`, `slot`, `prepared transaction`, `standby`.
    pub source: String,
    /// Pid, name of the slot, gid, name of the standby.
    pub id: String,
    /// What is known besides: application and state, role and database.
    pub detail: String,
    /// Age in transactions.
    pub age: i64,
    /// Since a session's transaction began, or one was prepared, in seconds; `None` for what has no such moment.
    pub seconds: Option<f64>,
}

/// A command that reports its progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// `VACUUM`, `CREATE INDEX`, `ANALYZE`, `CLUSTER`, `BASE BACKUP`, `COPY`.
    pub command: String,
    /// Process id.
    pub pid: i32,
    /// Database.
    pub database: Option<String>,
    /// Relation, where its database was read; its oid elsewhere.
    pub relation: Option<String>,
    /// Phase in the server's words.
    pub phase: String,
    /// Done of `total`.
    pub done: Option<i64>,
    /// `None` when the server cannot tell.
    pub total: Option<i64>,
    /// `blocks` or `bytes`.
    pub unit: String,
    /// Since it began.
    pub seconds: Option<f64>,
}

/// Temporary files that exist now (`pg_ls_tmpdir`), in all tablespaces: spills that counters tell of only when they end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TempFiles {
    /// How many.
    pub files: i64,
    /// Their size.
    pub bytes: i64,
}

/// Vacuum's horizon, progress and temporary files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VacuumReading {
    /// The oldest first.
    pub horizon: Vec<HorizonHolder>,
    /// What runs.
    pub progress: Vec<Progress>,
    /// `None` without the right.
    pub temp: Option<TempFiles>,
    /// Oldest multixact of all databases.
    pub multixact_age: i64,
    /// `autovacuum_freeze_max_age`.
    pub freeze_max_age: i64,
    /// `autovacuum_multixact_freeze_max_age`.
    pub multixact_freeze_max_age: i64,
}

/// One row of `pg_stat_io` (16+), or of what is counted before it: `pg_stat_bgwriter` for writes, `pg_stat_database` for
/// reads. A figure that does not apply to its kind is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IoCounters {
    /// Kind of process; before 16 `all sessions` together.
    pub backend_type: String,
    /// `relation`, `temp relation`, `wal` (18+); before 16 also `database …`.
    pub object: String,
    /// `normal`, `vacuum`, `bulkread`, `bulkwrite`, `init` (18+).
    pub context: String,
    /// Read.
    pub read_bytes: Option<i64>,
    /// Written.
    pub write_bytes: Option<i64>,
    /// Extended by.
    pub extend_bytes: Option<i64>,
    /// Time reading; zero unless `track_io_timing`.
    pub read_ms: Option<f64>,
    /// Time writing; zero unless `track_io_timing`.
    pub write_ms: Option<f64>,
    /// Found in shared buffers.
    pub hits: Option<i64>,
    /// Pushed out of shared buffers.
    pub evictions: Option<i64>,
    /// Synced.
    pub fsyncs: Option<i64>,
    /// When these counters were last reset.
    pub stats_reset: Option<Timestamp>,
}

/// `pg_stat_io`, or what is counted before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IoReading {
    /// Rows that did anything.
    pub rows: Vec<IoCounters>,
}
