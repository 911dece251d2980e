//! The server as a whole: version, role, limits, settings.
use super::Provider;
use crate::{Lsn, Timestamp, format};
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

/// How a server's clock stands to ours, as far as one question and its answer tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClockSkew {
    /// Milliseconds that it is ahead of ours; negative when it is behind.
    pub ahead_ms: i64,
    /// That may be wrong by so many milliseconds: half of the round trip, and what is rounded away.
    pub within_ms: i64,
}

impl ClockSkew {
    /// Three milliseconds may be lost where three moments are rounded.
    const ROUNDED_MS: i64 = 3;

    /// By what the server's clock said in answer to a question that was sent and answered at these moments of ours: the answer
    /// is taken for one of the middle.
    pub const fn between(sent: Timestamp, there: Timestamp, received: Timestamp) -> Self {
        let half = received.0.saturating_sub(sent.0) / 2;
        Self { ahead_ms: there.0.saturating_sub(sent.0.saturating_add(half)), within_ms: half + Self::ROUNDED_MS }
    }

    /// By how many seconds the clocks differ at least; 0 where a slow answer may be all of it.
    pub fn at_least_seconds(self) -> f64 {
        self.ahead_ms.saturating_abs().saturating_sub(self.within_ms).max(0) as f64 / 1_000.0
    }

    /// For people: `4.20 s ahead of ours`.
    pub fn to_human(self) -> String {
        let side = if self.ahead_ms < 0 { "behind" } else { "ahead of" };
        format!("{} {side} ours", format::duration_ms(self.ahead_ms.saturating_abs() as f64))
    }
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
    /// How its clock stands to ours.
    pub clock: ClockSkew,
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
    /// The service that runs it; `None` for one of our own, and for one that lets us be superuser.
    pub provider: Option<Provider>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_middle_of_the_round_trip() {
        let skew = |there| ClockSkew::between(Timestamp(1_000_000), Timestamp(there), Timestamp(1_000_400));
        assert_eq!(skew(1_000_200), ClockSkew { ahead_ms: 0, within_ms: 203 });
        assert_eq!(skew(1_004_200).at_least_seconds(), 3.797);
        assert_eq!(skew(1_004_200).to_human(), "4.00 s ahead of ours");
        assert_eq!(skew(940_200).at_least_seconds(), 59.797);
        assert_eq!(skew(940_200).to_human(), "1 min 00 s behind ours");
        // Anywhere within the round trip may be right, and so may what rounding makes of its ends.
        for there in 999_998..=1_000_402 {
            assert_eq!(skew(there).at_least_seconds(), 0.0, "{there}");
        }
    }
}
