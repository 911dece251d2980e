//! What can go wrong with a store of objects, and what to do about it.
use domain::ErrorKind;
use std::{error::Error, io, path::PathBuf};

/// The error beneath a [`BlobError`].
pub type Source = Box<dyn Error + Send + Sync>;

/// An object could not be written, read, listed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store answered, and it has no such object.
    #[error("there is no object '{key}'")]
    NotFound {
        /// The object.
        key: String,
    },
    /// The object is there already; it was left as it is.
    #[error("the object '{key}' exists already and is never replaced; write under a new name")]
    Exists {
        /// The object.
        key: String,
    },
    /// The object is shorter than it must be.
    #[error(
        "the object '{key}' is cut short: {wanted} bytes were wanted and {got} are there; it is damaged, use another backup"
    )]
    Truncated {
        /// The object.
        key: String,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that were there.
        got: u64,
    },
    /// More bytes than an object can have.
    #[error("the object '{key}' would be larger than {limit} bytes, the most that can be written as one object")]
    TooLarge {
        /// The object.
        key: String,
        /// Bytes.
        limit: u64,
    },
    /// No room, or the quota is used up.
    #[error("no space is left in {store}; free some, raise the quota or expire old backups")]
    NoSpace {
        /// What [`BlobStore::describe`](crate::BlobStore::describe) says.
        store: String,
    },
    /// The store refuses us.
    #[error("{store} refuses to {operation}: {reason}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// What [`BlobStore::describe`](crate::BlobStore::describe) says.
        store: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The store could not be reached, broke off or has a fault of its own.
    #[error("{store} is not available ({operation}): {reason}; check the network and the store, then try again")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// What [`BlobStore::describe`](crate::BlobStore::describe) says.
        store: String,
        /// The causes, outermost first.
        reason: String,
        /// Why.
        #[source]
        source: Option<Source>,
    },
    /// No answer in time. Whether a write was done is not known.
    #[error("{store} did not answer in time ({operation}); check the network and the store, then try again")]
    Timeout {
        /// What was tried.
        operation: &'static str,
        /// What [`BlobStore::describe`](crate::BlobStore::describe) says.
        store: String,
    },
    /// The store wants fewer requests.
    #[error("{store} asks for fewer requests ({operation}); try again later or with fewer workers")]
    Throttled {
        /// What was tried.
        operation: &'static str,
        /// What [`BlobStore::describe`](crate::BlobStore::describe) says.
        store: String,
    },
    /// A name that not every kind of store could hold.
    #[error(
        "'{key}' cannot name an object: {reason}; names are parts of A-Z a-z 0-9 . _ - joined by /, 'tmp' is not the first part"
    )]
    InvalidKey {
        /// The name.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The store's configuration is wrong.
    #[error("{message}")]
    InvalidConfig {
        /// What is wrong and how to correct it.
        message: String,
    },
    /// A part could not be written before, so that the object can no more be finished.
    #[error("writing '{key}' failed before; start the object again")]
    WriterFailed {
        /// The object.
        key: String,
    },
    /// A file or directory.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An answer that we do not understand.
    #[error("{store} gave an unexpected answer ({operation}): {answer}; is it an S3 store, and is the endpoint right?")]
    Protocol {
        /// What was tried.
        operation: &'static str,
        /// What [`BlobStore::describe`](crate::BlobStore::describe) says.
        store: String,
        /// What was answered.
        answer: String,
    },
}

impl BlobError {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::InvalidKey { .. } | Self::InvalidConfig { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Denied { .. } => ErrorKind::Forbidden,
            Self::Truncated { .. } | Self::WriterFailed { .. } | Self::Protocol { .. } => ErrorKind::Internal,
            Self::NoSpace { .. }
            | Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::Throttled { .. }
            | Self::Io { .. } => ErrorKind::Unavailable,
        }
    }

    /// Whether the same call may succeed later without anybody doing anything. A write may have been done all the same.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } | Self::Throttled { .. } => true,
            // Not any other: a failed fsync must not be tried again, the kernel may have dropped the pages.
            Self::Io { operation, source, .. } => {
                *operation != SYNC
                    && matches!(
                        source.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::StaleNetworkFileHandle
                    )
            }
            _ => false,
        }
    }
}

/// The operation of an [`BlobError::Io`] whose bytes may be lost.
pub(crate) const SYNC: &str = "sync";

/// All causes of an error in one line, outermost first, without those that only repeat the one before.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(one) = next {
        let words = one.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = one.source();
    }
    text
}
