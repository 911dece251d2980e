//! Statements.
use super::{Availability, Compare, Range, TimeSeries, rows_of_page};
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What kind of statement it is, by its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum QueryKind {
    /// SELECT, and WITH that only reads.
    Select,
    /// INSERT, UPDATE, DELETE, MERGE, COPY.
    Dml,
    /// CREATE, ALTER, DROP, …
    Ddl,
    /// The rest.
    Utility,
}

impl QueryKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Select, Self::Dml, Self::Ddl, Self::Utility];
    /// Value in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Dml => "dml",
            Self::Ddl => "ddl",
            Self::Utility => "utility",
        }
    }
}

impl FromStr for QueryKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a kind of statement; use select, dml, ddl or utility"))
    }
}

/// What stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QueryFlag {
    /// Mean over the threshold in the window.
    Slow,
    /// First seen in the window.
    New,
    /// Writes temporary files.
    Temp,
    /// Reads most of its blocks from outside the cache.
    ColdReads,
    /// Its mean is half as long again as that of the time compared with, or longer.
    Regressed,
    /// It got another plan in the range.
    PlanChanged,
}

impl QueryFlag {
    /// On the badge.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::New => "new",
            Self::Temp => "temp files",
            Self::ColdReads => "cold reads",
            Self::Regressed => "regressed",
            Self::PlanChanged => "plan changed",
        }
    }
}

/// A column to sort by; descending is written with a leading `-` in the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuerySort {
    /// Total time, which is also its share.
    #[default]
    Total,
    /// Calls.
    Calls,
    /// Mean time.
    Mean,
    /// Standard deviation.
    Stddev,
    /// Longest.
    Max,
    /// Rows a call.
    Rows,
    /// Cache hit ratio.
    Hit,
    /// Temporary files.
    Temp,
    /// WAL.
    Wal,
    /// Database.
    Database,
    /// Role.
    User,
    /// Text.
    Query,
}

impl QuerySort {
    /// All columns.
    pub const ALL: [Self; 12] = [
        Self::Total,
        Self::Calls,
        Self::Mean,
        Self::Stddev,
        Self::Max,
        Self::Rows,
        Self::Hit,
        Self::Temp,
        Self::Wal,
        Self::Database,
        Self::User,
        Self::Query,
    ];
    /// Value in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Calls => "calls",
            Self::Mean => "mean",
            Self::Stddev => "stddev",
            Self::Max => "max",
            Self::Rows => "rows",
            Self::Hit => "hit",
            Self::Temp => "temp",
            Self::Wal => "wal",
            Self::Database => "database",
            Self::User => "user",
            Self::Query => "query",
        }
    }
}

