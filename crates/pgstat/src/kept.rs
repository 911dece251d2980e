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
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
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
    /// The one that was used last stands last: they take turns, so that none is closed while the server is read.
    idle: Mutex<VecDeque<One>>,
    /// So many are used or being opened.
    busy: AtomicUsize,
    given_back: Notify,
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
    busy: Busy<'a>,
    place: SemaphorePermit<'a>,
}

/// One that is used or being opened, which is worth waiting for. At its end whoever waits looks again.
#[derive(Debug)]
struct Busy<'a>(Option<&'a Kept>);

impl<'a> Busy<'a> {
    fn begin(kept: &'a Kept) -> Self {
        kept.busy.fetch_add(1, Ordering::SeqCst);
        Self(Some(kept))
    }

    /// Ends it without a word, to wait for the others; how many there are.
    fn wait(mut self) -> usize {
        self.0.take().map_or(0, |kept| kept.busy.fetch_sub(1, Ordering::SeqCst) - 1)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(kept) = self.0 {
            kept.busy.fetch_sub(1, Ordering::SeqCst);
            kept.given_back.notify_one();
        }
    }
}

impl Kept {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            places: Semaphore::new(size),
            idle: Mutex::default(),
            busy: AtomicUsize::new(0),
            given_back: Notify::new(),
        }
    }

    /// An idle connection as it is, or a new one, within `limit`. What the server or the system refuses is said at once; but
    /// where the server lets in no more, one that is in use is waited for: what is held still reads. Of several that are let
    /// in nowhere none waits for the other.
    pub(crate) async fn take(
        &self,
        limit: Duration,
        options: impl Fn() -> PgConnectOptions,
    ) -> Result<Taken<'_>, SqlxError> {
        let taking = async move {
            let place = self.places.acquire().await.map_err(|_| SqlxError::PoolClosed)?;
            for old in self.too_old() {
                let _ = old.connection.close().await;
            }
            let (one, busy) = loop {
                let busy = Busy::begin(self);
                if let Some(idle) = self.first() {
                    break (idle, busy);
                }
                match pgconnect::connect(options()).await {
                    Ok(connection) => {
                        break (One { connection, opened: Instant::now(), used: Instant::now() }, busy);
                    }
                    Err(error) if is_full(&error) => {
                        // In this order: one that was given back in between is found.
                        let others = busy.wait();
                        if let Some(idle) = self.first() {
                            break (idle, Busy::begin(self));
                        }
                        if others == 0 {
                            // Whoever waited for this one has nobody to wait for either.
                            self.given_back.notify_one();
                            return Err(error);
                        }
                        self.given_back.notified().await;
                    }
                    Err(error) => return Err(error),
                }
            };
            Ok(Taken { kept: self, one, busy, place })
        };
        timeout(limit, taking).await.unwrap_or(Err(SqlxError::PoolTimedOut))
    }

    /// Leaves those that lie idle: where one was lost the others mostly are. They are not closed in form, which would wait
    /// for a peer that may not answer.
    pub(crate) fn forget(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    fn first(&self) -> Option<One> {
        self.idle().pop_front()
    }

    fn too_old(&self) -> VecDeque<One> {
        let mut idle = self.idle();
        let (old, good) = idle.drain(..).partition(|it| it.used.elapsed() > IDLE || it.opened.elapsed() > LIFETIME);
        *idle = good;
        old
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<One>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    pub(crate) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.one.connection
    }

    /// After a statement that was answered: kept for the next reading, unless what came was the connection's end.
    pub(crate) fn give_back(self, failure: Option<&SqlxError>) {
        let Self { kept, mut one, busy, place } = self;
        if failure.is_none_or(is_of_the_statement) {
            one.used = Instant::now();
            kept.idle().push_back(one);
        } else {
            drop(one);
            kept.forget();
        }
        // After the connection is there: whoever waits for either finds it.
        drop(busy);
        drop(place);
    }
}

/// All connections of the server, the database or the role are taken.
fn is_full(error: &SqlxError) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "53300")
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

    #[tokio::test]
    async fn where_no_other_is_let_in_the_one_in_use_is_waited_for() {
        let database = test_support::database().await;
        let shared = test_support::cluster().await;
        let role = format!("one_{}", database.name);
        shared.execute("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD 'o' CONNECTION LIMIT 1")).await;
        let url = shared.server.url_as(&role, "o", &database.name);
        let kept = Kept::new(2);
        let mut first = kept.take(Duration::from_secs(60), || url.parse().unwrap()).await.unwrap();
        let pid = sqlx::query_scalar::<_, i32>(PID).fetch_one(first.connection()).await.unwrap();
        let given_back = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            first.give_back(None);
        };
        let (second, ()) = tokio::join!(ask(&kept, &url, PID), given_back);
        assert_eq!(second.unwrap(), pid);

        // Two that are let in nowhere are told so, and do not wait for each other until time is up.
        kept.forget();
        shared.execute("postgres", &format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
        let (one, other) = tokio::join!(ask(&kept, &url, PID), ask(&kept, &url, PID));
        for refused in [one.unwrap_err(), other.unwrap_err()] {
            assert!(is_full(&refused), "{refused}");
        }
    }
}
