//! The one place of this layer that reads the clock.
use domain::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    Timestamp(i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
}
