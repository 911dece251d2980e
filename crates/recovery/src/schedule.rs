//! Cron expressions in a time zone.
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use domain::Timestamp;
use jiff::{Zoned, tz::TimeZone};

/// Five fields of cron in a time zone, daylight saving time included.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// Reads it.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(zone)
            .map_err(|_| format!("'{zone}' is not a time zone; write an IANA name like UTC or Europe/Berlin"))?;
        let read = CronParser::builder().seconds(Seconds::Disallowed).build().parse(cron).map_err(|error| {
            format!("'{cron}' is not a schedule ({error}); write five fields like '0 2 * * *', or @daily")
        })?;
        let schedule = Self { cron: read, zone };
        // Whoever wrote it waits for backups that nobody takes.
        if schedule.next(Timestamp(0), 1).is_empty() {
            return Err(format!("'{cron}' never comes: no month that it names has such a day"));
        }
        Ok(schedule)
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        Some(jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }

    /// The next moments after `after`.
    pub fn next(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        let mut moments = Vec::new();
        let mut at = self.zoned(after);
        while let Some(from) = at.filter(|_| moments.len() < count) {
            let next = self.cron.find_next_occurrence(&from, false).ok();
            moments.extend(next.as_ref().map(|next| Timestamp(next.timestamp().as_millisecond())));
            at = next;
        }
        moments
    }

    /// The last moment at or before `at`.
    pub fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let last = self.cron.find_previous_occurrence(&self.zoned(at)?, true).ok()?;
        Some(Timestamp(last.timestamp().as_millisecond()))
    }

    /// The longest time between two of the next moments, in seconds.
    pub fn longest_pause(&self, from: Timestamp) -> Option<f64> {
        let moments = self.next(from, 40);
        moments.windows(2).map(|pair| pair[1].seconds_since(pair[0])).reduce(f64::max)
    }
}

/// The next moments of a calendar, for pages.
///
/// # Errors
/// As [`Schedule::parse`].
pub fn upcoming(cron: &str, zone: &str) -> Result<Vec<Timestamp>, String> {
    Ok(Schedule::parse(cron, zone)?.next(control::now(), 3))
}

/// How late a start is, the same for one cluster and kind: all clusters of an estate at once would wait for each other.
pub fn jitter_ms(cluster: &str, kind: &str, most_ms: i64) -> i64 {
    // FNV-1a: stable over versions, unlike the standard library's hasher.
    let hash = cluster
        .bytes()
        .chain([0])
        .chain(kind.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    if most_ms <= 0 { 0 } else { i64::try_from(hash % most_ms.unsigned_abs()).unwrap_or(0) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn moments_are_those_of_the_zone_over_daylight_saving_time() {
        let daily = Schedule::parse("30 2 * * *", "Europe/Berlin").unwrap();
        // 2026-03-29: clocks go from 02:00 to 03:00, 02:30 does not exist. It is not left out.
        let days = daily.next(at("2026-03-27T12:00:00Z"), 3).into_iter().map(Timestamp::to_rfc3339).collect::<Vec<_>>();
        assert_eq!(days[0], "2026-03-28T01:30:00Z");
        assert!(days[1].starts_with("2026-03-29T01:"), "{days:?}");
        assert_eq!(days[2], "2026-03-30T00:30:00Z");
        let hourly = Schedule::parse("0 * * * *", "UTC").unwrap();
        assert_eq!(hourly.last(at("2026-03-29T01:00:00Z")).unwrap(), at("2026-03-29T01:00:00Z"));
        assert_eq!(hourly.last(at("2026-03-29T00:59:59Z")).unwrap(), at("2026-03-29T00:00:00Z"));
        assert_eq!(hourly.longest_pause(at("2026-03-29T00:59:59Z")), Some(3_600.0));
        // Sunday is 0 and 7, as in every crontab.
        let sunday = Schedule::parse("0 5 * * 0", "UTC").unwrap();
        assert_eq!(sunday.next(at("2026-11-25T00:00:00Z"), 1), [at("2026-11-29T05:00:00Z")]);
    }

    #[test]
    fn what_was_due_is_found_over_daylight_saving_time_once() {
        let daily = Schedule::parse("30 2 * * *", "Europe/Berlin").unwrap();
        // The night without 02:30: it was due all the same, and the day after is another one.
        let spring = daily.last(at("2026-03-29T06:00:00Z")).unwrap();
        assert!(spring > at("2026-03-28T12:00:00Z"), "{}", spring.to_rfc3339());
        assert_eq!(daily.last(at("2026-03-30T00:30:00Z")).unwrap(), at("2026-03-30T00:30:00Z"));
        // The night with two of them, 2026-10-25: clocks go from 03:00 back to 02:00. One backup.
        let autumn = daily.next(at("2026-10-24T12:00:00Z"), 2);
        assert_eq!(autumn[1], at("2026-10-26T01:30:00Z"), "{autumn:?}");
        let (between, after) = (daily.last(at("2026-10-25T00:45:00Z")), daily.last(at("2026-10-25T06:00:00Z")));
        assert!(between == after, "what was due once is not due again: {between:?} {after:?}");
        // Hours are hours: 25 of them that day.
        let hourly = Schedule::parse("0 * * * *", "Europe/Berlin").unwrap();
        let day = hourly.next(at("2026-10-24T21:59:59Z"), 26);
        assert_eq!((day[0], day[25]), (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z")));
    }

    #[test]
    fn a_wrong_schedule_is_told_with_what_is_allowed() {
        for (cron, zone, said) in [
            ("0 25 * * *", "UTC", "five fields"),
            ("x", "UTC", "five fields"),
            ("0 0 2 * * *", "UTC", "five fields"),
            ("0 0 30 2 *", "UTC", "never comes"),
            ("0 2 * * *", "Mars/Olympus", "IANA"),
        ] {
            let error = Schedule::parse(cron, zone).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn jitter_is_stable_and_within_its_limit() {
        assert_eq!(jitter_ms("main", "full", 0), 0);
        for cluster in ["main", "orders", "x"] {
            let late = jitter_ms(cluster, "full", 60_000);
            assert!((0..60_000).contains(&late) && late == jitter_ms(cluster, "full", 60_000));
        }
        assert_ne!(jitter_ms("main", "full", 60_000), jitter_ms("orders", "full", 60_000));
    }
}
