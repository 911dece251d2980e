//! Watching one cluster: one task, one collector at a time, so that we never pile up on a server that is slow.
mod objects;
mod server;
mod statements;

use crate::{
    alerts::{self, AlertWriter},
    backoff::Backoff,
    batch::Batch,
    cadence::Cadence,
    disk, events,
    recorder::Recorder,
    sampler::Sampler,
    snapshot,
    state::{Shared, State, WINDOW_SECONDS},
};
use analysis::relation_names;
use control::{ClusterConfig, ControlPlane, now};
use domain::{
    reading::{CollectorKind, CollectorState, KnownStandby, ServerReading, ServerRole},
    view::{ClusterState, Event, EventKind},
};
use pgstat::{Cluster, PgstatError};
use std::{
    sync::Arc,
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
    /// Standbys that were there before our start are known again.
    standbys_known: bool,
}

/// A wrong password tried too often locks an account out and fills the server's log.
const REFUSED_CEILING: Duration = Duration::from_secs(60);
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
            standbys_known: false,
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

    /// Once after a start, as soon as the store has told which standbys there were: one that nobody has seen since is missed.
    /// Of a server that is no primary any more they are another's.
    fn know_standbys(&mut self) {
        let Some(server) = self.state.server.as_ref().filter(|_| !self.standbys_known) else { return };
        let Some(known) = self.shared.take_known_standbys(&self.config.id) else { return };
        self.standbys_known = true;
        if server.role != ServerRole::Primary {
            return;
        }
        known.into_iter().for_each(|standby| self.state.replicas.know(standby));
        if let Some(reading) = &mut self.state.replication {
            self.state.replicas.tell_apart(reading);
            self.state.replicas.advance(reading, now());
        }
    }

    /// Those to be known after a restart; `None` before it is known which the store has.
    fn standbys(&self) -> Option<Vec<KnownStandby>> {
        let is_primary = self.state.server.as_ref().is_some_and(|server| server.role == ServerRole::Primary);
        self.standbys_known.then(|| if is_primary { self.state.replicas.known() } else { Vec::new() })
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
        self.know_standbys();
        for name in self.shared.take_gone_for_good(&self.config.id) {
            self.state.replicas.forget(&name);
        }
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
        self.state.index_hits.clear();
        let sessions = self.sampler.bucket(self.cadence.bucket());
        let locks = std::mem::take(&mut self.state.lock_snapshots);
        self.state.most_blocked = None;
        self.recorder.push(Batch {
            at,
            metrics,
            events: std::mem::take(&mut self.events),
            locks,
            sessions,
            standbys: self.standbys(),
            ..Batch::default()
        });
        self.control.clusters().publish(&self.config.id, snapshot, at);
    }
}
