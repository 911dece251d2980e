//! Opening a connection to PostgreSQL while the runtime is busy.
//!
//! For the password (SCRAM) sqlx counts 4,096 rounds and steps back every five. On a worker of the runtime each of these
//! 819 steps waits until the tasks in front of it had their turn: with 64 clients at work a connection took more than three
//! seconds, and pools grew into a failure or a server seemed not to answer. Here it is opened on a thread outside of the
//! workers and takes what the server takes (ADR 76). Its socket belongs to the runtime all the same.
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A connection; given up when the caller no longer waits.
///
/// # Errors
/// As of [`sqlx::ConnectOptions::connect`]; [`sqlx::Error::WorkerCrashed`] when the runtime ends meanwhile.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn connect(options: PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    aside(async move { options.connect().await }).await
}

/// Something else that opens a connection, on a thread outside of the workers; given up when the caller no longer waits.
///
/// # Errors
/// Those of `work`; [`sqlx::Error::WorkerCrashed`] when the runtime ends meanwhile.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, sqlx::Error> {
    let given_up = CancellationToken::new();
    let _guard = given_up.clone().drop_guard();
    let runtime = Handle::current();
    let working = tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            tokio::select! {
                // First: what is no longer waited for is not looked at again.
                biased;
                () = given_up.cancelled() => Err(sqlx::Error::WorkerCrashed),
                done = work => done,
            }
        })
    });
    working.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
