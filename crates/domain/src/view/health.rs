//! The health score: a sum of visible lines.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// What a line belongs to; each has its ceiling of points in `analysis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HealthComponent {
    /// The server answers and the collectors work.
    Availability,
    /// Connection slots.
    Connections,
    /// Slow and long-running statements.
    Latency,
    /// Lock waits and blocking chains.
    Locks,
    /// Standbys and slots.
    Replication,
    /// Cache hits and temporary files.
    Cache,
    /// Vacuum, wraparound, horizon.
    Maintenance,
    /// WAL, checkpoints, archiver.
    Wal,
    /// Disk, growth, wasted space.
    Capacity,
    /// Backups and restore tests.
    Backups,
    /// Critical alerts that are open: they cap the score.
    Alerts,
}

impl HealthComponent {
    /// Its name, as people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Availability => "Availability",
            Self::Connections => "Connections",
            Self::Latency => "Latency",
            Self::Locks => "Locks",
            Self::Replication => "Replication",
            Self::Cache => "Cache",
            Self::Maintenance => "Maintenance",
            Self::Wal => "WAL",
            Self::Capacity => "Capacity",
            Self::Backups => "Backups",
            Self::Alerts => "Alerts",
        }
    }

    /// Lower-case name, in the API and in forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Connections => "connections",
            Self::Latency => "latency",
            Self::Locks => "locks",
            Self::Replication => "replication",
            Self::Cache => "cache",
            Self::Maintenance => "maintenance",
            Self::Wal => "wal",
            Self::Capacity => "capacity",
            Self::Backups => "backups",
            Self::Alerts => "alerts",
        }
    }
}

/// 90 and more good, 70 attention, 40 degraded, below critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// 90 to 100.
    Good,
    /// 70 to 89.
    Attention,
    /// 40 to 69.
    Degraded,
    /// 0 to 39.
    Critical,
}

impl Band {
    /// The band of a score.
    pub const fn of(score: u8) -> Self {
        match score {
            90.. => Self::Good,
            70..=89 => Self::Attention,
            40..=69 => Self::Degraded,
            _ => Self::Critical,
        }
    }
    /// Lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// Points lost, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthLine {
    /// Part of the score.
    pub component: HealthComponent,
    /// Stable key of the rule: `cache_hit_low`.
    pub rule: String,
    /// What is wrong, in a short sentence without figures.
    pub title: String,
    /// Points lost.
    pub points: u8,
    /// The measured value, for people: `84.1 %`.
    pub measured: String,
    /// The threshold it is compared with: `90 %`.
    pub threshold: String,
    /// Since when, as far as we have watched.
    pub since: Timestamp,
    /// Where to look: `/database/performance#queries`.
    pub page: String,
}

/// score = 100 - sum of the points of all lines, exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// 0 to 100.
    pub score: u8,
    /// Its band.
    pub band: Band,
    /// Share of what can be judged that was judged; a failed collector lowers it and never raises the score.
    pub coverage_percent: f64,
    /// What costs points, the most first.
    pub lines: Vec<HealthLine>,
    /// Version of the rules, kept with history so that a line stays comparable.
    pub version: u32,
}

/// One entry of the "needs attention" list: fine, or what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attention {
    /// Stable key.
    pub key: String,
    /// `good`, `attention`, `warning`, `critical`, `unknown`.
    pub level: String,
    /// What was found.
    pub title: String,
    /// More of it.
    pub detail: String,
    /// SQL to copy, when there is some.
    pub sql: Option<String>,
    /// Where to look.
    pub page: String,
}
