//! Exporting months and dropping them.
//!
//! Killed at any step, nothing is lost and nothing doubled: rows go from the database only after the manifest stands in
//! the repository and everything was read back, in the transaction that records it; and the next run takes up an
//! archive that was written but whose month still stands, if the month did not change since.
use super::{
    set::{self, Set},
    table::{Checksum, Table},
};
use crate::{Analytics, AnalyticsError, partitions::Month, rollup::Kind};
use backup::{Repository, format::ObjectId};
use domain::Timestamp;
use futures::TryStreamExt as _;
use pool::PoolError;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

/// Rows of one object: some tens of MiB in memory.
const ROWS: usize = 200_000;

/// Where a run is; for progress, and for tests that end it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveStep {
    /// A month begins.
    Month {
        /// events or metrics.
        kind: &'static str,
        /// `2026-07`.
        month: String,
    },
    /// So many rows of the month are in the repository.
    Exported(u64),
    /// Everything was read back and is right; the manifest does not stand yet.
    Verified,
    /// The manifest stands: the month is archived, and still in the live table.
    Committed,
    /// The live table no longer has it.
    Dropped,
}

/// One month.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Archived {
    /// events or metrics.
    pub kind: String,
    /// `2026-07`.
    pub month: String,
    /// Rows.
    pub rows: i64,
    /// Bytes of the partition with its indexes.
    pub live_bytes: i64,
    /// Bytes in the repository; 0 when nothing was done yet.
    pub stored_bytes: u64,
    /// The archive was there already, by a run that was cut short before the month was dropped.
    pub found: bool,
}

/// What a run did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ArchiveOutcome {
    /// Nothing was done, only looked.
    pub dry_run: bool,
    /// Another process is at it.
    pub busy: bool,
    /// Months that are past their time, the oldest first.
    pub months: Vec<Archived>,
    /// Months that wait, and why.
    pub waiting: Vec<String>,
    /// Objects of runs that were cut short, removed.
    pub swept: u32,
}

/// Takes the archive for this connection alone, until [`give_back`] or the connection's end.
pub(crate) async fn exclusive(connection: &mut PgConnection) -> Result<bool, AnalyticsError> {
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('holdfast analytics archive', 0))")
        .fetch_one(connection)
        .await?)
}

/// Gives the archive back now, and not when the server notices that we are gone: whoever comes right after us would be told
/// that another process is at it.
pub(crate) async fn give_back(mut connection: PgConnection) {
    // Where that fails the connection's end does it.
    let _ = sqlx::query("SELECT pg_advisory_unlock(hashtextextended('holdfast analytics archive', 0))")
        .execute(&mut connection)
        .await;
}

/// Keeps the archive from being written anew until this transaction ends; waits for whoever is at it. Several may read.
pub(crate) async fn reading(transaction: &mut PgConnection) -> Result<(), AnalyticsError> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared(hashtextextended('holdfast analytics archive', 0))")
        .execute(transaction)
        .await?;
    Ok(())
}

impl Analytics {
    /// Archives every month that is wholly older than the retention, the oldest first. `step` is told each step.
    ///
    /// # Errors
    /// [`AnalyticsError`]; months that were done before it stay done.
    pub async fn archive(
        &self,
        repository: &Repository,
        dry_run: bool,
        step: &(dyn Fn(ArchiveStep) + Send + Sync),
    ) -> Result<ArchiveOutcome, AnalyticsError> {
        let home = self.home().await?;
        let mut connection = self.long_connection().await?;
        if dry_run {
            return self.archive_due(repository, &home, &mut connection, true, step).await;
        }
        if !exclusive(&mut connection).await? {
            return Ok(ArchiveOutcome { busy: true, ..Default::default() });
        }
        let done = self.archive_due(repository, &home, &mut connection, false, step).await;
        // What failed may have left the connection in the middle of a copy.
        if done.is_ok() {
            give_back(connection).await;
        }
        done
    }

