//! Columns with the planner's statistics of each, of the larger tables of every database we may enter.
use super::{
    get, oid,
    relations::{BUDGET, in_time, skip},
};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{ColumnReading, ColumnStatistics};
use sqlx::postgres::PgRow;
use std::time::Instant;

const NAME: &str = "columns";
/// Of all databases together: they are kept in memory.
const COLUMNS_AT_MOST: usize = 20_000;

impl Cluster {
    /// The columns of the two hundred largest tables of each database. Ask seldom: it reads the planner's statistics.
    ///
    /// # Errors
    /// [`PgstatError`] when the server as a whole cannot be read.
    pub async fn columns(&self) -> Result<ColumnReading, PgstatError> {
        let mut reading = ColumnReading::default();
        let (began, mut silent) = (Instant::now(), 0);
        for (database, _) in self.each_database(&mut reading.skipped).await? {
            if reading.rows.len() >= COLUMNS_AT_MOST {
                reading.skipped.push((database, format!("only {COLUMNS_AT_MOST} columns are kept")));
                continue;
            }
            if !in_time(began, BUDGET, &database, &mut reading.skipped) {
                continue;
            }
            let rows = async {
                let statement = sql::columns(self.may_read_statistics(&database).await?);
                self.fetch_in(&database, NAME, &statement).await
            };
            match rows.await {
                Ok(rows) => {
                    let rows = rows.iter().map(|row| column(&database, row)).collect::<Result<Vec<_>, _>>()?;
                    reading.rows.extend(whole(rows, sql::COLUMNS));
                }
                Err(error) => skip(&mut reading.skipped, &mut silent, database, error)?,
            }
        }
        Ok(reading)
    }
}

/// Without the table at which the limit of columns was met: half of one is not shown.
fn whole(mut rows: Vec<ColumnStatistics>, limit: usize) -> Vec<ColumnStatistics> {
    if rows.len() >= limit
        && let Some(last) = rows.last().map(|row| row.table_oid)
    {
        rows.retain(|row| row.table_oid != last);
    }
    rows
}

fn column(database: &str, row: &PgRow) -> Result<ColumnStatistics, PgstatError> {
    Ok(ColumnStatistics {
        database: database.to_owned(),
        schema: get(NAME, row, "schema")?,
        table: get(NAME, row, "table")?,
        table_oid: oid(NAME, row, "oid")?,
        partitioned: get(NAME, row, "partitioned")?,
        name: get(NAME, row, "name")?,
        data_type: get::<Option<String>>(NAME, row, "data_type")?.unwrap_or_default(),
        not_null: get(NAME, row, "not_null")?,
        expression: get(NAME, row, "expression")?,
        identity: get(NAME, row, "identity")?,
        generated: get(NAME, row, "generated")?,
        target: get(NAME, row, "target")?,
        default_target: get(NAME, row, "default_target")?,
        readable: get(NAME, row, "readable")?,
        row_security: get(NAME, row, "row_security")?,
        seen: get(NAME, row, "seen")?,
        n_distinct: get(NAME, row, "n_distinct")?,
        null_fraction: get(NAME, row, "null_fraction")?,
        width: get(NAME, row, "width")?,
        correlation: get(NAME, row, "correlation")?,
        most_common: get(NAME, row, "most_common")?,
        most_common_fraction: get(NAME, row, "most_common_fraction")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_the_limit_cuts_is_left_out() {
        let row = |table_oid| ColumnStatistics { table_oid, ..ColumnStatistics::default() };
        let oids = |limit| {
            let rows = whole([1, 1, 2, 2, 3].map(row).to_vec(), limit);
            rows.iter().map(|row| row.table_oid).collect::<Vec<_>>()
        };
        assert_eq!(oids(6), [1, 1, 2, 2, 3]);
        assert_eq!(oids(5), [1, 1, 2, 2]);
    }
}
