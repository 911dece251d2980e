//! Latencies counted by class, for history: percentiles of parts cannot be put together into those of the whole, counts
//! can. Class `i` ends at 10^(-3 + i / 20) ms, so each is 12 % wide; the first holds what is below a microsecond, the last
//! what is above a quarter of an hour.
use crate::{latency::Part, statements::StatementDelta};

const PER_DECADE: f64 = 20.0;
/// log10 of the end of the first class, in milliseconds.
const FIRST: f64 = -3.0;
/// Nine decades, and what lies above.
const CLASSES: usize = 182;

/// The end of a class in milliseconds.
fn end_ms(class: usize) -> f64 {
    10f64.powf(FIRST + class as f64 / PER_DECADE)
}

/// The class of a latency in milliseconds.
pub fn class_of(ms: f64) -> usize {
    let class = ((ms.max(1e-9).log10() - FIRST) * PER_DECADE).ceil();
    (class.max(0.0) as usize).min(CLASSES - 1)
}

/// The calls of an interval by class, each statement's taken as log-normal as [`crate::latency::estimate`] does; together
/// exactly the number of calls. `None` without calls.
pub fn estimated(rows: &[StatementDelta]) -> Option<Vec<u64>> {
    let mut calls = vec![0.0f64; CLASSES];
    let mut any = false;
    for part in rows.iter().filter(|row| row.calls > 0 && row.total_ms > 0.0).map(Part::of) {
        any = true;
        let (first, last) = (class_of(part.lower()), class_of(part.upper()));
        let mut below = 0.0;
        for (class, count) in calls.iter_mut().enumerate().take(last + 1).skip(first) {
            let share = if class == last { 1.0 } else { part.share_below(end_ms(class)) };
            *count += part.weight * (share - below);
            below = share;
        }
    }
    any.then(|| whole(&calls))
}

/// Fractions of calls to whole ones, without losing any: what is left over goes on to the next class.
fn whole(calls: &[f64]) -> Vec<u64> {
    let (mut sum, mut given) = (0.0, 0);
    let mut counts = calls
        .iter()
        .map(|count| {
            sum += count.max(0.0);
            let upto = (sum + 1e-6).round() as u64;
            let count = upto.saturating_sub(given);
            given = given.max(upto);
            count
        })
        .collect::<Vec<_>>();
    counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
    counts
}

/// What the server's log tells about the same calls, in the place of the estimate: from `floor_ms` on the log knows all,
/// below it the estimate divides what is left. `logged` holds latencies in milliseconds and how many calls have them.
pub fn with_log(estimated: &[u64], logged: impl IntoIterator<Item = (f64, f64)>, floor_ms: f64) -> Vec<u64> {
    let total = estimated.iter().sum::<u64>() as f64;
    let mut known = vec![0.0f64; CLASSES];
    for (ms, calls) in logged {
        if let Some(count) = known.get_mut(class_of(ms)) {
            *count += calls;
        }
    }
    let logged = known.iter().sum::<f64>();
    if logged <= 0.0 && floor_ms <= 0.0 {
        return estimated.to_vec();
    }
    let quick = if floor_ms > 0.0 { class_of(floor_ms) } else { 0 };
    let below = estimated.iter().take(quick).sum::<u64>() as f64;
    let left = (total - logged).max(0.0);
    if below > 0.0 {
        for (count, estimate) in known.iter_mut().zip(estimated.iter().take(quick)) {
            *count += *estimate as f64 * left / below;
        }
    } else if floor_ms > 0.0 && quick > 0 {
        // All are estimated to be slow, and the log does not know them: they were just quicker than it tells.
        known[quick - 1] += left;
    }
    whole(&known)
}

