//! What can go wrong when finding out who somebody is.
use domain::ErrorKind;

/// Authentication could not be carried out. A wrong password is not an error but an answer.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Hashing failed or its thread was lost.
    #[error("cannot hash a password: {0}")]
    Hash(String),
    /// The chosen password is too weak or too long.
    #[error("{0}")]
    Weak(String),
    /// The installation's key, or what was sealed under it, cannot be used.
    #[error("{0}")]
    Seal(String),
}

impl AuthError {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Hash(_) | Self::Seal(_) => ErrorKind::Internal,
            Self::Weak(_) => ErrorKind::Invalid,
        }
    }
}
