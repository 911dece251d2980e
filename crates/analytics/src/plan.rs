//! From which tier each piece of a range is read: the coarsest whose buckets lie wholly within the range and within the
//! asked bucket, and whose hours are all rolled up. What is left, the ragged ends and the hours that changed a moment
//! ago, is counted from the rows themselves, so that the sum is exact at every moment.
use crate::{DAY_MS, HOUR_MS, MINUTE_MS, floor, zone::Zone};
use domain::view::{Bucket, TierUse};
use std::collections::BTreeSet;

/// Where a piece is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Raw,
    /// Rows that were brought back from the archive.
    Restored,
    Minute,
    Hour,
    Day,
}

impl Tier {
    pub(crate) const ALL: [Self; 5] = [Self::Raw, Self::Restored, Self::Minute, Self::Hour, Self::Day];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Restored => "restored",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Pieces of a range, in order and without a hole; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) pieces: Vec<(Tier, i64, i64)>,
}

/// What a plan must know of the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Hours that are not rolled up; their beginnings.
    pub(crate) dirty: BTreeSet<i64>,
    /// Minutes are kept from here on.
    pub(crate) minutes_from: i64,
    /// Rows are kept from here on; before there are only roll-ups.
    pub(crate) raw_from: i64,
    /// Hours are kept from here on, a day's beginning that is not behind `raw_from`; before there are only days.
    pub(crate) hours_from: i64,
    /// Spans before it whose rows were brought back, in order and apart.
    pub(crate) restored: Vec<(i64, i64)>,
}

impl Known {
    /// Whether all rows of a span were brought back.
    pub(crate) fn is_restored(&self, from: i64, to: i64) -> bool {
        self.restored.iter().any(|span| span.0 <= from && to <= span.1)
    }
}

impl Plan {
    pub(crate) fn make(from: i64, to: i64, bucket: Bucket, known: &Known) -> Self {
        Self::of_zone(from, to, bucket, known, &Zone::utc())
    }

    /// For buckets of a time zone.
    pub(crate) fn of_zone(from: i64, to: i64, bucket: Bucket, known: &Known, zone: &Zone) -> Self {
        let mut pieces: Vec<(Tier, i64, i64)> = Vec::new();
        let mut at = from;
        while at < to {
            let hour = floor(at, HOUR_MS);
            let clean_hour = !known.dirty.contains(&hour);
            let whole = |length: i64| at % length == 0 && at + length <= to && zone.is_within(bucket, at, length);
            let (tier, until) =
                if bucket >= Bucket::Day && whole(DAY_MS) && known.dirty.range(at..at + DAY_MS).next().is_none() {
                    (Tier::Day, at + DAY_MS)
                } else if bucket >= Bucket::Hour && whole(HOUR_MS) && clean_hour && at >= known.hours_from {
                    (Tier::Hour, at + HOUR_MS)
                } else if clean_hour && whole(MINUTE_MS) && hour >= known.minutes_from {
                    (Tier::Minute, at + MINUTE_MS)
                } else if at < known.raw_from && known.is_restored(at, to.min(hour + HOUR_MS)) {
                    (Tier::Restored, hour + HOUR_MS)
                } else if clean_hour && hour >= known.minutes_from {
                    (Tier::Raw, floor(at, MINUTE_MS) + MINUTE_MS)
                } else {
                    (Tier::Raw, hour + HOUR_MS)
                };
            let until = until.min(to);
            match pieces.last_mut() {
                Some(last) if last.0 == tier && last.2 == at => last.2 = until,
                _ => pieces.push((tier, at, until)),
            }
            at = until;
        }
        Self { pieces }
    }

    /// Beginnings and ends of the pieces of one tier.
    pub(crate) fn of(&self, tier: Tier) -> (Vec<i64>, Vec<i64>) {
        self.pieces.iter().filter(|piece| piece.0 == tier).map(|piece| (piece.1, piece.2)).unzip()
    }

