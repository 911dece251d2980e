//! How a tenant's plugins are used.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An item of a batch that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IngestProblem {
    /// `events` or `metrics`.
    pub list: String,
    /// Its place in that list, from 0.
    pub index: u32,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IngestReport {
    /// Items stored.
    pub accepted: u64,
    /// Events that were there already, by their id; they count once.
    pub duplicates: u64,
    /// Items that were not taken.
    pub rejected: u64,
    /// Why, for the first hundred of them.
    pub problems: Vec<IngestProblem>,
    /// The batch came before under the same key; this is the answer of then, and nothing was stored now.
    pub repeated: bool,
}

/// Length of a time bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
    /// A calendar month.
    Month,
}

impl Bucket {
    /// All, the shortest first.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The name on the wire and in `date_trunc`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Its shortest length.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_419_200,
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Bucket {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no bucket; use minute, hour, day, week or month"))
    }
}

/// What a time series measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AnalyticsMeasure {
    /// Events counted.
    Events,
    /// Distinct users; by day, week or month.
    Users,
    /// Samples of one metric.
    Metric,
}

/// One bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyticsPoint {
    /// Its beginning.
    pub at: Timestamp,
    /// Events, users or samples. A bucket without any is 0: nothing happened.
    pub count: i64,
    /// Sum of a metric's values; `null` for events and users, and without a sample.
    pub sum: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Median, within 2.5 %.
    pub p50: Option<f64>,
    /// 95th percentile, within 2.5 %.
    pub p95: Option<f64>,
    /// 99th percentile, within 2.5 %.
    pub p99: Option<f64>,
}

/// How much of a range came from which tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TierUse {
    /// raw, restored (rows brought back from the archive), minute, hour or day.
    pub tier: String,
    /// Seconds of the range.
    pub seconds: i64,
}

/// A span whose rows were brought back from the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoredSpan {
    /// First moment, included.
    pub from: Timestamp,
    /// Last moment, excluded.
    pub to: Timestamp,
}

/// A time series; exact, whatever it was read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyticsSeries {
    /// What is measured.
    pub measure: AnalyticsMeasure,
    /// Which metric, for that measure.
    pub metric: Option<String>,
    /// Length of a bucket.
    pub bucket: Bucket,
    /// Whose hours, days, weeks and months they are.
    pub time_zone: String,
    /// First moment, included.
    pub from: Timestamp,
    /// Last moment, excluded.
    pub to: Timestamp,
    /// What it was read from.
    pub tiers: Vec<TierUse>,
    /// Parts of the range whose rows were archived and have been brought back: finer than hours they are told by these rows.
    pub restored: Vec<RestoredSpan>,
    /// Buckets in order, empty ones too.
    pub points: Vec<AnalyticsPoint>,
}

/// One line of a top list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopRow {
    /// Id of the plugin, the type of event, or the country.
    pub key: String,
    /// For people.
    pub label: String,
    /// Events in the range.
    pub events: i64,
    /// Events in the equally long range before.
    pub previous: i64,
    /// Distinct users; by whole days of the range, as far back as it is kept who used what: 400 days.
    pub users: i64,
    /// Of all events in the range.
    pub share_percent: f64,
}

/// What is used most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyticsTop {
    /// plugins, event_types or countries.
    pub by: String,
    /// First moment, included.
    pub from: Timestamp,
    /// Last moment, excluded.
    pub to: Timestamp,
    /// All events in the range.
    pub events: i64,
    /// All events in the range before.
    pub previous: i64,
    /// The first come first.
    pub rows: Vec<TopRow>,
}

/// One country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CountryRow {
    /// ISO 3166 code; empty when not known.
    pub country: String,
    /// Events in the range.
    pub events: i64,
    /// Distinct users; by whole days of the range, as far back as it is kept who used what: 400 days.
    pub users: i64,
    /// Of all events in the range.
    pub share_percent: f64,
}

/// Where use comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyticsGeography {
    /// First moment, included.
    pub from: Timestamp,
    /// Last moment, excluded.
    pub to: Timestamp,
    /// Every country, the one with most events first.
    pub countries: Vec<CountryRow>,
}

