//! Opening a connection while the runtime is busy.
use crate::error::one_line;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use std::time::Duration;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

/// A connection; given up when the caller no longer waits.
///
/// On a thread outside of the runtime's workers: for the password (SCRAM) sqlx counts 4,096 rounds and steps back every
/// five, and on a worker each of these 819 steps waits until the others had their turn. With 64 clients at work a connection
/// took more than three seconds there, and pools grew into a failure; here it takes what the server takes.
pub(crate) async fn connect(options: PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let given_up = CancellationToken::new();
    let _guard = given_up.clone().drop_guard();
    let runtime = Handle::current();
    let connecting = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                done = options.connect() => done,
                () = given_up.cancelled() => Err(sqlx::Error::WorkerCrashed),
            }
        })
    });
    connecting.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// As [`connect`], within `limit`; or why there is none.
pub(crate) async fn connect_within(options: PgConnectOptions, limit: Duration) -> Result<PgConnection, String> {
    match timeout(limit, connect(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(one_line(&error)),
        Err(_) => Err(format!("no connection within {} ms", limit.as_millis())),
    }
}
