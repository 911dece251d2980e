//! Why analytics did not answer.
use backup::BackupError;
use domain::ErrorKind;
use pool::{PoolError, WorkError};

/// `Display` is a sentence for people that says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The input is wrong.
    #[error("{message}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The database.
    #[error("{0}")]
    Pool(PoolError),
    /// The repository of the archive.
    #[error("{0}")]
    Archive(#[from] BackupError),
    /// Rows of an archive are not what its manifest says.
    #[error(
        "the archive {archive} is damaged: {reason}; nothing was changed. Its other objects and the other months are not touched by this; restore the repository's object from its own copy if there is one"
    )]
    Damaged {
        /// Its id.
        archive: String,
        /// What does not fit.
        reason: String,
    },
}

impl AnalyticsError {
    /// A wrong field.
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Pool(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Damaged { .. } => ErrorKind::Unavailable,
        }
    }

    /// The SQLSTATE, when the server gave one.
    pub(crate) fn code(&self) -> Option<String> {
        match self {
            Self::Pool(error) => error.code(),
            _ => None,
        }
    }
}

impl From<PoolError> for AnalyticsError {
    fn from(error: PoolError) -> Self {
        // Ours, raised by the trigger.
        if error.code().as_deref() == Some("HF001") {
            return Self::Conflict(
                "some of it is older than what was archived, and nothing can be added there any more; send only newer events"
                    .to_owned(),
            );
        }
        catalog::explained(&error).map_or(Self::Pool(error), Self::Conflict)
    }
}

impl From<sqlx::Error> for AnalyticsError {
    fn from(error: sqlx::Error) -> Self {
        // Kept as it is: the pools must see what kind it is before it is put into words.
        Self::Pool(PoolError::Sql(error))
    }
}

impl WorkError for AnalyticsError {
    fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Pool(PoolError::Sql(error)) => Some(error),
            _ => None,
        }
    }
}

/// Puts an error that came out of a piece of work into words.
pub(crate) fn said(error: AnalyticsError) -> AnalyticsError {
    match error {
        AnalyticsError::Pool(error) => error.into(),
        error => error,
    }
}
