//! Indexes.
use super::{AdviceFinding, Availability, IndexSuggestion, TimeSeries};
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum IndexTab {
    /// All.
    #[default]
    All,
    /// Never scanned and droppable.
    Unused,
    /// Covered by another.
    Duplicate,
    /// Left over by a failed build.
    Invalid,
    /// Foreign keys without an index.
    MissingForeignKey,
}

impl IndexTab {
    /// All tabs.
    pub const ALL: [Self; 5] = [Self::All, Self::Unused, Self::Duplicate, Self::Invalid, Self::MissingForeignKey];
    /// Value in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Unused => "unused",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::MissingForeignKey => "missing_foreign_key",
        }
    }
    /// On the tab.
    pub const fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Unused => "Unused",
            Self::Duplicate => "Duplicate",
            Self::Invalid => "Invalid",
            Self::MissingForeignKey => "Missing foreign key",
        }
    }
}

impl FromStr for IndexTab {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|tab| tab.as_str() == text).ok_or_else(|| {
            format!("'{text}' is not a list of indexes; use one of {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

/// How one index covers another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKind {
    /// The same columns, classes, order and predicate.
    Exact,
    /// The columns are the first ones of the other.
    Prefix,
}

/// What was found about an index, with the evidence and the commands to copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IndexFinding {
    /// No scan since the counters began, here and on every standby we watch.
    Unused {
        /// "0 scans on 2 nodes since 12 Aug".
        evidence: String,
        /// `DROP INDEX CONCURRENTLY …`.
        drop_sql: String,
        /// `CREATE INDEX CONCURRENTLY …` to undo it.
        undo_sql: String,
    },
    /// Another index does the same.
    Duplicate {
        /// How.
        how: DuplicateKind,
        /// Which other index, as `schema.name`.
        covered_by: String,
        /// Why it is safe, or what to look at.
        evidence: String,
        /// `DROP INDEX CONCURRENTLY …`.
        drop_sql: String,
        /// `CREATE INDEX CONCURRENTLY …` to undo it.
        undo_sql: String,
    },
    /// `indisvalid` is false and nobody builds it now: it costs writes and serves no query.
    Invalid {
        /// Why.
        evidence: String,
        /// Drop and build again.
        rebuild_sql: String,
    },
}

/// One index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexRow {
    /// `database.schema.name`.
    pub key: String,
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Index.
    pub name: String,
    /// Definition.
    pub definition: String,
    /// Access method.
    pub method: String,
    /// Size.
    pub bytes: i64,
    /// Scans since the counters began, on all nodes we watch.
    pub scans: i64,
    /// Scans per second since the last reading.
    pub scans_per_second: Option<f64>,
    /// Scans on each node we watch, when there are several: name and number.
    pub node_scans: Vec<(String, i64)>,
    /// Last scan on any node, as the servers tell it (16+).
    pub last_scan: Option<Timestamp>,
    /// Where no server tells: the last time that our own history saw the number of scans rise, to the hour. `None` when it
    /// did not, or the index is too small to be recorded.
    #[serde(default)]
    pub last_seen_rising: Option<Timestamp>,
    /// What could be given back by REINDEX, by the planner's statistics: an estimate, of btree indexes of 1 MiB and more.
    #[serde(default)]
    pub bloat_estimate_bytes: Option<i64>,
    /// Rows read.
    pub rows_read: i64,
    /// Rows fetched.
    pub rows_fetched: i64,
    /// Shared-buffer hit ratio; `None` when it touched no block.
    pub hit_percent: Option<f64>,
    /// Writes to its table per second since the last reading: what it costs to keep.
    pub table_writes_per_second: Option<f64>,
    /// `primary`, `unique`, `constraint`, `partial`, `expression`, `replica identity`, `invalid`, `building`.
    pub labels: Vec<String>,
    /// What was found.
    pub findings: Vec<IndexFinding>,
}

/// A foreign key without an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingForeignKey {
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Referencing table.
    pub table: String,
    /// Constraint.
    pub constraint: String,
    /// Definition.
    pub definition: String,
    /// Estimated rows of the referencing table.
    pub table_rows: f64,
    /// Size of the referencing table.
    pub table_bytes: i64,
    /// Why it matters.
    pub evidence: String,
    /// `CREATE INDEX CONCURRENTLY …`.
    pub create_sql: String,
    /// `DROP INDEX CONCURRENTLY …` to undo it.
    pub undo_sql: String,
}

/// Indexes and what was found about them; pages filter, sort and cut it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexesPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot it belongs to.
    pub sequence: u64,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Nodes whose scans were added up.
    pub nodes: Vec<String>,
    /// When counting began on the node that was reset last.
    pub counting_since: Option<Timestamp>,
    /// The indexes, the largest first.
    pub rows: Vec<IndexRow>,
    /// Foreign keys without an index, the largest table first.
    pub missing_foreign_keys: Vec<MissingForeignKey>,
    /// Size of unused, duplicate and invalid ones together.
    pub wasted_bytes: i64,
    /// Findings that somebody put aside; they are left out here and stay among the advice.
    #[serde(default)]
    pub put_aside: i64,
    /// Number on each tab, in the order of [`IndexTab::ALL`].
    pub counts: Vec<i64>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Whether indexes can be read.
    pub availability: Availability,
}

/// Another index of the same table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SimilarIndex {
    /// `database.schema.name`.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its definition.
    pub definition: String,
    /// Its size.
    pub bytes: i64,
    /// Its scans since the counters began, on all nodes.
    pub scans: i64,
    /// `covers this one`, `covered by this one`, or empty.
    pub relation: String,
}

/// One index in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexDetail {
    /// Id of the cluster.
    pub cluster: String,
    /// Its figures.
    pub row: IndexRow,
    /// Key columns and expressions in order, as in the definition.
    pub columns: Vec<String>,
    /// Columns that are stored with the key (`INCLUDE`).
    pub included: Vec<String>,
    /// Condition of a partial index.
    pub predicate: Option<String>,
    /// Key of its table, for `/tables/{table}`.
    pub table_key: String,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Nodes whose scans were added up.
    pub nodes: Vec<String>,
    /// When counting began on the node that was reset last.
    pub counting_since: Option<Timestamp>,
    /// Its size over the range, recorded each hour while it is among the 300 largest.
    pub size: TimeSeries,
    /// Scans an hour on all nodes over the range.
    pub scans: TimeSeries,
    /// Blocks found in shared buffers, in percent of those touched in each hour, on the server itself.
    pub hit: TimeSeries,
    /// Other indexes of the table, those that cover it or are covered first.
    pub similar: Vec<SimilarIndex>,
    /// What was found about it, with what was put aside.
    pub findings: Vec<AdviceFinding>,
    /// Indexes that are suggested for its table.
    pub suggestions: Vec<IndexSuggestion>,
}
