//! When each collector is due, and what became of its last run.
use crate::cadence::Cadence;
use domain::{
    Timestamp,
    reading::{CollectorKind, CollectorState, CollectorStatus},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The book of one collector.
#[derive(Clone, Debug)]
struct Entry {
    state: CollectorState,
    collected_at: Option<Timestamp>,
    duration: Option<Duration>,
    next_due: Instant,
}

/// The book of all collectors of one cluster.
#[derive(Clone, Debug)]
pub struct Collectors {
    cadence: Cadence,
    entries: BTreeMap<CollectorKind, Entry>,
    late: u64,
}

impl Collectors {
    /// All are due at once.
    pub fn new(cadence: Cadence, now: Instant) -> Self {
        let entry = Entry { state: CollectorState::Pending, collected_at: None, duration: None, next_due: now };
        Self { cadence, entries: CollectorKind::ALL.map(|kind| (kind, entry.clone())).into(), late: 0 }
    }

    /// Whether `kind` should run now.
    pub fn is_due(&self, kind: CollectorKind, now: Instant) -> bool {
        self.entries.get(&kind).is_some_and(|entry| entry.next_due <= now)
    }

    /// Makes all due at once: after a restart or a reconnection nothing known is recent.
    pub fn all_due(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.next_due = now;
        }
    }

    /// It ran and succeeded.
    pub fn succeeded(&mut self, kind: CollectorKind, at: Timestamp, took: Duration, now: Instant) {
        self.ran(kind, CollectorState::Fresh, Some(took), now);
        if let Some(entry) = self.entries.get_mut(&kind) {
            entry.collected_at = Some(at);
        }
    }

    /// It ran and did not succeed, or need not have been tried.
    pub fn failed(&mut self, kind: CollectorKind, state: CollectorState, now: Instant) {
        self.ran(kind, state, None, now);
    }

    fn ran(&mut self, kind: CollectorKind, state: CollectorState, took: Option<Duration>, now: Instant) {
        let every = self.cadence.of(kind);
        let Some(entry) = self.entries.get_mut(&kind) else { return };
        entry.state = state;
        entry.duration = took.or(entry.duration);
        // Keep the grid where it can be kept; after a long run go on from now rather than catch up in a burst.
        entry.next_due += every;
        if entry.next_due <= now {
            if kind == CollectorKind::Server {
                let missed = now.duration_since(entry.next_due).as_secs_f64() / every.as_secs_f64();
                self.late += 1 + missed as u64;
            }
            entry.next_due = now + every;
        }
    }

    /// Ticks that were left out because the one before took too long, since the beginning.
    pub const fn ticks_skipped(&self) -> u64 {
        self.late
    }

    /// The state of one.
    pub fn state(&self, kind: CollectorKind) -> Option<&CollectorState> {
        self.entries.get(&kind).map(|entry| &entry.state)
    }

    /// When one last succeeded.
    pub fn collected_at(&self, kind: CollectorKind) -> Option<Timestamp> {
        self.entries.get(&kind).and_then(|entry| entry.collected_at)
    }

    /// State and age of all, as shown at `at`; a success older than two intervals is stale.
    pub fn statuses(&self, at: Timestamp) -> Vec<CollectorStatus> {
        CollectorKind::ALL
            .into_iter()
            .filter_map(|kind| {
                let entry = self.entries.get(&kind)?;
                let age = entry.collected_at.map(|since| at.seconds_since(since).max(0.0));
                let interval = self.cadence.of(kind).as_secs_f64();
                let state = match &entry.state {
                    // A second of grace: with a tick of one second every delay would look stale.
                    CollectorState::Fresh if age.is_some_and(|age| age > 2.0 * interval + 1.0) => CollectorState::Stale,
                    state => state.clone(),
                };
                Some(CollectorStatus {
                    name: kind,
                    state,
                    collected_at: entry.collected_at,
                    age_seconds: age,
                    duration_ms: entry.duration.map(|took| took.as_secs_f64() * 1_000.0),
                    interval_seconds: interval,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(collectors: &Collectors, kind: CollectorKind, at: i64) -> CollectorState {
        collectors
            .statuses(Timestamp(at))
            .into_iter()
            .find(|status| status.name == kind)
            .map(|s| s.state)
            .unwrap_or(CollectorState::Pending)
    }

    #[test]
    fn a_success_grows_stale_after_two_intervals() {
        let now = Instant::now();
        let mut collectors = Collectors::new(Cadence::new(Duration::from_secs(30)), now);
        assert_eq!(state_of(&collectors, CollectorKind::Wal, 0), CollectorState::Pending);
        collectors.succeeded(CollectorKind::Wal, Timestamp(0), Duration::from_millis(3), now);
        assert_eq!(state_of(&collectors, CollectorKind::Wal, 59_000), CollectorState::Fresh);
        assert_eq!(state_of(&collectors, CollectorKind::Wal, 62_000), CollectorState::Stale);
    }

    #[test]
    fn a_late_run_does_not_cause_a_burst() {
        let now = Instant::now();
        let mut collectors = Collectors::new(Cadence::new(Duration::from_secs(10)), now);
        let late = now + Duration::from_secs(95);
        collectors.succeeded(CollectorKind::Server, Timestamp(0), Duration::ZERO, late);
        assert!(!collectors.is_due(CollectorKind::Server, late + Duration::from_secs(9)));
        assert!(collectors.is_due(CollectorKind::Server, late + Duration::from_secs(10)));
    }
}