    async fn archive_due(
        &self,
        repository: &Repository,
        home: &str,
        connection: &mut PgConnection,
        dry_run: bool,
        step: &(dyn Fn(ArchiveStep) + Send + Sync),
    ) -> Result<ArchiveOutcome, AnalyticsError> {
        let mut outcome = ArchiveOutcome { dry_run, ..Default::default() };
        for (kind, month) in due(&mut *connection, crate::now(), self.retention_days).await? {
            let name = month.to_string();
            if dry_run {
                let fingerprint = fingerprint(&mut *connection, kind, month).await?;
                outcome.months.push(Archived {
                    kind: kind.as_str().to_owned(),
                    month: name,
                    rows: fingerprint.0,
                    live_bytes: live_bytes(&mut *connection, kind, month).await?,
                    stored_bytes: 0,
                    found: false,
                });
                continue;
            }
            step(ArchiveStep::Month { kind: kind.as_str(), month: name.clone() });
            match self.archive_month(repository, home, &mut *connection, kind, month, step).await {
                Ok(archived) => outcome.months.push(archived),
                // Ours, raised by the function that drops: rows came, or are not rolled up yet.
                Err(error) if matches!(error.code().as_deref(), Some("HF002" | "HF003")) => {
                    tracing::info!(%error, month = name, "the month waits for the next run");
                    let why = if error.code().as_deref() == Some("HF002") {
                        "it changed while it was exported; the next run exports it again"
                    } else {
                        "it is not rolled up yet; the next run drops it"
                    };
                    outcome.waiting.push(format!("{} of {name}: {why}", kind.as_str()));
                }
                Err(error) => return Err(error),
            }
        }
        if !dry_run {
            outcome.swept = set::listed(repository, home).await?.sweep(repository, home).await?;
        }
        Ok(outcome)
    }

    async fn archive_month(
        &self,
        repository: &Repository,
        home: &str,
        connection: &mut PgConnection,
        kind: Kind,
        month: Month,
        step: &(dyn Fn(ArchiveStep) + Send + Sync),
    ) -> Result<Archived, AnalyticsError> {
        let name = month.to_string();
        let live_bytes = live_bytes(&mut *connection, kind, month).await?;
        // One moment for the fingerprint and the rows.
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let (rows, checksum) = fingerprint(&mut *connection, kind, month).await?;
        let known = set::listed(repository, home).await?.newest.remove(&(kind.as_str().to_owned(), name.clone()));
        let known = known.filter(|set| (set.source_rows, &set.source_checksum) == (rows, &checksum));
        let found = known.is_some();
        let set = match known {
            Some(set) => {
                verify(repository, home, kind, &set).await?;
                set
            }
            None => {
                let objects = export(repository, home, &mut *connection, kind, month, step).await?;
                Set {
                    id: ObjectId::random(),
                    kind: kind.as_str().to_owned(),
                    month: name.clone(),
                    created_at: crate::now(),
                    rows: objects.iter().map(|it| it.rows).sum(),
                    source_rows: rows,
                    source_checksum: checksum,
                    objects,
                }
            }
        };
        connection.execute("COMMIT").await?;
        if !found {
            if i64::try_from(set.rows) != Ok(rows) {
                return Err(AnalyticsError::Damaged {
                    archive: set.id.to_string(),
                    reason: format!("{} rows were exported of {rows}", set.rows),
                });
            }
            verify(repository, home, kind, &set).await?;
            step(ArchiveStep::Verified);
            set::commit(repository, home, &set).await?;
        }
        step(ArchiveStep::Committed);
        self.drop_month(&mut *connection, repository, kind, month, &set).await?;
        step(ArchiveStep::Dropped);
        Ok(Archived {
            kind: kind.as_str().to_owned(),
            month: name,
            rows,
            live_bytes,
            stored_bytes: set.stored_bytes(),
            found,
        })
    }

