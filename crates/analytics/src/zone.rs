//! Time zones: which offset from UTC holds when, as PostgreSQL knows it.
//!
//! Roll-ups are kept in UTC. A bucket of another zone is put together from pieces of UTC that lie wholly within it
//! ([`crate::plan`]): from hours where the zone is whole hours away, else from minutes and rows.
use crate::{AnalyticsError, DAY_MS, HOUR_MS, MINUTE_MS, buckets, floor};
use domain::view::Bucket;
use sqlx::PgConnection;

/// All zones of today are a multiple of it away from UTC, and change at one.
const QUARTER_MS: i64 = 15 * MINUTE_MS;
/// Around a range, so that its first and last bucket are known as a whole.
const AROUND_MS: i64 = 40 * DAY_MS;

/// A zone, over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) name: String,
    /// From which moment on which offset holds; the first one holds before, too.
    offsets: Vec<(i64, i64)>,
}

fn unknown(name: &str) -> AnalyticsError {
    AnalyticsError::invalid(
        "time_zone",
        format!("'{name}' is no time zone that the database knows; name one like Europe/Berlin, Asia/Kolkata or UTC"),
    )
}

impl Zone {
    pub(crate) fn utc() -> Self {
        Self { name: "UTC".to_owned(), offsets: vec![(i64::MIN, 0)] }
    }

