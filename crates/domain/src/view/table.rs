//! Tables: sizes, use, and how vacuum keeps up.
use super::{Availability, TimeSeries};
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How near a table is to being vacuumed by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VacuumTrigger {
    /// Dead rows now.
    pub dead_rows: i64,
    /// Dead rows at which autovacuum comes, by the settings and the table's own.
    pub dead_threshold: i64,
    /// Rows inserted since the last vacuum.
    pub inserted_rows: i64,
    /// Inserted rows at which autovacuum comes; `None` when switched off.
    pub inserted_threshold: Option<i64>,
    /// The nearer of the two, in percent; over 100 means that it is due.
    pub percent: f64,
    /// The table has autovacuum switched off.
    pub disabled: bool,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableRow {
    /// `database.schema.name`: its id in addresses and in history.
    pub key: String,
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// The partitioned table it belongs to.
    pub parent: Option<String>,
    /// Heap, TOAST and indexes.
    pub total_bytes: i64,
    /// Heap.
    pub heap_bytes: i64,
    /// TOAST.
    pub toast_bytes: i64,
    /// Indexes.
    pub index_bytes: i64,
    /// Rows by the planner's estimate.
    pub rows: f64,
    /// Dead rows.
    pub dead_rows: i64,
    /// Dead of all.
    pub dead_percent: Option<f64>,
    /// What the heap would lose if it were packed: an estimate from the planner's statistics; `None` for small tables
    /// and where the statistics cannot be seen.
    pub bloat_estimate_bytes: Option<i64>,
    /// Sequential scans since the counters began.
    pub seq_scans: i64,
    /// Rows read by them.
    pub seq_rows_read: i64,
    /// Index scans since the counters began.
    pub index_scans: i64,
    /// Sequential scans per second between the last two readings.
    pub seq_scans_per_second: Option<f64>,
    /// Rows read by sequential scans per second between the last two readings.
    pub seq_rows_read_per_second: Option<f64>,
    /// Index scans per second between the last two readings.
    pub index_scans_per_second: Option<f64>,
    /// Rows inserted, updated and deleted per second between the last two readings.
    pub writes_per_second: Option<f64>,
    /// Updates that touched no index (HOT), of all.
    pub hot_percent: Option<f64>,
    /// Last vacuum, by hand or by itself.
    pub last_vacuum: Option<Timestamp>,
    /// Last analyze, by hand or by itself.
    pub last_analyze: Option<Timestamp>,
    /// Rows changed since.
    pub changed_since_analyze: i64,
    /// Age of its oldest transaction id.
    pub xid_age: Option<i64>,
    /// How near it is to being vacuumed.
    pub vacuum: VacuumTrigger,
}

/// One database (`pg_stat_database`); its counters are since `since`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatabaseRow {
    /// Name.
    pub name: String,
    /// Size on disk; `None` when it is not read yet or our role may not.
    pub bytes: Option<i64>,
    /// Backends connected now.
    pub backends: i64,
    /// Transactions, committed and rolled back.
    pub transactions: i64,
    /// Of those, rolled back, in percent.
    pub rollback_percent: Option<f64>,
    /// Blocks found in shared buffers, in percent.
    pub hit_percent: Option<f64>,
    /// Bytes written to temporary files.
    pub temp_bytes: i64,
    /// Deadlocks.
    pub deadlocks: i64,
    /// Age of its oldest id, transaction's or multixact's.
    pub xid_age: Option<i64>,
    /// When the counters were last reset.
    pub since: Option<Timestamp>,
}

/// All tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TablesPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Whether it can be read.
    pub availability: Availability,
    /// The tables, the largest first.
    pub rows: Vec<TableRow>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
    /// The databases, the largest first.
    #[serde(default)]
    pub databases: Vec<DatabaseRow>,
    /// Larger tables without a bloat estimate, because their statistics cannot be seen.
    pub without_statistics: i64,
}

