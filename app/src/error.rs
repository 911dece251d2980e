//! What a server function answers when it does not answer what was asked.

use domain::ErrorKind;
use leptos::server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use serde::{Deserialize, Serialize};

/// A sentence for the person, and the kind of failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AppError {
    /// Kind.
    pub kind: ErrorKind,
    /// What is wrong and what to do.
    pub message: String,
}

impl AppError {
    /// Whether signing in again is what helps.
    pub fn is_signed_out(&self) -> bool {
        self.kind == ErrorKind::Unauthenticated
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        let (kind, message) = match error {
            // The server is away, or answered with something that is not ours, such as a proxy's page.
            ServerFnErrorErr::Request(_) | ServerFnErrorErr::Response(_) | ServerFnErrorErr::Deserialization(_) => {
                (ErrorKind::Unavailable, "Holdfast does not answer; the page goes on by itself when it does".to_owned())
            }
            ServerFnErrorErr::Args(reason) | ServerFnErrorErr::MissingArg(reason) => (ErrorKind::Invalid, reason),
            other => (ErrorKind::Internal, other.to_string()),
        };
        Self { kind, message }
    }
}

#[cfg(feature = "ssr")]
impl From<control::ControlError> for AppError {
    fn from(error: control::ControlError) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::Internal | ErrorKind::Unavailable) {
            tracing::error!(%error, cause = std::error::Error::source(&error).map(ToString::to_string), "a page's data failed");
        }
        Self { kind, message: error.to_string() }
    }
}