impl FromStr for QuerySort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text).ok_or_else(|| {
            format!("'{text}' is not a column to sort by; use one of {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

impl fmt::Display for QuerySort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which statements to show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueriesParams {
    /// Which cluster; the first when empty.
    pub cluster: Option<String>,
    /// How far back.
    pub range: Range,
    /// What one comes back to from a range of two moments; the same as `range` when that ends now.
    pub live: Range,
    /// Which earlier time is set beside it.
    pub compare: Compare,
    /// Sort column.
    pub sort: QuerySort,
    /// Largest first.
    pub descending: bool,
    /// Words that the text, database, user or id must contain.
    pub search: Option<String>,
    /// Only this kind.
    pub kind: Option<QueryKind>,
    /// Only this database.
    pub database: Option<String>,
    /// Only this user.
    pub user: Option<String>,
    /// Only those with so many executions in the range.
    pub min_calls: Option<u32>,
    /// Only those over the threshold.
    pub slow_only: bool,
    /// Leave out Holdfast's own statements.
    pub hide_monitoring: bool,
    /// How many, 1 to 500.
    pub limit: u32,
    /// Where the page before ended (`next_cursor`).
    pub cursor: Option<String>,
}

impl Default for QueriesParams {
    fn default() -> Self {
        Self {
            cluster: None,
            range: Range::default(),
            live: Range::default(),
            compare: Compare::default(),
            sort: QuerySort::default(),
            descending: true,
            search: None,
            kind: None,
            database: None,
            user: None,
            min_calls: None,
            slow_only: false,
            hide_monitoring: true,
            limit: 50,
            cursor: None,
        }
    }
}

impl QueriesParams {
    /// Of a page.
    pub const MOST_ROWS: u64 = 500;

    /// The names of all parameters in an address.
    pub const NAMES: [&str; 15] = [
        "cluster",
        "range",
        "from",
        "to",
        "compare",
        "sort",
        "q",
        "kind",
        "database",
        "user",
        "min_calls",
        "slow",
        "monitoring",
        "limit",
        "cursor",
    ];

    /// Reads the parameters of an address: those of the page and of the API are the same. Empty values are absent ones.
    ///
    /// # Errors
    /// The parameter's name, and what is allowed.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, (String, String)> {
        let text = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let wrong = |name: &str| {
            let name = name.to_owned();
            move |message: String| (name, message)
        };
        let flag = |name: &str| match text(name).as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err((name.to_owned(), format!("'{other}' is neither 1 nor 0"))),
        };
        let mut params = Self {
            cluster: text("cluster"),
            search: text("q"),
            database: text("database"),
            user: text("user"),
            cursor: text("cursor"),
            ..Self::default()
        };
        if let Some(live) = text("range") {
            params.live = live.parse().map_err(wrong("range"))?;
        }
        params.range = Range::read(text)?;
        if let Some(compare) = text("compare") {
            params.compare = compare.parse().map_err(wrong("compare"))?;
        }
        if let Some(sort) = text("sort") {
            let (descending, column) = sort.strip_prefix('-').map_or((false, sort.as_str()), |column| (true, column));
            params.sort = column.parse().map_err(wrong("sort"))?;
            params.descending = descending;
        }
        if let Some(kind) = text("kind") {
            params.kind = Some(kind.parse().map_err(wrong("kind"))?);
        }
        if let Some(calls) = text("min_calls") {
            let allowed = |_| ("min_calls".to_owned(), "executions at least, a whole number".to_owned());
            params.min_calls = Some(calls.parse().map_err(allowed)?);
        }
        if let Some(limit) = text("limit") {
            params.limit = limit.parse().map_err(|_| ("limit".to_owned(), "rows of a page, a number".to_owned()))?;
            rows_of_page(u64::from(params.limit), Self::MOST_ROWS).map_err(|message| ("limit".to_owned(), message))?;
        }
        params.slow_only = flag("slow")?;
        params.hide_monitoring = !flag("monitoring")?;
        Ok(params)
    }

    /// The parameters that differ from the defaults, in a fixed order: the canonical address.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        let mut pairs = Vec::new();
        let mut push = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        push("cluster", self.cluster.clone());
        for (name, value) in self.range.pairs(self.live) {
            push(name, Some(value));
        }
        push("compare", (self.compare != default.compare).then(|| self.compare.to_string()));
        let sort = format!("{}{}", if self.descending { "-" } else { "" }, self.sort);
        push("sort", (self.sort != default.sort || self.descending != default.descending).then_some(sort));
        push("q", self.search.clone());
        push("kind", self.kind.map(|kind| kind.as_str().to_owned()));
        push("database", self.database.clone());
        push("user", self.user.clone());
        push("min_calls", self.min_calls.map(|calls| calls.to_string()));
        push("slow", self.slow_only.then(|| "1".to_owned()));
        push("monitoring", (!self.hide_monitoring).then(|| "1".to_owned()));
        push("limit", (self.limit != default.limit).then(|| self.limit.to_string()));
        push("cursor", self.cursor.clone());
        pairs
    }
}

