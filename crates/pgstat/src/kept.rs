//! The few connections into the database of the URL that are kept from one reading to the next.
//!
//! sqlx's pool is not used: it repeats a connection that was refused until its time-out, so that a server that is down or
//! full is told late and without the reason; and what it takes back it asks first, so that a silent peer keeps the place
//! for ever (transact-rs/sqlx#4349).
use sqlx::{
    Connection as _, Error as SqlxError, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError, PgSeverity},
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// One that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// One that is so old is closed: the server's process grows with what it has seen.
const LIFETIME: Duration = Duration::from_secs(1_800);

/// The places for connections, and those that lie idle.
#[derive(Debug)]
pub(crate) struct Kept {
    places: Semaphore,
    idle: Mutex<Vec<One>>,
}

#[derive(Debug)]
struct One {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

/// A connection in use. Dropped it is closed, and its place is free; see [`Taken::give_back`].
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    kept: &'a Kept,
    one: One,
    place: SemaphorePermit<'a>,
}

impl Kept {
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Semaphore::new(places), idle: Mutex::default() }
    }

    /// An idle connection as it is, or a new one, within `limit`. What the server or the system refuses is said at once.
    pub(crate) async fn take(
        &self,
        limit: Duration,
        options: impl FnOnce() -> PgConnectOptions,
    ) -> Result<Taken<'_>, SqlxError> {
        let taking = async move {
            let place = self.places.acquire().await.map_err(|_| SqlxError::PoolClosed)?;
            for old in self.too_old() {
                let _ = old.connection.close().await;
            }
            let idle = self.idle().pop();
            let one = match idle {
                Some(one) => one,
                None => {
                    let connection = pgconnect::connect(options()).await?;
                    One { connection, opened: Instant::now(), used: Instant::now() }
                }
            };
            Ok::<_, SqlxError>(Taken { kept: self, one, place })
        };
        timeout(limit, taking).await.unwrap_or(Err(SqlxError::PoolTimedOut))
    }

    /// Leaves those that lie idle: where one was lost the others mostly are. They are not closed in form, which would wait
    /// for a peer that may not answer.
    pub(crate) fn forget(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    fn too_old(&self) -> Vec<One> {
        let mut idle = self.idle();
        let (old, good) = idle.drain(..).partition(|it| it.used.elapsed() > IDLE || it.opened.elapsed() > LIFETIME);
        *idle = good;
        old
    }

    fn idle(&self) -> MutexGuard<'_, Vec<One>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    pub(crate) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.one.connection
    }

    /// After a statement that was answered: kept for the next reading, unless what came was the connection's end.
    pub(crate) fn give_back(self, failure: Option<&SqlxError>) {
        let Self { kept, mut one, place } = self;
        if failure.is_none_or(is_of_the_statement) {
            one.used = Instant::now();
            kept.idle().push(one);
        } else {
            kept.forget();
        }
        // Last: whoever waits for the place finds the connection.
        drop(place);
    }
}

/// The server refused the statement alone; the connection is as good as before.
fn is_of_the_statement(error: &SqlxError) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PID: &str = "SELECT pg_backend_pid()";

    async fn ask(kept: &Kept, url: &str, sql: &'static str) -> Result<i32, SqlxError> {
        let mut taken = kept.take(Duration::from_secs(60), || url.parse().unwrap()).await?;
        let answer = sqlx::query_scalar::<_, i32>(sql).fetch_one(taken.connection()).await;
        taken.give_back(answer.as_ref().err());
        answer
    }

    #[tokio::test]
    async fn a_connection_survives_a_statement_that_fails_and_is_left_when_it_ends() {
        let database = test_support::database().await;
        let kept = Kept::new(1);
        let first = ask(&kept, &database.url, PID).await.unwrap();

        let failed = ask(&kept, &database.url, "SELECT pg_backend_pid() / 0").await.unwrap_err();
        assert_eq!(failed.as_database_error().unwrap().code().unwrap(), "22012");
        assert_eq!(ask(&kept, &database.url, PID).await.unwrap(), first);

        let end = "SELECT 1 FROM pg_terminate_backend(pg_backend_pid())";
        ask(&kept, &database.url, end).await.unwrap_err();
        assert_ne!(ask(&kept, &database.url, PID).await.unwrap(), first, "its place is free for another");
    }

    #[tokio::test]
    async fn there_are_no_more_than_places_and_what_is_dropped_frees_one() {
        let database = test_support::database().await;
        let kept = Kept::new(1);
        let options = || database.url.parse().unwrap();
        let taken = kept.take(Duration::from_secs(60), options).await.unwrap();
        let waited = kept.take(Duration::from_millis(50), options).await.unwrap_err();
        assert!(matches!(waited, SqlxError::PoolTimedOut), "{waited}");
        drop(taken);
        kept.take(Duration::from_secs(60), options).await.unwrap();
    }
}
