//! Connections for work that takes longer than a piece of work may: exports, loads.
use crate::{PoolError, Pools, connect::connect_within};
use sqlx::PgConnection;
use std::time::Instant;

impl Pools {
    /// A connection of one's own to the primary, outside the pool's bounds and time limits. Its caller sees to it that
    /// there are few.
    ///
    /// # Errors
    /// [`PoolError::Unavailable`].
    pub async fn long_connection(&self) -> Result<PgConnection, PoolError> {
        let settings = &self.inner.settings;
        let (node, _) = self.primary(Instant::now() + settings.acquire_timeout).await?;
        let options = settings
            .options(&node.target, false)
            .options([("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")]);
        connect_within(options, settings.connect_timeout)
            .await
            .map_err(|why| PoolError::Unavailable(format!("{} cannot be connected to: {why}", node.address)))
    }
}
