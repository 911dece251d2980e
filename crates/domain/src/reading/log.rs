//! The server's log, as far as durations and plans of statements are in it.

/// Up to where a log file was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// As `pg_current_logfile()` says it.
    pub file: String,
    /// Bytes from its beginning.
    pub offset: i64,
}

/// Format of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `log_line_prefix` and free text.
    Stderr,
    /// `csvlog`.
    Csv,
    /// `jsonlog`, from PostgreSQL 15.
    Json,
}

/// Which durations the server writes down; `None` where that kind of logging is off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogSettings {
    /// `log_min_duration_statement`: all from here on.
    pub min_duration_statement_ms: Option<f64>,
    /// `log_min_duration_sample`: from here on so many as [`Self::sample_rate`] says.
    pub min_duration_sample_ms: Option<f64>,
    /// `log_statement_sample_rate`, 0 to 1.
    pub sample_rate: f64,
    /// `log_duration`: lines without text are of parse and bind steps too.
    pub log_duration: bool,
    /// `auto_explain.log_min_duration`: plans are written from here on; `None`: none are.
    pub auto_explain_ms: Option<f64>,
    /// Whether `auto_explain` is loaded in new sessions.
    pub auto_explain_loaded: bool,
}

/// What was written since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct LogReading {
    /// Where to go on.
    pub position: LogPosition,
    /// How to read [`Self::text`].
    pub format: LogFormat,
    /// Whole lines; empty at the first look.
    pub text: String,
    /// Bytes that were left out because there was too much.
    pub skipped_bytes: i64,
    /// What the server writes down.
    pub settings: LogSettings,
    /// `log_line_prefix`: what stands before each line of [`LogFormat::Stderr`].
    pub line_prefix: String,
    /// Whether there was a look before.
    pub continues: bool,
}
