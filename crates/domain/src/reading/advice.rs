//! What advice on indexes needs to know of tables: columns with the planner's statistics.

/// One column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdviceColumn {
    /// `attnum`.
    pub number: i16,
    /// Name.
    pub name: String,
    /// A btree can hold it and be searched by it.
    pub sortable: bool,
    /// Distinct values: positive is a number, negative a part of the rows; `None` without statistics.
    pub n_distinct: Option<f64>,
    /// Part that is NULL.
    pub null_fraction: Option<f64>,
    /// Bytes on average.
    pub width: Option<i32>,
    /// Order on disk against order of values, -1 to 1.
    pub correlation: Option<f64>,
}

/// One table, or a partitioned one as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdviceTable {
    /// `oid`.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Partitions that hold rows, as (schema, name); empty: it is not partitioned.
    pub partitions: Vec<(String, String)>,
    /// It has partitions, even if none of them is there yet.
    pub partitioned: bool,
    /// Estimated rows.
    pub rows: f64,
    /// Size of the heap by `relpages`.
    pub pages: f64,
    /// Columns.
    pub columns: Vec<AdviceColumn>,
}
