//! Blackouts: times in which alerts go on as always and nobody is told. Each ends: a silence without an end is how an
//! outage is missed. Recurring ones begin by five cron fields in UTC and last for a while.
use chrono::{DateTime, Utc};
use croner::Cron;
use domain::Timestamp;
use std::str::FromStr as _;

/// When a blackout is in force.
#[derive(Clone, Debug)]
pub struct Window {
    starts_at: Timestamp,
    ends_at: Timestamp,
    recurring: Option<(Cron, i64)>,
}

/// The longest single window: a week.
const LONGEST_MS: i64 = 7 * 86_400_000;

impl Window {
    /// Once, from a moment to another.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn once(starts_at: Timestamp, ends_at: Timestamp) -> Result<Self, (&'static str, String)> {
        if ends_at <= starts_at {
            return Err(("ends_at", "a blackout ends after it begins".to_owned()));
        }
        Ok(Self { starts_at, ends_at, recurring: None })
    }

    /// Again and again between two moments.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn recurring(
        starts_at: Timestamp,
        ends_at: Timestamp,
        cron: &str,
        duration_seconds: u32,
    ) -> Result<Self, (&'static str, String)> {
        let window = Self::once(starts_at, ends_at)?;
        let duration_ms = i64::from(duration_seconds) * 1_000;
        if !(60_000..=LONGEST_MS).contains(&duration_ms) {
            return Err(("duration_seconds", "a window lasts for a minute to a week".to_owned()));
        }
        let wrong = |reason: String| {
            (
                "cron",
                format!(
                    "write minute, hour, day of month, month and day of week, like '0 2 * * 0' for Sundays at 02:00 UTC ({reason})"
                ),
            )
        };
        if cron.split_whitespace().count() != 5 {
            return Err(wrong("it does not have five fields".to_owned()));
        }
        let pattern = Cron::from_str(cron).map_err(|error| wrong(error.to_string().to_lowercase()))?;
        Ok(Self { recurring: Some((pattern, duration_ms)), ..window })
    }

    /// The window that is in force at `at`: its begin and end.
    pub fn current(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        if at < self.starts_at || at >= self.ends_at {
            return None;
        }
        let Some((cron, duration_ms)) = &self.recurring else { return Some((self.starts_at, self.ends_at)) };
        let begun = from_date(cron.find_previous_occurrence(&to_date(at)?, true).ok()?);
        let end = begun.plus_ms(*duration_ms).min(self.ends_at);
        (begun >= self.starts_at && at < end).then_some((begun, end))
    }

    /// When the window that is in force began, or the next one begins.
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        if let Some((begun, _)) = self.current(at) {
            return Some(begun);
        }
        let from = at.max(self.starts_at);
        let next = match &self.recurring {
            None => Some(self.starts_at).filter(|starts_at| *starts_at >= at),
            Some((cron, _)) => Some(from_date(cron.find_next_occurrence(&to_date(from)?, true).ok()?)),
        };
        next.filter(|next| *next < self.ends_at)
    }
}

fn to_date(at: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at.0)
}

fn from_date(date: DateTime<Utc>) -> Timestamp {
    Timestamp(date.timestamp_millis())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_single_one_is_in_force_between_its_moments() {
        let window = Window::once(at("2026-11-25T02:00:00Z"), at("2026-11-25T04:00:00Z")).unwrap();
        assert!(window.current(at("2026-11-25T01:59:59Z")).is_none());
        assert!(window.current(at("2026-11-25T02:00:00Z")).is_some());
        assert!(window.current(at("2026-11-25T04:00:00Z")).is_none());
        assert_eq!(window.next(at("2026-11-25T01:00:00Z")), Some(at("2026-11-25T02:00:00Z")));
        assert_eq!(window.next(at("2026-11-25T05:00:00Z")), None);
        assert_eq!(Window::once(at("2026-11-25T04:00:00Z"), at("2026-11-25T02:00:00Z")).unwrap_err().0, "ends_at");
    }

    #[test]
    fn a_recurring_one_is_in_force_after_each_begin_and_never_outside_its_bounds() {
        // Sundays at 02:00 for an hour and a half; the 29th of November 2026 is one.
        let (from, to) = (at("2026-11-25T00:00:00Z"), at("2026-12-07T00:00:00Z"));
        let window = Window::recurring(from, to, "0 2 * * 0", 5_400).unwrap();
        let (begun, end) = window.current(at("2026-11-29T03:29:59Z")).unwrap();
        assert_eq!((begun, end), (at("2026-11-29T02:00:00Z"), at("2026-11-29T03:30:00Z")));
        assert!(window.current(at("2026-11-29T03:30:00Z")).is_none());
        // The Sunday before lies outside.
        assert!(window.current(at("2026-11-22T02:30:00Z")).is_none());
        assert_eq!(window.next(at("2026-11-29T04:00:00Z")), Some(at("2026-12-06T02:00:00Z")));
        assert_eq!(window.next(at("2026-12-06T04:00:00Z")), None);
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_with_an_example() {
        let (from, to) = (Timestamp(0), Timestamp(86_400_000));
        for wrong in ["", "every sunday", "0 2 * *", "61 2 * * *", "0 0 2 * * 0", "@daily"] {
            let (field, message) = Window::recurring(from, to, wrong, 600).unwrap_err();
            assert!(field == "cron" && message.contains("0 2 * * 0"), "{wrong}: {message}");
        }
        assert_eq!(Window::recurring(from, to, "0 2 * * 0", 5).unwrap_err().0, "duration_seconds");
    }
}
