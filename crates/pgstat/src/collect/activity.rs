//! `pg_stat_activity` and waiting locks.
use super::{get, lsn, time};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{ActivityReading, Backend, LockReading, LockWait, SessionReading};

impl Cluster {
    /// All backends but our own session.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn activity(&self) -> Result<ActivityReading, PgstatError> {
        const NAME: &str = "activity";
        let rows = self.fetch(NAME, &sql::activity(&*self.probe().await?)).await?;
        let backend = |row| {
            Ok(Backend {
                pid: get(NAME, row, "pid")?,
                started_at: time(NAME, row, "started_at")?,
                leader_pid: get(NAME, row, "leader_pid")?,
                database: get(NAME, row, "database")?,
                user: get(NAME, row, "user")?,
                application: get(NAME, row, "application")?,
                client_address: get(NAME, row, "client_address")?,
                backend_type: get(NAME, row, "backend_type")?,
                state: get(NAME, row, "state")?,
                wait_event_type: get(NAME, row, "wait_event_type")?,
                wait_event: get(NAME, row, "wait_event")?,
                query_id: get(NAME, row, "query_id")?,
                transaction_seconds: get(NAME, row, "transaction_seconds")?,
                query_seconds: get(NAME, row, "query_seconds")?,
                state_seconds: get(NAME, row, "state_seconds")?,
                xmin_age: get(NAME, row, "xmin_age")?,
                query: get(NAME, row, "query")?,
                blocked_by: get::<Option<Vec<i32>>>(NAME, row, "blocked_by")?.unwrap_or_default(),
            })
        };
        let rows = rows.iter().map(backend).collect::<Result<Vec<_>, PgstatError>>()?;
        let hidden = rows.iter().filter(|row| row.query.as_deref() == Some("<insufficient privilege>")).count();
        Ok(ActivityReading { rows, hidden: i64::try_from(hidden).unwrap_or(i64::MAX) })
    }

    /// Active sessions, with what a sample needs.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn sessions(&self) -> Result<SessionReading, PgstatError> {
        const NAME: &str = "sessions";
        let rows = self.fetch(NAME, &sql::sessions(&*self.probe().await?)).await?;
        let backend = |row: &sqlx::postgres::PgRow| {
            Ok::<_, PgstatError>(Backend {
                database: get(NAME, row, "database")?,
                user: get(NAME, row, "user")?,
                application: get(NAME, row, "application")?,
                client_address: get(NAME, row, "client_address")?,
                backend_type: get(NAME, row, "backend_type")?,
                state: get(NAME, row, "state")?,
                wait_event_type: get(NAME, row, "wait_event_type")?,
                wait_event: get(NAME, row, "wait_event")?,
                query_id: get(NAME, row, "query_id")?,
                ..Backend::default()
            })
        };
        // One row is always there, for the position; without active sessions it is empty otherwise.
        let first = rows.first().map(|row| lsn(NAME, row, "lsn")).transpose()?.flatten();
        let active = rows
            .iter()
            .map(|row| Ok(get::<Option<String>>(NAME, row, "backend_type")?.is_some().then_some(row)))
            .collect::<Result<Vec<_>, PgstatError>>()?;
        let rows = active.into_iter().flatten().map(backend).collect::<Result<_, PgstatError>>()?;
        Ok(SessionReading { lsn: first, rows })
    }

    /// Requests that wait. `pg_blocking_pids` stops the lock manager for a moment: ask only when a backend waits.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn locks(&self) -> Result<LockReading, PgstatError> {
        const NAME: &str = "locks";
        let waits = self.fetch(NAME, &sql::locks(&*self.probe().await?)).await?;
        let wait = |row| {
            Ok(LockWait {
                pid: get(NAME, row, "pid")?,
                lock_type: get(NAME, row, "lock_type")?,
                mode: get(NAME, row, "mode")?,
                relation: get(NAME, row, "relation")?,
                relation_oid: get::<Option<i64>>(NAME, row, "relation_oid")?.and_then(|oid| u32::try_from(oid).ok()),
                database: get(NAME, row, "database")?,
                wait_seconds: get(NAME, row, "wait_seconds")?,
                blocked_by: get::<Option<Vec<i32>>>(NAME, row, "blocked_by")?.unwrap_or_default(),
            })
        };
        Ok(LockReading { waits: waits.iter().map(wait).collect::<Result<_, PgstatError>>()? })
    }
}
