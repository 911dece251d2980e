//! Connections to one cluster: few, limited by the server, and replaced when they are lost for good.
use crate::{PgstatError, Target, cluster::Limits, kept::Kept};
use futures::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::{sync::Semaphore, time::timeout};

/// The share of the five that is kept; two are for looks into other databases, one for a person's cancel or terminate.
const KEPT: usize = 2;
const EPHEMERAL: usize = 2;
/// The server puts all texts of pg_stat_statements into one result before it gives the first: with less than they take
/// it writes them into a temporary file. It is memory of one backend that ends right after.
const LARGE_RESULT: &str = "256MB";

/// The supervised connections.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) target: Target,
    limits: Limits,
    kept: Kept,
    ephemeral: Semaphore,
}

impl Link {
    pub(crate) fn new(target: Target, limits: Limits) -> Self {
        Self { target, limits, kept: Kept::new(KEPT), ephemeral: Semaphore::new(EPHEMERAL) }
    }

    /// Runs one statement of the catalogue in the database of the URL.
    pub(crate) async fn fetch(&self, name: &'static str, sql: &str) -> Result<Vec<PgRow>, PgstatError> {
        self.fetch_bound(name, sql, None).await
    }

    /// As [`Self::fetch`], with a text for `$1` and a number for `$2`. A statement whose text differs each time would be
    /// prepared each time, and the server's process keep them all.
    pub(crate) async fn fetch_bound(
        &self,
        name: &'static str,
        sql: &str,
        bound: Option<(&str, i64)>,
    ) -> Result<Vec<PgRow>, PgstatError> {
        // The text is from our own catalogue; values that are not ours never stand in it but as numbers.
        let query = async {
            let mut taken = self.kept.take(self.limits.connect, || limited(&self.target, &self.limits)).await?;
            let mut statement = sqlx::query(AssertSqlSafe(tagged(sql)));
            if let Some((text, number)) = bound {
                statement = statement.bind(text.to_owned()).bind(number);
            }
            let rows = statement.fetch_all(taken.connection()).await;
            taken.give_back(rows.as_ref().err());
            rows
        };
        match timeout(self.limits.deadline, query).await {
            Ok(result) => result.map_err(|error| self.sort(name, error)),
            Err(_) => {
                // The peer is silent, mostly to the other connection as well.
                tracing::warn!(
                    host = self.target.host(),
                    "a monitored cluster is silent: its connections are replaced"
                );
                self.kept.forget();
                Err(PgstatError::Unreachable {
                    host: self.target.host(),
                    reason: format!("no answer within {} s", self.limits.deadline.as_secs()),
                })
            }
        }
    }

    /// Runs one statement in another database over a connection of its own.
    pub(crate) async fn fetch_in(
        &self,
        database: &str,
        name: &'static str,
        sql: &str,
    ) -> Result<Vec<PgRow>, PgstatError> {
        let Ok(_permit) = self.ephemeral.acquire().await else { return self.fetch(name, sql).await };
        let options = limited(&self.target, &self.limits).database(database);
        let work = async {
            let mut connection = timeout(self.limits.connect, pgconnect::connect(options))
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??;
            let rows = sqlx::query(AssertSqlSafe(tagged(sql))).persistent(false).fetch_all(&mut connection).await;
            let _ = connection.close().await;
            rows
        };
        match timeout(self.limits.deadline, work).await {
            Ok(result) => result.map_err(|error| self.sort(name, error)),
            Err(_) => Err(PgstatError::Unreachable {
                host: self.target.host(),
                reason: format!("no answer within {} s", self.limits.deadline.as_secs()),
            }),
        }
    }

