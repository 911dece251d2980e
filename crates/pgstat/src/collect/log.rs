//! The server's log, for the durations and plans of statements.
use super::get;
use crate::{Cluster, PgstatError, sql};
use domain::reading::{LogFormat, LogPosition, LogReading, LogSettings, Provider};
use sqlx::postgres::PgRow;

/// So much of a log is read at one look; of more, the newest.
const READ_LIMIT: i64 = 2 << 20;
const NAME: &str = "log";

impl Cluster {
    /// What the server wrote into its log since `from`; at the first look nothing but the place.
    ///
    /// # Errors
    /// [`PgstatError::Unsupported`] when no durations are written, [`PgstatError::NoPermission`] when the file cannot be read,
    /// both with the cure where there is one; others.
    pub async fn log(&self, from: Option<LogPosition>) -> Result<LogReading, PgstatError> {
        let provider = self.probe().await?.provider;
        let known = from.as_ref().map(|from| (from.file.as_str(), from.offset));
        let row = self
            .fetch_one_bound(NAME, &sql::log(known.is_some(), READ_LIMIT), known)
            .await
            .map_err(|error| self.with_the_right_to_grant(error, provider))?;
        let settings = settings(&row)?;
        let durations = settings.min_duration_statement_ms.or(settings.min_duration_sample_ms);
        if durations.or(settings.auto_explain_ms).is_none() {
            return Err(PgstatError::Unsupported {
                reason: "the server writes no durations into its log, so percentiles are estimated".to_owned(),
                cure: Some(match provider {
                    None => "ALTER SYSTEM SET log_min_duration_sample = 0; ALTER SYSTEM SET log_statement_sample_rate = 0.01; SELECT pg_reload_conf();"
                        .to_owned(),
                    Some(provider) => provider.set("log_min_duration_statement", "1000", false),
                }),
            });
        }
        let Some(file) = get::<Option<String>>(NAME, &row, "file")? else {
            return Err(PgstatError::Unsupported {
                reason: "the server keeps no log file of its own, so percentiles are estimated".to_owned(),
                // A service keeps the log where only its own means reach it.
                cure: provider
                    .is_none()
                    .then(|| "ALTER SYSTEM SET logging_collector = on; -- takes effect at a restart".to_owned()),
            });
        };
        let line_prefix = get(NAME, &row, "line_prefix")?;
        let format = match file.rsplit('.').next() {
            Some("csv") => LogFormat::Csv,
            Some("json") => LogFormat::Json,
            _ => LogFormat::Stderr,
        };
        let size = get::<Option<i64>>(NAME, &row, "size")?.unwrap_or(0);
        let begin = match &from {
            Some(from) if from.file == file && from.offset <= size => from.offset,
            // Another file than last time: what was added to the last one since is lost, its beginning is new.
            Some(_) => 0,
            None => {
                // The right to read is tried at once, so that the cure is shown before the first figures are missed.
                self.read_log(&file, size, 0, provider).await?;
                let position = LogPosition { file, offset: size };
                return Ok(LogReading {
                    position,
                    format,
                    text: String::new(),
                    skipped_bytes: 0,
                    settings,
                    line_prefix,
                    continues: false,
                });
            }
        };
        let start = begin.max(size - READ_LIMIT);
        let bytes = match &from {
            Some(from) if from.file == file && begin == from.offset => {
                get::<Option<Vec<u8>>>(NAME, &row, "content")?.unwrap_or_default()
            }
            _ => self.read_log(&file, start, size - start, provider).await?,
        };
        let skipped_bytes = start - begin;
        // In the middle of a line after a leap; the last line may still be being written.
        let first = if skipped_bytes > 0 {
            bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
        } else {
            0
        };
        let last = bytes.iter().rposition(|byte| *byte == b'\n').map_or(first, |at| at + 1).max(first);
        let offset = start + i64::try_from(last).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[first..last]).into_owned();
        Ok(LogReading {
            position: LogPosition { file, offset },
            format,
            text,
            skipped_bytes,
            settings,
            line_prefix,
            continues: true,
        })
    }

    async fn read_log(
        &self,
        file: &str,
        from: i64,
        length: i64,
        provider: Option<Provider>,
    ) -> Result<Vec<u8>, PgstatError> {
        let row = self
            .fetch_one(NAME, &sql::log_read(file, from, length))
            .await
            .map_err(|error| self.with_the_right_to_grant(error, provider))?;
        Ok(get::<Option<Vec<u8>>>(NAME, &row, "content")?.unwrap_or_default())
    }

    fn with_the_right_to_grant(&self, error: PgstatError, provider: Option<Provider>) -> PgstatError {
        match (error, provider) {
            // Nobody there may grant it.
            (PgstatError::NoPermission { reason, .. }, Some(provider)) => PgstatError::NoPermission {
                reason: format!(
                    "{reason}, so percentiles are estimated; {} lets no role read the server's log by SQL",
                    provider.to_human()
                ),
                cure: None,
            },
            // What pg_monitor gives is said as everywhere; the right to read a file is one of its own.
            (PgstatError::NoPermission { reason, .. }, None) if reason.contains("pg_read_binary_file") => {
                PgstatError::NoPermission {
                    reason: format!(
                        "{reason}, so percentiles are estimated; the right reaches every file of the data directory"
                    ),
                    // Rights on functions are a database's own.
                    cure: Some(format!(
                        "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint) TO \"{}\"; -- in the database {}",
                        self.target().role(),
                        self.target().database()
                    )),
                }
            }
            (other, _) => other,
        }
    }
}

fn settings(row: &PgRow) -> Result<LogSettings, PgstatError> {
    let from_zero = |value: f64| (value >= 0.0).then_some(value);
    let sample_rate = get(NAME, row, "sample_rate")?;
    let auto_explain = get::<Option<f64>>(NAME, row, "auto_explain")?;
    Ok(LogSettings {
        min_duration_statement_ms: from_zero(get(NAME, row, "min_duration_statement")?),
        min_duration_sample_ms: from_zero(get(NAME, row, "min_duration_sample")?).filter(|_| sample_rate > 0.0),
        sample_rate,
        log_duration: get(NAME, row, "log_duration")?,
        auto_explain_ms: auto_explain.and_then(from_zero),
        auto_explain_loaded: auto_explain.is_some(),
    })
}
