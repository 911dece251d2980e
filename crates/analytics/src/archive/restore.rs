//! Bringing archived rows back, into the schema `analytics_restored`.
use super::{export::reading, set, table::Table};
use crate::{Analytics, AnalyticsError, partitions::Month, rollup::Kind, series::range};
use backup::Repository;
use domain::Timestamp;
use pool::PoolError;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use std::collections::BTreeSet;

/// Bytes of COPY sent at once.
const PIECE: usize = 1 << 18;

/// What was brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RestoreOutcome {
    /// Events now in `analytics_restored.plugin_analytics` for the range.
    pub events: u64,
    /// Metrics now in `analytics_restored.plugin_metrics` for the range.
    pub metrics: u64,
    /// Archived months they came from, as `events 2026-07`.
    pub months: Vec<String>,
    /// Rows left out because the erasure of their subject is pending.
    pub withheld: u64,
    /// Archived months of the range that are in another repository, as `events 2026-07 in s3://…`: nothing of them came back.
    pub elsewhere: Vec<String>,
    /// Where they are, and who sees them.
    pub remark: &'static str,
}

const REMARK: &str = "time series of the page and the API read the rows where roll-ups are too coarse for what is asked, and say so; by SQL they are in analytics_restored.plugin_analytics and analytics_restored.plugin_metrics; 'holdfast analytics restore --discard' removes them";

