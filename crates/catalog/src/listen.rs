//! Hearing of changes that other processes make.
use crate::{Tenant, cache::ResultCache};
use domain::Lsn;
use pool::PoolSettings;
use secrecy::SecretString;
use sqlx::{PgConnection, postgres::PgListener};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The channel on which whoever changes a tenant's plugins tells it; the payload is the tenant.
pub const CHANNEL: &str = "holdfast_catalog";
/// A connection from which nothing was heard for so long is asked for a sign of life.
const SILENCE: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(3);

pub(crate) async fn run(url: SecretString, cache: ResultCache, stop: CancellationToken) {
    loop {
        let ended = tokio::select! {
            ended = listen(&url, &cache) => ended,
            () = stop.cancelled() => return,
        };
        cache.end_listening();
        if let Err(error) = ended {
            tracing::debug!(%error, "changes of the catalogue are not heard of; its answers are not remembered");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn listen(url: &SecretString, cache: &ResultCache) -> Result<(), sqlx::Error> {
    let late = |_| sqlx::Error::PoolTimedOut;
    // With TLS wherever the pools ask for it; a wrong setting was told before.
    let options = PoolSettings::new(url.clone(), None)
        .connect_options()
        .map_err(|error| sqlx::Error::Configuration(error.to_string().into()))?
        .application_name("holdfast-listen");
    // A second connection asks for positions: the listening one may have messages in front of the answer. It comes first: what
    // refuses it is said at once, while the listener's, of a pool, is tried until the deadline.
    let mut asking = timeout(DEADLINE, pgconnect::connect(options.clone())).await.map_err(late)??;
    let pool =
        sqlx::postgres::PgPoolOptions::new().max_connections(1).acquire_timeout(DEADLINE).connect_lazy_with(options);
    let listening = pgconnect::aside(async move { PgListener::connect_with(&pool).await });
    let mut listener = timeout(DEADLINE, listening).await.map_err(late)??;
    listener.eager_reconnect(false);
    timeout(DEADLINE, listener.listen(CHANNEL)).await.map_err(late)??;
    cache.begin_listening(position(&mut asking).await?);
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(message))) => {
                if let Ok(tenant) = message.payload().parse() {
                    cache.heard(Tenant(tenant), position(&mut asking).await?);
                }
            }
            // The connection was lost, and with it perhaps a message.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                position(&mut asking).await?;
            }
        }
    }
}

/// Fails on a standby: there nothing is heard.
async fn position(connection: &mut PgConnection) -> Result<Lsn, sqlx::Error> {
    let asked = sqlx::query_scalar::<_, String>("SELECT pg_current_wal_insert_lsn()::text").fetch_one(connection);
    let text = timeout(DEADLINE, asked).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