    /// Runs one statement over a connection of its own, with memory enough that its result needs no temporary file. Each row is
    /// handed on as it comes: all of them together are never held.
    pub(crate) async fn fetch_large(
        &self,
        name: &'static str,
        sql: &str,
        mut each: impl FnMut(PgRow) -> Result<(), PgstatError>,
    ) -> Result<(), PgstatError> {
        let Ok(_permit) = self.ephemeral.acquire().await else {
            return self.fetch(name, sql).await?.into_iter().try_for_each(each);
        };
        let options = limited(&self.target, &self.limits).options([("work_mem", LARGE_RESULT)]);
        let Ok(Ok(mut connection)) = timeout(self.limits.connect, pgconnect::connect(options)).await else {
            // All slots may be taken: what is held already still reads.
            return self.fetch(name, sql).await?.into_iter().try_for_each(each);
        };
        let work = async {
            {
                let mut rows = sqlx::query(AssertSqlSafe(tagged(sql))).persistent(false).fetch(&mut connection);
                while let Some(row) = rows.try_next().await.map_err(|error| self.sort(name, error))? {
                    each(row)?;
                }
            }
            let _ = connection.close().await;
            Ok(())
        };
        match timeout(self.limits.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(PgstatError::Unreachable {
                host: self.target.host(),
                reason: format!("no answer within {} s", self.limits.deadline.as_secs()),
            }),
        }
    }

    /// A connection besides those that are kept, with the same limits.
    pub(crate) async fn connection(&self) -> Result<sqlx::PgConnection, PgstatError> {
        match timeout(self.limits.connect, pgconnect::connect(limited(&self.target, &self.limits))).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.sort("connect", error)),
            Err(_) => Err(self.sort("connect", sqlx::Error::PoolTimedOut)),
        }
    }

    /// A connection of its own into another database, for planning statements: read-only and bounded as all are, but with
    /// the search path and the planner's settings that an application has.
    pub(crate) async fn plain_connection(
        &self,
        database: &str,
    ) -> Result<(tokio::sync::SemaphorePermit<'_>, sqlx::PgConnection), PgstatError> {
        let stopped =
            || PgstatError::Unreachable { host: self.target.host(), reason: "Holdfast is being stopped".to_owned() };
        let permit = match timeout(self.limits.deadline, self.ephemeral.acquire()).await {
            Ok(permit) => permit.map_err(|_| stopped())?,
            Err(_) => return Err(self.sort("connect", sqlx::Error::PoolTimedOut)),
        };
        let options = bounded(&self.target, &self.limits).database(database);
        match timeout(self.limits.connect, pgconnect::connect(options)).await {
            Ok(Ok(connection)) => Ok((permit, connection)),
            Ok(Err(error)) => Err(self.sort("connect", error)),
            Err(_) => Err(self.sort("connect", sqlx::Error::PoolTimedOut)),
        }
    }

    fn sort(&self, name: &'static str, error: sqlx::Error) -> PgstatError {
        PgstatError::sort(name, &self.target.host(), self.target.role(), error)
    }
}

/// Puts the comment that names us behind the first word: since PostgreSQL 18 `pg_stat_statements` cuts off what stands
/// before a statement, and ours could no longer be told from an application's.
pub(crate) fn tagged(sql: &str) -> String {
    let Some((comment, rest)) = sql.split_once("*/") else { return sql.to_owned() };
    let rest = rest.trim_start();
    let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    format!("{} {}*/{}", &rest[..word], comment, &rest[word..])
}

/// What every connection has: a name, read-only transactions, the server's time-outs.
fn bounded(target: &Target, limits: &Limits) -> PgConnectOptions {
    let ms = |duration: std::time::Duration| duration.as_millis().to_string();
    target
        .options()
        .application_name("holdfast")
        .options([
            ("default_transaction_read_only", "on".to_owned()),
            ("statement_timeout", ms(limits.statement)),
            ("lock_timeout", ms(limits.lock)),
            ("idle_in_transaction_session_timeout", "30000".to_owned()),
        ])
        .disable_statement_logging()
}

fn limited(target: &Target, limits: &Limits) -> PgConnectOptions {
    bounded(target, limits).options([
        // Whoever may create in a schema on the path could put a function of theirs in the place of a system's, and
        // have the monitoring role call it (CVE-2018-1058).
        ("search_path", "pg_catalog"),
        // Plans of catalogue queries are cheap; compiling them is not.
        ("jit", "off"),
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_stands_inside_the_statement() {
        assert_eq!(super::tagged("/* holdfast:a b */ SELECT 1"), "SELECT /* holdfast:a b */ 1");
        assert_eq!(
            super::tagged("/* holdfast:a */ WITH x AS (SELECT 1) SELECT"),
            "WITH /* holdfast:a */ x AS (SELECT 1) SELECT"
        );
    }
}
