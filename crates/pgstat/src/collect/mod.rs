//! One collector a file: a statement of the catalogue in, a reading out.
mod activity;
mod advice;
mod columns;
mod database;
mod log;
mod maintenance;
mod places;
mod relations;
mod replication;
mod server;
mod statements;
mod wal;

pub use places::Place;

use crate::PgstatError;
use domain::{Lsn, Timestamp};
use sqlx::{Decode, Postgres, Row as _, Type, postgres::PgRow};

/// A column of a row; a missing one or another type is our own mistake and becomes an error, not a panic.
pub(crate) fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    name: &'static str,
    row: &'r PgRow,
    column: &str,
) -> Result<T, PgstatError> {
    row.try_get(column).map_err(|source| PgstatError::Query { name, source })
}

fn time(name: &'static str, row: &PgRow, column: &str) -> Result<Option<Timestamp>, PgstatError> {
    Ok(get::<Option<i64>>(name, row, column)?.map(Timestamp))
}

fn lsn(name: &'static str, row: &PgRow, column: &str) -> Result<Option<Lsn>, PgstatError> {
    Ok(get::<Option<String>>(name, row, column)?.and_then(|text| text.parse().ok()))
}

fn oid(name: &'static str, row: &PgRow, column: &str) -> Result<u32, PgstatError> {
    Ok(u32::try_from(get::<i64>(name, row, column)?).unwrap_or(0))
}
