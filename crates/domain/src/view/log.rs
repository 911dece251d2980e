//! Statements as a server's log has them.
use super::Availability;
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One call of a statement that the server wrote into its log. No literal and no value of a parameter is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogSample {
    /// When it ended, by the log.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: f64,
    /// Application; empty when the log does not say it.
    pub application: String,
    /// Address of the client; empty when the log does not say it.
    pub client: String,
    /// Parameters that were bound; their values are not kept.
    pub parameters: i64,
    /// Its text as it was sent, literals masked, at most 1,000 characters.
    pub query: String,
}

/// What the server's log has of a statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogOfQuery {
    /// Whether the log can be read, and what to do if not.
    pub availability: Availability,
    /// The newest and the slowest that are kept, the newest first.
    pub samples: Vec<LogSample>,
    /// Why no plans come from the log, and how they would; `None` when they come or when that is not known.
    pub auto_explain: Option<String>,
}
