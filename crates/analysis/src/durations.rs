//! Percentiles from the durations that the server writes into its log: measured, where [`crate::latency`] can only estimate.
//!
//! With `log_min_duration_sample` each line stands for 1 / `log_statement_sample_rate` calls; with
//! `log_min_duration_statement` every call from a threshold on is there, and how many were quicker is known from the number
//! of all calls. So the tail is known even when only slow statements are logged, and what lies below the threshold is not:
//! that is estimated, and at most the threshold.
use domain::{
    reading::{LogFormat, LogReading, LogSettings},
    view::LatencySource,
};
use std::collections::{BTreeMap, VecDeque};

/// So many lines must lie at or above a percentile before it counts as measured.
const LINES_ABOVE: u64 = 10;
/// Buckets for each factor of e: a bucket is 3 % wide.
const BUCKETS_PER_E: f64 = 32.0;

/// Durations in milliseconds of the calls that some lines tell of; steps of parse and bind are no calls.
pub fn parse(text: &str, format: LogFormat, settings: &LogSettings) -> Vec<f64> {
    let mark = match format {
        LogFormat::Stderr => "LOG:  duration: ",
        LogFormat::Csv => "LOG,00000,\"duration: ",
        LogFormat::Json => "\"message\":\"duration: ",
    };
    text.lines()
        // A tab begins what goes on from the line before: text of a statement, which may say anything.
        .filter(|line| format != LogFormat::Stderr || !line.starts_with('\t'))
        .filter_map(|line| {
            let rest = &line[line.find(mark)? + mark.len()..];
            let (number, rest) = rest.split_once(" ms")?;
            let step = rest.trim_start();
            let is_call = if step.starts_with("statement:") || step.starts_with("execute ") {
                true
            } else {
                // log_statement has written the text already, so only the duration follows; not so of log_duration, which
                // does that for every step.
                !settings.log_duration && (step.is_empty() || step.starts_with(['"', ',']))
            };
            number.parse::<f64>().ok().filter(|ms| is_call && ms.is_finite() && *ms >= 0.0)
        })
        .collect()
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    lines: u64,
    calls: f64,
}

#[derive(Clone, Debug)]
struct Interval {
    seconds: f64,
    floor_ms: f64,
    buckets: BTreeMap<i32, Bucket>,
}

/// Durations of the last minutes.
#[derive(Clone, Debug)]
pub struct DurationWindow {
    limit_seconds: f64,
    intervals: VecDeque<Interval>,
    /// Seconds of the newest intervals that [`Self::fresh`] has not told of.
    fresh_seconds: f64,
}

fn bucket(ms: f64) -> i32 {
    (ms.max(1e-3).ln() * BUCKETS_PER_E).floor() as i32
}

fn middle_ms(bucket: i32) -> f64 {
    ((f64::from(bucket) + 0.5) / BUCKETS_PER_E).exp()
}

impl DurationWindow {
    /// Keeps so many seconds.
    pub fn new(limit_seconds: f64) -> Self {
        Self { limit_seconds, intervals: VecDeque::new(), fresh_seconds: 0.0 }
    }

    /// Adds what was logged in the last `seconds`; a reading that does not go on from the one before begins anew.
    pub fn push(&mut self, reading: &LogReading, seconds: f64) {
        if !reading.continues || seconds <= 0.0 {
            self.clear();
            return;
        }
        self.fresh_seconds += seconds;
        let settings = &reading.settings;
        let all_from = settings.min_duration_statement_ms.unwrap_or(f64::INFINITY);
        let some_from = settings.min_duration_sample_ms.unwrap_or(f64::INFINITY);
        // Lines that were left out were like those that were read.
        let read = reading.text.len() as f64;
        let left_out = if read > 0.0 { (read + reading.skipped_bytes as f64) / read } else { 1.0 };
        let mut buckets = BTreeMap::<i32, Bucket>::new();
        for ms in parse(&reading.text, reading.format, settings) {
            let share = if ms >= all_from { 1.0 } else { settings.sample_rate };
            if share > 0.0 {
                let bucket = buckets.entry(bucket(ms)).or_default();
                bucket.lines += 1;
                bucket.calls += left_out / share;
            }
        }
        self.intervals.push_back(Interval { seconds, floor_ms: all_from.min(some_from), buckets });
        while self.intervals.len() > 1
            && self.intervals.iter().skip(1).map(|it| it.seconds).sum::<f64>() >= self.limit_seconds
        {
            self.intervals.pop_front();
        }
    }

