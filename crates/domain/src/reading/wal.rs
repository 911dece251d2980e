//! WAL, checkpoints and archiver.
use crate::{Lsn, Timestamp};
use serde::{Deserialize, Serialize};

/// `pg_stat_wal` (14+).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WalCounters {
    /// Records.
    pub records: i64,
    /// Full page images.
    pub full_page_images: i64,
    /// Bytes.
    pub bytes: i64,
    /// Times the WAL buffers were full.
    pub buffers_full: i64,
    /// Last reset.
    pub stats_reset: Option<Timestamp>,
}

/// `pg_stat_checkpointer` (17+) or `pg_stat_bgwriter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointCounters {
    /// By time.
    pub timed: i64,
    /// Requested: by WAL volume or by command.
    pub requested: i64,
    /// Time writing.
    pub write_ms: f64,
    /// Time syncing.
    pub sync_ms: f64,
    /// Buffers written.
    pub buffers_written: i64,
    /// Last reset.
    pub stats_reset: Option<Timestamp>,
}

/// `pg_stat_archiver`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArchiverCounters {
    /// Segments archived.
    pub archived: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Last success.
    pub last_archived_at: Option<Timestamp>,
    /// Last failure.
    pub last_failed_at: Option<Timestamp>,
    /// `archive_mode` is on.
    pub enabled: bool,
}

/// WAL at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WalReading {
    /// Newest position: written on a primary, replayed on a standby.
    pub lsn: Option<Lsn>,
    /// WAL counters.
    pub wal: Option<WalCounters>,
    /// Checkpoints.
    pub checkpoints: Option<CheckpointCounters>,
    /// Archiver.
    pub archiver: Option<ArchiverCounters>,
}
