//! Figures over time.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of a chart; `None` is a gap and is drawn as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeSeriesLine {
    /// Label: a wait class, a standby, or the metric itself.
    pub name: String,
    /// One value for each time.
    pub values: Vec<Option<f64>>,
    /// Places in `times` whose value is made of less than all samples: the line is broken there. Known of history that is
    /// rolled up; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<usize>,
}

/// Lines over common times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeSeries {
    /// What it is.
    pub metric: String,
    /// Unit, as [`Metric::unit`](super::Metric::unit).
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
    /// Places in `times` in whose step counters began anew: the statistics were reset, or the server was started anew. Still
    /// told when the event itself is too old to be kept; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<usize>,
    /// The lines of the time that is compared with, at the same `times`; their names are those of `series`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<TimeSeriesLine>,
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
    /// Readings were lost: our own store did not answer, or what it held was damaged.
    HistoryLost,
    /// An alert was raised or is over.
    Alert,
    /// A statement got another plan.
    PlanChange,
    /// A full backup is complete.
    Backup,
    /// Somebody told of it: a release, a migration, a change elsewhere.
    Deploy,
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
            Self::HistoryLost => "history_lost",
            Self::Alert => "alert",
            Self::PlanChange => "plan_change",
            Self::Backup => "backup",
            Self::Deploy => "deploy",
        }
    }
    /// From these on counters begin anew.
    pub const COUNTERS_BEGIN: [Self; 2] = [Self::StatsReset, Self::Restart];
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Restart,
        Self::RoleChange,
        Self::StatsReset,
        Self::SettingChange,
        Self::Down,
        Self::Up,
        Self::MonitorStart,
        Self::HistoryLost,
        Self::Alert,
        Self::PlanChange,
        Self::Backup,
        Self::Deploy,
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
    /// Key of the statement it is about, as in the address of its page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl Event {
    /// One about a cluster as a whole.
    pub const fn new(at: Timestamp, kind: EventKind, title: String) -> Self {
        Self { at, kind, title, statement: None }
    }
}
