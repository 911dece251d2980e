//! One monitored cluster.
use crate::{PgstatError, Probe, Target, link::Link};
use sqlx::postgres::PgRow;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Getting a connection.
    pub connect: Duration,
    /// `statement_timeout` on the server.
    pub statement: Duration,
    /// `lock_timeout` on the server.
    pub lock: Duration,
    /// Our own, for a peer that does not answer at all; longer than the server's.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            lock: Duration::from_secs(2),
            deadline: Duration::from_secs(12),
        }
    }
}

/// A monitored cluster: what it offers, and the readings of its collectors. Nothing is connected until the first one.
#[derive(Debug)]
pub struct Cluster {
    link: Link,
    signals: tokio::sync::Semaphore,
    probe: Mutex<Option<Arc<Probe>>>,
}

impl Cluster {
    /// For one target.
    pub fn new(target: Target, limits: Limits) -> Self {
        Self { link: Link::new(target, limits), signals: tokio::sync::Semaphore::new(1), probe: Mutex::new(None) }
    }

    /// Which server and role.
    pub const fn target(&self) -> &Target {
        &self.link.target
    }

    /// Forgets what the server offers: after a restart, a failover or a lost connection it may be another.
    pub fn forget(&self) {
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What the server offers, looked up once.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn probe(&self) -> Result<Arc<Probe>, PgstatError> {
        if let Some(probe) = self.probe.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(probe);
        }
        let probe = Arc::new(Probe::read(&self.link).await?);
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(probe.clone());
        Ok(probe)
    }

    /// One signal at a time: it holds the fifth connection.
    pub(crate) const fn signals(&self) -> &tokio::sync::Semaphore {
        &self.signals
    }

    /// A connection besides those that are kept, to be closed by the caller.
    pub(crate) async fn connection(&self) -> Result<sqlx::PgConnection, PgstatError> {
        self.link.connection().await
    }

    /// A connection into one database with an application's settings, and the permit that bounds how many there are.
    pub(crate) async fn plain_connection(
        &self,
        database: &str,
    ) -> Result<(tokio::sync::SemaphorePermit<'_>, sqlx::PgConnection), PgstatError> {
        self.link.plain_connection(database).await
    }

    pub(crate) async fn fetch(&self, name: &'static str, sql: &str) -> Result<Vec<PgRow>, PgstatError> {
        self.link.fetch(name, sql).await
    }

    pub(crate) async fn fetch_large(
        &self,
        name: &'static str,
        sql: &str,
        each: impl FnMut(PgRow) -> Result<(), PgstatError>,
    ) -> Result<(), PgstatError> {
        self.link.fetch_large(name, sql, each).await
    }

    pub(crate) async fn fetch_one(&self, name: &'static str, sql: &str) -> Result<PgRow, PgstatError> {
        self.fetch_one_bound(name, sql, None).await
    }

    /// As [`Self::fetch_one`], with a text for `$1` and a number for `$2`.
    pub(crate) async fn fetch_one_bound(
        &self,
        name: &'static str,
        sql: &str,
        bound: Option<(&str, i64)>,
    ) -> Result<PgRow, PgstatError> {
        self.link
            .fetch_bound(name, sql, bound)
            .await?
            .into_iter()
            .next()
            .ok_or(PgstatError::Query { name, source: sqlx::Error::RowNotFound })
    }

    pub(crate) async fn fetch_in(
        &self,
        database: &str,
        name: &'static str,
        sql: &str,
    ) -> Result<Vec<PgRow>, PgstatError> {
        if database == self.probe().await?.database {
            return self.link.fetch(name, sql).await;
        }
        self.link.fetch_in(database, name, sql).await
    }
}
