//! `GET /api/database/dashboard`: the whole picture of one cluster, served from the snapshot.
use super::{AlertView, Attention, ClusterSummary, Health};
use crate::{Timestamp, reading::CollectorStatus};
use serde::{Deserialize, Serialize};

/// Connection slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionsView {
    /// Client backends now.
    pub used: i64,
    /// Slots that ordinary roles can use.
    pub usable: i64,
    /// `used` of `usable`.
    pub utilization_percent: f64,
    /// State and number, the most first.
    #[serde(with = "pairs")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, i64>))]
    pub by_state: Vec<(String, i64)>,
}

/// Where percentiles come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LatencySource {
    /// A mixture of log-normals fitted to each statement's interval mean and deviation, weighted by calls.
    Estimate,
    /// All three from the durations in the server's log.
    Log,
    /// The upper ones from the server's log, which holds calls from `log_from_ms` on only; the others estimated.
    LogTail,
    /// Every call was timed.
    Exact,
}

impl LatencySource {
    /// In a word or two, to stand beside the figure.
    pub const fn badge(self) -> &'static str {
        match self {
            Self::Estimate => "estimate",
            Self::Log | Self::Exact => "measured",
            Self::LogTail => "tail measured",
        }
    }

    /// Behind "percentiles are now".
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Estimate => "estimated",
            Self::Log | Self::Exact => "measured",
            Self::LogTail => "measured in the tail and estimated below it",
        }
    }

    /// In a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estimate => "estimate",
            Self::Log => "log",
            Self::LogTail => "log_tail",
            Self::Exact => "exact",
        }
    }
}

/// Statement latency over the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatencyView {
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Where they come from.
    pub source: LatencySource,
    /// Over how long.
    pub window_seconds: f64,
    /// Percentiles from here on are measured; `None` when none is.
    pub log_from_ms: Option<f64>,
}

/// Transactions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ThroughputView {
    /// Commits and rollbacks.
    pub transactions_per_second: f64,
    /// Rollbacks.
    pub rollbacks_per_second: f64,
}

/// Shared buffers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheView {
    /// Shared-buffer hit ratio; `None` when too few blocks were touched to say.
    pub hit_ratio_percent: Option<f64>,
    /// Over how long.
    pub window_seconds: f64,
}

/// How a standby is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Streaming and behind by a measured time.
    Streaming,
    /// Everything is replayed and nothing new is written.
    Idle,
    /// Replay is behind and catching up.
    CatchingUp,
    /// Known before, not connected now: the lag is a lower bound.
    Disconnected,
    /// Takes WAL and replays none: `pg_receivewal`, a backup, Holdfast's own stream. It may come and go.
    Receiving,
    /// It cannot be told.
    Unknown,
}

impl ReplicaState {
    /// Name on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Idle => "idle",
            Self::CatchingUp => "catching up",
            Self::Disconnected => "disconnected",
            Self::Receiving => "receives WAL only",
            Self::Unknown => "unknown",
        }
    }
}

/// One standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplicaView {
    /// `application_name`.
    pub name: String,
    /// Its state.
    pub state: ReplicaState,
    /// Time behind; `None` when unknown.
    pub lag_seconds: Option<f64>,
    /// WAL not yet replayed.
    pub lag_bytes: Option<i64>,
}

/// A statement over the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlowQuery {
    /// Id for `/queries/{id}`.
    pub id: String,
    /// `queryid`.
    pub fingerprint: String,
    /// Normalised text on one line.
    pub query: String,
    /// Calls in the window.
    pub calls: i64,
    /// Mean in the window.
    pub mean_ms: f64,
    /// Longest since the entry was made.
    pub max_ms: Option<f64>,
    /// Share of all execution time in the window.
    pub total_percent: f64,
}

/// Index findings in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexTotals {
    /// Never scanned since the statistics began, and droppable.
    pub unused: i64,
    /// Covered by another.
    pub duplicate: i64,
    /// Left over by a failed build.
    pub invalid: i64,
    /// Foreign keys without an index.
    pub missing_foreign_key: i64,
    /// Size of unused, duplicate and invalid ones together.
    pub wasted_bytes: i64,
}

