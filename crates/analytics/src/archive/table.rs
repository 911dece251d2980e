//! Rows by column: from PostgreSQL, to Parquet and back, and as lines of COPY.
use crate::rollup::Kind;
use bytes::Bytes;
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    column::{reader::ColumnReader, writer::ColumnWriter},
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    schema::types::Type,
};
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, postgres::PgRow};
use std::{fmt::Write as _, sync::Arc};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Whole,
    Real,
    Text,
    /// Microseconds since 1970, UTC.
    Moment,
}

struct Spec {
    name: &'static str,
    holds: Holds,
    optional: bool,
    /// How PostgreSQL gives it.
    sql: &'static str,
}

const fn spec(name: &'static str, holds: Holds, optional: bool, sql: &'static str) -> Spec {
    Spec { name, holds, optional, sql }
}

const MOMENT: &str = "(extract(epoch FROM \"timestamp\") * 1000000)::int8";
const EVENTS: [Spec; 8] = [
    spec("plugin_id", Holds::Whole, false, "plugin_id"),
    spec("tenant_id", Holds::Whole, true, "tenant_id"),
    spec("event_type", Holds::Text, false, "event_type"),
    spec("user_id", Holds::Text, true, "user_id"),
    spec("country", Holds::Text, true, "country::text"),
    spec("properties", Holds::Text, false, "properties::text"),
    spec("timestamp", Holds::Moment, false, MOMENT),
    spec("event_id", Holds::Text, true, "event_id"),
];
const METRICS: [Spec; 5] = [
    spec("plugin_id", Holds::Whole, false, "plugin_id"),
    spec("tenant_id", Holds::Whole, true, "tenant_id"),
    spec("metric_name", Holds::Text, false, "metric_name"),
    spec("value", Holds::Real, false, "value"),
    spec("timestamp", Holds::Moment, false, MOMENT),
];

const fn specs(kind: Kind) -> &'static [Spec] {
    match kind {
        Kind::Events => &EVENTS,
        Kind::Metrics => &METRICS,
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Column {
    Whole(Vec<Option<i64>>),
    Real(Vec<f64>),
    Text(Vec<Option<ByteArray>>),
}

/// Rows of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    kind: Kind,
    columns: Vec<Column>,
    rows: usize,
}

/// A sum over rows that knows no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checksum(pub(crate) u128);

