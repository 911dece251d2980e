//! The collectors and the state each of them is in, shown wherever its figures are.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One collector; its name is the same in the store, the API, `/metrics` and on the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CollectorKind {
    /// Version, role, start time, connection limits, rights.
    Server,
    /// `pg_stat_database`.
    Database,
    /// `pg_stat_activity`.
    Activity,
    /// `pg_stat_statements`.
    Statements,
    /// `pg_stat_user_indexes`, `pg_index`, foreign keys.
    Indexes,
    /// `pg_stat_user_tables` and sizes.
    Tables,
    /// `pg_stat_replication`, `pg_stat_wal_receiver`, slots.
    Replication,
    /// `pg_stat_wal`, checkpoints, archiver.
    Wal,
    /// `pg_locks` of waiting backends.
    Locks,
    /// `pg_settings`.
    Settings,
    /// Active sessions, sampled each second.
    Sessions,
    /// Vacuum's horizon, progress of commands, temporary files.
    Vacuum,
    /// `pg_stat_io`, or what is counted before 16.
    Io,
    /// Durations of statements in the server's log.
    Log,
}

impl CollectorKind {
    /// Every collector, in the order in which a tick runs them.
    pub const ALL: [Self; 14] = [
        Self::Server,
        Self::Sessions,
        Self::Activity,
        Self::Locks,
        Self::Database,
        Self::Replication,
        Self::Wal,
        Self::Vacuum,
        Self::Io,
        Self::Statements,
        Self::Log,
        Self::Tables,
        Self::Indexes,
        Self::Settings,
    ];

    /// Whether every server is expected to have it. A fork may count no I/O, and by default the log holds no durations: a
    /// server without them is not less well watched than it can be.
    pub const fn is_expected(self) -> bool {
        !matches!(self, Self::Io | Self::Log)
    }

    /// The name used in the store, on the wire and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Database => "database",
            Self::Activity => "activity",
            Self::Statements => "statements",
            Self::Indexes => "indexes",
            Self::Tables => "tables",
            Self::Replication => "replication",
            Self::Wal => "wal",
            Self::Locks => "locks",
            Self::Settings => "settings",
            Self::Sessions => "sessions",
            Self::Vacuum => "vacuum",
            Self::Io => "io",
            Self::Log => "log",
        }
    }
}

/// How a collector is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CollectorState {
    /// It has not run yet.
    Pending,
    /// Its last run succeeded and is recent.
    Fresh,
    /// Its last success is older than two of its intervals.
    Stale,
    /// Its last run failed; earlier figures may be kept, with their age.
    Failed {
        /// Why, in one line.
        reason: String,
    },
    /// This server cannot give it (version, missing extension).
    Unsupported {
        /// Why, in one line.
        reason: String,
        /// The command that mends it, to copy; none when nothing can.
        cure: Option<String>,
    },
    /// The monitoring role lacks a right.
    NoPermission {
        /// Why, in one line.
        reason: String,
        /// The `GRANT` that mends it, to copy.
        cure: Option<String>,
    },
}

impl CollectorState {
    /// The name of the state without its reason.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failed { .. } => "failed",
            Self::Unsupported { .. } => "unsupported",
            Self::NoPermission { .. } => "no_permission",
        }
    }
}

/// State and age of one collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CollectorStatus {
    /// Which collector.
    pub name: CollectorKind,
    /// How it is doing.
    #[serde(flatten)]
    pub state: CollectorState,
    /// When it last succeeded.
    pub collected_at: Option<Timestamp>,
    /// Seconds since then, when the snapshot was made.
    pub age_seconds: Option<f64>,
    /// How long its last run took.
    pub duration_ms: Option<f64>,
    /// How often it runs.
    pub interval_seconds: f64,
}

impl CollectorStatus {
    /// How much of its time it runs, in percent.
    pub fn share_percent(&self) -> Option<f64> {
        self.duration_ms.map(|ms| ms / 10.0 / self.interval_seconds.max(1e-9))
    }
}
