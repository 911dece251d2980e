//! `pg_stat_statements`.
use super::{get, oid, time};
use crate::{Cluster, PgstatError, Probe, sql};
use domain::reading::{ExtensionState, StatementCounters, StatementKey, StatementReading, StatementText};
use sqlx::postgres::PgRow;

impl Cluster {
    /// All statements, without their texts.
    ///
    /// # Errors
    /// [`PgstatError::Unsupported`] with the commands to copy when the extension is not there.
    pub async fn statements(&self) -> Result<StatementReading, PgstatError> {
        const NAME: &str = "statements";
        let probe = self.probe().await?;
        self.check_extension(&probe)?;
        let rows = match self.fetch(NAME, &sql::statements(&probe)).await {
            // undefined_function, undefined_table: the extension was there and is dropped. Look again at what there is.
            Err(PgstatError::Query { source, .. })
                if source
                    .as_database_error()
                    .and_then(|error| error.code())
                    .is_some_and(|code| code == "42883" || code == "42P01") =>
            {
                self.forget();
                self.check_extension(&*self.probe().await?)?;
                return Err(PgstatError::Query { name: NAME, source });
            }
            rows => rows?,
        };
        let mut reading = StatementReading { rows: Vec::with_capacity(rows.len()), ..StatementReading::default() };
        if let Some(row) = rows.first() {
            reading.dealloc = get(NAME, row, "dealloc")?;
            reading.stats_reset = time(NAME, row, "stats_reset")?;
        }
        for row in &rows {
            match get::<Option<i64>>(NAME, row, "queryid")? {
                Some(queryid) => reading.rows.push(counters(NAME, row, queryid)?),
                // Of a statement of others the role sees neither number nor text. Without any there is a row of nothing.
                None if get::<Option<i64>>(NAME, row, "dbid")?.is_some() => reading.hidden += 1,
                None => {}
            }
        }
        Ok(reading)
    }

    /// The texts of some statements. It makes the server read its whole file of texts: ask for unknown ones only.
    ///
    /// # Errors
    /// As [`Self::statements`].
    pub async fn statement_texts(&self, keys: &[StatementKey]) -> Result<Vec<StatementText>, PgstatError> {
        const NAME: &str = "statement texts";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let probe = self.probe().await?;
        self.check_extension(&probe)?;
        let mut ids = keys.iter().map(|key| key.queryid).collect::<Vec<_>>();
        ids.sort_unstable();
        ids.dedup();
        let wanted = keys.iter().collect::<std::collections::HashSet<_>>();
        let mut texts = Vec::with_capacity(keys.len());
        self.fetch_large(NAME, &sql::statement_texts(&probe, &ids), |row| {
            let key = key(NAME, &row, get(NAME, &row, "queryid")?)?;
            if wanted.contains(&key) {
                let query = get::<Option<String>>(NAME, &row, "query")?.unwrap_or_default();
                texts.push(StatementText {
                    key,
                    database: get(NAME, &row, "database")?,
                    user: get(NAME, &row, "user")?,
                    query,
                });
            }
            Ok(())
        })
        .await?;
        Ok(texts)
    }

    fn check_extension(&self, probe: &Probe) -> Result<(), PgstatError> {
        let (mut reason, cure) = match probe.statements {
            ExtensionState::Installed { .. } => return Ok(()),
            ExtensionState::NotCreated => (
                format!("pg_stat_statements is not created in the database \"{}\"", probe.database),
                "CREATE EXTENSION pg_stat_statements;",
            ),
            ExtensionState::NotPreloaded => (
                "pg_stat_statements is not in shared_preload_libraries".to_owned(),
                "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'; -- then restart the server\nCREATE EXTENSION IF NOT EXISTS pg_stat_statements;",
            ),
            ExtensionState::NotAvailable => (
                "the files of pg_stat_statements are not installed on the server".to_owned(),
                "-- Debian: apt-get install postgresql-contrib\nALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'; -- then restart the server\nCREATE EXTENSION pg_stat_statements;",
            ),
        };
        let cure = match probe.provider {
            None => cure.to_owned(),
            Some(provider) => {
                if probe.statements == ExtensionState::NotAvailable {
                    reason = format!("{} does not offer pg_stat_statements on this server", provider.to_human());
                }
                provider.statements(probe.statements == ExtensionState::NotCreated)
            }
        };
        Err(PgstatError::Unsupported { reason, cure: Some(cure) })
    }
}

fn key(name: &'static str, row: &PgRow, queryid: i64) -> Result<StatementKey, PgstatError> {
    Ok(StatementKey {
        dbid: oid(name, row, "dbid")?,
        userid: oid(name, row, "userid")?,
        queryid,
        toplevel: get(name, row, "toplevel")?,
    })
}

fn counters(name: &'static str, row: &PgRow, queryid: i64) -> Result<StatementCounters, PgstatError> {
    Ok(StatementCounters {
        key: key(name, row, queryid)?,
        calls: get(name, row, "calls")?,
        total_ms: get(name, row, "total_ms")?,
        stddev_ms: get(name, row, "stddev_ms")?,
        max_ms: get(name, row, "max_ms")?,
        rows: get(name, row, "rows")?,
        shared_blks_hit: get(name, row, "shared_blks_hit")?,
        shared_blks_read: get(name, row, "shared_blks_read")?,
        shared_blks_dirtied: get(name, row, "shared_blks_dirtied")?,
        shared_blks_written: get(name, row, "shared_blks_written")?,
        temp_blks_read: get(name, row, "temp_blks_read")?,
        temp_blks_written: get(name, row, "temp_blks_written")?,
        blk_read_ms: get(name, row, "blk_read_ms")?,
        blk_write_ms: get(name, row, "blk_write_ms")?,
        wal_bytes: get(name, row, "wal_bytes")?,
        stats_since: time(name, row, "stats_since")?,
    })
}
