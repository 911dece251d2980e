//! What Holdfast itself costs: this process, its store, and each monitored server.
use crate::{Timestamp, reading::CollectorStatus};
use serde::{Deserialize, Serialize};

/// What watching one cluster costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterCost {
    /// Connections of ours at the last look, of at most five.
    pub connections: Option<i64>,
    /// Statements of our role per second, by `pg_stat_statements`.
    pub calls_per_second: Option<f64>,
    /// Time the server spends on them in a second.
    pub database_ms_per_second: Option<f64>,
    /// Of all statements' time.
    pub database_percent: Option<f64>,
    /// Ticks that came too late and were left out, since we started.
    pub ticks_skipped: u64,
    /// Samples of sessions that were due and not taken, since we started.
    pub samples_skipped: u64,
    /// The last tick.
    pub tick_ms: f64,
}

/// One kind of history in the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreTier {
    /// `metrics, raw`, `statements, 10 minutes`, …
    pub name: String,
    /// Rows.
    pub rows: i64,
    /// The oldest.
    pub from: Option<Timestamp>,
    /// How long it is kept now.
    pub keep_seconds: f64,
    /// How long it would be kept if the budget allowed.
    pub wanted_seconds: f64,
}

/// Our own store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreCost {
    /// `sqlite` or `postgresql`.
    pub kind: String,
    /// Its size; pages that are free for new rows left out.
    pub bytes: Option<i64>,
    /// What history may take; the oldest is given up to keep it.
    pub budget_bytes: i64,
    /// Rows we write a second.
    pub rows_per_second: Option<f64>,
    /// Batches that wait for the store.
    pub queued: i64,
    /// Batches that were given up because it did not answer for too long, since we started.
    pub dropped: u64,
    /// What is kept.
    pub tiers: Vec<StoreTier>,
}

/// What this process costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessCost {
    /// When it was measured.
    pub at: Option<Timestamp>,
    /// Processor time since the last measure; 100 is one processor.
    pub cpu_percent: Option<f64>,
    /// Memory in use (RSS).
    pub memory_bytes: Option<i64>,
    /// The most memory so far.
    pub memory_peak_bytes: Option<i64>,
    /// Since it was started.
    pub uptime_seconds: f64,
    /// Its store.
    pub store: StoreCost,
}

/// All of it, for one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CostPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When the cluster's figures are from.
    pub collected_at: Option<Timestamp>,
    /// This process.
    pub process: ProcessCost,
    /// Watching the cluster.
    pub watching: ClusterCost,
    /// Each collector with its duration.
    pub collectors: Vec<CollectorStatus>,
}
