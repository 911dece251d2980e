//! What any page may need.
use serde::{Deserialize, Serialize};

/// Whether a panel has figures, and what to do when it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Availability {
    /// It has.
    #[default]
    Ready,
    /// The first reading is on its way.
    Collecting,
    /// It has none.
    Missing {
        /// Why, in a sentence.
        reason: String,
        /// Commands to copy, in order.
        cure: Vec<String>,
    },
}

/// Whether a page may have so many rows: none is as wrong as more than `most`, and neither is changed in silence.
///
/// # Errors
/// What is allowed.
pub fn rows_of_page(limit: u64, most: u64) -> Result<(), String> {
    if (1..=most).contains(&limit) {
        Ok(())
    } else {
        Err(format!("a page has 1 to {most} rows; the limit was {limit}"))
    }
}

/// One event of `GET /api/database/stream`, by its `event:` name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveEvent {
    /// Which cluster has a new snapshot.
    pub cluster: String,
    /// Its number.
    pub sequence: u64,
    /// `up`, `unreachable`, …
    pub state: String,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: i64,
    /// Score.
    pub score: u8,
}
