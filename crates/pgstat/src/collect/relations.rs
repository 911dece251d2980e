//! Tables, indexes and foreign keys, of every database we may enter.
use super::{get, oid, time};
use crate::{Cluster, PgstatError, sql};
use domain::{
    Timestamp,
    reading::{BloatEstimate, ForeignKey, IndexCounters, IndexReading, SequenceUse, TableCounters, TableReading},
};
use sqlx::postgres::PgRow;
use std::time::{Duration, Instant};

/// A server of a thousand small databases, or of a few with huge catalogues, must not keep the tick for minutes.
const DATABASES_AT_MOST: usize = 20;
pub(super) const BUDGET: Duration = Duration::from_secs(60);

impl Cluster {
    /// All user indexes and foreign keys. A database that fails is named in `skipped`; it does not stop the others.
    ///
    /// # Errors
    /// [`PgstatError`] when the server as a whole cannot be read.
    pub async fn indexes(&self) -> Result<IndexReading, PgstatError> {
        let mut reading = IndexReading::default();
        let index_sql = sql::indexes(&*self.probe().await?);
        let (began, mut silent) = (Instant::now(), 0);
        for (database, reset) in self.each_database(&mut reading.skipped).await? {
            if !in_time(began, BUDGET, &database, &mut reading.skipped) {
                continue;
            }
            let found = async {
                let indexes = self.fetch_in(&database, "indexes", &index_sql).await?;
                let keys = self.fetch_in(&database, "foreign keys", &sql::foreign_keys()).await?;
                let indexes = indexes.iter().map(|row| index(&database, row)).collect::<Result<Vec<_>, _>>()?;
                let keys = keys.iter().map(|row| foreign_key(&database, row)).collect::<Result<Vec<_>, _>>()?;
                Ok((indexes, keys))
            };
            match found.await {
                Ok((indexes, keys)) => {
                    reading.rows.extend(indexes);
                    reading.foreign_keys.extend(keys);
                    reading.stats_reset.push((database, reset));
                }
                Err(error) => skip(&mut reading.skipped, &mut silent, database, error)?,
            }
        }
        Ok(reading)
    }

    /// All user tables.
    ///
    /// # Errors
    /// [`PgstatError`] when the server as a whole cannot be read.
    pub async fn tables(&self) -> Result<TableReading, PgstatError> {
        let mut reading = TableReading::default();
        let (began, mut silent) = (Instant::now(), 0);
        for (database, _) in self.each_database(&mut reading.skipped).await? {
            if !in_time(began, BUDGET, &database, &mut reading.skipped) {
                continue;
            }
            let found = async {
                let rows = self.fetch_in(&database, "tables", sql::TABLES).await?;
                rows.iter().map(|row| table(&database, row)).collect::<Result<Vec<_>, _>>()
            };
            match found.await {
                Ok(rows) => {
                    reading.rows.extend(rows);
                    // One that is being altered must not hide the tables.
                    match self.fetch_in(&database, "sequences", sql::SEQUENCES).await {
                        Ok(rows) => {
                            for row in &rows {
                                reading.sequences.push(sequence(&database, row)?);
                            }
                        }
                        Err(error) => {
                            tracing::debug!(%error, database, "sequences could not be read");
                            reading.sequences_unread.push(database);
                        }
                    }
                }
                Err(error) => skip(&mut reading.skipped, &mut silent, database, error)?,
            }
        }
        Ok(reading)
    }

    /// What the larger tables would take if they were packed. Ask seldom: it reads the planner's statistics.
    ///
    /// # Errors
    /// [`PgstatError`] when the server as a whole cannot be read.
    pub async fn bloat(&self) -> Result<Vec<BloatEstimate>, PgstatError> {
        self.packed("bloat", sql::BLOAT).await
    }

    /// What the larger btree indexes would take if they were packed. As seldom.
    ///
    /// # Errors
    /// [`PgstatError`] when the server as a whole cannot be read.
    pub async fn index_bloat(&self) -> Result<Vec<BloatEstimate>, PgstatError> {
        self.packed("index bloat", sql::INDEX_BLOAT).await
    }