/// One hour of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HourOfWeek {
    /// 1 is Monday, 7 Sunday.
    pub weekday: i32,
    /// 0 to 23, UTC.
    pub hour: i32,
    /// Events in the range.
    pub events: i64,
}

/// Distinct users up to and with one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActiveUsers {
    /// The day, from 00:00 UTC.
    pub day: Timestamp,
    /// On that day.
    pub daily: i64,
    /// In the 7 days that end with it.
    pub weekly: i64,
    /// In the 30 days that end with it.
    pub monthly: i64,
}

/// Users who came first in one week, and how many of them came again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cohort {
    /// Monday of the week in which they were first seen.
    pub week: Timestamp,
    /// How many users.
    pub users: i64,
    /// How many of them were seen in that week, the next, and so on, up to the current one.
    pub seen: Vec<i64>,
}

/// Two plugins that the same users use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CoUse {
    /// Id of one.
    pub plugin_id: String,
    /// Its name.
    pub plugin: String,
    /// Id of the other.
    pub with_id: String,
    /// Its name.
    pub with: String,
    /// Users of both.
    pub users: i64,
    /// Of the users of either.
    pub overlap_percent: f64,
}

/// When and how plugins are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsagePatterns {
    /// First moment, included; later than asked for where users and hours are no longer kept.
    pub from: Timestamp,
    /// Last moment, excluded.
    pub to: Timestamp,
    /// Whose hours those of the week are; days of users are those of UTC.
    pub time_zone: String,
    /// 168 hours of the week.
    pub hours: Vec<HourOfWeek>,
    /// Each day of the range.
    pub active_users: Vec<ActiveUsers>,
    /// Users by the week in which they were first seen, the earliest first.
    pub cohorts: Vec<Cohort>,
    /// Pairs among the plugins with most users, the strongest first.
    pub co_use: Vec<CoUse>,
}

/// One archived month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArchiveView {
    /// Its id in the repository.
    pub id: String,
    /// events or metrics.
    pub kind: String,
    /// `2026-07`.
    pub month: String,
    /// Rows.
    pub rows: u64,
    /// Bytes in the repository.
    pub stored_bytes: u64,
    /// Objects of data.
    pub objects: u32,
    /// When it was written.
    pub created_at: Timestamp,
    /// Whether the live table no longer has the month.
    pub dropped: bool,
}

/// Rows that hold a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectPlan {
    /// Events.
    pub events: i64,
    /// Days of use in the roll-ups.
    pub user_days: i64,
    /// Operations that name the subject as the one who started them.
    pub operations: i64,
    /// Bulk operations likewise.
    pub bulk_operations: i64,
    /// Plugins whose owner the subject is.
    #[serde(default)]
    pub plugins: i64,
    /// Rows of the platform's audit log.
    pub audit_rows: i64,
    /// Archived events that were brought back.
    pub restored_events: i64,
    /// Archived months that may hold the subject; `null` when the repository could not be asked.
    pub archived_months: Option<u32>,
    /// Records of Holdfast itself that lose the name: who acknowledged, dismissed, made or asked for something.
    #[serde(default)]
    pub own_records: i64,
    /// Records of Holdfast itself that keep it: its audit log, whose rows are chained, and decisions of a failover.
    #[serde(default)]
    pub own_kept: i64,
    /// There is an account of that name in Holdfast. It is not removed.
    #[serde(default)]
    pub account: bool,
}

/// What an erasure did in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErasureArchives {
    /// Months looked through.
    pub searched: u32,
    /// Months that held the subject and were written anew.
    pub rewritten: u32,
    /// Rows left out of them.
    pub rows: u64,
}

/// What was done about the erasure of a subject: the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErasureReport {
    /// Its number.
    pub id: String,
    /// SHA-256 of the subject's id, in hexadecimal: whoever knows the id can tell that it is meant.
    pub subject_hash: String,
    /// `pending` while the archive still holds the subject, then `done`.
    pub state: String,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When the last of it was done.
    pub finished_at: Option<Timestamp>,
    /// What went from the live tables, or lost its name there.
    pub live: SubjectPlan,
    /// What went from the archive.
    pub archives: ErasureArchives,
    /// Why it is still pending.
    pub pending_reason: Option<String>,
    /// What still holds the subject, and until when.
    pub remarks: Vec<String>,
}
