//! Rates of databases and WAL over a window.
use crate::delta;
use domain::{Lsn, reading::DatabaseReading};
use std::collections::VecDeque;

/// What all databases together did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DatabaseInterval {
    /// Length.
    pub seconds: f64,
    /// Commits.
    pub commits: i64,
    /// Rollbacks.
    pub rollbacks: i64,
    /// Blocks from the cache.
    pub blks_hit: i64,
    /// Blocks read.
    pub blks_read: i64,
    /// Temporary files.
    pub temp_bytes: i64,
    /// Deadlocks.
    pub deadlocks: i64,
    /// Some counter was reset in between.
    pub reset: bool,
}

impl DatabaseInterval {
    /// Between two readings. A database that is new counts in full, one that is gone not at all.
    pub fn between(before: &DatabaseReading, after: &DatabaseReading, seconds: f64, restarted: bool) -> Self {
        let mut sum = Self { seconds, ..Self::default() };
        for now in &after.rows {
            let Some(then) = before.rows.iter().find(|row| row.oid == now.oid) else { continue };
            let reset = restarted || then.stats_reset != now.stats_reset;
            let mut add = |then: i64, now: i64| {
                let delta = delta::of(then, now, reset && now < then);
                sum.reset |= delta.reset || reset;
                delta.value
            };
            let deltas = [
                add(then.xact_commit, now.xact_commit),
                add(then.xact_rollback, now.xact_rollback),
                add(then.blks_hit, now.blks_hit),
                add(then.blks_read, now.blks_read),
                add(then.temp_bytes, now.temp_bytes),
                add(then.deadlocks, now.deadlocks),
            ];
            sum.commits += deltas[0];
            sum.rollbacks += deltas[1];
            sum.blks_hit += deltas[2];
            sum.blks_read += deltas[3];
            sum.temp_bytes += deltas[4];
            sum.deadlocks += deltas[5];
        }
        sum
    }
}

/// Fewer blocks than this say nothing about the cache (Dasha uses 50,000 for its score).
const BLOCKS_AT_LEAST: i64 = 1_000;

/// The intervals of the last minutes.
#[derive(Clone, Debug)]
pub struct DatabaseWindow {
    seconds: f64,
    intervals: VecDeque<DatabaseInterval>,
}

impl DatabaseWindow {
    /// Keeps about `seconds`.
    pub const fn new(seconds: f64) -> Self {
        Self { seconds, intervals: VecDeque::new() }
    }

    /// Adds an interval and drops what is too old.
    pub fn push(&mut self, interval: DatabaseInterval) {
        self.intervals.push_back(interval);
        while self.intervals.len() > 1
            && self.sum().seconds - self.intervals.front().map_or(0.0, |it| it.seconds) >= self.seconds
        {
            self.intervals.pop_front();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.intervals.clear();
    }

    /// All of it.
    pub fn sum(&self) -> DatabaseInterval {
        self.intervals.iter().fold(DatabaseInterval::default(), |sum, it| DatabaseInterval {
            seconds: sum.seconds + it.seconds,
            commits: sum.commits + it.commits,
            rollbacks: sum.rollbacks + it.rollbacks,
            blks_hit: sum.blks_hit + it.blks_hit,
            blks_read: sum.blks_read + it.blks_read,
            temp_bytes: sum.temp_bytes + it.temp_bytes,
            deadlocks: sum.deadlocks + it.deadlocks,
            reset: sum.reset || it.reset,
        })
    }

    /// Shared-buffer hit ratio; `None` when too few blocks were touched.
    pub fn hit_percent(&self) -> Option<f64> {
        let sum = self.sum();
        hit_percent(sum.blks_hit, sum.blks_read).filter(|_| sum.blks_hit + sum.blks_read >= BLOCKS_AT_LEAST)
    }
}

/// `hit` of `hit + read`; `None` without blocks.
pub fn hit_percent(hit: i64, read: i64) -> Option<f64> {
    (hit + read > 0).then(|| 100.0 * hit as f64 / (hit + read) as f64)
}

/// Bytes per second between two positions; `None` when time or position did not advance sensibly.
pub fn wal_bytes_per_second(before: Lsn, after: Lsn, seconds: f64) -> Option<f64> {
    let bytes = after.bytes_since(before);
    (seconds > 0.0 && bytes >= 0).then(|| bytes as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::reading::DatabaseCounters;

    fn reading(commits: i64, reset: i64) -> DatabaseReading {
        let row = DatabaseCounters {
            oid: 1,
            xact_commit: commits,
            blks_hit: commits * 9,
            blks_read: commits,
            stats_reset: Some(domain::Timestamp(reset)),
            ..DatabaseCounters::default()
        };
        DatabaseReading { rows: vec![row] }
    }

    #[test]
    fn a_reset_never_makes_a_negative_rate() {
        let plain = DatabaseInterval::between(&reading(100, 0), &reading(160, 0), 30.0, false);
        assert_eq!((plain.commits, plain.reset), (60, false));
        let reset = DatabaseInterval::between(&reading(100, 0), &reading(7, 1), 30.0, false);
        assert_eq!((reset.commits, reset.reset), (7, true));
    }

    #[test]
    fn the_hit_ratio_is_of_the_window_and_not_applicable_when_idle() {
        let mut window = DatabaseWindow::new(300.0);
        window.push(DatabaseInterval::between(&reading(0, 0), &reading(10, 0), 30.0, false));
        assert_eq!(window.hit_percent(), None);
        window.push(DatabaseInterval::between(&reading(10, 0), &reading(1_000, 0), 30.0, false));
        assert_eq!(window.hit_percent(), Some(90.0));
    }
}