/// Where a size will be, by a straight line through its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// How far ahead.
    pub days: f64,
    /// Growth a day.
    pub bytes_per_day: f64,
    /// The most likely size.
    pub bytes: f64,
    /// Lower end of the interval.
    pub low_bytes: f64,
    /// Upper end of the interval: 95 % of what is drawn from this line would lie within, if the growth goes on as it was.
    pub high_bytes: f64,
    /// How long a history it rests on.
    pub history_days: f64,
}

/// One table with its growth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableDetail {
    /// Its figures.
    pub row: TableRow,
    /// Its size over the range.
    pub growth: TimeSeries,
    /// In 30 days; `None` while there is too little history.
    pub forecast: Option<Forecast>,
    /// Why there is none.
    pub forecast_missing: Option<String>,
    /// Statements that name it and ran in the range, by their time; at most 25.
    #[serde(default)]
    pub statements: Vec<TableStatement>,
    /// Its indexes, the largest first.
    #[serde(default)]
    pub indexes: Vec<TableIndex>,
    /// Its columns in their order, with what the planner's statistics say of each.
    #[serde(default)]
    pub columns: Vec<TableColumn>,
    /// When the columns were read; that is seldom, each hour with the ordinary interval.
    #[serde(default)]
    pub columns_at: Option<Timestamp>,
    /// Why there are no columns; `None` when there are.
    #[serde(default)]
    pub columns_missing: Option<String>,
}

/// A statement that reads or changes a table, by its parsed text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableStatement {
    /// Id for `/queries/{id}`.
    pub id: String,
    /// Text on one line.
    pub query: String,
    /// `reads` or `changes`.
    pub how: String,
    /// Calls in the range.
    pub calls: i64,
    /// Time of all calls.
    pub total_ms: f64,
    /// Time of one.
    pub mean_ms: f64,
    /// Its share of all statements' time in the range.
    pub total_percent: f64,
}

/// An index of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableIndex {
    /// `database.schema.name`, for `/indexes/{index}`.
    pub key: String,
    /// Name.
    pub name: String,
    /// Definition.
    pub definition: String,
    /// Size.
    pub bytes: i64,
    /// Scans since the counters began, on all nodes.
    pub scans: i64,
    /// `primary`, `unique`, `invalid`, … and what was found: `unused`, `duplicate`.
    pub labels: Vec<String>,
}

/// A column and what the planner's statistics say of it (`pg_stats`): shares and numbers, never a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// Type as PostgreSQL writes it: `numeric(12,2)`.
    pub data_type: String,
    /// It takes no NULL.
    pub not_null: bool,
    /// Its default, or how it is generated, with `?` for literals (but for the name of its sequence); at most some 200
    /// characters.
    pub default: Option<String>,
    /// Whether there are statistics; `None` where our role may not see them.
    pub has_statistics: Option<bool>,
    /// Why none are shown, with the cure; `None` when they are.
    pub statistics_missing: Option<String>,
    /// How many common values, and bounds of a histogram, ANALYZE keeps of it at most: its own target, or the server's.
    pub statistics_target: i32,
    /// The target is its own (`ALTER COLUMN … SET STATISTICS`).
    pub statistics_target_own: bool,
    /// Different values: positive is a number, negative a part of the rows (-1: each has its own).
    pub n_distinct: Option<f64>,
    /// Part of the rows that is NULL, 0 to 1.
    pub null_fraction: Option<f64>,
    /// Bytes on average.
    pub average_width: Option<i32>,
    /// Order on disk against order of values, -1 to 1; `None` also for types that have no order.
    pub correlation: Option<f64>,
    /// How many most common values are kept; 0 when none is more common than the others.
    pub most_common_values: Option<i32>,
    /// Part of the rows that has the most common value, 0 to 1.
    pub most_common_fraction: Option<f64>,
}

/// The columns of the larger tables of all databases as they were last read: what the page of one table takes its own from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnsKept {
    /// When they were read.
    pub collected_at: Option<Timestamp>,
    /// By the key of the table, in their order.
    pub tables: HashMap<String, Vec<TableColumn>>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Why the last attempt read nothing at all; what was read before it is kept.
    pub failed: Option<String>,
}
