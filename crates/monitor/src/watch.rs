//! Watching one cluster: one task, one collector at a time, so that we never pile up on a server that is slow.
use crate::{
    alerts::{self, AlertWriter},
    backoff::Backoff,
    cadence::Cadence,
    disk, events, log_samples,
    recorder::{Batch, Recorder},
    sampler::Sampler,
    snapshot,
    state::{NodeIndexes, Shared, State, WINDOW_SECONDS},
};
use analysis::{
    columns, indexes, latency_classes, locks, maintenance, rates, rates::DatabaseInterval, relation_names, replication,
    sqltext, tables,
};
use control::{ClusterConfig, ControlPlane, now};
use domain::{
    reading::{CollectorKind, CollectorState, LockReading, ServerReading, ServerRole, StatementKey},
    view::{ClusterState, ColumnsKept, Event, EventKind},
};
use pgstat::{Cluster, PgstatError};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Where what was seen goes.
#[derive(Clone, Debug)]
pub(crate) struct Sinks {
    pub(crate) recorder: Recorder,
    pub(crate) alerts: AlertWriter,
}

/// The task of one cluster.
#[derive(Debug)]
pub(crate) struct Watch {
    control: ControlPlane,
    cluster: Arc<Cluster>,
    sampler: Sampler,
    config: ClusterConfig,
    cadence: Cadence,
    recorder: Recorder,
    alerts: AlertWriter,
    shared: Arc<Shared>,
    state: State,
    events: Vec<Event>,
    /// Standbys that were missing before our start are known again.
    missing_known: bool,
}

/// Growth is kept of the largest only.
const TABLES_RECORDED: usize = 300;
/// As many of the largest indexes, with their scans.
const INDEXES_RECORDED: usize = 300;
/// A wrong password tried too often locks an account out and fills the server's log.
const REFUSED_CEILING: Duration = Duration::from_secs(60);
/// One new text has the server read its whole file of texts, which may be gigabytes: after that it is left alone for fifty
/// times as long as it took, so that this is never more than two percent of the time.
const TEXTS_REST: u32 = 50;
const UNREACHABLE_CEILING: Duration = Duration::from_secs(15);