    async fn packed(&self, name: &'static str, sql: &str) -> Result<Vec<BloatEstimate>, PgstatError> {
        let mut skipped = Vec::new();
        let mut found = Vec::new();
        let (began, mut silent) = (Instant::now(), 0);
        for (database, _) in self.each_database(&mut skipped).await? {
            if !in_time(began, BUDGET, &database, &mut skipped) {
                continue;
            }
            let estimate = |row: &PgRow| {
                Ok::<_, PgstatError>(BloatEstimate {
                    database: database.clone(),
                    oid: oid(name, row, "oid")?,
                    row_bytes: get(name, row, "row_bytes")?,
                    rows: get(name, row, "rows")?,
                    pages: get(name, row, "pages")?,
                    block_bytes: get(name, row, "block_bytes")?,
                    fillfactor: get(name, row, "fillfactor")?,
                })
            };
            let rows = async {
                let sql = sql::with_statistics(sql, self.may_read_statistics(&database).await?);
                self.fetch_in(&database, name, &sql).await
            };
            match rows.await {
                Ok(rows) => found.extend(rows.iter().map(estimate).collect::<Result<Vec<_>, _>>()?),
                Err(error) => skip(&mut skipped, &mut silent, database, error)?,
            }
        }
        Ok(found)
    }

    /// Whether our role may read statistics of columns below `pg_stats`: each database has its own rights.
    pub(super) async fn may_read_statistics(&self, database: &str) -> Result<bool, PgstatError> {
        const NAME: &str = "statistics right";
        let rows = self.fetch_in(database, NAME, sql::STATISTICS_RIGHT).await?;
        rows.first().map_or(Ok(false), |row| get(NAME, row, "granted"))
    }

    pub(super) async fn each_database(
        &self,
        skipped: &mut Vec<(String, String)>,
    ) -> Result<Vec<(String, Option<Timestamp>)>, PgstatError> {
        const NAME: &str = "databases";
        let mut databases = Vec::new();
        for row in self.fetch(NAME, sql::DATABASES).await? {
            let name: String = get(NAME, &row, "name")?;
            if databases.len() < DATABASES_AT_MOST {
                databases.push((name, time(NAME, &row, "stats_reset")?));
            } else {
                skipped.push((name, format!("only {DATABASES_AT_MOST} databases are looked into")));
            }
        }
        Ok(databases)
    }
}

/// Whether there is time for one more database; what is left out is named.
pub(super) fn in_time(began: Instant, budget: Duration, database: &str, skipped: &mut Vec<(String, String)>) -> bool {
    let in_time = began.elapsed() < budget;
    if !in_time {
        let seconds = budget.as_secs();
        skipped.push((database.to_owned(), format!("the databases before it took {seconds} s, which is all there is")));
    }
    in_time
}

/// One database that refuses us, or that does not answer, stops no other; when several do not answer the server is away.
pub(super) fn skip(
    skipped: &mut Vec<(String, String)>,
    silent: &mut usize,
    database: String,
    error: PgstatError,
) -> Result<(), PgstatError> {
    if matches!(error, PgstatError::Unreachable { .. }) {
        *silent += 1;
        if *silent > 2 {
            return Err(error);
        }
    }
    skipped.push((database, error.to_string()));
    Ok(())
}

fn sequence(database: &str, row: &PgRow) -> Result<SequenceUse, PgstatError> {
    const NAME: &str = "sequences";
    let (schema, name): (String, String) = (get(NAME, row, "schema")?, get(NAME, row, "name")?);
    Ok(SequenceUse {
        key: format!("{database}.{schema}.{name}"),
        last_value: get(NAME, row, "last_value")?,
        used_percent: get(NAME, row, "used_percent")?,
    })
}

