//! How figures are put together over time. Parts merge into the whole that all of them would have made at once.
use crate::StoreError;
use std::collections::BTreeMap;

/// A figure over a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// Samples.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The newest.
    pub last: f64,
    /// Samples are missing.
    pub gap: bool,
    /// Counters were reset within.
    pub reset: bool,
    /// Counts by class, where the figure is a histogram.
    pub histogram: Option<Vec<u64>>,
}

impl Rollup {
    /// Of one sample.
    pub const fn of(value: f64) -> Self {
        Self { count: 1, sum: value, min: value, max: value, last: value, gap: false, reset: false, histogram: None }
    }

    /// Puts a later part to this one.
    pub fn merge(&mut self, later: &Self) {
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.last = later.last;
        self.gap |= later.gap;
        self.reset |= later.reset;
        if let Some(other) = &later.histogram {
            merge_histograms(self.histogram.get_or_insert_with(Vec::new), other);
        }
    }

    /// Mean of its samples.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// Adds counts by class to others; the shorter has nothing in the classes that it lacks. Damaged counts may be as large
/// as can be.
pub fn merge_histograms(own: &mut Vec<u64>, other: &[u64]) {
    if own.len() < other.len() {
        own.resize(other.len(), 0);
    }
    for (sum, count) in own.iter_mut().zip(other) {
        *sum = sum.saturating_add(*count);
    }
}

/// Counts by class as they are kept.
///
/// # Errors
/// [`StoreError::Damaged`] when it is no array of whole numbers.
pub fn parse_histogram(text: &str) -> Result<Vec<u64>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what: "histogram", detail: error.to_string() })
}

/// The begin of the stretch of `width_ms` that holds `at`.
pub const fn begin(at: i64, width_ms: i64) -> i64 {
    at.div_euclid(width_ms) * width_ms
}

/// Puts parts together by stretch: `(series, at, part)` in any order. A part is as long as `part_ms` (samples have no
/// length); where two neighbours, or a part and the edge of its stretch, are further apart than `gap_ms`, something
/// is missing. Nothing is missing before the first part of a series that `begins` here. `resets` are moments at which all
/// counters began anew.
pub fn roll(
    mut parts: Vec<(i64, i64, Rollup)>,
    width_ms: i64,
    part_ms: i64,
    gap_ms: impl Fn(i64) -> Option<i64>,
    begins: impl Fn(i64) -> bool,
    resets: impl Fn(i64, i64) -> bool,
) -> BTreeMap<(i64, i64), Rollup> {
    parts.sort_by_key(|(series, at, _)| (*series, *at));
    let mut rolled = BTreeMap::<(i64, i64), (Rollup, i64)>::new();
    let mut before = None;
    for (series, at, part) in parts {
        let first = before.replace(series) != Some(series);
        let start = begin(at, width_ms);
        let gap = gap_ms(series);
        let missing = |from: i64, to: i64| gap.is_some_and(|gap| to - from > gap);
        match rolled.get_mut(&(series, start)) {
            Some((whole, end)) => {
                whole.gap |= missing(*end, at);
                whole.merge(&part);
                *end = at + part_ms;
            }
            None => {
                let mut whole = part;
                whole.gap |= missing(start, at) && !(first && begins(series));
                whole.reset |= resets(series, start);
                rolled.insert((series, start), (whole, at + part_ms));
            }
        }
    }
    rolled
        .into_iter()
        .map(|((series, start), (mut whole, end))| {
            whole.gap |= gap_ms(series).is_some_and(|gap| start + width_ms - end > gap);
            ((series, start), whole)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    proptest! {
        /// Rolled up twice, with a part in between, it is what a naive recount of all samples says.
        #[test]
        fn rolling_up_in_steps_is_a_recount(samples in proptest::collection::btree_map((0i64..4, 0i64..(6 * 60 * MINUTE)), -1e6f64..1e6, 1..200)) {
            let parts = samples.iter().map(|((series, at), value)| (*series, *at, Rollup { histogram: Some(vec![1, *at as u64 % 3]), ..Rollup::of(*value) })).collect::<Vec<_>>();
            let five = roll(parts.clone(), 5 * MINUTE, 0, |_| Some(MINUTE), |_| false, |_, _| false);
            let hours = roll(five.iter().map(|((series, at), part)| (*series, *at, part.clone())).collect(), 60 * MINUTE, 5 * MINUTE, |_| Some(MINUTE), |_| false, |_, _| false);
            let mut naive = BTreeMap::<(i64, i64), Vec<(i64, f64)>>::new();
            for ((series, at), value) in &samples {
                naive.entry((*series, begin(*at, 60 * MINUTE))).or_default().push((*at, *value));
            }
            prop_assert_eq!(hours.keys().collect::<Vec<_>>(), naive.keys().collect::<Vec<_>>());
            for (key, mut values) in naive {
                values.sort_by_key(|value| value.0);
                let whole = &hours[&key];
                let sum = values.iter().map(|value| value.1).sum::<f64>();
                prop_assert_eq!(whole.count, values.len() as i64);
                prop_assert!((whole.sum - sum).abs() <= 1e-6 * (1.0 + sum.abs()));
                prop_assert_eq!(whole.min, values.iter().map(|value| value.1).fold(f64::INFINITY, f64::min));
                prop_assert_eq!(whole.max, values.iter().map(|value| value.1).fold(f64::NEG_INFINITY, f64::max));
                prop_assert_eq!(whole.last, values[values.len() - 1].1);
                prop_assert_eq!(whole.histogram.as_ref().map(|it| it[0]), Some(values.len() as u64));
                let mut ends = vec![key.1];
                ends.extend(values.iter().map(|value| value.0));
                ends.push(key.1 + 60 * MINUTE);
                // Half of a hole may lie on each side of an edge: up to twice the distance is not noticed there.
                let hole = |longest: i64| ends.windows(2).any(|pair| pair[1] - pair[0] > longest);
                prop_assert!(!hole(2 * MINUTE) || whole.gap);
                prop_assert!(!whole.gap || hole(MINUTE));
            }
        }
    }

    #[test]
    fn a_reset_marks_its_stretch_and_what_is_made_of_it() {
        let parts = (0..20).map(|i| (1, i * MINUTE, Rollup::of(1.0))).collect::<Vec<_>>();
        let five = roll(parts, 5 * MINUTE, 0, |_| Some(2 * MINUTE), |_| false, |_, start| start == 5 * MINUTE);
        assert_eq!(five.values().map(|it| it.reset).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(five.values().all(|it| !it.gap));
        let hour = roll(
            five.into_iter().map(|(key, it)| (key.0, key.1, it)).collect(),
            60 * MINUTE,
            5 * MINUTE,
            |_| Some(2 * MINUTE),
            |_| false,
            |_, _| false,
        );
        let whole = &hour[&(1, 0)];
        assert!(whole.reset && whole.gap, "40 minutes are missing");
    }

    #[test]
    fn nothing_is_missing_before_a_series_begins_but_within_it_and_before_another() {
        let parts =
            [(1, 4), (1, 9), (1, 14), (2, 4)].map(|(series, minute)| (series, minute * MINUTE, Rollup::of(1.0)));
        let rolled = roll(parts.to_vec(), 5 * MINUTE, 0, |_| Some(2 * MINUTE), |series| series == 1, |_, _| false);
        let gaps = rolled.iter().filter(|(_, it)| it.gap).map(|((series, at), _)| (*series, at / MINUTE));
        assert_eq!(gaps.collect::<Vec<_>>(), [(1, 5), (1, 10), (2, 0)]);
    }
}