    /// `None` and UTC ask nobody.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        name: Option<&str>,
        from: i64,
        to: i64,
    ) -> Result<Self, AnalyticsError> {
        let name = match name {
            None | Some("UTC") => return Ok(Self::utc()),
            Some(name) => name,
        };
        let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)")
            .bind(name)
            .fetch_one(&mut *connection)
            .await?;
        if !known {
            return Err(unknown(name));
        }
        // Each day's first offset, and each quarter of an hour's of the days on which it changes.
        let rows = sqlx::query_as::<_, (i64, i64)>(
            "WITH days AS (SELECT d, extract(epoch FROM (d AT TIME ZONE $1) - (d AT TIME ZONE 'UTC'))::int8 AS o FROM generate_series(to_timestamp($2::int8 / 1000.0), to_timestamp($3::int8 / 1000.0), interval '1 day') AS d),
             changes AS (SELECT d FROM (SELECT d, o, lead(o) OVER (ORDER BY d) AS next FROM days) AS x WHERE o <> next),
             moments AS (SELECT d AS m FROM days UNION SELECT m FROM changes, generate_series(d, d + interval '1 day', interval '15 minutes') AS m)
             SELECT (extract(epoch FROM m) * 1000)::int8, (extract(epoch FROM (m AT TIME ZONE $1) - (m AT TIME ZONE 'UTC')) * 1000)::int8 FROM moments ORDER BY m",
        )
        .bind(name)
        .bind(floor(from - AROUND_MS, DAY_MS))
        .bind(floor(to + AROUND_MS, DAY_MS))
        .fetch_all(connection)
        .await?;
        let mut offsets = rows;
        offsets.dedup_by_key(|it| it.1);
        if offsets.is_empty() || offsets.iter().any(|it| it.1 % QUARTER_MS != 0) {
            return Err(AnalyticsError::invalid(
                "time_zone",
                format!(
                    "'{name}' was not a multiple of 15 minutes away from UTC in this range; choose another time zone"
                ),
            ));
        }
        Ok(Self { name: name.to_owned(), offsets })
    }

    /// Always so many minutes away.
    #[cfg(test)]
    pub(crate) fn fixed(minutes: i64) -> Self {
        Self { name: "X".to_owned(), offsets: vec![(i64::MIN, minutes * MINUTE_MS)] }
    }

    pub(crate) fn is_utc(&self) -> bool {
        self.offsets.iter().all(|it| it.1 == 0)
    }

    /// Whether an hour of UTC is an hour of the zone.
    pub(crate) fn has_whole_hours(&self) -> bool {
        self.offsets.iter().all(|it| it.1 % HOUR_MS == 0)
    }

    fn offset(&self, at: i64) -> i64 {
        let next = self.offsets.partition_point(|it| it.0 <= at);
        self.offsets.get(next.saturating_sub(1)).map_or(0, |it| it.1)
    }

    /// What a clock of the zone shows, as if it were UTC.
    pub(crate) fn local(&self, at: i64) -> i64 {
        at + self.offset(at)
    }

    /// The start of the bucket that `at` is in.
    pub(crate) fn start(&self, bucket: Bucket, at: i64) -> i64 {
        let local = self.local(at);
        let start = buckets::start(bucket, local);
        if bucket <= Bucket::Hour {
            return at - (local - start);
        }
        let first = start - self.offset(at);
        let offset = self.offset(first);
        let second = start - offset;
        // A midnight that a clock skips: the day begins when it has been skipped.
        if self.offset(second) == offset { second } else { first.max(second) }
    }

    /// The starts of all buckets of a range.
    pub(crate) fn starts(&self, bucket: Bucket, from: i64, to: i64) -> Vec<i64> {
        // Into the next bucket, also where clocks are put back or forward.
        let step = match bucket {
            Bucket::Minute | Bucket::Hour => bucket.seconds() * 1_000,
            Bucket::Day | Bucket::Week => bucket.seconds() * 1_000 + 90 * MINUTE_MS,
            Bucket::Month => 32 * DAY_MS,
        };
        let mut starts = Vec::new();
        let mut at = self.start(bucket, from);
        while at < to {
            starts.push(at);
            at = self.start(bucket, at + step).max(at + MINUTE_MS);
        }
        starts
    }

    /// Whether a span lies within one bucket.
    pub(crate) fn is_within(&self, bucket: Bucket, at: i64, length: i64) -> bool {
        self.is_utc() || self.start(bucket, at) == self.start(bucket, at + length - 1)
    }

    /// SQL of a span that `time` is in and that lies within one bucket; [`Self::start`] of it is the bucket's.
    pub(crate) fn start_sql(&self, bucket: Bucket, time: &str) -> String {
        if self.is_utc() {
            return buckets::start_sql(bucket, time);
        }
        let span = match bucket {
            Bucket::Minute => "1 minute",
            _ if self.has_whole_hours() => "1 hour",
            _ => "15 minutes",
        };
        format!("date_bin('{span}', {time}, timestamptz 'epoch')")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn at(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text).unwrap().0
    }

    fn zone(offsets: &[(&str, i64)]) -> Zone {
        let offsets = offsets.iter().map(|(from, minutes)| (at(from), minutes * MINUTE_MS)).collect();
        Zone { name: "X".to_owned(), offsets }
    }

    #[test]
    fn days_are_longer_and_shorter_where_clocks_change() {
        // Berlin, 2026: summer time from 29 March 01:00 UTC to 25 October 01:00 UTC.
        let berlin = zone(&[("2026-01-01T00:00:00Z", 60), ("2026-03-29T01:00:00Z", 120), ("2026-10-25T01:00:00Z", 60)]);
        for (moment, start) in [
            ("2026-03-28T22:59:00Z", "2026-03-27T23:00:00Z"),
            ("2026-03-28T23:00:00Z", "2026-03-28T23:00:00Z"),
            ("2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z"),
            ("2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-10-25T22:30:00Z", "2026-10-24T22:00:00Z"),
            ("2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z"),
        ] {
            assert_eq!(berlin.start(Bucket::Day, at(moment)), at(start), "{moment}");
        }
        let lengths = |from: &str, to: &str| {
            let starts = berlin.starts(Bucket::Day, at(from), at(to));
            starts.windows(2).map(|pair| (pair[1] - pair[0]) / HOUR_MS).collect::<Vec<_>>()
        };
        assert_eq!(lengths("2026-03-28T12:00:00Z", "2026-04-01T00:00:00Z"), [24, 23, 24, 24]);
        assert_eq!(lengths("2026-10-24T12:00:00Z", "2026-10-28T00:00:00Z"), [24, 25, 24, 24]);
        assert_eq!(
            berlin.starts(Bucket::Month, at("2026-03-15T00:00:00Z"), at("2026-05-02T00:00:00Z")),
            [at("2026-02-28T23:00:00Z"), at("2026-03-31T22:00:00Z"), at("2026-04-30T22:00:00Z")]
        );
        assert_eq!(berlin.start(Bucket::Week, at("2026-03-30T10:00:00Z")), at("2026-03-29T22:00:00Z"));
        assert!(berlin.has_whole_hours() && berlin.is_within(Bucket::Day, at("2026-03-29T22:00:00Z"), DAY_MS));
        assert!(!berlin.is_within(Bucket::Day, at("2026-03-29T00:00:00Z"), DAY_MS), "a day of UTC is no day of Berlin");
        assert!(berlin.is_within(Bucket::Week, at("2026-03-31T00:00:00Z"), DAY_MS));
    }

    #[test]
    fn a_midnight_that_is_skipped_and_one_that_comes_twice() {
        // Clocks go from 00:00 to 01:00, and later from 00:00 back to 23:00.
        let zone =
            zone(&[("2026-01-01T00:00:00Z", -180), ("2026-02-01T03:00:00Z", -120), ("2026-03-01T02:00:00Z", -180)]);
        for (moment, start) in [
            ("2026-02-01T02:59:00Z", "2026-01-31T03:00:00Z"),
            ("2026-02-01T03:00:00Z", "2026-02-01T03:00:00Z"),
            ("2026-02-01T20:00:00Z", "2026-02-01T03:00:00Z"),
            ("2026-03-01T02:30:00Z", "2026-02-28T02:00:00Z"),
            ("2026-03-01T03:00:00Z", "2026-03-01T03:00:00Z"),
        ] {
            assert_eq!(zone.start(Bucket::Day, at(moment)), at(start), "{moment}");
        }
    }

    #[test]
    fn half_hours_are_told_apart() {
        let kolkata = zone(&[("2026-01-01T00:00:00Z", 330)]);
        let moment = at("2026-06-01T10:45:00Z");
        assert_eq!(kolkata.start(Bucket::Hour, moment), at("2026-06-01T10:30:00Z"));
        assert_eq!(kolkata.start(Bucket::Day, moment), at("2026-05-31T18:30:00Z"));
        assert!(!kolkata.has_whole_hours() && !kolkata.is_within(Bucket::Hour, at("2026-06-01T10:00:00Z"), HOUR_MS));
        assert!(kolkata.start_sql(Bucket::Day, "t").contains("15 minutes"));
        assert_eq!(Zone::utc().start_sql(Bucket::Day, "t"), buckets::start_sql(Bucket::Day, "t"));
    }
}
