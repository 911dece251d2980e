//! The server as a whole: version, role, limits, settings.
use crate::{Lsn, Timestamp};
use serde::{Deserialize, Serialize};

/// Whether the server takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServerRole {
    /// `pg_is_in_recovery()` is false.
    Primary,
    /// It replays WAL.
    Standby,
}

impl ServerRole {
    /// `primary` or `standby`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }
}

/// What is known of an extension in the connected database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ExtensionState {
    /// Created and usable.
    Installed {
        /// `pg_extension.extversion`.
        version: String,
    },
    /// Its files are there and it is preloaded, but `CREATE EXTENSION` was not run in this database.
    NotCreated,
    /// Not in `shared_preload_libraries` (or that cannot be seen).
    NotPreloaded,
    /// The server does not have its files.
    NotAvailable,
}

/// One look at the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerReading {
    /// `server_version_num`, for example 150018.
    pub version_num: i32,
    /// `server_version`, for example `15.18`.
    pub version: String,
    /// Primary or standby.
    pub role: ServerRole,
    /// `pg_postmaster_start_time()`.
    pub started_at: Timestamp,
    /// `clock_timestamp()` there.
    pub clock: Timestamp,
    /// Newest WAL position: written on a primary, replayed on a standby.
    pub lsn: Option<Lsn>,
    /// The timeline of the last checkpoint, when the role may read it.
    pub timeline: Option<i64>,
    /// `system_identifier`, as text, when the role may read it.
    pub system_identifier: Option<String>,
    /// `max_connections`.
    pub max_connections: i64,
    /// What ordinary roles can use: `max_connections` less the reserved ones.
    pub usable_connections: i64,
    /// Client backends now.
    pub used_connections: i64,
    /// The name of the role we are signed in as.
    pub role_name: String,
    /// Member of `pg_monitor` (or superuser): sees other roles' statements.
    pub has_pg_monitor: bool,
    /// `pg_stat_statements` in the connected database.
    pub statements_extension: ExtensionState,
    /// `track_io_timing`.
    pub track_io_timing: bool,
    /// The database we are connected to.
    pub database: String,
    /// The connection is encrypted.
    pub tls: bool,
}

/// One row of `pg_settings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Setting {
    /// Parameter name.
    pub name: String,
    /// Value in `unit`.
    pub setting: String,
    /// `kB`, `8kB`, `ms`, `s`, `min`, `B`, or none.
    pub unit: Option<String>,
    /// Value the server would have by default.
    pub boot_value: Option<String>,
    /// Where the value comes from: `default`, `configuration file`, …
    pub source: String,
    /// A changed value waits for a restart.
    pub pending_restart: bool,
}

/// All settings at one moment, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingsReading {
    /// The rows.
    pub rows: Vec<Setting>,
}
