//! The machine of a monitored server: its file systems and its load.
use super::Availability;
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// A file system that holds something of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskRow {
    /// What lies there: `data`, `wal`, `tablespace NAME`.
    pub place: String,
    /// Its directory.
    pub path: String,
    /// Size of the file system, without what is kept back for root.
    pub total_bytes: Option<u64>,
    /// Free for the server.
    pub free_bytes: Option<u64>,
    /// Used share.
    pub used_percent: Option<f64>,
    /// Why it is not seen; `None` when it is.
    pub missing: Option<String>,
    /// When it will be full, by its history.
    pub full: Option<DiskForecast>,
    /// Why there is no forecast.
    pub full_missing: Option<String>,
}

/// When a file system will be full, if it goes on as it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskForecast {
    /// Percentage points a day; negative when it empties.
    pub percent_per_day: f64,
    /// Days until it is full; `None`: not within ten years.
    pub days: Option<f64>,
    /// By the upper end of the interval at 95 %; `None`: not within ten years.
    pub earliest_days: Option<f64>,
    /// By the lower end; `None`: not within ten years.
    pub latest_days: Option<f64>,
    /// Days of history that it is made of.
    pub history_days: f64,
}

/// The machine of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When it was looked at.
    pub collected_at: Option<Timestamp>,
    /// Whether the machine can be seen from here, and why not.
    pub availability: Availability,
    /// File systems, by what lies on them.
    pub disks: Vec<DiskRow>,
    /// Processes that run or wait for a processor or a disk, on average over a minute.
    pub load: Option<f64>,
    /// Processors.
    pub cpus: Option<u32>,
}

impl HostPage {
    /// The file system that is fullest.
    pub fn fullest(&self) -> Option<&DiskRow> {
        self.disks
            .iter()
            .filter(|row| row.used_percent.is_some())
            .max_by(|a, b| a.used_percent.unwrap_or(0.0).total_cmp(&b.used_percent.unwrap_or(0.0)))
    }
}