fn index(database: &str, row: &PgRow) -> Result<IndexCounters, PgstatError> {
    const NAME: &str = "indexes";
    let oids = |column| {
        Ok::<_, PgstatError>(
            get::<Vec<i64>>(NAME, row, column)?.into_iter().map(|oid| u32::try_from(oid).unwrap_or(0)).collect(),
        )
    };
    Ok(IndexCounters {
        database: database.to_owned(),
        schema: get(NAME, row, "schema")?,
        table: get(NAME, row, "table")?,
        name: get(NAME, row, "name")?,
        oid: oid(NAME, row, "oid")?,
        table_oid: oid(NAME, row, "table_oid")?,
        definition: get(NAME, row, "definition")?,
        method: get(NAME, row, "method")?,
        bytes: get(NAME, row, "bytes")?,
        table_rows: get(NAME, row, "table_rows")?,
        key: get(NAME, row, "key")?,
        key_columns: get(NAME, row, "key_columns")?,
        classes: oids("classes")?,
        collations: oids("collations")?,
        options: get(NAME, row, "options")?,
        predicate: get(NAME, row, "predicate")?,
        expressions: get(NAME, row, "expressions")?,
        unique: get(NAME, row, "unique")?,
        primary: get(NAME, row, "primary")?,
        valid: get(NAME, row, "valid")?,
        ready: get(NAME, row, "ready")?,
        replica_identity: get(NAME, row, "replica_identity")?,
        backs_constraint: get(NAME, row, "backs_constraint")?,
        partitioned: get(NAME, row, "partitioned")?,
        parent: get(NAME, row, "parent")?,
        building: get(NAME, row, "building")?,
        scans: get(NAME, row, "scans")?,
        rows_read: get(NAME, row, "rows_read")?,
        rows_fetched: get(NAME, row, "rows_fetched")?,
        last_scan: time(NAME, row, "last_scan")?,
        blks_hit: get(NAME, row, "blks_hit")?,
        blks_read: get(NAME, row, "blks_read")?,
        table_writes: get(NAME, row, "table_writes")?,
    })
}

fn foreign_key(database: &str, row: &PgRow) -> Result<ForeignKey, PgstatError> {
    const NAME: &str = "foreign keys";
    Ok(ForeignKey {
        database: database.to_owned(),
        schema: get(NAME, row, "schema")?,
        table: get(NAME, row, "table")?,
        name: get(NAME, row, "name")?,
        definition: get(NAME, row, "definition")?,
        columns: get(NAME, row, "columns")?,
        references: get(NAME, row, "references")?,
        table_rows: get(NAME, row, "table_rows")?,
        table_bytes: get(NAME, row, "table_bytes")?,
        indexed: get(NAME, row, "indexed")?,
    })
}

fn table(database: &str, row: &PgRow) -> Result<TableCounters, PgstatError> {
    const NAME: &str = "tables";
    Ok(TableCounters {
        database: database.to_owned(),
        schema: get(NAME, row, "schema")?,
        name: get(NAME, row, "name")?,
        oid: oid(NAME, row, "oid")?,
        parent: get(NAME, row, "parent")?,
        heap_bytes: get(NAME, row, "heap_bytes")?,
        toast_bytes: get(NAME, row, "toast_bytes")?,
        index_bytes: get(NAME, row, "index_bytes")?,
        rows: get(NAME, row, "rows")?,
        live_rows: get(NAME, row, "live_rows")?,
        dead_rows: get(NAME, row, "dead_rows")?,
        seq_scans: get(NAME, row, "seq_scans")?,
        seq_rows_read: get(NAME, row, "seq_rows_read")?,
        index_scans: get(NAME, row, "index_scans")?,
        inserted: get(NAME, row, "inserted")?,
        updated: get(NAME, row, "updated")?,
        hot_updated: get(NAME, row, "hot_updated")?,
        deleted: get(NAME, row, "deleted")?,
        changed_since_analyze: get(NAME, row, "changed_since_analyze")?,
        last_vacuum: time(NAME, row, "last_vacuum")?,
        last_analyze: time(NAME, row, "last_analyze")?,
        xid_age: get(NAME, row, "xid_age")?,
        inserted_since_vacuum: get(NAME, row, "inserted_since_vacuum")?,
        options: get(NAME, row, "options")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_for_which_there_is_no_time_is_named() {
        let (mut skipped, began) = (Vec::new(), Instant::now());
        assert!(in_time(began, BUDGET, "first", &mut skipped) && skipped.is_empty());
        assert!(!in_time(began, Duration::ZERO, "second", &mut skipped));
        assert_eq!(skipped.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["second"]);
    }
}