/// One statement over the range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueryRow {
    /// Id for `/queries/{id}`.
    pub id: String,
    /// `queryid` as text.
    pub fingerprint: String,
    /// Normalised text, white space collapsed, at most 400 characters.
    pub query: String,
    /// Kind.
    pub kind: QueryKind,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Executions.
    pub calls: i64,
    /// Executions per second.
    pub calls_per_second: f64,
    /// Time in it.
    pub total_ms: f64,
    /// Share of all statements' time.
    pub total_percent: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Standard deviation over the range, recovered from the cumulative one.
    pub stddev_ms: Option<f64>,
    /// Longest since the entry was made (not only in the range).
    pub max_ms: Option<f64>,
    /// Rows a call.
    pub rows_per_call: f64,
    /// Shared-buffer hit ratio; `None` when it touched no block.
    pub hit_percent: Option<f64>,
    /// Blocks read from outside the cache, in bytes.
    pub read_bytes: i64,
    /// Temporary files written.
    pub temp_bytes: i64,
    /// WAL generated.
    pub wal_bytes: i64,
    /// By how much the mean is above that of the time compared with; `None` when nothing is compared or it did not run then.
    #[serde(default)]
    pub mean_change_percent: Option<f64>,
    /// Time per step over the range, for the sparkline; empty when not asked for.
    pub spark: Vec<Option<f64>>,
    /// What stands out.
    pub flags: Vec<QueryFlag>,
}

/// All statements that are not in the list, so that the totals add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OtherRow {
    /// How many.
    pub statements: i64,
    /// Their executions.
    pub calls: i64,
    /// Their time.
    pub total_ms: f64,
    /// Share of all statements' time.
    pub total_percent: f64,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueriesPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot it belongs to.
    pub sequence: u64,
    /// How far back was asked.
    pub range: Range,
    /// How much of it is really covered by history.
    pub window_seconds: f64,
    /// When the newest figures are from.
    pub collected_at: Option<Timestamp>,
    /// The rows.
    pub rows: Vec<QueryRow>,
    /// What follows this page and what the filter leaves out.
    pub other: OtherRow,
    /// Statements that match the filter.
    pub matching: i64,
    /// Statements with calls in the range.
    pub statements: i64,
    /// Of those, over the slow threshold.
    pub slow: i64,
    /// The threshold.
    pub slow_threshold_ms: f64,
    /// Their time.
    pub total_ms: f64,
    /// Databases to choose from.
    pub databases: Vec<String>,
    /// Users to choose from.
    pub users: Vec<String>,
    /// For the next page.
    pub next_cursor: Option<String>,
    /// Whether `pg_stat_statements` can be read, and what to do if not.
    pub availability: Availability,
    /// Entries evicted per hour, when known: the history has holes.
    pub evictions_per_hour: Option<f64>,
}

/// One statement in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueryDetail {
    /// Its figures over the range.
    pub row: QueryRow,
    /// The whole text, formatted.
    pub sql: String,
    /// First seen by us.
    pub first_seen_at: Timestamp,
    /// Last seen with calls.
    pub last_seen_at: Timestamp,
    /// How far back.
    pub range: Range,
    /// How much of it is covered by history.
    pub window_seconds: f64,
    /// 95th percentile is at most this (Cantelli's inequality, and the longest call).
    pub p95_at_most_ms: Option<f64>,
    /// 99th percentile is at most this (Cantelli's inequality, and the longest call).
    pub p99_at_most_ms: Option<f64>,
    /// Calls per second over time.
    pub calls: TimeSeries,
    /// Mean and deviation over time.
    pub mean: TimeSeries,
    /// Share of all time over time.
    pub share: TimeSeries,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_what_it_says() {
        let params = QueriesParams {
            sort: QuerySort::Mean,
            descending: false,
            search: Some("plugins".to_owned()),
            kind: Some(QueryKind::Dml),
            min_calls: Some(100),
            slow_only: true,
            hide_monitoring: false,
            limit: 25,
            ..QueriesParams::default()
        };
        let pairs = params.pairs();
        let read =
            QueriesParams::read(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone())).unwrap();
        assert_eq!(read, params);
        assert!(QueriesParams::default().pairs().is_empty());
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_is_allowed() {
        let (field, message) = QueriesParams::read(|name| (name == "sort").then(|| "-speed".to_owned())).unwrap_err();
        assert_eq!(field, "sort");
        assert!(message.contains("total, calls, mean"), "{message}");
        for bad in ["0", "501", "many", "-1"] {
            assert_eq!(QueriesParams::read(|name| (name == "limit").then(|| bad.to_owned())).unwrap_err().0, "limit");
        }
    }
}
