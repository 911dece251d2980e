//! How the platform's plugins are used: events and metrics come in by batch, are rolled up by minute, hour and day,
//! asked for exactly, kept for some months, archived, brought back, and erased with the person they tell of.
//!
//! Questions are asked as one tenant. The work over all tenants (roll-ups, retention, erasure) runs as the platform.
mod archive;
mod backlog;
mod buckets;
mod counts;
mod error;
mod filter;
mod geography;
mod ingest;
mod item;
mod metrics;
mod partitions;
mod patterns;
mod plan;
mod rollup;
mod series;
mod service;
mod subject;
mod subject_export;
mod top;
mod users;
mod zone;

pub use archive::{ArchiveOutcome, ArchiveStep, Archived, RestoreOutcome};
pub use backlog::Backlog;
pub use error::AnalyticsError;
pub use filter::SeriesFilter;
pub use ingest::{Batch, MOST_ITEMS};
pub use rollup::RolledUp;
pub use series::{Measure, SeriesQuestion};
pub use service::{OpenArchive, Service, ServicePace};
pub use top::TopBy;

use domain::Timestamp;
use pool::Pools;
use std::time::{SystemTime, UNIX_EPOCH};

/// Days that rows stay in the live tables unless it is configured otherwise.
pub const RETENTION_DAYS: u32 = 90;

/// All of it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Analytics {
    pools: Pools,
    retention_days: u32,
}

impl Analytics {
    /// Over running pools.
    pub const fn new(pools: Pools, retention_days: u32) -> Self {
        Self { pools, retention_days }
    }

    /// Days that rows stay in the live tables.
    pub const fn retention_days(&self) -> u32 {
        self.retention_days
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// The start of the span of `length` milliseconds that `at` is in.
pub(crate) const fn floor(at: i64, length: i64) -> i64 {
    at - at.rem_euclid(length)
}

/// SQL of a moment from a parameter in milliseconds.
pub(crate) const AT: &str = "timestamptz 'epoch' + interval '1 millisecond' *";