/// Load of one wait class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitLoad {
    /// `CPU`, `IO`, `Lock`, `LWLock`, `Client`, `IPC`, `Other`.
    pub class: String,
    /// Average active sessions over the window.
    pub average_active_sessions: f64,
}

/// One application pool (5/5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolView {
    /// Checked out.
    pub in_use: i64,
    /// Waiting to be used.
    pub idle: i64,
    /// Limit.
    pub max: i64,
    /// Callers that wait.
    pub waiting: i64,
}

/// The application pools (5/5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolsView {
    /// Writes.
    pub primary: PoolView,
    /// Reads.
    pub replica: Option<PoolView>,
}

/// What can be restored (2/5, 4/5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupView {
    /// Last full backup.
    pub last_full_at: Option<Timestamp>,
    /// Last incremental backup.
    pub last_incremental_at: Option<Timestamp>,
    /// Age of the newest archived WAL.
    pub wal_lag_seconds: Option<f64>,
    /// Start of the recovery window.
    pub recoverable_from: Option<Timestamp>,
    /// End of the recovery window.
    pub recoverable_to: Option<Timestamp>,
    /// The newest restore test, sound or failed.
    pub last_restore_test: Option<RestoreTestView>,
}

/// What the newest restore test showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreTestView {
    /// When.
    pub at: Timestamp,
    /// Nothing was wrong.
    pub ok: bool,
    /// The measured recovery time; 0 when the test came to no copy that could be used.
    pub rto_seconds: f64,
    /// Of it, looking up in the repository what is restored.
    #[serde(default)]
    pub plan_seconds: f64,
    /// Of it, writing the files.
    pub restore_seconds: f64,
    /// Of it, replay and promotion.
    pub recovery_seconds: f64,
    /// The checks, which come behind it.
    pub check_seconds: f64,
    /// What would have been lost, where that was measured.
    pub rpo_seconds: Option<f64>,
}

/// The whole picture of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dashboard {
    /// Which cluster.
    pub cluster: ClusterSummary,
    /// Number of this snapshot; grows by one.
    pub sequence: u64,
    /// When the last successful tick ended.
    pub collected_at: Option<Timestamp>,
    /// Seconds since then, when this was served.
    pub age_seconds: Option<f64>,
    /// Seconds between ticks.
    pub interval_seconds: f64,
    /// The score.
    pub health: Health,
    /// Connections.
    pub connections: Option<ConnectionsView>,
    /// Latency.
    pub latency: Option<LatencyView>,
    /// Throughput.
    pub throughput: Option<ThroughputView>,
    /// Cache.
    pub cache: Option<CacheView>,
    /// Standbys; empty when there is none.
    pub replication: Vec<ReplicaView>,
    /// Statements over the threshold, the costliest first.
    pub slow_queries: Vec<SlowQuery>,
    /// Index findings; `None` until the collector has run.
    pub indexes: Option<IndexTotals>,
    /// Load by wait class.
    pub waits: Vec<WaitLoad>,
    /// Sessions that wait for a lock now.
    pub blocked_sessions: Option<i64>,
    /// Longest running statement now.
    pub longest_query_seconds: Option<f64>,
    /// Oldest open transaction now.
    pub oldest_transaction_seconds: Option<f64>,
    /// Size of all databases.
    pub databases_bytes: Option<i64>,
    /// WAL written per second.
    pub wal_bytes_per_second: Option<f64>,
    /// Temporary files written per second.
    pub temp_bytes_per_second: Option<f64>,
    /// Application pools; filled by 5/5.
    pub pools: Option<PoolsView>,
    /// Open alerts, the worst first; `None` until the engine has looked for the first time.
    pub alerts: Option<Vec<AlertView>>,
    /// Backups; filled by 2/5 and 4/5.
    pub backup: Option<BackupView>,
    /// What needs attention, and what is fine.
    pub attention: Vec<Attention>,
    /// Each collector's state and age.
    pub collectors: Vec<CollectorStatus>,
}

/// Keeps the order of the states on the wire, where a map would lose it.
mod pairs {
    use serde::{Deserializer, Serializer, de::MapAccess, ser::SerializeMap};

    pub fn serialize<S: Serializer>(pairs: &[(String, i64)], serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(pairs.len()))?;
        for (key, value) in pairs {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, i64)>, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<(String, i64)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    pairs.push(entry);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
