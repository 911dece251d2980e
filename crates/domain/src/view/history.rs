//! Figures over time.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How far back a page looks; part of the address: `?range=1h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Range {
    /// 15 minutes.
    #[serde(rename = "15m")]
    Minutes15,
    /// One hour.
    #[default]
    #[serde(rename = "1h")]
    Hour1,
    /// Six hours.
    #[serde(rename = "6h")]
    Hours6,
    /// A day.
    #[serde(rename = "24h")]
    Hours24,
    /// A week.
    #[serde(rename = "7d")]
    Days7,
}

impl Range {
    /// All ranges, the shortest first.
    pub const ALL: [Self; 5] = [Self::Minutes15, Self::Hour1, Self::Hours6, Self::Hours24, Self::Days7];

    /// The value in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minutes15 => "15m",
            Self::Hour1 => "1h",
            Self::Hours6 => "6h",
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
        }
    }
    /// On the button.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minutes15 => "15 m",
            Self::Hour1 => "1 h",
            Self::Hours6 => "6 h",
            Self::Hours24 => "24 h",
            Self::Days7 => "7 d",
        }
    }
    /// In a sentence: "last hour".
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Minutes15 => "last 15 minutes",
            Self::Hour1 => "last hour",
            Self::Hours6 => "last 6 hours",
            Self::Hours24 => "last 24 hours",
            Self::Days7 => "last 7 days",
        }
    }
    /// Length in milliseconds.
    pub const fn ms(self) -> i64 {
        match self {
            Self::Minutes15 => 900_000,
            Self::Hour1 => 3_600_000,
            Self::Hours6 => 21_600_000,
            Self::Hours24 => 86_400_000,
            Self::Days7 => 604_800_000,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|range| range.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a range; use 15m, 1h, 6h, 24h or 7d"))
    }
}

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
    /// Client backends of the slots that ordinary roles can use.
    ConnectionsPercent,
    /// Longest running statement, maintenance left out.
    LongestQuerySeconds,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 21] = [
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
        Self::ConnectionsPercent,
        Self::LongestQuerySeconds,
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
            Self::ConnectionsPercent => "connections_percent",
            Self::LongestQuerySeconds => "longest_query_seconds",
        }
    }

    /// `ms`, `s`, `B`, `B/s`, `/s`, `%`, or empty for plain counts.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::LatencyP50Ms
            | Self::LatencyP95Ms
            | Self::LatencyP99Ms
            | Self::MeanLatencyMs
            | Self::TickDurationMs => "ms",
            Self::ReplicationLagSeconds | Self::LongestQuerySeconds => "s",
            Self::ReplicationLagBytes | Self::DatabaseBytes => "B",
            Self::TempBytesPerSecond | Self::WalBytesPerSecond => "B/s",
            Self::TransactionsPerSecond | Self::RollbacksPerSecond | Self::CallsPerSecond => "/s",
            Self::CacheHitPercent | Self::ConnectionsPercent => "%",
            Self::ConnectionsUsed
            | Self::ConnectionsByState
            | Self::ActiveSessions
            | Self::BlockedSessions
            | Self::HealthScore => "",
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

/// One line of a chart; `None` is a gap and is drawn as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeSeriesLine {
    /// Label: a wait class, a standby, or the metric itself.
    pub name: String,
    /// One value for each time.
    pub values: Vec<Option<f64>>,
}

/// Lines over common times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeSeries {
    /// What it is.
    pub metric: String,
    /// Unit, as [`Metric::unit`].
    pub unit: String,
    /// First moment asked for.
    pub from: Timestamp,
    /// Last moment asked for.
    pub to: Timestamp,
    /// Distance of the points.
    pub step_seconds: f64,
    /// The moments, ascending.
    pub times: Vec<Timestamp>,
    /// The lines.
    pub series: Vec<TimeSeriesLine>,
    /// What happened meanwhile.
    pub events: Vec<Event>,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The server was started anew.
    Restart,
    /// Primary became standby or the reverse.
    RoleChange,
    /// Statistics were reset.
    StatsReset,
    /// A setting changed.
    SettingChange,
    /// It became unreachable.
    Down,
    /// It came back.
    Up,
    /// We ourselves started.
    MonitorStart,
    /// An alert was raised or is over.
    Alert,
}

impl EventKind {
    /// Name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::RoleChange => "role_change",
            Self::StatsReset => "stats_reset",
            Self::SettingChange => "setting_change",
            Self::Down => "down",
            Self::Up => "up",
            Self::MonitorStart => "monitor_start",
            Self::Alert => "alert",
        }
    }
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Restart,
        Self::RoleChange,
        Self::StatsReset,
        Self::SettingChange,
        Self::Down,
        Self::Up,
        Self::MonitorStart,
        Self::Alert,
    ];
}

/// Something that happened to a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// In a few words.
    pub title: String,
}
