//! Buckets of time (UTC).
use crate::{DAY_MS, floor, partitions::Month};
use domain::{Timestamp, view::Bucket};

const WEEK_MS: i64 = 7 * DAY_MS;

/// The Monday of the week that `at` is in: 1970-01-01 was a Thursday.
pub(crate) const fn monday(at: i64) -> i64 {
    floor(at + 3 * DAY_MS, WEEK_MS) - 3 * DAY_MS
}

/// The start of the bucket that `at` is in.
pub(crate) fn start(bucket: Bucket, at: i64) -> i64 {
    match bucket {
        Bucket::Minute | Bucket::Hour | Bucket::Day => floor(at, bucket.seconds() * 1_000),
        Bucket::Week => monday(at),
        Bucket::Month => Month::of(Timestamp(at)).start().0,
    }
}

/// SQL of the start of the bucket of `time`.
pub(crate) fn start_sql(bucket: Bucket, time: &str) -> String {
    match bucket {
        // Half the time of `date_trunc`, which looks the zone up for each row.
        Bucket::Minute | Bucket::Hour | Bucket::Day => format!("date_bin('1 {bucket}', {time}, timestamptz 'epoch')"),
        Bucket::Week | Bucket::Month => format!("date_trunc('{bucket}', {time}, 'UTC')"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    fn at(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text).unwrap().0
    }

    #[test]
    fn every_moment_has_its_bucket() {
        let moment = at("2026-11-29T08:15:42Z");
        for (bucket, begins, next) in [
            (Bucket::Minute, "2026-11-29T08:15:00Z", "2026-11-29T08:16:00Z"),
            (Bucket::Hour, "2026-11-29T08:00:00Z", "2026-11-29T09:00:00Z"),
            (Bucket::Day, "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"),
            (Bucket::Week, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (Bucket::Month, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(start(bucket, moment), at(begins), "{bucket}");
            assert_eq!(Zone::utc().starts(bucket, moment, at(next) + 1), [at(begins), at(next)], "{bucket}");
            assert_eq!(
                Zone::utc().starts(bucket, moment, at(next)),
                [at(begins)],
                "{bucket}: the end is not in the range"
            );
        }
    }
}
