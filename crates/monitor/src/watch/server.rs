//! What is read of the server as a whole: locks, databases, WAL, I/O, and where its files lie.
use super::Watch;
use analysis::{locks, maintenance, rates, rates::DatabaseInterval, relation_names};
use control::now;
use domain::{
    reading::{CollectorKind, LockReading},
    view::{Event, EventKind},
};
use pgstat::PgstatError;
use std::time::Instant;

impl Watch {
    /// Looks at locks only when a backend waits for one: the question stops the lock manager for a moment.
    pub(super) async fn locks(&mut self) -> Result<(), PgstatError> {
        let waiting = self.state.activity.as_ref().is_some_and(|(_, reading)| {
            reading.rows.iter().any(|row| !row.blocked_by.is_empty() || row.wait_event_type.as_deref() == Some("Lock"))
        });
        let reading = self
            .timed(CollectorKind::Locks, |cluster| async move {
                if waiting { cluster.locks().await } else { Ok(LockReading::default()) }
            })
            .await?;
        let (Some(mut reading), Some((_, activity))) = (reading, &self.state.activity) else { return Ok(()) };
        relation_names::of_waits(&mut reading, self.state.known_tables());
        let nodes = locks::forest(activity, &reading);
        let blocked = locks::waiters(&nodes);
        self.state.most_blocked = Some(self.state.most_blocked.map_or(blocked, |most| most.max(blocked)));
        self.state.lock_snapshots.extend(self.state.lock_episode.advance(&nodes, now()));
        self.state.locks = nodes;
        Ok(())
    }

    pub(super) async fn database(&mut self) -> Result<(), PgstatError> {
        let with_sizes = self.state.sizes_read.is_none_or(|last| last.elapsed() >= self.cadence.sizes());
        let Some(reading) =
            self.timed(CollectorKind::Database, |cluster| async move { cluster.database(with_sizes).await }).await?
        else {
            return Ok(());
        };
        let read_at = Instant::now();
        if with_sizes {
            self.state.sizes_read = Some(read_at);
            self.state.database_sizes = reading.rows.iter().filter_map(|row| Some((row.oid, row.bytes?))).collect();
            self.state.databases_bytes = Some(reading.rows.iter().filter_map(|row| row.bytes).sum());
        }
        if let Some((before_at, before)) = &self.state.database {
            let interval =
                DatabaseInterval::between(before, &reading, read_at.duration_since(*before_at).as_secs_f64(), false);
            if interval.reset {
                self.events.push(Event::new(now(), EventKind::StatsReset, "database statistics were reset".to_owned()));
            }
            self.state.database_window.push(interval);
        }
        self.state.database = Some((read_at, reading));
        Ok(())
    }

    pub(super) async fn wal(&mut self) -> Result<(), PgstatError> {
        let Some(reading) = self.timed(CollectorKind::Wal, |cluster| async move { cluster.wal().await }).await? else {
            return Ok(());
        };
        let read_at = Instant::now();
        if let (Some((before_at, before)), Some(lsn)) = (self.state.last_lsn, reading.lsn) {
            self.state.wal_rate =
                rates::wal_bytes_per_second(before, lsn, read_at.duration_since(before_at).as_secs_f64());
        }
        self.state.last_lsn = reading.lsn.map(|lsn| (read_at, lsn));
        if let (Some((_, before)), Some(archiver)) = (&self.state.wal, &reading.archiver) {
            let failed_before = before.archiver.as_ref().map_or(0, |archiver| archiver.failed);
            let last_failed = archiver.last_failed_at > archiver.last_archived_at;
            self.state.archiver_failing = Some(archiver.enabled && (archiver.failed > failed_before || last_failed));
        }
        let before = self.state.wal.as_ref().map(|(at, before)| (before, read_at.duration_since(*at).as_secs_f64()));
        self.state.wal_view = Some(maintenance::wal(before, &reading, self.state.wal_rate));
        let both = before
            .and_then(|(before, seconds)| Some((before.checkpoints.as_ref()?, reading.checkpoints.as_ref()?, seconds)));
        self.state.checkpoints_per_hour = both.filter(|it| it.2 > 0.0).map(|(before, after, seconds)| {
            let (timed, requested) = maintenance::checkpoints_between(before, after);
            (timed as f64 * 3_600.0 / seconds, requested as f64 * 3_600.0 / seconds)
        });
        self.state.wal = Some((read_at, reading));
        Ok(())
    }

    /// Where the files lie changes as seldom as settings do.
    pub(super) async fn places(&mut self) -> Result<(), PgstatError> {
        if self.cluster.target().is_local() {
            self.state.places = match self.cluster.places().await {
                Ok(places) => Some(Ok(places)),
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => Some(Err(error.to_string())),
            };
        }
        Ok(())
    }

    pub(super) async fn io(&mut self) -> Result<(), PgstatError> {
        let Some(reading) = self.timed(CollectorKind::Io, |cluster| async move { cluster.io().await }).await? else {
            return Ok(());
        };
        let read_at = Instant::now();
        let timed = self.state.server.as_ref().is_some_and(|server| server.track_io_timing);
        if let Some((before_at, before)) = &self.state.io {
            let seconds = read_at.duration_since(*before_at).as_secs_f64();
            self.state.io_rows = maintenance::io(before, &reading, seconds, timed);
        }
        self.state.io = Some((read_at, reading));
        Ok(())
    }
}
