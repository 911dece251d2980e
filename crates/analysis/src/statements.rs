//! What statements did between two readings, and over the last minutes.
use crate::delta;
use domain::reading::{StatementCounters, StatementKey, StatementReading};
use std::collections::{HashMap, VecDeque};

/// What one statement did in an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatementDelta {
    /// Which statement.
    pub key: StatementKey,
    /// Calls, at least one.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
    /// Sum of squared deviations of the interval's calls from their mean, in ms².
    pub m2: f64,
    /// Longest since the entry was made.
    pub max_ms: f64,
    /// Rows.
    pub rows: i64,
    /// Blocks from the cache.
    pub shared_blks_hit: i64,
    /// Blocks read.
    pub shared_blks_read: i64,
    /// Temporary blocks written.
    pub temp_blks_written: i64,
    /// WAL.
    pub wal_bytes: i64,
}

impl StatementDelta {
    /// Of a statement that did nothing.
    pub const fn zero(key: StatementKey) -> Self {
        Self {
            key,
            calls: 0,
            total_ms: 0.0,
            m2: 0.0,
            max_ms: 0.0,
            rows: 0,
            shared_blks_hit: 0,
            shared_blks_read: 0,
            temp_blks_written: 0,
            wal_bytes: 0,
        }
    }
    /// Mean of the interval.
    pub fn mean_ms(&self) -> f64 {
        self.total_ms / self.calls.max(1) as f64
    }
    /// Population standard deviation of the interval.
    pub fn stddev_ms(&self) -> f64 {
        (self.m2 / self.calls.max(1) as f64).max(0.0).sqrt()
    }
}

/// What all statements did in an interval: only those with calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatementInterval {
    /// The statements.
    pub rows: Vec<StatementDelta>,
    /// All counters were reset in between.
    pub reset: bool,
    /// Entries evicted in between (14+).
    pub evicted: Option<i64>,
}

/// Keeps the reading before, to tell what changed.
#[derive(Clone, Debug, Default)]
pub struct StatementTracker {
    before: Option<(HashMap<StatementKey, StatementCounters>, StatementReading)>,
}

impl StatementTracker {
    /// Takes a reading; the first one, and the first after `restarted` without kept statistics, gives nothing to
    /// compare with. An entry that was not there before counts in full: it was made in the interval.
    pub fn advance(&mut self, reading: StatementReading) -> Option<StatementInterval> {
        let now = reading.rows.iter().map(|row| (row.key, *row)).collect::<HashMap<_, _>>();
        let heads = StatementReading { rows: Vec::new(), ..reading.clone() };
        let before = self.before.replace((now, heads));
        let (before, head) = before?;
        let reset = head.stats_reset != reading.stats_reset;
        let evicted = head.dealloc.zip(reading.dealloc).map(|(then, now)| delta::of(then, now, reset).value);
        let rows = reading.rows.iter().filter_map(|after| row(before.get(&after.key), after, reset)).collect();
        Some(StatementInterval { rows, reset, evicted })
    }

    /// Forgets the reading before: after a gap the next one has nothing to be compared with.
    pub fn forget(&mut self) {
        self.before = None;
    }
}

fn row(before: Option<&StatementCounters>, after: &StatementCounters, reset: bool) -> Option<StatementDelta> {
    // Evicted and made again: calls fall, or (17+) the entry says that it is younger.
    let same = before.filter(|before| !reset && after.calls >= before.calls && after.stats_since == before.stats_since);
    let zero = StatementCounters::zero(after.key);
    let before = same.unwrap_or(&zero);
    let calls = after.calls - before.calls;
    if calls <= 0 {
        return None;
    }
    let total_ms = (after.total_ms - before.total_ms).max(0.0);
    Some(StatementDelta {
        key: after.key,
        calls,
        total_ms,
        m2: interval_m2(before, after, calls, total_ms),
        max_ms: after.max_ms,
        rows: (after.rows - before.rows).max(0),
        shared_blks_hit: (after.shared_blks_hit - before.shared_blks_hit).max(0),
        shared_blks_read: (after.shared_blks_read - before.shared_blks_read).max(0),
        temp_blks_written: (after.temp_blks_written - before.temp_blks_written).max(0),
        wal_bytes: (after.wal_bytes - before.wal_bytes).max(0),
    })
}

/// M2 of the interval from two cumulative (mean, deviation) pairs, by taking apart the pairwise combination of Chan,
/// Golub and LeVeque: M2(b) = M2(a) + M2(i) + d²·n(a)·n(i)/n(b), d being the difference of the means.
fn interval_m2(before: &StatementCounters, after: &StatementCounters, calls: i64, total_ms: f64) -> f64 {
    let m2 = |row: &StatementCounters| row.stddev_ms * row.stddev_ms * row.calls as f64;
    let (na, ni, nb) = (before.calls as f64, calls as f64, after.calls as f64);
    if before.calls == 0 {
        return m2(after);
    }
    let d = total_ms / ni - before.total_ms / na;
    (m2(after) - m2(before) - d * d * na * ni / nb).max(0.0)
}

/// Joins two parts of one statement.
pub fn merge(a: &StatementDelta, b: &StatementDelta) -> StatementDelta {
    let (na, nb) = (a.calls as f64, b.calls as f64);
    let d = b.total_ms / nb.max(1.0) - a.total_ms / na.max(1.0);
    StatementDelta {
        key: a.key,
        calls: a.calls + b.calls,
        total_ms: a.total_ms + b.total_ms,
        m2: a.m2 + b.m2 + d * d * na * nb / (na + nb).max(1.0),
        max_ms: a.max_ms.max(b.max_ms),
        rows: a.rows + b.rows,
        shared_blks_hit: a.shared_blks_hit + b.shared_blks_hit,
        shared_blks_read: a.shared_blks_read + b.shared_blks_read,
        temp_blks_written: a.temp_blks_written + b.temp_blks_written,
        wal_bytes: a.wal_bytes + b.wal_bytes,
    }
}

