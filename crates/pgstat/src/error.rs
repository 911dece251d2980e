//! Why a reading could not be had, sorted by what to do about it.
use domain::ErrorKind;
use sqlx::Error as SqlxError;

/// A monitored cluster could not be read. `Display` is one line for people, without secrets.
#[derive(Debug, thiserror::Error)]
pub enum PgstatError {
    /// The connection URL is wrong.
    #[error("{0}")]
    Target(String),
    /// Nothing answers, or not in time; worth another try soon.
    #[error("{host} does not answer: {reason}")]
    Unreachable {
        /// `host:port`.
        host: String,
        /// In one line.
        reason: String,
    },
    /// The server answers and does not let us in; worth another try later.
    #[error("{host} refuses the role \"{role}\": {reason}")]
    Refused {
        /// `host:port`.
        host: String,
        /// The role we sign in as.
        role: String,
        /// The server's words.
        reason: String,
        /// The password is wrong: trying it often locks accounts out.
        password: bool,
    },
    /// A right is missing.
    #[error("{reason}")]
    NoPermission {
        /// In one line.
        reason: String,
        /// The `GRANT` that mends it.
        cure: Option<String>,
    },
    /// This server cannot give it.
    #[error("{reason}")]
    Unsupported {
        /// In one line.
        reason: String,
        /// The command that mends it; none when nothing can.
        cure: Option<String>,
    },
    /// The statement ran into one of our limits.
    #[error("{name} was cancelled: {reason}")]
    Cancelled {
        /// Which of our statements.
        name: &'static str,
        /// In one line.
        reason: String,
    },
    /// Anything else.
    #[error("{name} failed: {source}")]
    Query {
        /// Which of our statements.
        name: &'static str,
        /// Why.
        #[source]
        source: SqlxError,
    },
}

impl PgstatError {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Target(_) => ErrorKind::Invalid,
            Self::NoPermission { .. } => ErrorKind::Forbidden,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Cancelled { .. } | Self::Unsupported { .. } => {
                ErrorKind::Unavailable
            }
            Self::Query { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the server as a whole cannot be used, rather than this one statement.
    pub const fn is_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }

    /// Sorts the driver's error.
    pub(crate) fn sort(name: &'static str, host: &str, role: &str, error: SqlxError) -> Self {
        let (host, role) = (host.to_owned(), role.to_owned());
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
        let message = error.as_database_error().map(|error| one_line(error.message())).unwrap_or_default();
        match code.as_str() {
            // invalid_password, invalid_authorization_specification, invalid_catalog_name, too_many_connections
            "28P01" | "28000" | "3D000" | "53300" => {
                Self::Refused { host, role, reason: message, password: code == "28P01" }
            }
            // cannot_connect_now, admin_shutdown, crash_shutdown, connection_failure and its class
            "57P01" | "57P02" | "57P03" => Self::Unreachable { host, reason: message },
            code if code.starts_with("08") => Self::Unreachable { host, reason: message },
            "42501" => Self::NoPermission { reason: message, cure: Some(format!("GRANT pg_monitor TO \"{role}\";")) },
            // query_canceled, lock_not_available
            "57014" | "55P03" => Self::Cancelled { name, reason: message },
            "" => match error {
                SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::Protocol(_)
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed => Self::Unreachable { host, reason: one_line(&error.to_string()) },
                SqlxError::PoolTimedOut => Self::Unreachable { host, reason: "no connection in time".to_owned() },
                error => Self::Query { name, source: error },
            },
            _ => Self::Query { name, source: error },
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