    /// How much of the range came from which tier.
    pub(crate) fn tiers(&self) -> Vec<TierUse> {
        Tier::ALL
            .into_iter()
            .filter_map(|tier| {
                let ms = self.pieces.iter().filter(|it| it.0 == tier).map(|it| it.2 - it.1).sum::<i64>();
                (ms > 0).then(|| TierUse { tier: tier.as_str().to_owned(), seconds: ms / 1_000 })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(from: i64, to: i64, bucket: Bucket, known: &Known) -> Vec<(Tier, i64, i64)> {
        Plan::make(from, to, bucket, known).pieces
    }

    #[test]
    fn the_coarsest_that_is_exact_is_taken() {
        let clean = Known { minutes_from: i64::MAX, ..Known::default() };
        let (d, h) = (DAY_MS, HOUR_MS);
        assert_eq!(pieces(0, 3 * d, Bucket::Day, &clean), [(Tier::Day, 0, 3 * d)]);
        assert_eq!(pieces(0, 3 * d, Bucket::Hour, &clean), [(Tier::Hour, 0, 3 * d)]);
        assert_eq!(
            pieces(23 * h, 2 * d + 2 * h + 1, Bucket::Week, &clean),
            [
                (Tier::Hour, 23 * h, d),
                (Tier::Day, d, 2 * d),
                (Tier::Hour, 2 * d, 2 * d + 2 * h),
                (Tier::Raw, 2 * d + 2 * h, 2 * d + 2 * h + 1)
            ]
        );
        // Minutes where they are kept, rows elsewhere.
        let minutes = Known { minutes_from: h, ..Known::default() };
        assert_eq!(
            pieces(0, 2 * h + 90_000, Bucket::Minute, &minutes),
            [(Tier::Raw, 0, h), (Tier::Minute, h, 2 * h + 60_000), (Tier::Raw, 2 * h + 60_000, 2 * h + 90_000)]
        );
        // A day of UTC is no day of a zone, and an hour no hour of one that is half an hour away.
        let zone = Zone::fixed(60);
        assert_eq!(Plan::of_zone(0, 3 * d, Bucket::Day, &clean, &zone).pieces, [(Tier::Hour, 0, 3 * d)]);
        let zone = Zone::fixed(330);
        assert_eq!(Plan::of_zone(0, 2 * h, Bucket::Day, &clean, &zone).pieces, [(Tier::Hour, 0, 2 * h)]);
        assert_eq!(
            Plan::of_zone(18 * h, 20 * h, Bucket::Day, &clean, &zone).pieces,
            [(Tier::Raw, 18 * h, 19 * h), (Tier::Hour, 19 * h, 20 * h)]
        );
        assert_eq!(Plan::of_zone(h, 2 * h, Bucket::Hour, &minutes, &zone).pieces, [(Tier::Minute, h, 2 * h)]);
        // Where rows are gone those that were brought back tell what is finer than an hour, and nothing else.
        let gone = Known { minutes_from: i64::MAX, raw_from: 9 * d, restored: vec![(d, 2 * d)], ..Known::default() };
        assert_eq!(pieces(d, 2 * d, Bucket::Hour, &gone), [(Tier::Hour, d, 2 * d)]);
        assert_eq!(pieces(d + 5, d + 2 * h, Bucket::Minute, &gone), [(Tier::Restored, d + 5, d + 2 * h)]);
        assert_eq!(
            pieces(d + 5, d + 2 * h, Bucket::Day, &gone),
            [(Tier::Restored, d + 5, d + h), (Tier::Hour, d + h, d + 2 * h)]
        );
        // Where hours are gone too, there are days and what was brought back.
        let old = Known { hours_from: 3 * d, restored: Vec::new(), ..gone };
        assert_eq!(pieces(0, 4 * d, Bucket::Day, &old), [(Tier::Day, 0, 4 * d)]);
        assert_eq!(
            pieces(2 * d, 3 * d + h, Bucket::Hour, &old),
            [(Tier::Raw, 2 * d, 3 * d), (Tier::Hour, 3 * d, 3 * d + h)]
        );
        let back = Known { restored: vec![(d, 2 * d)], ..old };
        assert_eq!(pieces(d, 2 * d, Bucket::Hour, &back), [(Tier::Restored, d, 2 * d)]);
        // An hour that is not rolled up takes its day with it, and nothing else.
        let dirty = Known { dirty: [d + 5 * h].into(), minutes_from: i64::MAX, ..Known::default() };
        assert_eq!(
            pieces(0, 3 * d, Bucket::Month, &dirty),
            [
                (Tier::Day, 0, d),
                (Tier::Hour, d, d + 5 * h),
                (Tier::Raw, d + 5 * h, d + 6 * h),
                (Tier::Hour, d + 6 * h, 2 * d),
                (Tier::Day, 2 * d, 3 * d)
            ]
        );
    }
}
