//! The one error of all use cases, in words for the person who asked.
use domain::ErrorKind;
use std::fmt;

/// One wrong field of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Name of the field, as the caller wrote it.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Why a use case did not do what was asked. `Display` is a sentence for the user and says what to do next; the
/// cause, where there is one, is the `source` and belongs into the log only.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The input is wrong.
    #[error("{message}")]
    Invalid {
        /// For people.
        message: String,
        /// By field.
        fields: Vec<FieldError>,
    },
    /// Nobody is signed in.
    #[error("sign in, or send a valid API token as 'Authorization: Bearer hf_…'")]
    Unauthenticated,
    /// Wrong name or password; it is not said which.
    #[error("wrong name or password")]
    Credentials,
    /// The role or the token's scopes do not allow it.
    #[error("this needs the permission '{permission}', which the role '{role}' does not have; ask an administrator")]
    Forbidden {
        /// What is missing.
        permission: &'static str,
        /// What the actor is.
        role: String,
    },
    /// There is no such thing.
    #[error("there is no {what} '{id}'{hint}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// Its id as asked for.
        id: String,
        /// What to do, beginning with a separator; may be empty.
        hint: String,
    },
    /// It is there already or must stay.
    #[error("{0}")]
    Conflict(String),
    /// Too many attempts.
    #[error("too many failed attempts; try again in {retry_after_seconds} s")]
    TooManyRequests {
        /// Seconds to wait.
        retry_after_seconds: u64,
    },
    /// A monitored cluster did not do what was asked.
    #[error("{message}")]
    Cluster {
        /// What kind of failure.
        kind: ErrorKind,
        /// What is wrong and what to do.
        message: String,
    },
    /// Somebody of one tenant asked for another's rows; whether there is such a tenant is not told.
    #[error("you belong to one tenant and can ask for no other; leave 'tenant' out")]
    OtherTenant,
    /// The platform's data layer did not do what was asked.
    #[error("{message}")]
    Platform {
        /// What kind of failure.
        kind: ErrorKind,
        /// What is wrong and what to do.
        message: String,
    },
    /// The control store does not answer.
    #[error("Holdfast's own store does not answer; check HOLDFAST_STORE_URL and the log")]
    Store(#[source] store::StoreError),
    /// Signing in failed for a reason that is ours.
    #[error("sign-in does not work right now; see the log")]
    Auth(#[source] auth::AuthError),
}

impl ControlError {
    /// A single wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Invalid { message: message.clone(), fields: vec![FieldError { field: field.to_owned(), message }] }
    }

    /// Something that does not exist.
    pub fn not_found(what: &'static str, id: impl fmt::Display, hint: &str) -> Self {
        let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
        Self::NotFound { what, id: id.to_string().chars().take(80).collect(), hint }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Unauthenticated | Self::Credentials => ErrorKind::Unauthenticated,
            Self::Forbidden { .. } | Self::OtherTenant => ErrorKind::Forbidden,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::TooManyRequests { .. } => ErrorKind::TooManyRequests,
            Self::Cluster { kind, .. } | Self::Platform { kind, .. } => *kind,
            Self::Store(error) => error.kind(),
            Self::Auth(error) => error.kind(),
        }
    }

    /// Errors by field, where the input was wrong.
    pub fn fields(&self) -> &[FieldError] {
        match self {
            Self::Invalid { fields, .. } => fields,
            _ => &[],
        }
    }

    /// Seconds to wait, where waiting helps.
    pub const fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { retry_after_seconds } => Some(*retry_after_seconds),
            _ => None,
        }
    }
}

/// Refuses a page of no rows, and one of more than `most`.
pub(crate) fn page_limit(limit: u64, most: u64) -> Result<(), ControlError> {
    domain::view::rows_of_page(limit, most).map_err(|message| ControlError::field("limit", message))
}

impl From<store::StoreError> for ControlError {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}