    /// Forgets everything: another server, or a log that cannot be read any more.
    pub fn clear(&mut self) {
        self.intervals.clear();
        self.fresh_seconds = 0.0;
    }

    /// What the log told since this was asked last, a middle and a number of calls for each class, each call once; and from
    /// which duration on it tells everything. `None` when it tells nothing.
    pub fn fresh(&mut self) -> Option<(Vec<(f64, f64)>, f64)> {
        let wanted = std::mem::take(&mut self.fresh_seconds);
        let mut found = Vec::new();
        let (mut covered, mut floor_ms) = (0.0, 0.0f64);
        for interval in self.intervals.iter().rev() {
            if covered >= wanted - 1e-6 {
                break;
            }
            covered += interval.seconds;
            floor_ms = floor_ms.max(interval.floor_ms);
            found.extend(interval.buckets.iter().map(|(at, bucket)| (middle_ms(*at), bucket.calls)));
        }
        if covered <= 0.0 || !floor_ms.is_finite() {
            return None;
        }
        found.retain(|(ms, _)| *ms >= floor_ms * 0.97);
        Some((found, floor_ms))
    }

    /// Percentiles 50, 95 and 99 in milliseconds, whether they are measured, over how many seconds and from which duration on.
    ///
    /// `calls_per_second` is the rate of all calls as `pg_stat_statements` counts them. `None` when the log tells nothing
    /// that is not estimated better.
    pub fn percentiles(&self, calls_per_second: f64, estimate: Option<[f64; 3]>) -> Option<Measured> {
        let seconds = self.intervals.iter().map(|it| it.seconds).sum::<f64>();
        let floor_ms = self.intervals.iter().map(|it| it.floor_ms).fold(0.0, f64::max);
        let mut all = BTreeMap::<i32, Bucket>::new();
        for (at, more) in self.intervals.iter().flat_map(|it| &it.buckets) {
            if middle_ms(*at) >= floor_ms * 0.97 {
                let bucket = all.entry(*at).or_default();
                bucket.lines += more.lines;
                bucket.calls += more.calls;
            }
        }
        let logged = all.values().map(|it| it.calls).sum::<f64>();
        // From zero on everything is in the log, also what pg_stat_statements leaves out.
        let total = if floor_ms <= 0.0 { logged } else { logged.max(calls_per_second * seconds) };
        if total <= 0.0 {
            return None;
        }
        let at = |quantile: f64| {
            let (mut lines, mut above) = (0, total);
            for (at, bucket) in all.iter().rev() {
                above -= bucket.calls;
                lines += bucket.lines;
                if above <= quantile * total {
                    return (lines >= LINES_ABOVE).then(|| middle_ms(*at));
                }
            }
            None
        };
        let measured = [0.5, 0.95, 0.99].map(at);
        let known = measured.iter().filter(|it| it.is_some()).count();
        let source = match known {
            3 => LatencySource::Log,
            0 => return None,
            _ => LatencySource::LogTail,
        };
        let estimate = estimate.map(|it| it.map(Some)).unwrap_or_default();
        let mut found = [0.0; 3];
        for (index, value) in found.iter_mut().enumerate() {
            // What is not in the log was quicker than what is.
            let slower = measured[index + 1..].iter().flatten().copied().fold(f64::INFINITY, f64::min);
            *value = match measured[index] {
                Some(ms) => ms,
                None => estimate[index]?.min(slower),
            };
        }
        Some(Measured { percentiles_ms: found, source, seconds, from_ms: floor_ms })
    }
}

