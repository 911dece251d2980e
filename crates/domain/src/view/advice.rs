//! Advice: indexes that would help the statements that run, and what was put aside.
use super::Availability;
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// How sure a suggestion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdviceBasis {
    /// From the size of the table and the statistics alone: the statement could not be planned.
    Guess,
    /// The plan before is the server's, the cost after is estimated by us.
    Estimate,
    /// Both plans are the server's, the one after with a hypothetical index (HypoPG).
    Hypopg,
}

impl AdviceBasis {
    /// On the badge.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Guess => "rough estimate",
            Self::Estimate => "estimated",
            Self::Hypopg => "verified by HypoPG",
        }
    }
}

/// A statement that a suggestion helps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HelpedStatement {
    /// Id for `/queries/{id}`.
    pub id: String,
    /// Text on one line.
    pub query: String,
    /// Calls in the window.
    pub calls: i64,
    /// Its share of all statements' time in the window.
    pub total_percent: f64,
    /// Planner's cost now.
    pub cost_before: f64,
    /// Planner's cost with the index.
    pub cost_after: f64,
    /// Less cost, in percent.
    pub saving_percent: f64,
}

/// Something put aside by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dismissal {
    /// What: the `key` of a suggestion or finding.
    pub key: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when; `None`: until it is taken back.
    pub until: Option<Timestamp>,
}

/// An index that would help. It is never made by us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexSuggestion {
    /// Stable name of the suggestion: `index:database.schema.table(columns)`.
    pub key: String,
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Key columns in order, with `DESC` where it is.
    pub columns: Vec<String>,
    /// How sure it is.
    pub basis: AdviceBasis,
    /// Share of all statements' time in the window that the planner's costs let expect to be saved.
    pub benefit_percent: f64,
    /// The statements it helps, the most first.
    pub statements: Vec<HelpedStatement>,
    /// Rows of the table.
    pub table_rows: f64,
    /// Heap of the table.
    pub table_bytes: i64,
    /// Size to expect.
    pub size_bytes: i64,
    /// Rows written into the table per second: each becomes a write into the index too.
    pub writes_per_second: Option<f64>,
    /// Why, in sentences with figures.
    pub evidence: String,
    /// What it costs, in sentences with figures.
    pub cost: String,
    /// `CREATE INDEX CONCURRENTLY …`; for a partitioned table the whole script.
    pub create_sql: String,
    /// `DROP INDEX CONCURRENTLY …`.
    pub undo_sql: String,
    /// Put aside.
    pub dismissal: Option<Dismissal>,
}

/// What a review of the indexes found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexAdvice {
    /// Id of the cluster.
    pub cluster: String,
    /// When.
    pub reviewed_at: Option<Timestamp>,
    /// Statements of how long a time.
    pub window_seconds: f64,
    /// Statements looked at: those that cost most.
    pub statements: i64,
    /// Of those, not understood or not planned, with the reason and how many.
    pub left_out: Vec<(String, i64)>,
    /// Databases in which HypoPG is there.
    pub hypopg: Vec<String>,
    /// The suggestions, the most useful first.
    pub suggestions: Vec<IndexSuggestion>,
    /// Whether a review could be made.
    pub availability: Availability,
}

/// How much a finding about a setting matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SettingSeverity {
    /// Worth a thought.
    Info,
    /// It costs time, or hides what should be seen.
    Warning,
    /// Data or the service is at risk.
    Critical,
}

impl SettingSeverity {
    /// On the badge.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A setting that should be another, and why. It is never changed by us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingFinding {
    /// Stable name: `setting:work_mem`.
    pub key: String,
    /// The setting.
    pub name: String,
    /// How much it matters.
    pub severity: SettingSeverity,
    /// What is wrong, with the figures it is told by.
    pub reason: String,
    /// Value in use, with its unit.
    pub current: String,
    /// Value to think of.
    pub suggested: String,
    /// `ALTER SYSTEM …`, or what the service that runs the server has instead.
    pub sql: String,
    /// It takes effect at a restart only; else at a reload.
    pub restart: bool,
    /// Put aside.
    pub dismissal: Option<Dismissal>,
}

/// How a line of the guide's `postgresql.conf` stands to what is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GuideVerdict {
    /// As in the guide, and nothing speaks against it.
    Same,
    /// Another value, and nothing speaks against it here.
    Fits,
    /// A finding advises another value, whatever the guide has.
    Advised,
    /// The server has no such setting.
    Absent,
}

impl GuideVerdict {
    /// On the badge.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Same => "as in the guide",
            Self::Fits => "differs, and fits",
            Self::Advised => "see the advice",
            Self::Absent => "not there",
        }
    }
}

/// A line of the guide's `postgresql.conf` beside what is in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GuideSetting {
    /// The setting.
    pub name: String,
    /// What the guide has.
    pub guide: String,
    /// What is in use, as `SHOW` writes it.
    pub current: Option<String>,
    /// How they stand to each other.
    pub verdict: GuideVerdict,
    /// Why, by the figures of this machine and its workload where they are known.
    pub reason: String,
}

/// A finding about an index that is there, or a foreign key without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdviceFinding {
    /// Stable name: `unused:database.schema.index`, `duplicate:…`, `invalid:…`, `missing_foreign_key:…`.
    pub key: String,
    /// What kind.
    pub kind: String,
    /// Index or constraint.
    pub name: String,
    /// Database, schema and table.
    pub place: String,
    /// Size of the index, or of the table that lacks one.
    pub bytes: i64,
    /// Why.
    pub evidence: String,
    /// What to run.
    pub sql: String,
    /// How to undo it.
    pub undo_sql: Option<String>,
    /// Put aside.
    pub dismissal: Option<Dismissal>,
}

/// Everything that is advised about the indexes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdvicePage {
    /// Id of the cluster.
    pub cluster: String,
    /// Indexes to make.
    pub advice: IndexAdvice,
    /// Indexes to drop or build again, and foreign keys without one.
    pub findings: Vec<AdviceFinding>,
    /// What was put aside and is so still, also of what is no longer found.
    pub dismissals: Vec<Dismissal>,
}
