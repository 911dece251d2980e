//! Why a message did not arrive, in words for the person who set the channel up.

/// One attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    message: String,
    permanent: bool,
}

impl SendError {
    /// It may work later: no answer, an overloaded server.
    pub fn later(message: impl Into<String>) -> Self {
        Self { message: message.into(), permanent: false }
    }

    /// It will not work until somebody changes something.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), permanent: true }
    }

    /// Whether trying again is of no use.
    pub const fn is_permanent(&self) -> bool {
        self.permanent
    }
}
