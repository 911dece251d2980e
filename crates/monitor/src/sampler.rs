//! Samples active sessions each second, beside the collectors, so that a slow one leaves no hole. One sample at a time:
//! a second that passes while the one before still runs is counted as skipped and not made up for.
use analysis::{sessions::SessionHistory, waits::WaitSampler};
use control::now;
use domain::{
    Lsn, Timestamp,
    reading::{SessionBucket, SessionReading},
    view::WaitLoad,
};
use pgstat::{Cluster, PgstatError};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Inner {
    /// The server answers, so that it may be sampled.
    up: bool,
    history: SessionHistory,
    bucket_began: Option<Instant>,
    waits: WaitSampler,
    /// Positions of the primary since they were last taken.
    positions: Vec<(Timestamp, Lsn)>,
    last: Option<Sampled>,
    failure: Option<String>,
    skipped: u64,
}

/// The last sample that succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    pub(crate) at: Timestamp,
    pub(crate) took: Duration,
}

/// What the sampler has; shared with the task that watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sampler(Arc<Mutex<Inner>>);

impl Sampler {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets samples be taken, or stops them while the server is not reached.
    pub(crate) fn set_up(&self, up: bool) {
        self.with(|inner| {
            if inner.up != up {
                *inner = Inner { up, skipped: inner.skipped, ..Inner::default() };
            }
        });
    }

    /// Load by wait class since the last call.
    pub(crate) fn waits(&self) -> Vec<WaitLoad> {
        self.with(|inner| inner.waits.take())
    }

    /// Positions of the primary since the last call.
    pub(crate) fn positions(&self) -> Vec<(Timestamp, Lsn)> {
        self.with(|inner| std::mem::take(&mut inner.positions))
    }

    /// The bucket, when it is `length` long.
    pub(crate) fn bucket(&self, length: Duration) -> Option<SessionBucket> {
        self.with(|inner| {
            let began = inner.bucket_began?;
            let lasted = began.elapsed();
            if lasted < length {
                return None;
            }
            inner.bucket_began = Some(Instant::now());
            inner.history.take(i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX))
        })
    }

    /// The last sample, and what went wrong since.
    pub(crate) fn last(&self) -> (Option<Sampled>, Option<String>) {
        self.with(|inner| (inner.last, inner.failure.clone()))
    }

    /// Samples that were due and not taken, since we were started.
    pub(crate) fn skipped(&self) -> u64 {
        self.with(|inner| inner.skipped)
    }

    fn took(&self, outcome: Result<SessionReading, PgstatError>, took: Duration, missed: u64) {
        self.with(|inner| {
            if !inner.up {
                return;
            }
            inner.bucket_began.get_or_insert_with(Instant::now);
            let missed = missed + u64::from(outcome.is_err());
            inner.skipped += missed;
            inner.history.skip(i64::try_from(missed).unwrap_or(0));
            match outcome {
                Ok(reading) => {
                    inner.history.add(&reading.rows);
                    inner.waits.add(&reading.rows);
                    // Nobody takes them on a standby; a minute is more than the longest tick needs.
                    if inner.positions.len() < 600 {
                        inner.positions.extend(reading.lsn.map(|lsn| (now(), lsn)));
                    }
                    inner.last = Some(Sampled { at: now(), took });
                    inner.failure = None;
                }
                Err(error) => inner.failure = Some(error.to_string()),
            }
        });
    }
}

/// Samples until `stop`.
pub(crate) async fn run(sampler: Sampler, cluster: Arc<Cluster>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut began: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if !sampler.with(|inner| inner.up) {
            began = None;
            continue;
        }
        let now = Instant::now();
        let missed = began.map_or(0, |before| missed(now.duration_since(before)));
        began = Some(now);
        let outcome = tokio::select! {
            outcome = cluster.sessions() => outcome,
            () = stop.cancelled() => return,
        };
        sampler.took(outcome, now.elapsed(), missed);
    }
}

/// Seconds that passed without a sample between two that were begun `apart`.
fn missed(apart: Duration) -> u64 {
    (apart.as_secs_f64().round() as u64).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_without_a_sample_are_counted() {
        let of = |ms| missed(Duration::from_millis(ms));
        assert_eq!([of(1_000), of(1_030), of(980), of(2_010), of(12_000)], [0, 0, 0, 1, 11]);
    }

    #[test]
    fn nothing_is_kept_of_a_server_that_is_not_up() {
        let sampler = Sampler::default();
        sampler.took(Ok(SessionReading::default()), Duration::ZERO, 0);
        assert!(sampler.bucket(Duration::ZERO).is_none() && sampler.waits().is_empty());
        sampler.set_up(true);
        sampler.took(Ok(SessionReading::default()), Duration::ZERO, 2);
        assert_eq!(sampler.skipped(), 2);
        assert_eq!(sampler.bucket(Duration::ZERO).map(|bucket| (bucket.samples, bucket.skipped)), Some((1, 2)));
        sampler.set_up(false);
        assert!(sampler.last().0.is_none());
        assert_eq!(sampler.skipped(), 2);
    }
}
