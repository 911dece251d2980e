//! Indexes and foreign keys.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One index: its catalogue facts and cumulative counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexCounters {
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Index.
    pub name: String,
    /// `indexrelid`.
    pub oid: u32,
    /// `indrelid`.
    pub table_oid: u32,
    /// `pg_get_indexdef`.
    pub definition: String,
    /// Access method: `btree`, `gin`, …
    pub method: String,
    /// Size of the main fork by `relpages`; exact sizes block behind DDL.
    pub bytes: i64,
    /// Estimated rows of the table.
    pub table_rows: f64,
    /// Attribute numbers in order; 0 is an expression (`indkey`).
    pub key: Vec<i16>,
    /// How many of `key` are key columns, the rest being `INCLUDE`.
    pub key_columns: i16,
    /// Operator classes (`indclass`).
    pub classes: Vec<u32>,
    /// Collations (`indcollation`).
    pub collations: Vec<u32>,
    /// Sort options (`indoption`).
    pub options: Vec<i16>,
    /// Predicate of a partial index.
    pub predicate: Option<String>,
    /// Expressions, if any.
    pub expressions: Option<String>,
    /// `indisunique`.
    pub unique: bool,
    /// `indisprimary`.
    pub primary: bool,
    /// `indisvalid`.
    pub valid: bool,
    /// `indisready`.
    pub ready: bool,
    /// `indisreplident`.
    pub replica_identity: bool,
    /// A constraint stands on it (primary key, unique, exclusion, or a foreign key pointing here).
    pub backs_constraint: bool,
    /// The parent of partitions' indexes: it has no storage of its own.
    pub partitioned: bool,
    /// The partitioned index it is attached to, as `schema.name`.
    pub parent: Option<String>,
    /// Being built now (`pg_stat_progress_create_index`).
    pub building: bool,
    /// `idx_scan`.
    pub scans: i64,
    /// `idx_tup_read`.
    pub rows_read: i64,
    /// `idx_tup_fetch`.
    pub rows_fetched: i64,
    /// `last_idx_scan` (16+).
    pub last_scan: Option<Timestamp>,
    /// `idx_blks_hit`.
    pub blks_hit: i64,
    /// `idx_blks_read`.
    pub blks_read: i64,
    /// Writes to the table so far: insertions, non-HOT updates, deletions.
    pub table_writes: i64,
}

/// A foreign key and whether an index starts with its columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Database.
    pub database: String,
    /// Schema of the referencing table.
    pub schema: String,
    /// Referencing table.
    pub table: String,
    /// Constraint name.
    pub name: String,
    /// `pg_get_constraintdef`.
    pub definition: String,
    /// Columns in order.
    pub columns: Vec<String>,
    /// Referenced table, schema-qualified.
    pub references: String,
    /// Estimated rows of the referencing table.
    pub table_rows: f64,
    /// Size of the referencing table by `relpages`.
    pub table_bytes: i64,
    /// A valid, not partial index leads with these columns in any order.
    pub indexed: bool,
}

/// The indexes and foreign keys of all databases that could be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexReading {
    /// User indexes.
    pub rows: Vec<IndexCounters>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Per database, when its counters were last reset.
    pub stats_reset: Vec<(String, Option<Timestamp>)>,
    /// Databases that could not be read, with the reason.
    pub skipped: Vec<(String, String)>,
}
