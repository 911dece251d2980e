//! Why a piece of work was not done, sorted by what the caller may do about it.
use domain::ErrorKind;
use sqlx::Error as SqlxError;

/// `Display` is one line for people, without secrets.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A setting is wrong.
    #[error("{0}")]
    Settings(String),
    /// No server takes it now; nothing was done.
    #[error("{0}")]
    Unavailable(String),
    /// All connections are in use; nothing was done.
    #[error(
        "no connection to the {role} within {waited_ms} ms: all {max} are in use; raise DB_POOL_MAX or look for slow statements"
    )]
    Exhausted {
        /// primary or replica.
        role: &'static str,
        /// How many there may be.
        max: u32,
        /// How long was waited.
        waited_ms: u64,
    },
    /// As many short questions as the server is asked at once are under way; nothing was done.
    #[error(
        "no turn at the {role} within {waited_ms} ms: {most} questions at once are under way; raise DB_POOL_CONCURRENCY or look for slow statements"
    )]
    Crowded {
        /// primary or replica.
        role: &'static str,
        /// How many there may be.
        most: u32,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The server was lost before the change was committed; it was not made.
    #[error("the connection to {server} was lost ({reason}); nothing was changed, try again")]
    Lost {
        /// `host:port`.
        server: String,
        /// In one line.
        reason: String,
    },
    /// The server was lost while it committed: the change may have been made or not.
    #[error(
        "the connection to {server} was lost during the commit; whether the change was made is not known: look before you repeat it, or repeat it with the same idempotency key"
    )]
    CommitUnknown {
        /// `host:port`.
        server: String,
    },
    /// It took longer than it may.
    #[error("it took longer than {limit_ms} ms and was given up; nothing was changed")]
    TooLong {
        /// The limit.
        limit_ms: u64,
    },
    /// A reader tried to write.
    #[error("a statement that changes data was sent as a read: {0}")]
    ReadOnly(String),
    /// The statement itself failed.
    #[error("{0}")]
    Sql(#[source] SqlxError),
}

impl PoolError {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings(_) => ErrorKind::Invalid,
            Self::Unavailable(_)
            | Self::Exhausted { .. }
            | Self::Crowded { .. }
            | Self::Lost { .. }
            | Self::CommitUnknown { .. }
            | Self::TooLong { .. } => ErrorKind::Unavailable,
            Self::ReadOnly(_) | Self::Sql(_) => ErrorKind::Internal,
        }
    }

    /// The SQLSTATE, when the server gave one.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Sql(error) => code(error),
            Self::ReadOnly(_) => Some("25006".to_owned()),
            _ => None,
        }
    }
}

/// What an error says about the server rather than the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The statement's own.
    Statement,
    /// The server or the way to it: 57P01-57P03, class 08, 53300, broken connections.
    Server,
    /// 25006: the server is read-only.
    ReadOnly,
    /// A standby cannot do it now or ever: a conflict with replay, or something that needs a primary.
    Standby,
}

pub(crate) fn code(error: &SqlxError) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned)
}

pub(crate) fn trouble(error: &SqlxError) -> Trouble {
    match code(error).as_deref() {
        Some("57P01" | "57P02" | "57P03" | "53300") => Trouble::Server,
        Some(code) if code.starts_with("08") => Trouble::Server,
        Some("25006") => Trouble::ReadOnly,
        // "cannot … during recovery" comes as one of these, by what was asked.
        Some("40001" | "55000" | "0A000") => Trouble::Standby,
        Some(_) => Trouble::Statement,
        None => match error {
            SqlxError::Io(_) | SqlxError::Tls(_) | SqlxError::WorkerCrashed => Trouble::Server,
            _ => Trouble::Statement,
        },
    }
}

/// Whether the connection can no longer be used after it: broken, or in the middle of something like COPY.
pub(crate) fn out_of_step(error: &SqlxError) -> bool {
    trouble(error) == Trouble::Server || matches!(error, SqlxError::Protocol(_))
}

/// In one line, without secrets: the driver's errors hold none but the server's own words.
pub(crate) fn one_line(error: &SqlxError) -> String {
    let text = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl From<SqlxError> for PoolError {
    fn from(error: SqlxError) -> Self {
        Self::Sql(error)
    }
}

/// The error of a caller's piece of work: it may be the statement's, or one of the caller's own.
pub trait WorkError: From<PoolError> + Send {
    /// The driver's error, when it is one.
    fn sql(&self) -> Option<&SqlxError>;
}

impl WorkError for PoolError {
    fn sql(&self) -> Option<&SqlxError> {
        match self {
            Self::Sql(error) => Some(error),
            _ => None,
        }
    }
}