    async fn drop_month(
        &self,
        connection: &mut PgConnection,
        repository: &Repository,
        kind: Kind,
        month: Month,
        set: &Set,
    ) -> Result<(), AnalyticsError> {
        let mut tried = false;
        loop {
            let dropped = sqlx::query("SELECT analytics_drop_archived($1, $2::date, $3, $4, $5, $6, $7)")
                .bind(kind.as_str())
                .bind(month.date())
                .bind(set.id.to_string())
                .bind(set.source_rows)
                .bind(&set.source_checksum)
                .bind(i64::try_from(set.stored_bytes()).unwrap_or(i64::MAX))
                .bind(repository.store().describe())
                .execute(&mut *connection)
                .await;
            match dropped.map_err(|error| AnalyticsError::Pool(PoolError::Sql(error))) {
                Ok(_) => return Ok(()),
                Err(error) if error.code().as_deref() == Some("HF003") && !tried => {
                    tried = true;
                    self.roll_up_all().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Months that are wholly older than the retention, the oldest first.
pub(crate) async fn due(
    connection: &mut PgConnection,
    now: Timestamp,
    retention_days: u32,
) -> Result<Vec<(Kind, Month)>, AnalyticsError> {
    let until = Timestamp(now.0 - i64::from(retention_days) * crate::DAY_MS);
    let mut due = Vec::new();
    for kind in Kind::ALL {
        let names: Vec<String> = sqlx::query_scalar("SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass")
            .bind(kind.table())
            .fetch_all(&mut *connection)
            .await
            .map_err(PoolError::Sql)?;
        for name in names {
            let month = name
                .strip_prefix(kind.table())
                .and_then(|rest| rest.strip_prefix("_y"))
                .and_then(|rest| Month::parse(&rest.replace('m', "-")));
            if let Some(month) = month
                && month.next().start() <= until
            {
                due.push((kind, month));
            }
        }
    }
    due.sort_by_key(|(kind, month)| (*month, kind.as_str()));
    Ok(due)
}

async fn fingerprint(connection: &mut PgConnection, kind: Kind, month: Month) -> Result<(i64, String), AnalyticsError> {
    let row = sqlx::query("SELECT row_count, checksum FROM analytics_fingerprint($1, $2::date)")
        .bind(kind.table())
        .bind(month.date())
        .fetch_one(connection)
        .await
        .map_err(PoolError::Sql)?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn live_bytes(connection: &mut PgConnection, kind: Kind, month: Month) -> Result<i64, AnalyticsError> {
    let name = format!("{}_y{}", kind.table(), month.to_string().replace('-', "m"));
    Ok(sqlx::query_scalar("SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)")
        .bind(name)
        .fetch_one(connection)
        .await?)
}

/// Writes the rows of a month, a bounded number at a time.
async fn export(
    repository: &Repository,
    home: &str,
    connection: &mut PgConnection,
    kind: Kind,
    month: Month,
    step: &(dyn Fn(ArchiveStep) + Send + Sync),
) -> Result<Vec<set::DataObject>, AnalyticsError> {
    // Sorted by tenant, so that an object holds few of them and whoever looks for one reads few objects.
    let sql = format!(
        "SELECT {} FROM {} WHERE \"timestamp\" >= '{}' AND \"timestamp\" < '{}' ORDER BY tenant_id, \"timestamp\"",
        Table::select(kind),
        kind.table(),
        month.start(),
        month.next().start()
    );
    let name = month.to_string();
    let mut objects = Vec::new();
    let mut exported = 0;
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    let mut table = Table::new(kind);
    loop {
        let row = rows.try_next().await?;
        if let Some(row) = &row {
            table.push(row)?;
        }
        if table.rows() >= ROWS || (row.is_none() && table.rows() > 0) {
            objects.push(set::write(repository, home, kind, &name, &table).await?);
            exported += table.rows() as u64;
            step(ArchiveStep::Exported(exported));
            table = Table::new(kind);
        }
        if row.is_none() {
            return Ok(objects);
        }
    }
}

/// Reads every object of a month back from the repository and checks it.
async fn verify(repository: &Repository, home: &str, kind: Kind, set: &Set) -> Result<Checksum, AnalyticsError> {
    let mut sum = Checksum::default();
    for object in &set.objects {
        sum.add(set::read(repository, home, kind, set, object).await?.checksum());
    }
    Ok(sum)
}