/// The intervals of the last minutes.
#[derive(Clone, Debug)]
pub struct StatementWindow {
    seconds: f64,
    intervals: VecDeque<(f64, Vec<StatementDelta>)>,
}

impl StatementWindow {
    /// Keeps about `seconds`.
    pub const fn new(seconds: f64) -> Self {
        Self { seconds, intervals: VecDeque::new() }
    }

    /// Adds an interval and drops what is too old.
    pub fn push(&mut self, seconds: f64, rows: Vec<StatementDelta>) {
        self.intervals.push_back((seconds, rows));
        while self.intervals.len() > 1
            && self.covered_seconds() - self.intervals.front().map_or(0.0, |it| it.0) >= self.seconds
        {
            self.intervals.pop_front();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.intervals.clear();
    }

    /// Time covered.
    pub fn covered_seconds(&self) -> f64 {
        self.intervals.iter().map(|it| it.0).sum()
    }

    /// Each statement once, over the whole window.
    pub fn totals(&self) -> Vec<StatementDelta> {
        let mut totals = HashMap::<StatementKey, StatementDelta>::new();
        for row in self.intervals.iter().flat_map(|it| &it.1) {
            totals.entry(row.key).and_modify(|sum| *sum = merge(sum, row)).or_insert(*row);
        }
        totals.into_values().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: StatementKey = StatementKey { dbid: 1, userid: 2, queryid: 3, toplevel: true };

    /// What `pg_stat_statements` shows after these calls.
    fn counters(calls: &[f64]) -> StatementCounters {
        let n = calls.len() as f64;
        let total = calls.iter().sum::<f64>();
        let mean = total / n;
        let variance = calls.iter().map(|call| (call - mean).powi(2)).sum::<f64>() / n;
        StatementCounters {
            calls: calls.len() as i64,
            total_ms: total,
            stddev_ms: variance.sqrt(),
            max_ms: calls.iter().copied().fold(0.0, f64::max),
            ..StatementCounters::zero(KEY)
        }
    }

    fn reading(rows: Vec<StatementCounters>) -> StatementReading {
        StatementReading { rows, ..StatementReading::default() }
    }

    proptest! {
        #[test]
        fn the_interval_is_recovered_from_two_cumulative_readings(
            first in proptest::collection::vec(0.01f64..500.0, 1..80),
            second in proptest::collection::vec(0.01f64..500.0, 2..80),
        ) {
            let mut tracker = StatementTracker::default();
            prop_assert!(tracker.advance(reading(vec![counters(&first)])).is_none());
            let all = [first, second.clone()].concat();
            let interval = tracker.advance(reading(vec![counters(&all)])).unwrap();
            let truth = counters(&second);
            let delta = interval.rows[0];
            prop_assert_eq!(delta.calls, truth.calls);
            prop_assert!((delta.mean_ms() - truth.total_ms / truth.calls as f64).abs() < 1e-6 * (1.0 + delta.mean_ms()));
            prop_assert!((delta.stddev_ms() - truth.stddev_ms).abs() < 1e-5 * (1.0 + truth.stddev_ms), "{} {}", delta.stddev_ms(), truth.stddev_ms);
        }

        #[test]
        fn merged_parts_are_the_whole(a in proptest::collection::vec(0.01f64..500.0, 1..50), b in proptest::collection::vec(0.01f64..500.0, 1..50)) {
            let part = |calls: &[f64]| row(None, &counters(calls), false).unwrap();
            let merged = merge(&part(&a), &part(&b));
            let whole = part(&[a, b].concat());
            prop_assert_eq!(merged.calls, whole.calls);
            prop_assert!((merged.stddev_ms() - whole.stddev_ms()).abs() < 1e-6 * (1.0 + whole.stddev_ms()));
        }
    }

    #[test]
    fn a_reset_an_eviction_and_a_new_entry_count_since_they_began() {
        let mut tracker = StatementTracker::default();
        tracker.advance(reading(vec![counters(&[10.0; 100])]));
        // Evicted and made again: fewer calls than before.
        let interval = tracker.advance(reading(vec![counters(&[5.0; 3])])).unwrap();
        assert_eq!((interval.rows[0].calls, interval.rows[0].total_ms), (3, 15.0));
        // Nothing new: no row.
        assert_eq!(tracker.advance(reading(vec![counters(&[5.0; 3])])).unwrap().rows, []);
        // A reset that is told, with more calls than before.
        let told = StatementReading { stats_reset: Some(domain::Timestamp(5)), ..reading(vec![counters(&[1.0; 9])]) };
        let interval = tracker.advance(told).unwrap();
        assert!(interval.reset);
        assert_eq!(interval.rows[0].calls, 9);
        tracker.forget();
        assert!(tracker.advance(reading(vec![])).is_none());
    }

    #[test]
    fn the_window_forgets_what_is_too_old() {
        let mut window = StatementWindow::new(300.0);
        for _ in 0..20 {
            window.push(60.0, vec![row(None, &counters(&[1.0]), false).unwrap()]);
        }
        assert_eq!(window.covered_seconds(), 300.0);
        assert_eq!(window.totals()[0].calls, 5);
    }
}
