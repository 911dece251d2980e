//! What can go wrong, each with what to do next.
use crate::format::object::ObjectError;
use blobs::BlobError;
use domain::ErrorKind;
use pgphysical::{control::ControlFileError, replication::ReplicationError};
use std::{io, path::PathBuf};

/// A failure of the backup engine.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store of the repository failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The server or the connection to it failed.
    #[error(transparent)]
    Server(#[from] ReplicationError),
    /// No repository there.
    #[error(
        "there is no repository in {0}; make one with 'holdfast repo init', or correct --repo or BACKUP_STORAGE_PATH"
    )]
    NoRepository(String),
    /// One is there already.
    #[error("there is a repository in {0} already; nothing was changed")]
    RepositoryExists(String),
    /// `repo.json` or a key slot cannot be read.
    #[error("{what} of the repository cannot be used: {reason}")]
    Unusable {
        /// Which file.
        what: String,
        /// Why.
        reason: String,
    },
    /// None of the slots opens with this key.
    #[error(
        "the key does not open this repository ({0}); nothing is damaged: give the right key file in BACKUP_ENCRYPTION_KEY_PATH, the passphrase in HOLDFAST_REPOSITORY_PASSPHRASE or the recovery code in HOLDFAST_RECOVERY_CODE"
    )]
    WrongKey(String),
    /// A key is needed and none was given.
    #[error(
        "the repository is encrypted and no key was given: set BACKUP_ENCRYPTION_KEY_PATH, HOLDFAST_REPOSITORY_PASSPHRASE or HOLDFAST_RECOVERY_CODE"
    )]
    NoKey,
    /// A key file or recovery code is not one.
    #[error("{0}")]
    BadKey(String),
    /// An object's bytes are not as they were written.
    #[error("object {key} cannot be used: {source}")]
    Object {
        /// Its key in the store.
        key: String,
        /// What is wrong.
        source: ObjectError,
    },
    /// An authentic object makes no sense.
    #[error("object {key} cannot be used: {reason}")]
    Malformed {
        /// Its key in the store.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A local file.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The control file of a data directory.
    #[error("{path}: {source}")]
    Control {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: ControlFileError,
    },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Invalid(String),
    /// Something with that name is in the way.
    #[error("{0}")]
    Conflict(String),
    /// Somebody does the work that only one may do at a time.
    #[error("{0}")]
    Busy(String),
    /// Not there.
    #[error("{0}")]
    NotFound(String),
    /// It did not work out, and may later.
    #[error("{0}")]
    Failed(String),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] rand::rand_core::OsError),
    /// Stopped on request.
    #[error(
        "stopped on request; what was written is not listed as a backup and the next 'holdfast backup expire' removes it"
    )]
    Cancelled,
}

impl BackupError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn object(key: &str) -> impl FnOnce(ObjectError) -> Self {
        let key = key.to_owned();
        move |source| Self::Object { key, source }
    }

    pub(crate) fn malformed(key: &str, reason: impl ToString) -> Self {
        Self::Malformed { key: key.to_owned(), reason: reason.to_string() }
    }

    /// Bytes in the repository are not what was written: never to be retried, never to be taken for "not there".
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Object { .. } | Self::Malformed { .. })
    }

    /// Bytes in the repository are damaged or gone, as opposed to a store that does not answer now.
    pub const fn is_loss(&self) -> bool {
        self.is_damage() || matches!(self, Self::Blob(BlobError::NotFound { .. } | BlobError::Truncated { .. }))
    }

    /// It is sealed under a data key that was not there when the keys were read.
    pub(crate) const fn is_unknown_key(&self) -> bool {
        matches!(self, Self::Object { source: ObjectError::UnknownKey(_), .. })
    }

    /// The object is not there (any more).
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Blob(BlobError::NotFound { .. }))
    }

    /// The damaged object.
    pub fn object_key(&self) -> Option<&str> {
        match self {
            Self::Object { key, .. } | Self::Malformed { key, .. } => Some(key),
            _ => None,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Blob(error) => error.kind(),
            Self::Server(error) => error.kind(),
            Self::NoRepository(_) | Self::NotFound(_) => ErrorKind::NotFound,
            Self::RepositoryExists(_) | Self::Conflict(_) | Self::Busy(_) => ErrorKind::Conflict,
            Self::NoKey | Self::BadKey(_) | Self::Invalid(_) | Self::WrongKey(_) => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        }
    }
}
