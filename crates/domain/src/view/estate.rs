//! All clusters beside each other.
use super::{AlertCounts, Band, ClusterSummary};
use serde::{Deserialize, Serialize};

/// One cluster in a line of the estate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EstateRow {
    /// Which cluster, and whether it is reached.
    pub cluster: ClusterSummary,
    /// Health score; `None` before the first figures.
    pub score: Option<u8>,
    /// The score over the last 24 hours.
    pub scores: Vec<Option<f64>>,
    /// Open alerts; `None` until the engine has looked for the first time.
    pub alerts: Option<AlertCounts>,
    /// Connections of the slots that ordinary roles can use.
    pub connections_percent: Option<f64>,
    /// Of the standby that is furthest behind.
    pub lag_seconds: Option<f64>,
    /// Size of all databases.
    pub databases_bytes: Option<i64>,
    /// It is backed up by us.
    pub is_protected: bool,
    /// Age of the last backup.
    pub backup_age_seconds: Option<f64>,
    /// Age of the figures.
    pub age_seconds: Option<f64>,
}

impl EstateRow {
    /// The band of the score.
    pub fn band(&self) -> Option<Band> {
        self.score.map(Band::of)
    }
}