/// A quantile (0 to 1) in milliseconds, within the 12 % of a class; `None` without calls.
pub fn quantile(counts: &[u64], quantile: f64) -> Option<f64> {
    let total = counts.iter().sum::<u64>() as f64;
    if total <= 0.0 {
        return None;
    }
    let wanted = quantile.clamp(0.0, 1.0) * total;
    let mut below = 0.0;
    for (class, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if below + count >= wanted {
            let share = ((wanted - below) / count).clamp(0.0, 1.0);
            // Along the logarithm within the class.
            return Some(10f64.powf(FIRST + (class as f64 - 1.0 + share) / PER_DECADE));
        }
        below += count;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::latency;
    use domain::reading::StatementKey;
    use proptest::prelude::*;

    fn statement(calls: i64, mean_ms: f64, ratio: f64) -> StatementDelta {
        StatementDelta {
            key: StatementKey { dbid: 0, userid: 0, queryid: 0, toplevel: true },
            calls,
            total_ms: mean_ms * calls as f64,
            m2: (mean_ms * ratio).powi(2) * calls as f64,
            max_ms: 0.0,
            rows: 0,
            shared_blks_hit: 0,
            shared_blks_read: 0,
            temp_blks_written: 0,
            wal_bytes: 0,
        }
    }

    proptest! {
        /// No call is lost, and the quantiles are those of the estimate within the width of a class.
        #[test]
        fn classes_hold_every_call_and_give_the_estimate(rows in proptest::collection::vec((1i64..100_000, -2f64..4.0, 0.0f64..2.0), 1..30)) {
            let rows = rows.into_iter().map(|(calls, mean, ratio)| statement(calls, 10f64.powf(mean), ratio)).collect::<Vec<_>>();
            let counts = estimated(&rows).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), rows.iter().map(|row| row.calls as u64).sum::<u64>());
            let total = counts.iter().sum::<u64>() as f64;
            for wanted in [0.5, 0.95, 0.99] {
                // A call more or less to either side: rounding to whole calls.
                let [low, high] = latency::estimate(&rows, [(wanted - 1.5 / total).max(0.0), (wanted + 1.5 / total).min(1.0)]).unwrap();
                let found = quantile(&counts, wanted).unwrap();
                prop_assert!(found >= low / 1.13 && found <= high * 1.13, "{} {} {}", low, found, high);
            }
        }

        /// Counts of two times put together are the counts of both: what averaging percentiles does not give.
        #[test]
        fn parts_merge_into_the_whole(a in 1i64..10_000, b in 1i64..10_000) {
            let (quick, slow) = (statement(a, 1.0, 0.5), statement(b, 200.0, 0.5));
            let both = estimated(&[quick, slow]).unwrap();
            let (quick, slow) = (estimated(&[quick]).unwrap(), estimated(&[slow]).unwrap());
            for (class, count) in both.iter().enumerate() {
                let parts = quick.get(class).unwrap_or(&0) + slow.get(class).unwrap_or(&0);
                prop_assert!(parts.abs_diff(*count) <= 2);
            }
        }
    }

    #[test]
    fn the_percentile_of_two_times_is_not_the_mean_of_theirs() {
        let (mut busy, calm) =
            (estimated(&[statement(990, 1.0, 0.0)]).unwrap(), estimated(&[statement(10, 1_000.0, 0.0)]).unwrap());
        busy.resize(calm.len(), 0);
        let merged = busy.iter().zip(&calm).map(|(a, b)| a + b).collect::<Vec<_>>();
        let p95 = quantile(&merged, 0.95).unwrap();
        assert!((p95 / 1.0 - 1.0).abs() < 0.13, "{p95}: the mean of both percentiles would be 500 ms");
        assert!(quantile(&merged, 0.995).unwrap() > 880.0);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_log_replaces_the_estimate_from_its_threshold_on() {
        let counts = estimated(&[statement(1_000, 10.0, 1.0)]).unwrap();
        // The log knows: 20 calls took 100 ms, none more.
        let known = with_log(&counts, [(100.0, 20.0)], 50.0);
        assert_eq!(known.iter().sum::<u64>(), 1_000);
        let p99 = quantile(&known, 0.99).unwrap();
        assert!((p99 / 100.0 - 1.0).abs() < 0.13, "{p99}");
        assert!(quantile(&known, 0.979).unwrap() <= 50.0 * 1.13);
        // Everything is logged: the estimate has no say.
        let all = with_log(&counts, [(5.0, 700.0), (7.0, 300.0)], 0.0);
        assert_eq!((all.iter().sum::<u64>(), all.iter().filter(|it| **it > 0).count()), (1_000, 2));
        assert_eq!(with_log(&counts, [], 0.0), counts);
    }

    #[test]
    fn the_ends_hold_what_lies_outside() {
        for (ms, class) in
            [(0.0, 0), (0.0005, 0), (0.001, 0), (0.0011, 1), (1e9, CLASSES - 1), (f64::INFINITY, CLASSES - 1)]
        {
            assert_eq!(class_of(ms), class, "{ms}");
        }
        assert!((end_ms(60) - 1.0).abs() < 1e-9 && class_of(1.0) == 60);
    }
}
