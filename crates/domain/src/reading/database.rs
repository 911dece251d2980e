//! `pg_stat_database`.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Cumulative counters of one database (`pg_stat_database`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseCounters {
    /// `datid`.
    pub oid: u32,
    /// `datname`.
    pub name: String,
    /// Backends connected now.
    pub backends: i64,
    /// Transactions committed.
    pub xact_commit: i64,
    /// Transactions rolled back.
    pub xact_rollback: i64,
    /// Blocks read from outside shared buffers.
    pub blks_read: i64,
    /// Blocks found in shared buffers.
    pub blks_hit: i64,
    /// Rows returned by scans.
    pub tup_returned: i64,
    /// Rows fetched.
    pub tup_fetched: i64,
    /// Rows inserted.
    pub tup_inserted: i64,
    /// Rows updated.
    pub tup_updated: i64,
    /// Rows deleted.
    pub tup_deleted: i64,
    /// Queries cancelled by recovery conflicts.
    pub conflicts: i64,
    /// Temporary files written.
    pub temp_files: i64,
    /// Bytes in temporary files.
    pub temp_bytes: i64,
    /// Deadlocks.
    pub deadlocks: i64,
    /// Page checksum failures; `None` without checksums.
    pub checksum_failures: Option<i64>,
    /// Time reading blocks; zero unless `track_io_timing`.
    pub blk_read_ms: f64,
    /// Time writing blocks; zero unless `track_io_timing`.
    pub blk_write_ms: f64,
    /// `age(datfrozenxid)`.
    pub xid_age: Option<i64>,
    /// `mxid_age(datminmxid)`.
    pub multixact_age: Option<i64>,
    /// `pg_database_size`, read less often; `None` when not read this time or no right.
    pub bytes: Option<i64>,
    /// When these counters were last reset.
    pub stats_reset: Option<Timestamp>,
}

impl DatabaseCounters {
    /// Age of the oldest id, transaction's or multixact's: the server stops for either at the same age.
    pub fn oldest_id_age(&self) -> Option<i64> {
        self.xid_age.max(self.multixact_age)
    }
}

/// All databases at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseReading {
    /// One row a database, without the shared-objects row.
    pub rows: Vec<DatabaseCounters>,
}
