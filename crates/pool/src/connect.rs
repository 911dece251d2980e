//! Opening a connection within a limit.
use crate::error::one_line;
use sqlx::{PgConnection, postgres::PgConnectOptions};
use std::time::Duration;
use tokio::time::timeout;

/// A connection within `limit`; or why there is none.
pub(crate) async fn connect_within(options: PgConnectOptions, limit: Duration) -> Result<PgConnection, String> {
    match timeout(limit, pgconnect::connect(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(one_line(&error)),
        Err(_) => Err(format!("no connection within {} ms", limit.as_millis())),
    }
}