impl Watch {
    pub(crate) fn new(
        control: ControlPlane,
        cluster: Arc<Cluster>,
        sampler: Sampler,
        config: ClusterConfig,
        cadence: Cadence,
        sinks: Sinks,
        shared: Arc<Shared>,
    ) -> Self {
        let state = State::new(cadence);
        // With other rules a score is another: whoever compares finds in the history by which it was made.
        let started = format!("Holdfast started watching (score by rules {})", analysis::health::VERSION);
        let events = vec![Event::new(now(), EventKind::MonitorStart, started)];
        let Sinks { recorder, alerts } = sinks;
        Self {
            control,
            cluster,
            sampler,
            config,
            cadence,
            recorder,
            alerts,
            shared,
            state,
            events,
            missing_known: false,
        }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let first = self.cadence.tick.min(Duration::from_secs(1));
        let mut unreachable =
            Backoff::new(first, UNREACHABLE_CEILING.min(self.cadence.tick.max(Duration::from_secs(2))));
        let mut refused = Backoff::new(self.cadence.tick.min(Duration::from_secs(5)), REFUSED_CEILING);
        loop {
            let wait = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.pass() => match outcome {
                    Ok(()) => {
                        unreachable.reset();
                        refused.reset();
                        self.until_next_due()
                    }
                    Err(error) => {
                        self.lost(&error).await;
                        // Only a wrong password locks anybody out: whatever else refuses us is asked again as soon as ever.
                        let backoff = if matches!(error, PgstatError::Refused { password: true, .. }) { &mut refused } else { &mut unreachable };
                        backoff.next(rand::random())
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn until_next_due(&self) -> Duration {
        // The activity sampler is the quickest; look at the clock a few times in its period.
        (self.cadence.of(CollectorKind::Activity) / 4).min(Duration::from_millis(500))
    }

    /// Runs what is due. A connection that is lost ends the pass; any other failure is that collector's own.
    async fn pass(&mut self) -> Result<(), PgstatError> {
        let began = Instant::now();
        let tick = self.is_due(CollectorKind::Server);
        if tick {
            let server = self.timed(CollectorKind::Server, |cluster| async move { cluster.server().await }).await?;
            if let Some(server) = server {
                self.met(server);
            }
        }
        if self.state.server.is_none() {
            return Ok(());
        }
        if self.is_due(CollectorKind::Activity)
            && let Some(activity) =
                self.timed(CollectorKind::Activity, |cluster| async move { cluster.activity().await }).await?
        {
            self.state.activity = Some((now(), activity));
        }
        if self.is_due(CollectorKind::Locks) {
            self.locks().await?;
        }
        if self.is_due(CollectorKind::Database) {
            self.database().await?;
        }
        if self.is_due(CollectorKind::Replication)
            && let Some(mut reading) =
                self.timed(CollectorKind::Replication, |cluster| async move { cluster.replication().await }).await?
        {
            self.state.replicas.tell_apart(&mut reading);
            for (at, lsn) in self.sampler.positions() {
                self.state.replicas.position(at, lsn);
            }
            self.state.replicas.advance(&reading, now());
            self.state.replication = Some(reading);
        }
        if self.is_due(CollectorKind::Wal) {
            self.wal().await?;
        }
        if self.is_due(CollectorKind::Statements) {
            self.statements().await?;
        }
        if self.is_due(CollectorKind::Log) {
            self.log().await?;
        }
        if self.is_due(CollectorKind::Vacuum)
            && let Some(mut reading) =
                self.timed(CollectorKind::Vacuum, |cluster| async move { cluster.vacuum().await }).await?
        {
            relation_names::of_progress(&mut reading.progress, self.state.known_tables());
            self.state.vacuum = Some(reading);
        }
        if self.is_due(CollectorKind::Io) {
            self.io().await?;
        }
        if self.is_due(CollectorKind::Tables) {
            self.tables().await?;
        }
        if self.is_due(CollectorKind::Indexes) {
            self.indexes().await?;
        }
        if self.is_due(CollectorKind::Settings)
            && let Some(reading) =
                self.timed(CollectorKind::Settings, |cluster| async move { cluster.settings().await }).await?
        {
            if let Some(before) = &self.state.settings {
                self.events.extend(events::of_settings(before, &reading, now()));
            }
            self.state.settings = Some(reading);
            self.places().await?;
        }
        if tick {
            self.state.collected_at = Some(now());
            self.state.tick_ms = began.elapsed().as_secs_f64() * 1_000.0;
            self.publish(self.cadence.tick).await;
        }
        Ok(())
    }

    fn is_due(&self, kind: CollectorKind) -> bool {
        self.state.collectors.is_due(kind, Instant::now())
    }

    /// Runs one collector and books the outcome; `None` when it failed on its own.
    async fn timed<T, F: Future<Output = Result<T, PgstatError>>>(
        &mut self,
        kind: CollectorKind,
        run: impl FnOnce(Arc<Cluster>) -> F,
    ) -> Result<Option<T>, PgstatError> {
        let began = Instant::now();
        let outcome = run(self.cluster.clone()).await;
        let collectors = &mut self.state.collectors;
        match outcome {
            Ok(reading) => {
                collectors.succeeded(kind, now(), began.elapsed(), Instant::now());
                Ok(Some(reading))
            }
            Err(error) if error.is_connection() => {
                collectors.failed(kind, CollectorState::Failed { reason: error.to_string() }, Instant::now());
                Err(error)
            }
            Err(error) => {
                let state = match &error {
                    PgstatError::Unsupported { reason, cure } => {
                        CollectorState::Unsupported { reason: reason.clone(), cure: cure.clone() }
                    }
                    PgstatError::NoPermission { reason, cure } => {
                        CollectorState::NoPermission { reason: reason.clone(), cure: cure.clone() }
                    }
                    error => CollectorState::Failed { reason: error.to_string() },
                };
                if collectors.state(kind) != Some(&state) {
                    tracing::warn!(%error, cluster = self.config.id, collector = kind.as_str(), "a collector cannot read");
                }
                collectors.failed(kind, state, Instant::now());
                Ok(None)
            }
        }
    }

    /// The server answered: it may be back, anew, or another.
    fn met(&mut self, server: ServerReading) {
        let at = now();
        if self.state.connection != ClusterState::Up {
            if matches!(self.state.connection, ClusterState::Unreachable { .. } | ClusterState::Refused { .. }) {
                self.events.push(Event::new(at, EventKind::Up, "answers again".to_owned()));
                // What was known is old: read everything again now.
                self.state.collectors.all_due(Instant::now());
            }
            tracing::info!(
                cluster = self.config.id,
                version = server.version,
                role = server.role.as_str(),
                "a cluster is watched"
            );
            self.state.connection = ClusterState::Up;
            self.sampler.set_up(true);
        }
        if let Some(before) = &self.state.server {
            let happened = events::of_server(before, &server, at);
            let role_changed = before.role != server.role;
            if !happened.is_empty() {
                tracing::info!(cluster = self.config.id, what = happened[0].title, "a cluster changed");
                self.cluster.forget();
                self.state.forget_rates();
                self.state.columns_read = None;
                if role_changed {
                    self.state.replicas.clear();
                    self.state.statement_tracker.forget();
                }
                self.state.collectors.all_due(Instant::now());
                self.events.extend(happened);
            }
        }
        if let Some(lsn) = server.lsn {
            self.state.replicas.position(at, lsn);
        }
        self.state.server = Some(server);
    }

    async fn lost(&mut self, error: &PgstatError) {
        let at = now();
        let since = match &self.state.connection {
            ClusterState::Unreachable { since, .. } | ClusterState::Refused { since, .. } => *since,
            ClusterState::Up | ClusterState::Connecting => {
                tracing::warn!(%error, cluster = self.config.id, "a cluster is lost");
                self.events.push(Event::new(at, EventKind::Down, error.to_string().chars().take(200).collect()));
                at
            }
        };
        let reason = error.to_string();
        self.state.connection = match error {
            PgstatError::Refused { .. } => ClusterState::Refused { reason, since },
            _ => ClusterState::Unreachable { reason, since },
        };
        // The next connection may be to another server, and what it is asked first is who it is.
        self.sampler.set_up(false);
        self.cluster.forget();
        self.state.forget_rates();
        self.state.collectors.all_due(Instant::now());
        // The next look comes after the back-off, which is longer than a short tick.
        let ceiling = match error {
            PgstatError::Refused { password: true, .. } => REFUSED_CEILING,
            _ => UNREACHABLE_CEILING,
        };
        self.publish(self.cadence.tick.max(ceiling)).await;
    }

    /// Looks at locks only when a backend waits for one: the question stops the lock manager for a moment.
    async fn locks(&mut self) -> Result<(), PgstatError> {
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

    async fn database(&mut self) -> Result<(), PgstatError> {
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

    async fn wal(&mut self) -> Result<(), PgstatError> {
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
    async fn places(&mut self) -> Result<(), PgstatError> {
        if self.cluster.target().is_local() {
            self.state.places = match self.cluster.places().await {
                Ok(places) => Some(Ok(places)),
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => Some(Err(error.to_string())),
            };
        }
        Ok(())
    }

    async fn io(&mut self) -> Result<(), PgstatError> {
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

    async fn tables(&mut self) -> Result<(), PgstatError> {
        let Some(mut reading) =
            self.timed(CollectorKind::Tables, |cluster| async move { cluster.tables().await }).await?
        else {
            return Ok(());
        };
        if let Some(before) = &self.state.tables {
            tables::keep_unread_sequences(before, &mut reading);
        }
        let read_at = Instant::now();
        if self.state.bloat_read.is_none_or(|last| last.elapsed() >= self.cadence.bloat()) {
            // An extra: without it the tables are shown as well.
            match self.cluster.bloat().await {
                Ok(estimates) => self.state.bloat = estimates,
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, cluster = self.config.id, "bloat could not be estimated; it is tried again in some hours");
                }
            }
            self.state.bloat_read = Some(read_at);
        }
        if self.state.columns_read.is_none_or(|last| last.elapsed() >= self.cadence.columns()) {
            // An extra as well: what was read before it stays.
            match self.cluster.columns().await {
                Ok(reading) => self.state.columns = Arc::new(columns::kept(&reading, now())),
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, cluster = self.config.id, "columns of tables could not be read; it is tried again in an hour");
                    let failed = Some(error.to_string());
                    self.state.columns = Arc::new(ColumnsKept { failed, ..ColumnsKept::clone(&self.state.columns) });
                }
            }
            self.state.columns_read = Some(read_at);
        }
        let before = self.state.tables_before.as_ref().zip(self.state.tables_read);
        let before = before.map(|(before, at)| (before, read_at.duration_since(at).as_secs_f64()));
        let page = tables::page(&reading, before, self.state.settings.as_ref(), &self.state.bloat, now());
        if self.state.tables_recorded.is_none_or(|last| last.elapsed() >= self.cadence.growth()) {
            self.state.tables_recorded = Some(read_at);
            self.state.table_sizes =
                page.rows.iter().take(TABLES_RECORDED).map(|row| (row.key.clone(), row.total_bytes)).collect();
        }
        self.state.tables_before = Some(tables::remember(&reading));
        self.state.tables_read = Some(read_at);
        self.state.tables_page = Arc::new(page);
        self.state.tables = Some(reading);
        Ok(())
    }

    async fn statements(&mut self) -> Result<(), PgstatError> {
        let Some(reading) =
            self.timed(CollectorKind::Statements, |cluster| async move { cluster.statements().await }).await?
        else {
            self.state.statement_tracker.forget();
            self.state.statements_read = None;
            return Ok(());
        };
        let read_at = Instant::now();
        let unknown =
            reading.rows.iter().map(|row| row.key).filter(|key| !self.state.statement_names.contains_key(key));
        let unknown = unknown.filter(|key| !self.state.unnamed.contains(key)).collect::<Vec<_>>();
        let seconds = self.state.statements_read.map(|last| read_at.duration_since(last).as_secs_f64());
        self.state.statements_read = Some(read_at);
        let interval = self.state.statement_tracker.advance(reading);
        let texts = self.texts(&unknown).await?;
        // Also when there is no interval yet: what was logged before it is not of it.
        let logged = self.state.durations.fresh();
        let (Some(interval), Some(seconds)) = (interval, seconds) else {
            self.recorder.push(Batch { at: now(), texts, ..Batch::default() });
            return Ok(());
        };
        if interval.reset {
            self.events.push(Event::new(now(), EventKind::StatsReset, "pg_stat_statements was reset".to_owned()));
        }
        if let Some(evicted) = interval.evicted {
            self.state.evictions.push_back((read_at, evicted));
            self.state.evictions.retain(|(at, _)| at.elapsed() < Duration::from_secs(3_600));
        }
        self.state.statement_window.push(seconds, interval.rows.clone());
        self.state.fresh_statements = Some((seconds, interval.rows.clone()));
        self.state.fresh_latencies = latency_classes::estimated(&interval.rows).map(|counts| match logged {
            Some((logged, floor_ms)) => latency_classes::with_log(&counts, logged, floor_ms),
            None => counts,
        });
        let interval_ms = (seconds * 1_000.0) as i64;
        self.recorder.push(Batch { at: now(), texts, statements: interval.rows, interval_ms, ..Batch::default() });
        Ok(())
    }

    async fn log(&mut self) -> Result<(), PgstatError> {
        let from = self.state.log_read.as_ref().map(|(_, position)| position.clone());
        let Some(reading) = self.timed(CollectorKind::Log, |cluster| async move { cluster.log(from).await }).await?
        else {
            self.state.log_read = None;
            self.state.auto_explain = None;
            self.state.durations.clear();
            return Ok(());
        };
        let read_at = Instant::now();
        let seconds = self.state.log_read.as_ref().map_or(0.0, |(at, _)| read_at.duration_since(*at).as_secs_f64());
        self.state.durations.push(&reading, seconds);
        self.state.auto_explain = log_samples::hint(&reading.settings);
        let tables = self.state.tables.as_ref().map(|tables| tables.rows.as_slice()).unwrap_or_default();
        // A name that stands in several schemas says nothing.
        let schema_of = |database: &str, table: &str| {
            let mut named = tables.iter().filter(|row| row.database == database && row.name == table);
            named.next().filter(|_| named.next().is_none()).map(|row| row.schema.clone())
        };
        let version_num = self.state.server.as_ref().map_or(0, |server| server.version_num);
        let entries = analysis::log::read(&reading, now());
        let chosen =
            log_samples::choose(entries, &self.state.log_names, &self.state.statement_names, version_num, schema_of);
        if chosen != log_samples::Chosen::default() {
            let log_samples::Chosen { samples, plans } = chosen;
            self.recorder.push(Batch { at: now(), log_samples: samples, plans, ..Batch::default() });
        }
        self.state.log_read = Some((read_at, reading.position));
        Ok(())
    }

    /// Names of statements not seen before. A failure costs the names, not the figures.
    async fn texts(&mut self, unknown: &[StatementKey]) -> Result<Vec<domain::reading::StatementText>, PgstatError> {
        let resting = self.state.texts_rest.is_some_and(|until| Instant::now() < until);
        if unknown.is_empty() || resting {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let texts = self.cluster.statement_texts(unknown).await;
        self.state.texts_rest = Some(Instant::now() + began.elapsed() * TEXTS_REST);
        let texts = match texts {
            Ok(texts) => texts,
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, cluster = self.config.id, "the texts of new statements could not be read; it is tried again");
                return Ok(Vec::new());
            }
        };
        for text in &texts {
            let line = sqltext::one_line(&text.query, 400);
            self.state.log_names.learn(text);
            self.state.statement_names.insert(text.key, (line.into(), text.database.clone(), text.user.clone()));
        }
        // Evicted between the two statements: do not ask for it for ever.
        let unnamed =
            unknown.iter().filter(|key| !self.state.statement_names.contains_key(key)).copied().collect::<Vec<_>>();
        self.state.unnamed.extend(unnamed);
        Ok(texts)
    }

    async fn indexes(&mut self) -> Result<(), PgstatError> {
        let Some(reading) =
            self.timed(CollectorKind::Indexes, |cluster| async move { cluster.indexes().await }).await?
        else {
            return Ok(());
        };
        let read_at = Instant::now();
        if self.state.index_bloat_read.is_none_or(|last| last.elapsed() >= self.cadence.bloat()) {
            // An extra: without it the indexes are shown as well.
            match self.cluster.index_bloat().await {
                Ok(estimates) => self.state.index_bloat = estimates,
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, cluster = self.config.id, "bloat of indexes could not be estimated; it is tried again in some hours");
                }
            }
            self.state.index_bloat_read = Some(read_at);
        }
        let Some(server) = &self.state.server else { return Ok(()) };
        let reading = Arc::new(reading);
        let mine = NodeIndexes {
            standby_of: self.config.standby_of.clone(),
            reading: reading.clone(),
            started_at: server.started_at,
        };
        let others = {
            let mut shared = self.shared.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            shared.insert(self.config.id.clone(), mine.clone());
            let is_ours = |other: &NodeIndexes| other.standby_of.as_deref() == Some(self.config.id.as_str());
            shared
                .iter()
                .filter(|(_, other)| is_ours(other))
                .map(|(id, other)| (id.clone(), other.clone()))
                .collect::<Vec<_>>()
        };
        let mut nodes =
            vec![indexes::Node { name: &self.config.name, reading: &reading, started_at: server.started_at }];
        nodes.extend(others.iter().map(|(id, other)| indexes::Node {
            name: id,
            reading: &other.reading,
            started_at: other.started_at,
        }));
        let previous = self.state.indexes_before.as_ref().zip(self.state.indexes_read);
        let previous = previous.map(|(previous, at)| (previous, read_at.duration_since(at).as_secs_f64()));
        // Short ticks are for demonstrations and tests: there a minute of counting has to do.
        let mut rules = indexes::Rules::default();
        rules.counting_at_least_seconds =
            rules.counting_at_least_seconds.min(self.cadence.tick.as_secs_f64() * 120.0 / 10.0);
        let page = indexes::page(&nodes, previous, &self.state.index_bloat, rules, now());
        let recorded = self.state.index_scans_recorded.as_ref();
        let recorded = recorded.map(|(at, scans)| (scans, read_at.duration_since(*at).as_secs_f64()));
        if recorded.is_none_or(|(_, seconds)| seconds >= self.cadence.growth().as_secs_f64()) {
            let (rates, scans) = indexes::scans_per_hour(&page, recorded, INDEXES_RECORDED);
            self.state.index_scans = rates;
            let sizes = page.rows.iter().filter(|row| row.bytes > 0).take(INDEXES_RECORDED);
            self.state.index_sizes = sizes.map(|row| (row.key.clone(), row.bytes)).collect();
            self.state.index_scans_recorded = Some((read_at, scans));
        }
        self.state.indexes_before = Some(indexes::remember(&reading));
        self.state.indexes_read = Some(read_at);
        self.state.indexes = Arc::new(page);
        Ok(())
    }

    /// The sampler runs by itself; its state stands among the collectors'.
    fn book_samples(&mut self) {
        let (last, failure) = self.sampler.last();
        let collectors = &mut self.state.collectors;
        if let Some(last) = last {
            collectors.succeeded(CollectorKind::Sessions, last.at, last.took, Instant::now());
        }
        if let Some(reason) = failure {
            collectors.failed(CollectorKind::Sessions, CollectorState::Failed { reason }, Instant::now());
        }
    }

    /// Once after a start, as soon as the open alerts are read: a standby that nobody has seen since is not well again. Of a
    /// server that is no primary any more they are another's.
    fn know_missing(&mut self) {
        let book = self.control.alerts();
        let Some(server) = self.state.server.as_ref().filter(|_| !self.missing_known && book.is_loaded()) else {
            return;
        };
        self.missing_known = true;
        if server.role != ServerRole::Primary {
            return;
        }
        for alert in book.open(Some(&self.config.id), now()) {
            let of_standby = matches!(alert.rule.as_str(), "replica_disconnected" | "replication_lag");
            if of_standby && alert.object != replication::THIS_SERVER {
                self.state.replicas.missing_since(&alert.object, alert.since);
            }
        }
        if let Some(reading) = &self.state.replication {
            self.state.replicas.advance(reading, now());
        }
    }

    /// Makes the snapshot, swaps it in and hands the figures to the recorder. `expected` is the time to the next look.
    async fn publish(&mut self, expected: Duration) {
        let (is_local, places) = (self.cluster.target().is_local(), self.state.places.as_ref());
        let host = disk::look(&self.shared.disks, is_local, places, now()).await;
        self.state.host = Arc::new(host);
        let at = now();
        self.state.sequence += 1;
        self.book_samples();
        self.state.samples_skipped = self.sampler.skipped();
        let load = self.sampler.waits();
        if !load.is_empty() {
            self.state.load.push_back((self.cadence.tick.as_secs_f64(), load.clone()));
            while self.state.load.iter().map(|it| it.0).sum::<f64>() > WINDOW_SECONDS && self.state.load.len() > 1 {
                self.state.load.pop_front();
            }
        }
        self.state.recovery = self.control.recovery().slot(&self.config.id).and_then(|slot| {
            let status = slot.status.load();
            status.judged_at.map(|_| status.problems.clone())
        });
        self.know_missing();
        let mut snapshot = snapshot::make(
            &mut self.state,
            &self.config,
            self.cadence,
            self.control.slow_threshold_ms(),
            self.control.health_weights(&self.config.id),
            at,
        );
        let looked = alerts::look(&self.control, &self.alerts, &self.state, &snapshot, &self.events, expected, at);
        self.state.health_tracker.cap(&mut snapshot.dashboard.health, &looked.critical, at);
        self.state.health = Some(snapshot.dashboard.health.clone());
        let latencies = self.state.fresh_latencies.take();
        let metrics = snapshot::metrics(&snapshot, &self.state, &load, latencies, &looked.values);
        self.state.table_sizes.clear();
        self.state.index_sizes.clear();
        self.state.index_scans.clear();
        let sessions = self.sampler.bucket(self.cadence.bucket());
        let locks = std::mem::take(&mut self.state.lock_snapshots);
        self.state.most_blocked = None;
        self.recorder.push(Batch {
            at,
            metrics,
            events: std::mem::take(&mut self.events),
            locks,
            sessions,
            ..Batch::default()
        });
        self.control.clusters().publish(&self.config.id, snapshot, at);
    }
}
