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
    /// Databases whose tables were read and whose sequences were not: somebody was altering one.
    pub sequences_unread: Vec<String>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// One column and what the planner's statistics say of it: shares and numbers, never a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// `attrelid`.
    pub table_oid: u32,
    /// The table has partitions: the statistics are those of the whole.
    pub partitioned: bool,
    /// Name.
    pub name: String,
    /// Type, as `format_type` writes it.
    pub data_type: String,
    /// It takes no NULL.
    pub not_null: bool,
    /// The expression of its default, or by which it is generated.
    pub expression: Option<String>,
    /// `attidentity`: `a`, `d` or empty.
    pub identity: String,
    /// `attgenerated`: `s`, `v` (18+) or empty.
    pub generated: String,
    /// Its own statistics target; `None`: the server's.
    pub target: Option<i32>,
    /// `default_statistics_target`.
    pub default_target: i32,
    /// Our role may read the column, and so see its statistics, or was granted the statistics alone.
    pub readable: bool,
    /// Row security hides the table's statistics from our role.
    pub row_security: bool,
    /// There are statistics that we see.
    pub seen: bool,
    /// Different values: positive is a number, negative a part of the rows.
    pub n_distinct: Option<f64>,
    /// Part that is NULL.
    pub null_fraction: Option<f64>,
    /// Bytes on average.
    pub width: Option<i32>,
    /// Order on disk against order of values, -1 to 1.
    pub correlation: Option<f64>,
    /// How many most common values are kept.
    pub most_common: Option<i32>,
    /// Part of the rows that has the most common one.
    pub most_common_fraction: Option<f64>,
}

/// The columns of the larger tables of all databases that could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnReading {
    /// The columns of each table in their order.
    pub rows: Vec<ColumnStatistics>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
}