impl Checksum {
    pub(crate) const fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Table {
    pub(crate) fn new(kind: Kind) -> Self {
        let columns = specs(kind)
            .iter()
            .map(|spec| match spec.holds {
                Holds::Whole | Holds::Moment => Column::Whole(Vec::new()),
                Holds::Real => Column::Real(Vec::new()),
                Holds::Text => Column::Text(Vec::new()),
            })
            .collect();
        Self { kind, columns, rows: 0 }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// The columns as PostgreSQL selects them.
    pub(crate) fn select(kind: Kind) -> String {
        specs(kind).iter().map(|spec| spec.sql).collect::<Vec<_>>().join(", ")
    }

    /// The columns' names, the moment in microseconds, with the types of a table that takes COPY.
    pub(crate) fn staging(kind: Kind) -> String {
        let of = |spec: &Spec| match spec.holds {
            Holds::Whole => "bigint",
            Holds::Real => "double precision",
            Holds::Text => "text",
            Holds::Moment => "bigint",
        };
        specs(kind).iter().map(|spec| format!("\"{}\" {}", spec.name, of(spec))).collect::<Vec<_>>().join(", ")
    }

    /// Names of the columns, and how they come out of the staging table.
    pub(crate) fn unstage(kind: Kind) -> (String, String) {
        let names = specs(kind).iter().map(|spec| format!("\"{}\"", spec.name)).collect::<Vec<_>>().join(", ");
        let values = specs(kind)
            .iter()
            .map(|spec| match (spec.holds, spec.name) {
                (Holds::Moment, name) => format!("timestamptz 'epoch' + interval '1 microsecond' * \"{name}\""),
                (_, "properties") => "properties::jsonb".to_owned(),
                (_, name) => format!("\"{name}\""),
            })
            .collect::<Vec<_>>()
            .join(", ");
        (names, values)
    }

    /// Adds a row of [`Self::select`].
    pub(crate) fn push(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        for (i, column) in self.columns.iter_mut().enumerate() {
            match column {
                Column::Whole(values) => values.push(row.try_get(i)?),
                Column::Real(values) => values.push(row.try_get(i)?),
                Column::Text(values) => {
                    values.push(row.try_get::<Option<String>, _>(i)?.map(|text| ByteArray::from(text.into_bytes())));
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn index(&self, name: &str) -> usize {
        specs(self.kind).iter().position(|spec| spec.name == name).unwrap_or_default()
    }

    fn whole(&self, name: &str, row: usize) -> Option<i64> {
        match self.columns.get(self.index(name)) {
            Some(Column::Whole(values)) => values.get(row).copied().flatten(),
            _ => None,
        }
    }

    /// Microseconds since 1970.
    pub(crate) fn moment(&self, row: usize) -> i64 {
        self.whole("timestamp", row).unwrap_or_default()
    }

    pub(crate) fn tenant(&self, row: usize) -> Option<i64> {
        self.whole("tenant_id", row)
    }

    /// Whether a row of events tells of this user.
    pub(crate) fn is_of(&self, row: usize, user: &str) -> bool {
        self.kind == Kind::Events
            && matches!(self.columns.get(self.index("user_id")), Some(Column::Text(values))
                if values.get(row).is_some_and(|it| it.as_ref().is_some_and(|it| it.data() == user.as_bytes())))
    }

    /// Keeps the rows that `keep` says.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        fn only<T>(values: &mut Vec<T>, keep: &[bool]) {
            let mut row = 0;
            values.retain(|_| {
                row += 1;
                keep.get(row - 1).copied().unwrap_or(true)
            });
        }
        for column in &mut self.columns {
            match column {
                Column::Whole(values) => only(values, keep),
                Column::Real(values) => only(values, keep),
                Column::Text(values) => only(values, keep),
            }
        }
        self.rows = keep.iter().filter(|it| **it).count();
    }

    /// Of all rows.
    pub(crate) fn checksum(&self) -> Checksum {
        let mut sum = Checksum::default();
        for row in 0..self.rows {
            let mut hasher = Sha256::new();
            for column in &self.columns {
                match column {
                    Column::Whole(values) => match values[row] {
                        None => hasher.update([0]),
                        Some(value) => {
                            hasher.update([1]);
                            hasher.update(value.to_le_bytes());
                        }
                    },
                    Column::Real(values) => hasher.update(values[row].to_bits().to_le_bytes()),
                    Column::Text(values) => match &values[row] {
                        None => hasher.update([0]),
                        Some(value) => {
                            hasher.update([1]);
                            hasher.update((value.len() as u64).to_le_bytes());
                            hasher.update(value.data());
                        }
                    },
                }
            }
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hasher.finalize()[..16]);
            sum.add(Checksum(u128::from_le_bytes(bytes)));
        }
        sum
    }

    /// Appends a row as a line of COPY into [`Self::staging`].
    pub(crate) fn line(&self, row: usize, out: &mut String) {
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push('\t');
            }
            // Writing to a String cannot fail.
            match column {
                Column::Whole(values) => match values[row] {
                    None => out.push_str("\\N"),
                    Some(value) => {
                        let _ = write!(out, "{value}");
                    }
                },
                Column::Real(values) => {
                    let _ = write!(out, "{:?}", values[row]);
                }
                Column::Text(values) => match &values[row] {
                    None => out.push_str("\\N"),
                    Some(value) => {
                        for c in String::from_utf8_lossy(value.data()).chars() {
                            match c {
                                '\\' => out.push_str("\\\\"),
                                '\t' => out.push_str("\\t"),
                                '\n' => out.push_str("\\n"),
                                '\r' => out.push_str("\\r"),
                                c => out.push(c),
                            }
                        }
                    }
                },
            }
        }
        out.push('\n');
    }

    /// A row as JSON, for people.
    pub(crate) fn json(&self, row: usize) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        for (spec, column) in specs(self.kind).iter().zip(&self.columns) {
            let value = match column {
                Column::Whole(values) if spec.holds == Holds::Moment => {
                    serde_json::json!(domain::Timestamp(values[row].unwrap_or_default() / 1_000))
                }
                Column::Whole(values) => values[row].map_or(serde_json::Value::Null, |it| it.to_string().into()),
                Column::Real(values) => serde_json::json!(values[row]),
                Column::Text(values) => match &values[row] {
                    None => serde_json::Value::Null,
                    Some(text) if spec.name == "properties" => serde_json::from_slice(text.data()).unwrap_or_default(),
                    Some(text) => String::from_utf8_lossy(text.data()).into_owned().into(),
                },
            };
            object.insert(spec.name.to_owned(), value);
        }
        object.into()
    }

