//! WAL, checkpoints and the archiver.
use super::{get, lsn, time};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{ArchiverCounters, CheckpointCounters, WalCounters, WalReading};

impl Cluster {
    /// WAL, checkpoints and the archiver.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn wal(&self) -> Result<WalReading, PgstatError> {
        const NAME: &str = "wal";
        let probe = self.probe().await?;
        let row = self.fetch_one(NAME, &sql::wal(&probe)).await?;
        let wal = if probe.has("pg_stat_wal", "wal_bytes") {
            Some(WalCounters {
                records: get(NAME, &row, "records")?,
                full_page_images: get(NAME, &row, "full_page_images")?,
                bytes: get(NAME, &row, "bytes")?,
                buffers_full: get(NAME, &row, "buffers_full")?,
                stats_reset: time(NAME, &row, "wal_reset")?,
            })
        } else {
            None
        };
        let checkpoints = CheckpointCounters {
            timed: get(NAME, &row, "timed")?,
            requested: get(NAME, &row, "requested")?,
            write_ms: get(NAME, &row, "write_ms")?,
            sync_ms: get(NAME, &row, "sync_ms")?,
            buffers_written: get(NAME, &row, "buffers_written")?,
            stats_reset: time(NAME, &row, "checkpoints_reset")?,
        };
        let archiver = ArchiverCounters {
            archived: get(NAME, &row, "archived")?,
            failed: get(NAME, &row, "failed")?,
            last_archived_at: time(NAME, &row, "last_archived_at")?,
            last_failed_at: time(NAME, &row, "last_failed_at")?,
            enabled: get(NAME, &row, "enabled")?,
        };
        Ok(WalReading { lsn: lsn(NAME, &row, "lsn")?, wal, checkpoints: Some(checkpoints), archiver: Some(archiver) })
    }
}
