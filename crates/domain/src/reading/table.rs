//! Tables.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One table: size, cumulative counters and vacuum state (`pg_stat_user_tables`, `pg_class`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableCounters {
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// `relid`.
    pub oid: u32,
    /// The partitioned table it belongs to, as `schema.name`.
    pub parent: Option<String>,
    /// Heap by `relpages`.
    pub heap_bytes: i64,
    /// TOAST by `relpages`.
    pub toast_bytes: i64,
    /// Indexes by `relpages`.
    pub index_bytes: i64,
    /// Estimated rows.
    pub rows: f64,
    /// Live rows by the statistics.
    pub live_rows: i64,
    /// Dead rows by the statistics.
    pub dead_rows: i64,
    /// Sequential scans.
    pub seq_scans: i64,
    /// Rows read by them.
    pub seq_rows_read: i64,
    /// Index scans.
    pub index_scans: i64,
    /// Rows inserted.
    pub inserted: i64,
    /// Rows updated.
    pub updated: i64,
    /// Of those, heap-only.
    pub hot_updated: i64,
    /// Rows deleted.
    pub deleted: i64,
    /// Rows changed since the last analyze.
    pub changed_since_analyze: i64,
    /// Last manual or automatic vacuum.
    pub last_vacuum: Option<Timestamp>,
    /// Last manual or automatic analyze.
    pub last_analyze: Option<Timestamp>,
    /// `age(relfrozenxid)`.
    pub xid_age: Option<i64>,
    /// Rows inserted since the last vacuum.
    pub inserted_since_vacuum: i64,
    /// Storage parameters: `autovacuum_enabled=false`, …
    pub options: Vec<String>,
}

/// What a table's heap would take if it were packed, by the planner's statistics: an estimate, good to some ten percent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BloatEstimate {
    /// Database.
    pub database: String,
    /// `relid`.
    pub oid: u32,
    /// Average width of a row's data; `None` when its columns' statistics cannot be seen or are not there.
    pub row_bytes: Option<f64>,
    /// Rows.
    pub rows: f64,
    /// Pages.
    pub pages: i64,
    /// Size of a page.
    pub block_bytes: i64,
    /// `fillfactor` in percent.
    pub fillfactor: i64,
}

/// A sequence that is at least half used up (`pg_sequences`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SequenceUse {
    /// `database.schema.name`.
    pub key: String,
    /// The last value given out.
    pub last_value: i64,
    /// Part of its range that is used, in percent.
    pub used_percent: f64,
}

/// The tables of all databases that could be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableReading {
    /// User tables.
    pub rows: Vec<TableCounters>,
    /// Sequences that do not begin anew and are half used up, of those that our role may see: it needs USAGE or SELECT.
    pub sequences: Vec<SequenceUse>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
}
