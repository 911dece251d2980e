//! Renewing the planner's statistics of one table, when somebody at the command line asks for it.
use crate::{Cluster, PgstatError, collect::get, sql};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::time::Duration;
use tokio::time::timeout;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Analyzed {
    /// It was done.
    Done,
    /// It was left out: somebody held a lock on the table.
    Locked,
    /// It was left out: our role is neither the owner nor has it MAINTAIN (17+).
    NotOurs,
}

impl Cluster {
    /// `ANALYZE (SKIP_LOCKED)` of one table, which waits for no lock and takes at most `limit`.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn analyze(
        &self,
        database: &str,
        schema: &str,
        table: &str,
        limit: Duration,
    ) -> Result<Analyzed, PgstatError> {
        const NAME: &str = "analyze";
        let (_permit, mut connection) = self.plain_connection(database).await?;
        let failed = |source| PgstatError::Query { name: NAME, source };
        let work = async {
            let limit = format!("SET statement_timeout = {}", limit.as_millis());
            connection.execute(sqlx::raw_sql(AssertSqlSafe(limit))).await.map_err(failed)?;
            let before = state(&mut connection, schema, table).await?;
            if !before.ours {
                return Ok(Analyzed::NotOurs);
            }
            let statement = crate::link::tagged(&sql::analyze(schema, table));
            connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.map_err(failed)?;
            // A table that is left out is a warning to the server, not an error.
            let after = state(&mut connection, schema, table).await?;
            Ok(if after.times > before.times { Analyzed::Done } else { Analyzed::Locked })
        };
        let outcome = timeout(limit + Duration::from_secs(10), work).await;
        let _ = timeout(Duration::from_secs(1), connection.close()).await;
        outcome.unwrap_or_else(|_| {
            Err(PgstatError::Cancelled { name: NAME, reason: format!("{schema}.{table} took longer than is allowed") })
        })
    }
}

struct State {
    times: i64,
    ours: bool,
}

async fn state(connection: &mut PgConnection, schema: &str, table: &str) -> Result<State, PgstatError> {
    const NAME: &str = "analyze state";
    let row = sqlx::query(AssertSqlSafe(crate::link::tagged(sql::ANALYZE_STATE)))
        .bind(schema.to_owned())
        .bind(table.to_owned())
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|source| PgstatError::Query { name: NAME, source })?;
    Ok(State { times: get(NAME, &row, "times")?, ours: get(NAME, &row, "ours")? })
}