    fn schema(kind: Kind) -> Result<Arc<Type>, ParquetError> {
        let fields = specs(kind)
            .iter()
            .map(|spec| {
                let (physical, logical) = match spec.holds {
                    Holds::Whole => (Physical::INT64, None),
                    Holds::Real => (Physical::DOUBLE, None),
                    Holds::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                    Holds::Moment => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
                };
                let repetition = if spec.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
                let field = Type::primitive_type_builder(spec.name, physical)
                    .with_logical_type(logical)
                    .with_repetition(repetition)
                    .build()?;
                Ok(Arc::new(field))
            })
            .collect::<Result<Vec<_>, ParquetError>>()?;
        Ok(Arc::new(Type::group_type_builder(kind.as_str()).with_fields(fields).build()?))
    }

    /// As a Parquet file of one row group, zstd-compressed.
    pub(crate) fn to_parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
        let mut file = SerializedFileWriter::new(Vec::new(), Self::schema(self.kind)?, Arc::new(properties))?;
        let mut group = file.next_row_group()?;
        let mut columns = specs(self.kind).iter().zip(&self.columns);
        while let Some(mut writer) = group.next_column()? {
            let Some((spec, column)) = columns.next() else { break };
            let levels = |there: Vec<bool>| spec.optional.then(|| there.into_iter().map(i16::from).collect::<Vec<_>>());
            match (column, writer.untyped()) {
                (Column::Whole(values), ColumnWriter::Int64ColumnWriter(out)) => {
                    let levels = levels(values.iter().map(Option::is_some).collect());
                    let values = values.iter().flatten().copied().collect::<Vec<_>>();
                    out.write_batch(&values, levels.as_deref(), None)?;
                }
                (Column::Real(values), ColumnWriter::DoubleColumnWriter(out)) => {
                    out.write_batch(values, None, None)?;
                }
                (Column::Text(values), ColumnWriter::ByteArrayColumnWriter(out)) => {
                    let levels = levels(values.iter().map(Option::is_some).collect());
                    let values = values.iter().flatten().cloned().collect::<Vec<_>>();
                    out.write_batch(&values, levels.as_deref(), None)?;
                }
                _ => return Err(ParquetError::General(format!("column {} is of another type", spec.name))),
            }
            writer.close()?;
        }
        group.close()?;
        file.into_inner()
    }

    /// Reads what [`Self::to_parquet`] wrote; foreign columns are an error.
    pub(crate) fn from_parquet(kind: Kind, bytes: Vec<u8>) -> Result<Self, ParquetError> {
        let reader = SerializedFileReader::new(Bytes::from(bytes))?;
        let fields = reader.metadata().file_metadata().schema_descr().columns().iter().map(|it| it.name().to_owned());
        if !fields.eq(specs(kind).iter().map(|spec| spec.name.to_owned())) {
            return Err(ParquetError::General(format!("it does not have the columns of {}", kind.as_str())));
        }
        let mut table = Self::new(kind);
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows())
                .map_err(|_| ParquetError::General("a row group has a negative number of rows".to_owned()))?;
            for (i, (spec, column)) in specs(kind).iter().zip(&mut table.columns).enumerate() {
                // What is there is spread over what is not.
                fn spread<T>(values: Vec<T>, levels: &[i16], optional: bool) -> Vec<Option<T>> {
                    if !optional {
                        return values.into_iter().map(Some).collect();
                    }
                    let mut values = values.into_iter();
                    levels.iter().map(|level| if *level > 0 { values.next() } else { None }).collect()
                }
                let mut levels = Vec::new();
                let read = match (column, group.get_column_reader(i)?) {
                    (Column::Whole(out), ColumnReader::Int64ColumnReader(mut reader)) => {
                        let mut values = Vec::new();
                        reader.read_records(rows, spec.optional.then_some(&mut levels), None, &mut values)?;
                        let values = spread(values, &levels, spec.optional);
                        let read = values.len();
                        out.extend(values);
                        read
                    }
                    (Column::Real(out), ColumnReader::DoubleColumnReader(mut reader)) => {
                        reader.read_records(rows, None, None, out)?.1
                    }
                    (Column::Text(out), ColumnReader::ByteArrayColumnReader(mut reader)) => {
                        let mut values = Vec::new();
                        reader.read_records(rows, spec.optional.then_some(&mut levels), None, &mut values)?;
                        let values = spread(values, &levels, spec.optional);
                        let read = values.len();
                        out.extend(values);
                        read
                    }
                    _ => return Err(ParquetError::General(format!("column {} is of another type", spec.name))),
                };
                if read != rows {
                    return Err(ParquetError::General(format!("column {} has {read} rows of {rows}", spec.name)));
                }
            }
            table.rows += rows;
        }
        Ok(table)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(rows: Vec<(i64, Option<String>, Option<String>, String)>) -> Table {
        let text = |it: Option<String>| it.map(|it| ByteArray::from(it.into_bytes()));
        let mut table = Table::new(Kind::Events);
        table.rows = rows.len();
        let numbers = |pick: fn(i64) -> Option<i64>| Column::Whole(rows.iter().map(|row| pick(row.0)).collect());
        table.columns = vec![
            numbers(Some),
            numbers(|n| (n % 3 != 0).then_some(n)),
            Column::Text(rows.iter().map(|row| text(Some(row.3.clone()))).collect()),
            Column::Text(rows.iter().map(|row| text(row.1.clone())).collect()),
            Column::Text(rows.iter().map(|row| text(row.2.clone())).collect()),
            Column::Text(rows.iter().map(|_| text(Some("{}".to_owned()))).collect()),
            numbers(|n| Some(n.wrapping_mul(1_000))),
            Column::Text(rows.iter().map(|row| text(row.2.clone())).collect()),
        ];
        table
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn rows_come_back_from_parquet(rows in prop::collection::vec((any::<i64>(), any::<Option<String>>(), any::<Option<String>>(), any::<String>()), 0..80)) {
            let table = table(rows);
            let read = Table::from_parquet(Kind::Events, table.to_parquet().unwrap()).unwrap();
            prop_assert_eq!(read.checksum(), table.checksum());
            prop_assert_eq!(read, table);
        }

        #[test]
        fn bytes_of_others_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Table::from_parquet(Kind::Metrics, bytes).is_err());
        }
    }

    #[test]
    fn a_checksum_knows_no_order_and_every_value() {
        let row = |n: i64| (n, Some(format!("u{n}")), None, "view".to_owned());
        let sum = |rows: Vec<_>| table(rows).checksum();
        assert_eq!(sum(vec![row(1), row(2)]), sum(vec![row(2), row(1)]));
        assert_ne!(sum(vec![row(1), row(2)]), sum(vec![row(1), row(3)]));
        assert_ne!(sum(vec![row(1), row(1)]), sum(vec![row(1)]));
        let mut kept = table(vec![row(1), row(2), row(3)]);
        kept.retain(&[true, false, true]);
        assert_eq!(kept, table(vec![row(1), row(3)]));
        assert!(kept.is_of(1, "u3") && !kept.is_of(0, "u3"));
    }
}