impl Analytics {
    /// Brings the archived rows of a range back, in one transaction: all of them or none. Repeated, it replaces them. While
    /// months are archived or written anew for an erasure it waits.
    ///
    /// # Errors
    /// [`AnalyticsError::NotFound`] when nothing of the range is archived; a damaged object is named.
    pub async fn restore_archived(
        &self,
        repository: &Repository,
        from: Timestamp,
        to: Timestamp,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<RestoreOutcome, AnalyticsError> {
        range(from, to)?;
        let home = self.home().await?;
        let mut connection = self.long_connection().await?;
        let mut transaction = connection.begin().await?;
        // An erasure meanwhile is pending until we are done, and then finds what we brought back of its subject.
        reading(&mut transaction).await?;
        let sets = set::listed(repository, &home).await?;
        let months = (Month::of(from).0..=Month::of(Timestamp(to.0 - 1)).0).map(|it| Month(it).to_string());
        let months = months.collect::<BTreeSet<_>>();
        let wanted = sets.newest.values().filter(|set| months.contains(&set.month)).collect::<Vec<_>>();
        let mut elsewhere = Vec::new();
        for kind in Kind::ALL {
            let known = sets.elsewhere(&mut transaction, kind).await?;
            let known = known.into_iter().filter(|(month, _)| months.contains(month));
            elsewhere.extend(known.map(|(month, place)| format!("{} {month} in {place}", kind.as_str())));
        }
        if wanted.is_empty() {
            // The archive is given back now, and not when the server notices that we are gone.
            transaction.rollback().await?;
            let hint = if elsewhere.is_empty() {
                "'holdfast analytics list' shows what is, newer rows are in the live tables".to_owned()
            } else {
                format!("configure the repository that has it: {}", elsewhere.join(", "))
            };
            return Err(AnalyticsError::NotFound(format!(
                "nothing from {from} to {to} is archived in this repository; {hint}"
            )));
        }
        let mut outcome = RestoreOutcome { remark: REMARK, elsewhere, ..RestoreOutcome::default() };
        let erased = pending(&mut transaction).await?;
        for kind in Kind::ALL {
            // Not taken from what COPY takes directly: row-level security is forced there.
            let staging =
                format!("CREATE TEMP TABLE staged_{} ({}) ON COMMIT DROP", kind.as_str(), Table::staging(kind));
            transaction.execute(AssertSqlSafe(staging)).await.map_err(PoolError::Sql)?;
            sqlx::query(AssertSqlSafe(format!(
                "DELETE FROM analytics_restored.{} WHERE \"timestamp\" >= to_timestamp($1 / 1000.0) AND \"timestamp\" < to_timestamp($2 / 1000.0)",
                kind.table()
            )))
            .bind(from.0)
            .bind(to.0)
            .execute(&mut *transaction)
            .await?;
            for set in wanted.iter().filter(|set| set.kind == kind.as_str()) {
                if let Some(month) = Month::parse(&set.month) {
                    let span = (from.max(month.start()), to.min(month.next().start()));
                    note_span(&mut transaction, kind, span).await?;
                }
                outcome.months.push(format!("{} {}", set.kind, set.month));
                for object in &set.objects {
                    let table = set::read(repository, &home, kind, set, object).await?;
                    let (rows, withheld) = bring(&mut transaction, kind, &table, (from, to), &erased).await?;
                    outcome.withheld += withheld;
                    match kind {
                        Kind::Events => outcome.events += rows,
                        Kind::Metrics => outcome.metrics += rows,
                    }
                    progress(outcome.events + outcome.metrics);
                }
            }
            let (names, values) = Table::unstage(kind);
            let sql = format!(
                "INSERT INTO analytics_restored.{} ({names}) SELECT {values} FROM staged_{}",
                kind.table(),
                kind.as_str()
            );
            transaction.execute(AssertSqlSafe(sql)).await?;
        }
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Removes all rows that were brought back; gives their number.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn discard_restored(&self) -> Result<u64, AnalyticsError> {
        let mut connection = self.long_connection().await?;
        let mut transaction = connection.begin().await?;
        let mut rows = 0;
        sqlx::query("DELETE FROM analytics_restored.spans").execute(&mut *transaction).await?;
        for kind in Kind::ALL {
            let sql = format!("DELETE FROM analytics_restored.{}", kind.table());
            rows += transaction.execute(AssertSqlSafe(sql)).await.map_err(PoolError::Sql)?.rows_affected();
        }
        transaction.commit().await?;
        Ok(rows)
    }
}

/// That everything of a span is there now.
async fn note_span(
    connection: &mut PgConnection,
    kind: Kind,
    (from, to): (Timestamp, Timestamp),
) -> Result<(), AnalyticsError> {
    sqlx::query("INSERT INTO analytics_restored.spans (kind, begins, ends) VALUES ($1, to_timestamp($2 / 1000.0), to_timestamp($3 / 1000.0)) ON CONFLICT (kind, begins, ends) DO UPDATE SET restored_at = now()")
        .bind(kind.as_str())
        .bind(from.0)
        .bind(to.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Subjects whose erasure has not reached the archive yet; what they are in must not come back by a restore.
async fn pending(connection: &mut PgConnection) -> Result<Vec<(Option<i64>, String)>, AnalyticsError> {
    let rows = sqlx::query(
        "SELECT tenant_id, subject FROM analytics_erasures WHERE state = 'pending' AND subject IS NOT NULL",
    )
    .fetch_all(connection)
    .await
    .map_err(PoolError::Sql)?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn bring(
    connection: &mut PgConnection,
    kind: Kind,
    table: &Table,
    (from, to): (Timestamp, Timestamp),
    erased: &[(Option<i64>, String)],
) -> Result<(u64, u64), AnalyticsError> {
    let is_erased = |row: usize| {
        erased
            .iter()
            .any(|(tenant, subject)| table.is_of(row, subject) && (tenant.is_none() || *tenant == table.tenant(row)))
    };
    let (mut rows, mut withheld) = (0, 0);
    let mut sink = connection
        .copy_in_raw(match kind {
            Kind::Events => "COPY staged_events FROM STDIN",
            Kind::Metrics => "COPY staged_metrics FROM STDIN",
        })
        .await?;
    let mut piece = String::new();
    for row in 0..table.rows() {
        let at = table.moment(row).div_euclid(1_000);
        if at < from.0 || at >= to.0 {
            continue;
        }
        if is_erased(row) {
            withheld += 1;
            continue;
        }
        table.line(row, &mut piece);
        rows += 1;
        if piece.len() >= PIECE {
            sink.send(piece.as_bytes()).await?;
            piece.clear();
        }
    }
    sink.send(piece.as_bytes()).await?;
    sink.finish().await?;
    Ok((rows, withheld))
}
