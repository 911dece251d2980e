//! What kind of failure it is, for whoever must turn it into a status code, an exit code or a sentence.
use serde::{Deserialize, Serialize};

/// The kind of an error: each crate's error enum maps to it with `kind()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The input is wrong; the message says which field and what is allowed.
    Invalid,
    /// Nobody is signed in, or the token is unknown, expired or revoked.
    Unauthenticated,
    /// Signed in, but without the right.
    Forbidden,
    /// There is no such thing, or not for this caller.
    NotFound,
    /// It is there already, or changed meanwhile.
    Conflict,
    /// Too many attempts; try again later.
    TooManyRequests,
    /// A database, store or network does not answer now.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl ErrorKind {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooManyRequests => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// The stable slug in `type` of a problem document.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::TooManyRequests => "too-many-requests",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// A short title for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is not valid",
            Self::Unauthenticated => "Sign in first",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::Conflict => "Conflict",
            Self::TooManyRequests => "Too many requests",
            Self::Unavailable => "Not available now",
            Self::Internal => "Internal error",
        }
    }
}
