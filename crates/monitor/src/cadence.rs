//! How often each collector runs, derived from the one interval that the operator sets.
use domain::reading::CollectorKind;
use std::time::Duration;

/// Intervals of the collectors. The proportions are those of a 30 s loop: activity 5 s, server, databases, WAL and
/// replication 30 s, statements, vacuum and I/O 60 s, tables and indexes 5 min, sizes and settings 15 min.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// The main tick, `DB_MONITORING_INTERVAL`.
    pub tick: Duration,
}

/// Sampling sessions more often than this costs more than it shows.
const SESSIONS_EVERY: Duration = Duration::from_secs(1);
/// All backends with their texts; who is active is sampled each second besides.
const ACTIVITY_AT_LEAST: Duration = Duration::from_secs(5);

impl Cadence {
    /// From the main interval, at least one second.
    pub fn new(tick: Duration) -> Self {
        Self { tick: tick.max(Duration::from_secs(1)) }
    }

    /// How often `kind` runs.
    pub fn of(self, kind: CollectorKind) -> Duration {
        match kind {
            // A short tick, of a demonstration or a test, is kept.
            CollectorKind::Activity | CollectorKind::Locks => (self.tick / 6).max(ACTIVITY_AT_LEAST.min(self.tick)),
            CollectorKind::Sessions => SESSIONS_EVERY,
            CollectorKind::Server
            | CollectorKind::Database
            | CollectorKind::Replication
            | CollectorKind::Wal
            | CollectorKind::Log => self.tick,
            CollectorKind::Statements | CollectorKind::Vacuum | CollectorKind::Io => self.tick * 2,
            CollectorKind::Tables | CollectorKind::Indexes => self.tick * 10,
            CollectorKind::Settings => self.tick * 30,
        }
    }

    /// Length of a bucket of session samples: two ticks, and at most a minute.
    pub fn bucket(self) -> Duration {
        (self.tick * 2).min(Duration::from_secs(60))
    }

    /// How often the sizes of tables are recorded, for their growth: an hour with the ordinary tick.
    pub fn growth(self) -> Duration {
        self.tick * 120
    }

    /// How often indexes are reviewed: an hour with the ordinary tick.
    pub fn advice(self) -> Duration {
        self.tick * 120
    }

    /// How often bloat is estimated: six hours with the ordinary tick.
    pub fn bloat(self) -> Duration {
        self.tick * 720
    }

    /// How often the columns of tables are read, with the planner's statistics: an hour with the ordinary tick.
    pub fn columns(self) -> Duration {
        self.tick * 120
    }

    /// How often the sizes of databases are read: `pg_database_size` walks the file system.
    pub fn sizes(self) -> Duration {
        self.tick * 30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_interval_gives_the_documented_cadence() {
        let cadence = Cadence::new(Duration::from_secs(30));
        let seconds = |kind| cadence.of(kind).as_secs();
        assert_eq!(
            [
                seconds(CollectorKind::Activity),
                seconds(CollectorKind::Server),
                seconds(CollectorKind::Statements),
                seconds(CollectorKind::Indexes),
                seconds(CollectorKind::Settings)
            ],
            [5, 30, 60, 300, 900]
        );
    }

    #[test]
    fn no_interval_makes_a_busy_loop() {
        let cadence = Cadence::new(Duration::ZERO);
        for kind in CollectorKind::ALL {
            assert!(cadence.of(kind) >= Duration::from_secs(1), "{kind:?}");
        }
    }
}
