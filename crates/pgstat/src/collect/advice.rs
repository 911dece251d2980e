//! Tables and columns as advice on indexes needs them.
use super::get;
use crate::{ExplainError, Explainer, link::tagged, sql};
use domain::{
    ErrorKind,
    reading::{AdviceColumn, AdviceTable},
};
use sqlx::{AssertSqlSafe, postgres::PgRow};
use std::{collections::HashMap, time::Duration};
use tokio::time::timeout;

/// Both statements together.
const DEADLINE: Duration = Duration::from_secs(15);

impl Explainer<'_> {
    /// The tables of these names in this session's database, whatever their schema; at most five hundred, the largest
    /// first.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn tables(&mut self, names: &[String]) -> Result<Vec<AdviceTable>, ExplainError> {
        let failed = |message: String| ExplainError { kind: ErrorKind::Unavailable, message, sqlstate: None };
        match timeout(DEADLINE, self.read_tables(names)).await {
            Ok(outcome) => outcome.map_err(|error| failed(format!("tables cannot be read: {error}"))),
            Err(_) => Err(failed("tables were not read in time".to_owned())),
        }
    }

    async fn read_tables(&mut self, names: &[String]) -> Result<Vec<AdviceTable>, sqlx::Error> {
        const NAME: &str = "advice tables";
        let own = |error: crate::PgstatError| sqlx::Error::Decode(error.to_string().into());
        let rows = sqlx::query(AssertSqlSafe(tagged(sql::ADVICE_TABLES)))
            .bind(names.to_vec())
            .persistent(false)
            .fetch_all(self.connection())
            .await?;
        let mut tables = rows.iter().map(table).collect::<Result<Vec<_>, _>>().map_err(own)?;
        let oids = tables.iter().map(|table| i64::from(table.oid)).collect::<Vec<_>>();
        let right = sqlx::query(AssertSqlSafe(tagged(sql::STATISTICS_RIGHT)))
            .persistent(false)
            .fetch_one(self.connection())
            .await?;
        let columns = sql::with_statistics(sql::ADVICE_COLUMNS, get(NAME, &right, "granted").map_err(own)?);
        let rows = sqlx::query(AssertSqlSafe(tagged(&columns)))
            .bind(oids)
            .persistent(false)
            .fetch_all(self.connection())
            .await?;
        let places = tables.iter().enumerate().map(|(place, table)| (table.oid, place)).collect::<HashMap<_, _>>();
        for row in &rows {
            let oid = super::oid(NAME, row, "oid").map_err(own)?;
            if let Some(table) = places.get(&oid).and_then(|place| tables.get_mut(*place)) {
                table.columns.push(column(row).map_err(own)?);
            }
        }
        Ok(tables)
    }
}

fn table(row: &PgRow) -> Result<AdviceTable, crate::PgstatError> {
    const NAME: &str = "advice tables";
    let schemas = get::<Vec<String>>(NAME, row, "partition_schemas")?;
    let names = get::<Vec<String>>(NAME, row, "partition_names")?;
    Ok(AdviceTable {
        oid: super::oid(NAME, row, "oid")?,
        schema: get(NAME, row, "schema")?,
        name: get(NAME, row, "name")?,
        partitioned: get(NAME, row, "partitioned")?,
        partitions: schemas.into_iter().zip(names).collect(),
        rows: get(NAME, row, "rows")?,
        pages: get(NAME, row, "pages")?,
        columns: Vec::new(),
    })
}

fn column(row: &PgRow) -> Result<AdviceColumn, crate::PgstatError> {
    const NAME: &str = "advice columns";
    Ok(AdviceColumn {
        number: get(NAME, row, "number")?,
        name: get(NAME, row, "name")?,
        sortable: get(NAME, row, "sortable")?,
        n_distinct: get(NAME, row, "n_distinct")?,
        null_fraction: get(NAME, row, "null_fraction")?,
        width: get(NAME, row, "width")?,
        correlation: get(NAME, row, "correlation")?,
    })
}
