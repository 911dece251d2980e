//! Durations counted in log-linear buckets: mergeable by addition, within 1.6 % of the truth, without a lock.
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Each power of two of microseconds is cut into this many buckets; below it every microsecond has its own.
const LINEAR_BITS: u32 = 5;
const LINEAR: u64 = 1 << LINEAR_BITS;
/// Up to 2^36 µs, about 19 hours; longer ones count into the last bucket.
const POWERS: u32 = 36;
const BUCKETS: usize = ((POWERS - LINEAR_BITS + 1) as usize) << LINEAR_BITS;

/// Counts durations; shared by all tasks.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum_us: AtomicU64::new(0) }
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((1 << POWERS) - 1);
    if us < LINEAR {
        return us as usize;
    }
    let power = 63 - us.leading_zeros();
    let shift = power - LINEAR_BITS;
    (((shift + 1) as usize) << LINEAR_BITS) + ((us >> shift) as usize & (LINEAR as usize - 1))
}

/// First and last microsecond that count into the bucket.
fn range(bucket: usize) -> (u64, u64) {
    if bucket < LINEAR as usize {
        return (bucket as u64, bucket as u64);
    }
    let shift = (bucket >> LINEAR_BITS) as u32 - 1;
    let low = (LINEAR + (bucket as u64 & (LINEAR - 1))) << shift;
    (low, low + (1 << shift) - 1)
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self
            .counts
            .iter()
            .enumerate()
            .filter_map(|(bucket, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then_some((bucket as u16, count))
            })
            .collect();
        HistogramSnapshot { counts, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

/// Counts at one moment; only buckets that hold something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramSnapshot {
    counts: BTreeMap<u16, u64>,
    sum_us: u64,
}

impl HistogramSnapshot {
    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many of at most so many microseconds, to the bucket's width.
    pub fn count_up_to_us(&self, us: u64) -> u64 {
        self.counts.iter().take_while(|(bucket, _)| range(usize::from(**bucket)).1 <= us).map(|(_, count)| count).sum()
    }

    /// All of them together, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// Adds another's counts: of another process, or of another minute.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
        self.sum_us += other.sum_us;
    }

    /// What was counted since `earlier`, a snapshot of the same histogram.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self
            .counts
            .iter()
            .filter_map(|(bucket, count)| {
                let new = count.saturating_sub(earlier.counts.get(bucket).copied().unwrap_or(0));
                (new > 0).then_some((*bucket, new))
            })
            .collect();
        Self { counts, sum_us: self.sum_us.saturating_sub(earlier.sum_us) }
    }

    /// The duration that the given share (0 to 1) stays at or below, in milliseconds; `None` when nothing was counted.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let total = self.count();
        let rank = ((share * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += count;
            if seen >= rank {
                let (low, high) = range(usize::from(*bucket));
                return Some((low + high) as f64 / 2_000.0);
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_buckets_follow_on_each_other() {
        let mut next = 0;
        for bucket_number in 0..BUCKETS {
            let (low, high) = range(bucket_number);
            assert_eq!(low, next, "bucket {bucket_number}");
            assert_eq!((bucket(low), bucket(high)), (bucket_number, bucket_number));
            next = high + 1;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn a_quantile_is_near_the_exact_one_and_merging_is_counting_together(
            a in prop::collection::vec(0_u64..50_000_000, 1..200),
            b in prop::collection::vec(0_u64..50_000_000, 0..200),
            share in 0.0_f64..=1.0,
        ) {
            let (one, two, both) = (Histogram::default(), Histogram::default(), Histogram::default());
            for us in &a { one.record(Duration::from_micros(*us)); both.record(Duration::from_micros(*us)); }
            for us in &b { two.record(Duration::from_micros(*us)); both.record(Duration::from_micros(*us)); }
            let mut merged = one.snapshot();
            merged.merge(&two.snapshot());
            prop_assert_eq!(&merged, &both.snapshot());
            prop_assert_eq!(merged.since(&one.snapshot()), two.snapshot());
            let mut sorted = a.iter().chain(&b).copied().collect::<Vec<_>>();
            sorted.sort_unstable();
            let rank = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let exact = sorted[rank - 1] as f64 / 1_000.0;
            let got = merged.quantile_ms(share).unwrap();
            prop_assert!((got - exact).abs() <= exact * 0.016 + 0.001, "{} for {}", got, exact);
        }
    }

    #[test]
    fn nothing_counted_is_not_zero() {
        assert_eq!(HistogramSnapshot::default().quantile_ms(0.5), None);
    }
}
