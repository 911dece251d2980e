//! One monitored cluster in a line.
use crate::{Timestamp, reading::ServerRole};
use serde::{Deserialize, Serialize};

/// Whether we reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ClusterState {
    /// The first connection is being tried.
    Connecting,
    /// The last tick got through.
    Up,
    /// Nothing answers, or not in time.
    Unreachable {
        /// Why, in one line.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// It answers and refuses us: wrong password, `pg_hba.conf`, no such database. Retried slowly.
    Refused {
        /// Why, in one line, with the role's name.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

impl ClusterState {
    /// The name without the reason.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
        }
    }
    /// Why it is not up.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unreachable { reason, .. } | Self::Refused { reason, .. } => Some(reason),
            Self::Connecting | Self::Up => None,
        }
    }
}

/// One cluster as the picker and `GET /api/v1/clusters` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterSummary {
    /// Stable id from the configuration: `main`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The group that it is configured to be in.
    pub group: Option<String>,
    /// Primary or standby, when known.
    pub role: Option<ServerRole>,
    /// `15.18`, when known.
    pub server_version: Option<String>,
    /// Whether we reach it.
    #[serde(flatten)]
    pub state: ClusterState,
    /// When the server was started.
    pub started_at: Option<Timestamp>,
}
