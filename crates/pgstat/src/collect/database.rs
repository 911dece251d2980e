//! `pg_stat_database`.
use super::{get, oid, time};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{DatabaseCounters, DatabaseReading};

impl Cluster {
    /// Counters of all databases; with their sizes when asked.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn database(&self, with_sizes: bool) -> Result<DatabaseReading, PgstatError> {
        const NAME: &str = "database";
        let rows = self.fetch(NAME, &sql::database(with_sizes)).await?;
        let counters = |row| {
            Ok(DatabaseCounters {
                oid: oid(NAME, row, "oid")?,
                name: get(NAME, row, "name")?,
                backends: get(NAME, row, "backends")?,
                xact_commit: get(NAME, row, "xact_commit")?,
                xact_rollback: get(NAME, row, "xact_rollback")?,
                blks_read: get(NAME, row, "blks_read")?,
                blks_hit: get(NAME, row, "blks_hit")?,
                tup_returned: get(NAME, row, "tup_returned")?,
                tup_fetched: get(NAME, row, "tup_fetched")?,
                tup_inserted: get(NAME, row, "tup_inserted")?,
                tup_updated: get(NAME, row, "tup_updated")?,
                tup_deleted: get(NAME, row, "tup_deleted")?,
                conflicts: get(NAME, row, "conflicts")?,
                temp_files: get(NAME, row, "temp_files")?,
                temp_bytes: get(NAME, row, "temp_bytes")?,
                deadlocks: get(NAME, row, "deadlocks")?,
                checksum_failures: get(NAME, row, "checksum_failures")?,
                blk_read_ms: get(NAME, row, "blk_read_ms")?,
                blk_write_ms: get(NAME, row, "blk_write_ms")?,
                xid_age: get(NAME, row, "xid_age")?,
                multixact_age: get(NAME, row, "multixact_age")?,
                bytes: get(NAME, row, "bytes")?,
                stats_reset: time(NAME, row, "stats_reset")?,
            })
        };
        Ok(DatabaseReading { rows: rows.iter().map(counters).collect::<Result<_, PgstatError>>()? })
    }
}
