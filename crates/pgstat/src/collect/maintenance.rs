//! Vacuum's horizon, progress, temporary files, I/O.
use super::{get, time};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{HorizonHolder, IoCounters, IoReading, Progress, TempFiles, VacuumReading};

impl Cluster {
    /// What holds back vacuum, what runs with progress, temporary files being written.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn vacuum(&self) -> Result<VacuumReading, PgstatError> {
        const NAME: &str = "vacuum";
        let probe = self.probe().await?;
        // Temporary files are for pg_monitor only; without them the rest is still worth having.
        let limits = match self.fetch_one(NAME, &sql::freeze(probe.has_pg_monitor)).await {
            Err(error) if probe.has_pg_monitor && !error.is_connection() => {
                self.fetch_one(NAME, &sql::freeze(false)).await?
            }
            limits => limits?,
        };
        let horizon = self.fetch("horizon", sql::HORIZON).await?;
        let progress = self.fetch("progress", &sql::progress(&probe)).await?;
        let holder = |row| {
            Ok(HorizonHolder {
                source: get(NAME, row, "source")?,
                id: get(NAME, row, "id")?,
                detail: get::<Option<String>>(NAME, row, "detail")?.unwrap_or_default(),
                age: get(NAME, row, "age")?,
                seconds: get(NAME, row, "seconds")?,
            })
        };
        let command = |row| {
            Ok(Progress {
                command: get(NAME, row, "command")?,
                pid: get(NAME, row, "pid")?,
                database: get(NAME, row, "database")?,
                relation: get(NAME, row, "relation")?,
                phase: get(NAME, row, "phase")?,
                done: get(NAME, row, "done")?,
                total: get::<Option<i64>>(NAME, row, "total")?.filter(|total| *total > 0),
                unit: get(NAME, row, "unit")?,
                seconds: get(NAME, row, "seconds")?,
            })
        };
        let temp = get::<Option<i64>>(NAME, &limits, "files")?
            .map(|files| Ok::<_, PgstatError>(TempFiles { files, bytes: get(NAME, &limits, "bytes")? }))
            .transpose()?;
        Ok(VacuumReading {
            horizon: horizon.iter().map(holder).collect::<Result<_, PgstatError>>()?,
            progress: progress.iter().map(command).collect::<Result<_, PgstatError>>()?,
            temp,
            multixact_age: get(NAME, &limits, "multixact_age")?,
            freeze_max_age: get(NAME, &limits, "freeze_max_age")?,
            multixact_freeze_max_age: get(NAME, &limits, "multixact_freeze_max_age")?,
        })
    }

    /// I/O by kind of process; before PostgreSQL 16 by what is counted in its place.
    ///
    /// # Errors
    /// [`PgstatError::Unsupported`] where neither is there.
    pub async fn io(&self) -> Result<IoReading, PgstatError> {
        const NAME: &str = "io";
        let probe = self.probe().await?;
        let Some(statement) = sql::io(&probe) else {
            return Err(PgstatError::Unsupported {
                reason: "this server has neither pg_stat_io nor the writes of pg_stat_bgwriter".to_owned(),
                cure: None,
            });
        };
        let rows = self.fetch(NAME, &statement).await?;
        let counters = |row| {
            Ok(IoCounters {
                backend_type: get(NAME, row, "backend_type")?,
                object: get(NAME, row, "object")?,
                context: get(NAME, row, "context")?,
                read_bytes: get(NAME, row, "read_bytes")?,
                write_bytes: get(NAME, row, "write_bytes")?,
                extend_bytes: get(NAME, row, "extend_bytes")?,
                read_ms: get(NAME, row, "read_ms")?,
                write_ms: get(NAME, row, "write_ms")?,
                hits: get(NAME, row, "hits")?,
                evictions: get(NAME, row, "evictions")?,
                fsyncs: get(NAME, row, "fsyncs")?,
                stats_reset: time(NAME, row, "stats_reset")?,
            })
        };
        Ok(IoReading { rows: rows.iter().map(counters).collect::<Result<_, PgstatError>>()? })
    }
}