/// Percentiles of which at least one was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// 50, 95, 99.
    pub percentiles_ms: [f64; 3],
    /// All of them or the upper ones.
    pub source: LatencySource,
    /// Over how long.
    pub seconds: f64,
    /// Calls from here on are in the log.
    pub from_ms: f64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::reading::LogPosition;

    const EVERYTHING: LogSettings = LogSettings {
        min_duration_statement_ms: Some(0.0),
        min_duration_sample_ms: None,
        sample_rate: 1.0,
        log_duration: false,
        auto_explain_ms: None,
        auto_explain_loaded: false,
    };

    fn reading(durations: impl IntoIterator<Item = f64>, settings: LogSettings) -> LogReading {
        LogReading {
            position: LogPosition { file: "log/a.log".to_owned(), offset: 0 },
            format: LogFormat::Stderr,
            text: durations
                .into_iter()
                .map(|ms| format!("2026 LOG:  duration: {ms:.3} ms  statement: SELECT 1\n"))
                .collect(),
            skipped_bytes: 0,
            settings,
            line_prefix: String::new(),
            continues: true,
        }
    }

    #[test]
    fn only_whole_calls_of_each_format_are_read() {
        let stderr = "2026-11-27 10:00:00 UTC [7] LOG:  duration: 12.500 ms  statement: SELECT '\n\tLOG:  duration: 9.0 ms  statement: x'\n\
            2026 LOG:  duration: 0.100 ms  parse <unnamed>: SELECT 1\n2026 LOG:  duration: 0.200 ms  bind <unnamed>: SELECT 1\n\
            2026 LOG:  duration: 3.000 ms  execute <unnamed>: SELECT 1\n2026 LOG:  duration: 4.000 ms\n\
            2026 LOG:  duration: 7.000 ms  plan:\n2026 LOG:  duration: soon\n2026 ERROR:  no\n";
        assert_eq!(parse(stderr, LogFormat::Stderr, &EVERYTHING), [12.5, 3.0, 4.0]);
        let steps = LogSettings { log_duration: true, ..EVERYTHING };
        assert_eq!(parse(stderr, LogFormat::Stderr, &steps), [12.5, 3.0]);
        let csv = "2026,\"a\",\"db\",7,\"\",x,1,\"SELECT\",2026,3/4,0,LOG,00000,\"duration: 1.500 ms  statement: SELECT 'LOG,00000,\"\"duration: 8 ms  statement: '\",,,\n\
            2026,,,,LOG,00000,\"duration: 2.500 ms\",,\n";
        assert_eq!(parse(csv, LogFormat::Csv, &EVERYTHING), [1.5, 2.5]);
        let json = r#"{"error_severity":"LOG","message":"duration: 6.250 ms  statement: SELECT '\"message\":\"duration: 1 ms  statement: '"}"#;
        assert_eq!(parse(json, LogFormat::Json, &EVERYTHING), [6.25]);
    }

    /// 1,000 calls from 1 to 1,000 ms.
    fn calls() -> impl Iterator<Item = f64> {
        (1..=1_000).map(f64::from)
    }

    fn close(found: f64, truth: f64) {
        assert!((found / truth - 1.0).abs() < 0.04, "{found} instead of {truth}");
    }

    #[test]
    fn everything_logged_gives_all_percentiles() {
        let mut window = DurationWindow::new(300.0);
        window.push(&reading(calls(), EVERYTHING), 30.0);
        let found = window.percentiles(0.0, None).unwrap();
        assert_eq!((found.source, found.seconds), (LatencySource::Log, 30.0));
        for (value, truth) in found.percentiles_ms.into_iter().zip([500.0, 950.0, 990.0]) {
            close(value, truth);
        }
    }

    #[test]
    fn a_sample_of_the_quick_and_all_of_the_slow_are_weighted() {
        let settings = LogSettings {
            min_duration_statement_ms: Some(900.0),
            min_duration_sample_ms: Some(0.0),
            sample_rate: 0.1,
            ..EVERYTHING
        };
        let logged = calls().filter(|ms| *ms >= 900.0 || *ms as i64 % 10 == 0);
        let mut window = DurationWindow::new(300.0);
        window.push(&reading(logged, settings), 30.0);
        let found = window.percentiles(0.0, None).unwrap();
        assert_eq!(found.source, LatencySource::Log);
        for (value, truth) in found.percentiles_ms.into_iter().zip([500.0, 950.0, 990.0]) {
            close(value, truth);
        }
    }

    #[test]
    fn with_only_slow_calls_logged_the_tail_is_known_and_the_rest_bounded() {
        let settings = LogSettings { min_duration_statement_ms: Some(900.0), ..EVERYTHING };
        let mut window = DurationWindow::new(300.0);
        window.push(&reading(calls().filter(|ms| *ms >= 900.0), settings), 10.0);
        // The estimate of the median is absurd; it cannot be above what was measured.
        let found = window.percentiles(100.0, Some([5_000.0, 1.0, 1.0])).unwrap();
        assert_eq!((found.source, found.from_ms), (LatencySource::LogTail, 900.0));
        close(found.percentiles_ms[1], 950.0);
        close(found.percentiles_ms[2], 990.0);
        assert_eq!(found.percentiles_ms[0], found.percentiles_ms[1]);
        // A hundred times the calls: fewer than one in a hundred was slow, so the log says nothing about any percentile.
        assert_eq!(window.percentiles(100_000.0, Some([1.0, 2.0, 3.0])), None);
    }

    #[test]
    fn few_lines_measure_nothing_and_a_leap_begins_anew() {
        let mut window = DurationWindow::new(300.0);
        window.push(&reading([1.0, 2.0, 3.0], EVERYTHING), 10.0);
        assert_eq!(window.percentiles(0.3, Some([1.0, 2.0, 3.0])), None);
        window.push(&reading(calls(), EVERYTHING), 10.0);
        assert!(window.percentiles(100.0, None).is_some());
        window.push(&LogReading { continues: false, ..reading([], EVERYTHING) }, 10.0);
        assert_eq!(window.percentiles(100.0, None), None);
    }

    #[test]
    fn what_was_left_out_counts_by_the_bytes() {
        let half = reading(calls(), LogSettings { min_duration_statement_ms: Some(0.0), ..EVERYTHING });
        let skipped_bytes = half.text.len() as i64;
        let mut window = DurationWindow::new(300.0);
        window.push(&LogReading { skipped_bytes, ..half }, 30.0);
        assert_eq!(window.percentiles(0.0, None).unwrap().source, LatencySource::Log);
        let calls = window.intervals[0].buckets.values().map(|it| it.calls).sum::<f64>();
        assert!((calls - 2_000.0).abs() < 1.0, "{calls}");
    }

    #[test]
    fn what_is_fresh_is_told_once() {
        let mut window = DurationWindow::new(300.0);
        assert_eq!(window.fresh(), None);
        window.push(&reading(calls(), EVERYTHING), 10.0);
        window.push(&reading(calls(), EVERYTHING), 10.0);
        let (found, floor_ms) = window.fresh().unwrap();
        let told = found.iter().map(|it| it.1).sum::<f64>();
        assert!((told - 2_000.0).abs() < 1e-6 && floor_ms == 0.0, "{told}");
        assert_eq!(window.fresh(), None);
        // A server that logs no durations.
        let silent = LogSettings { min_duration_statement_ms: None, ..EVERYTHING };
        window.push(&reading([], silent), 10.0);
        assert_eq!(window.fresh(), None);
    }

    #[test]
    fn old_intervals_are_given_up() {
        let mut window = DurationWindow::new(60.0);
        for _ in 0..20 {
            window.push(&reading(calls(), EVERYTHING), 30.0);
        }
        assert_eq!(window.percentiles(0.0, None).unwrap().seconds, 60.0);
    }
}
