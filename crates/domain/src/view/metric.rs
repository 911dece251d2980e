//! The figures that are recorded of a cluster.
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A recorded figure of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Client backends.
    ConnectionsUsed,
    /// Backends by state (a line each).
    ConnectionsByState,
    /// Commits and rollbacks per second.
    TransactionsPerSecond,
    /// Rollbacks per second.
    RollbacksPerSecond,
    /// Estimated median latency.
    LatencyP50Ms,
    /// Estimated 95th percentile.
    LatencyP95Ms,
    /// Estimated 99th percentile.
    LatencyP99Ms,
    /// Shared-buffer hit ratio.
    CacheHitPercent,
    /// Seconds behind (a line for each standby).
    ReplicationLagSeconds,
    /// Bytes behind (a line for each standby).
    ReplicationLagBytes,
    /// Average active sessions (a line for each wait class).
    ActiveSessions,
    /// Temporary files, bytes per second.
    TempBytesPerSecond,
    /// WAL, bytes per second.
    WalBytesPerSecond,
    /// Size of all databases.
    DatabaseBytes,
    /// Statements executed per second.
    CallsPerSecond,
    /// Mean statement latency.
    MeanLatencyMs,
    /// Sessions waiting for a lock.
    BlockedSessions,
    /// Health score.
    HealthScore,
    /// Duration of our own tick.
    TickDurationMs,
    /// Size of a table with all that belongs to it (a line for each).
    TableBytes,
    /// WAL kept for a slot (a line for each).
    SlotRetainedBytes,
    /// WAL between here and a standby by where it is (a line for each standby and part).
    ReplicationPartBytes,
    /// Age of the oldest transaction id.
    XidAge,
    /// Age of the oldest row version that vacuum must keep.
    HorizonAge,
    /// Checkpoints an hour (a line for each cause).
    CheckpointsPerHour,
    /// Temporary files that exist.
    TempFilesBytes,
    /// I/O by kind (a line each), 16+.
    IoBytesPerSecond,
    /// Our own statements per second.
    OwnCallsPerSecond,
    /// Time the server spends on our statements, in a second.
    OwnDatabaseMs,
    /// Our own connections.
    OwnConnections,
    /// Duration of a collector (a line for each).
    CollectorDurationMs,
    /// Samples of sessions that were not taken.
    SamplesSkipped,
    /// Our own processor time.
    OwnCpuPercent,
    /// Our own memory.
    OwnMemoryBytes,
    /// Size of our own history.
    StoreBytes,
    /// Rows we write into our own store.
    StoreRowsPerSecond,
    /// Client backends of the slots that ordinary roles can use.
    ConnectionsPercent,
    /// Longest running statement, maintenance left out.
    LongestQuerySeconds,
    /// Used share of a file system of the server (a line for each).
    DiskUsedPercent,
    /// Load of the server's machine.
    HostLoad,
    /// What an alert rule without a figure of its own saw, of its worst object (a line for each).
    RuleValue,
    /// Size of an index (a line for each).
    IndexBytes,
    /// Scans of an index in an hour, on all nodes (a line for each).
    IndexScansPerHour,
    /// Blocks of an index that were found in shared buffers, of those touched in an hour (a line for each).
    IndexHitPercent,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 44] = [
        Self::ConnectionsUsed,
        Self::ConnectionsByState,
        Self::TransactionsPerSecond,
        Self::RollbacksPerSecond,
        Self::LatencyP50Ms,
        Self::LatencyP95Ms,
        Self::LatencyP99Ms,
        Self::CacheHitPercent,
        Self::ReplicationLagSeconds,
        Self::ReplicationLagBytes,
        Self::ActiveSessions,
        Self::TempBytesPerSecond,
        Self::WalBytesPerSecond,
        Self::DatabaseBytes,
        Self::CallsPerSecond,
        Self::MeanLatencyMs,
        Self::BlockedSessions,
        Self::HealthScore,
        Self::TickDurationMs,
        Self::TableBytes,
        Self::SlotRetainedBytes,
        Self::ReplicationPartBytes,
        Self::XidAge,
        Self::HorizonAge,
        Self::CheckpointsPerHour,
        Self::TempFilesBytes,
        Self::IoBytesPerSecond,
        Self::OwnCallsPerSecond,
        Self::OwnDatabaseMs,
        Self::OwnConnections,
        Self::CollectorDurationMs,
        Self::SamplesSkipped,
        Self::OwnCpuPercent,
        Self::OwnMemoryBytes,
        Self::StoreBytes,
        Self::StoreRowsPerSecond,
        Self::ConnectionsPercent,
        Self::LongestQuerySeconds,
        Self::DiskUsedPercent,
        Self::HostLoad,
        Self::RuleValue,
        Self::IndexBytes,
        Self::IndexScansPerHour,
        Self::IndexHitPercent,
    ];

    /// Name in the store and in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsUsed => "connections_used",
            Self::ConnectionsByState => "connections_by_state",
            Self::TransactionsPerSecond => "transactions_per_second",
            Self::RollbacksPerSecond => "rollbacks_per_second",
            Self::LatencyP50Ms => "latency_p50_ms",
            Self::LatencyP95Ms => "latency_p95_ms",
            Self::LatencyP99Ms => "latency_p99_ms",
            Self::CacheHitPercent => "cache_hit_percent",
            Self::ReplicationLagSeconds => "replication_lag_seconds",
            Self::ReplicationLagBytes => "replication_lag_bytes",
            Self::ActiveSessions => "active_sessions",
            Self::TempBytesPerSecond => "temp_bytes_per_second",
            Self::WalBytesPerSecond => "wal_bytes_per_second",
            Self::DatabaseBytes => "database_bytes",
            Self::CallsPerSecond => "calls_per_second",
            Self::MeanLatencyMs => "mean_latency_ms",
            Self::BlockedSessions => "blocked_sessions",
            Self::HealthScore => "health_score",
            Self::TickDurationMs => "tick_duration_ms",
            Self::TableBytes => "table_bytes",
            Self::SlotRetainedBytes => "slot_retained_bytes",
            Self::ReplicationPartBytes => "replication_part_bytes",
            Self::XidAge => "xid_age",
            Self::HorizonAge => "horizon_age",
            Self::CheckpointsPerHour => "checkpoints_per_hour",
            Self::TempFilesBytes => "temp_files_bytes",
            Self::IoBytesPerSecond => "io_bytes_per_second",
            Self::OwnCallsPerSecond => "own_calls_per_second",
            Self::OwnDatabaseMs => "own_database_ms",
            Self::OwnConnections => "own_connections",
            Self::CollectorDurationMs => "collector_duration_ms",
            Self::SamplesSkipped => "samples_skipped",
            Self::OwnCpuPercent => "own_cpu_percent",
            Self::OwnMemoryBytes => "own_memory_bytes",
            Self::StoreBytes => "store_bytes",
            Self::StoreRowsPerSecond => "store_rows_per_second",
            Self::ConnectionsPercent => "connections_percent",
            Self::LongestQuerySeconds => "longest_query_seconds",
            Self::DiskUsedPercent => "disk_used_percent",
            Self::HostLoad => "host_load",
            Self::RuleValue => "rule_value",
            Self::IndexBytes => "index_bytes",
            Self::IndexScansPerHour => "index_scans_per_hour",
            Self::IndexHitPercent => "index_hit_percent",
        }
    }

    /// `ms`, `s`, `B`, `B/s`, `/s`, `%`, or empty for plain counts.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::LatencyP50Ms
            | Self::LatencyP95Ms
            | Self::LatencyP99Ms
            | Self::MeanLatencyMs
            | Self::TickDurationMs
            | Self::OwnDatabaseMs
            | Self::CollectorDurationMs => "ms",
            Self::ReplicationLagSeconds | Self::LongestQuerySeconds => "s",
            Self::ReplicationLagBytes
            | Self::DatabaseBytes
            | Self::TableBytes
            | Self::IndexBytes
            | Self::SlotRetainedBytes
            | Self::ReplicationPartBytes
            | Self::TempFilesBytes
            | Self::OwnMemoryBytes
            | Self::StoreBytes => "B",
            Self::TempBytesPerSecond | Self::WalBytesPerSecond | Self::IoBytesPerSecond => "B/s",
            Self::TransactionsPerSecond
            | Self::RollbacksPerSecond
            | Self::CallsPerSecond
            | Self::OwnCallsPerSecond
            | Self::StoreRowsPerSecond => "/s",
            Self::CacheHitPercent
            | Self::IndexHitPercent
            | Self::ConnectionsPercent
            | Self::OwnCpuPercent
            | Self::DiskUsedPercent => "%",
            Self::ConnectionsUsed
            | Self::ConnectionsByState
            | Self::ActiveSessions
            | Self::BlockedSessions
            | Self::HealthScore
            | Self::XidAge
            | Self::HorizonAge
            | Self::CheckpointsPerHour
            | Self::IndexScansPerHour
            | Self::OwnConnections
            | Self::SamplesSkipped
            | Self::HostLoad
            | Self::RuleValue => "",
        }
    }
}

impl FromStr for Metric {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a metric; use one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}
