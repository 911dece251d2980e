//! Writing history. A store that does not answer must not stop the watching: batches wait in a bounded queue and are
//! tried again; when it is full the oldest is dropped, counted and told. Each cluster has a queue of its own. What is said
//! only once does not go with what is dropped: the next batch takes it over, and which texts of statements the store lacks
//! all the same is told to whoever reads them.
use crate::batch::Batch;
use control::{ControlError, ControlPlane, now};
use domain::{
    Timestamp,
    reading::{KnownStandby, StatementKey},
    view::{Event, EventKind, LogSample, Metric},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use store::{
    EventRepo, KnownStandbyRepo, LockRepo, LogSampleRepo, MetricRepo, SessionHistoryRepo, StatementRepo,
    StatementSampleRow, StoreError, TierRepo,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// By then what happened may be rolled up.
const LATE_SECONDS: f64 = 45.0;
const RETRY: Duration = Duration::from_secs(5);
/// After so long it is looked which statements the store still has: those that did nothing for as long as history is kept
/// are removed there.
const IDS_KEPT: Duration = Duration::from_secs(600);

/// How much of one cluster may wait while the store does not answer, with what is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    batches: usize,
    /// As [`Batch::bytes`] has them. The newest batch waits whatever its size: refused, it would never be written.
    bytes: u64,
}

impl Default for Bounds {
    /// About half an hour of ticks of one second, and 64 MiB of a cluster at most, whatever the batches hold: a text counts
    /// with its length.
    fn default() -> Self {
        Self { batches: 2_000, bytes: 64 * 1_024 * 1_024 }
    }
}

/// What all recorders together did, for the page of our own cost.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rows: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicI64,
}

impl Counters {
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn queued(&self) -> i64 {
        self.queued.load(Ordering::Relaxed).max(0)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    /// Of those, and of the one that is being written.
    bytes: u64,
    /// What was given up and not told yet.
    lost: Option<Lost>,
    /// Statements whose texts the store lacks, and that was not told yet.
    lost_texts: HashSet<StatementKey>,
}

impl Waiting {
    /// Drops the oldest; what is said only once goes to the next, which is `newest` when nothing else waits. Says whether
    /// something is lost by it.
    fn give_up(&mut self, mut oldest: Batch, newest: &mut Batch, room: bool) -> bool {
        let heir = self.batches.front_mut().unwrap_or(newest);
        let before = oldest.bytes() + heir.bytes();
        heir.inherit(&mut oldest, room);
        self.bytes = (self.bytes + heir.bytes()).saturating_sub(before);
        self.lost_texts.extend(oldest.texts.iter().map(|text| text.key));
        if oldest.rows() == 0 {
            return false;
        }
        let one = Lost { batches: 1, from: oldest.at, to: oldest.at };
        self.lost = Some(self.lost.map_or(one, |before| before.and(Some(one))));
        true
    }

    /// `batch` is in the store; of `lacking` the texts are not.
    fn written(&mut self, batch: &Batch, lacking: HashSet<StatementKey>) {
        self.bytes = self.bytes.saturating_sub(batch.bytes());
        self.lost_texts.extend(lacking);
        for text in &batch.texts {
            self.lost_texts.remove(&text.key);
        }
    }
}

/// Readings that were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lost {
    batches: u64,
    from: Timestamp,
    to: Timestamp,
}

impl Lost {
    /// Together with what was given up later.
    fn and(self, later: Option<Self>) -> Self {
        later.map_or(self, |later| Self { batches: self.batches + later.batches, from: self.from, to: later.to })
    }
}

#[derive(Debug, Default)]
struct Queue {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    more: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes batches; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
}

impl Recorder {
    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Statements whose texts the store lacks and nothing that waits will bring it: their figures are kept once their texts
    /// are read and pushed again. Each is told once, and none before the store answers again: read until then they would push
    /// out what waits. A text that was never read is among them too.
    pub(crate) fn lost_texts(&self) -> HashSet<StatementKey> {
        let mut waiting = self.queue.lock();
        if waiting.lost.is_some() {
            return HashSet::new();
        }
        let mut lost = std::mem::take(&mut waiting.lost_texts);
        if !lost.is_empty() {
            for text in waiting.batches.iter().flat_map(|batch| &batch.texts) {
                lost.remove(&text.key);
            }
        }
        lost
    }

    pub(crate) fn push(&self, mut batch: Batch) {
        let Bounds { batches, bytes } = self.queue.bounds;
        let mut waiting = self.queue.lock();
        waiting.bytes += batch.bytes();
        while waiting.batches.len() >= batches || (waiting.bytes > bytes && !waiting.batches.is_empty()) {
            let room = waiting.bytes <= bytes;
            let Some(oldest) = waiting.batches.pop_front() else { break };
            if waiting.give_up(oldest, &mut batch, room) {
                self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            }
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        }
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        waiting.batches.push_back(batch);
        drop(waiting);
        self.queue.more.notify_one();
    }
}

pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    control: ControlPlane,
    cluster: String,
    counters: &Arc<Counters>,
    stop: CancellationToken,
) -> Recorder {
    start_with(tasks, control, cluster, counters, Bounds::default(), stop)
}

fn start_with(
    tasks: &mut JoinSet<()>,
    control: ControlPlane,
    cluster: String,
    counters: &Arc<Counters>,
    bounds: Bounds,
    stop: CancellationToken,
) -> Recorder {
    let queue = Arc::new(Queue { bounds, ..Queue::default() });
    let counters = counters.clone();
    let recorder = Recorder { queue: queue.clone(), counters: counters.clone() };
    tasks.spawn(async move {
        let mut writer = Writer::new(control, cluster);
        loop {
            let next = queue.lock().batches.pop_front();
            match next {
                Some(batch) => match writer.write(&batch).await {
                    Ok(lacking) => {
                        counters.queued.fetch_sub(1, Ordering::Relaxed);
                        counters.rows.fetch_add(batch.rows(), Ordering::Relaxed);
                        let lost = {
                            let mut waiting = queue.lock();
                            waiting.written(&batch, lacking);
                            waiting.lost.take()
                        };
                        // Told when the store answers again, and not by the queue: full as it is, the telling would push
                        // another reading out.
                        if let Some(lost) = lost {
                            let told = Batch { at: lost.to, events: vec![gap(lost)], ..Batch::default() };
                            match writer.write(&told).await {
                                Ok(_) => {
                                    counters.rows.fetch_add(told.rows(), Ordering::Relaxed);
                                    tracing::warn!(
                                        dropped = lost.batches,
                                        cluster = writer.cluster,
                                        "history was lost: the store did not answer for too long"
                                    );
                                }
                                Err(error) => {
                                    tracing::error!(%error, cluster = writer.cluster, "lost history could not be told; it is tried again");
                                    let mut waiting = queue.lock();
                                    waiting.lost = Some(lost.and(waiting.lost));
                                }
                            }
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, cluster = writer.cluster, "history could not be written; it is tried again");
                        queue.lock().batches.push_front(batch);
                        tokio::select! {
                            () = tokio::time::sleep(RETRY) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                },
                None => tokio::select! {
                    () = queue.more.notified() => {}
                    () = stop.cancelled() => return,
                },
            }
        }
    });
    recorder
}

/// The hole is said where the lines have it.
fn gap(lost: Lost) -> Event {
    let title = format!(
        "{} readings from {} to {} were lost: our own store did not answer for too long",
        lost.batches,
        lost.from.to_human(),
        lost.to.to_human()
    );
    Event::new(lost.to, EventKind::HistoryLost, title)
}

struct Writer {
    control: ControlPlane,
    cluster: String,
    series: HashMap<(Metric, String), i64>,
    /// Ids of names in samples of sessions.
    names: HashMap<String, i64>,
    /// Our ids of known statements.
    statements: HashMap<StatementKey, i64>,
    /// When those were read.
    statements_read: Option<Instant>,
    /// Standbys as they are in the store.
    standbys: Option<Vec<KnownStandby>>,
}

impl Writer {
    fn new(control: ControlPlane, cluster: String) -> Self {
        Self {
            control,
            cluster,
            series: HashMap::new(),
            names: HashMap::new(),
            statements: HashMap::new(),
            statements_read: None,
            standbys: None,
        }
    }

    /// Writes all of it or nothing. What is of a statement without a text in the store is left out: those statements are
    /// given back, with those that the store had and has no more.
    async fn write(&mut self, batch: &Batch) -> Result<HashSet<StatementKey>, StoreError> {
        let store = self.control.store().clone();
        let transaction = store.begin().await?;
        // Ids learnt in a transaction that fails may not exist: keep them only after the commit.
        let mut series = self.series.clone();
        // Written late, as after the store was away: what was rolled up meanwhile lacks it.
        if now().seconds_since(batch.at) > LATE_SECONDS {
            TierRepo(&transaction).late(batch.at).await?;
        }
        MetricRepo(&transaction).insert(&self.cluster, batch.at, &batch.metrics, &mut series).await?;
        EventRepo(&transaction).insert(&self.cluster, &batch.events).await?;
        LockRepo(&transaction).insert(&self.cluster, &batch.locks).await?;
        if let Some(standbys) = &batch.standbys {
            KnownStandbyRepo(&transaction).change(&self.cluster, self.standbys.as_deref(), standbys).await?;
        }
        let mut names = None;
        if let Some(bucket) = &batch.sessions {
            let mut known = self.names.clone();
            SessionHistoryRepo(&transaction).insert(&self.cluster, batch.at, bucket, &mut known).await?;
            names = Some(known);
        }
        let statements = StatementRepo(&transaction);
        if !batch.texts.is_empty() {
            statements.insert_texts(&self.cluster, &batch.texts, batch.at).await?;
        }
        let unknown = batch.statement_keys().any(|key| !self.statements.contains_key(key));
        let aged = !batch.statements.is_empty() && self.statements_read.is_none_or(|at| at.elapsed() >= IDS_KEPT);
        let learnt =
            if unknown || aged || !batch.texts.is_empty() { Some(statements.ids(&self.cluster).await?) } else { None };
        let ids = learnt.as_ref().unwrap_or(&self.statements);
        let lacking = batch.statement_keys().chain(learnt.iter().flat_map(|_| self.statements.keys()));
        let lacking = lacking.filter(|key| !ids.contains_key(*key)).copied().collect::<HashSet<_>>();
        let rows = batch.statements.iter().filter_map(|row| {
            Some(StatementSampleRow {
                statement_id: *ids.get(&row.key)?,
                calls: row.calls,
                total_ms: row.total_ms,
                m2: row.m2,
                max_ms: row.max_ms,
                rows: row.rows,
                shared_blks_hit: row.shared_blks_hit,
                shared_blks_read: row.shared_blks_read,
                temp_blks_written: row.temp_blks_written,
                wal_bytes: row.wal_bytes,
            })
        });
        statements.insert_samples(batch.at, batch.interval_ms, &rows.collect::<Vec<_>>()).await?;
        let sample = |(key, sample): &(StatementKey, LogSample)| Some((*ids.get(key)?, sample.clone()));
        LogSampleRepo(&transaction).insert(&batch.log_samples.iter().filter_map(sample).collect::<Vec<_>>()).await?;
        store.commit(transaction).await?;
        self.series = series;
        if batch.standbys.is_some() {
            self.standbys.clone_from(&batch.standbys);
        }
        if let Some(names) = names {
            self.names = names;
        }
        if let Some(learnt) = learnt {
            self.statements = learnt;
            self.statements_read = Some(Instant::now());
        }
        self.plans(batch).await;
        Ok(lacking)
    }

    /// Plans of the log come again as long as they matter: one that cannot be kept is not tried again.
    async fn plans(&self, batch: &Batch) {
        for (key, explained) in &batch.plans {
            let found = StatementRepo(self.control.store().db()).find(&self.cluster, *key).await;
            let kept = match found {
                Ok(Some(record)) => self.control.plan_keep(&self.cluster, &record, explained, "log").await.map(|_| ()),
                Ok(None) => Ok(()),
                Err(error) => Err(ControlError::Store(error)),
            };
            if let Err(error) = kept {
                tracing::warn!(%error, cluster = self.cluster, statement = %key, "a plan of the log could not be kept");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use analysis::statements::StatementDelta;
    use control::{ClusterConfig, Clusters};
    use domain::reading::StatementText;
    use store::{Sample, Store};

    fn at(number: i64) -> Batch {
        let sample = Sample { metric: Metric::HealthScore, label: String::new(), value: 100.0, histogram: None };
        Batch { at: Timestamp(number), metrics: vec![sample], ..Batch::default() }
    }

    fn recorder(bounds: Bounds) -> Recorder {
        Recorder { queue: Arc::new(Queue { bounds, ..Queue::default() }), counters: Arc::default() }
    }

    fn key(queryid: i64) -> StatementKey {
        StatementKey { dbid: 1, userid: 1, queryid, toplevel: true }
    }

    fn text(queryid: i64, query: String) -> StatementText {
        StatementText { key: key(queryid), database: String::new(), user: String::new(), query }
    }

    async fn control() -> (ControlPlane, tempfile::TempDir, String) {
        let (url, directory) = test_support::sqlite_url();
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let config = ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None };
        let clusters = Clusters::new(vec![config], |config| crate::first_snapshot(config, Duration::from_secs(1)));
        (ControlPlane::new(store, clusters, 500.0).await.unwrap(), directory, url)
    }

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let recorder = recorder(Bounds { batches: 5, bytes: u64::MAX });
        (0..20).for_each(|number| recorder.push(at(number)));
        let waiting = recorder.queue.lock();
        assert_eq!(waiting.batches.iter().map(|batch| batch.at.0).collect::<Vec<_>>(), [15, 16, 17, 18, 19]);
        assert_eq!(waiting.lost, Some(Lost { batches: 15, from: Timestamp(0), to: Timestamp(14) }));
        assert_eq!((recorder.counters.dropped(), recorder.counters.queued()), (15, 5));
        assert_eq!(waiting.bytes, 5 * at(0).bytes());
    }

    #[test]
    fn few_batches_of_many_rows_are_bounded_too() {
        let large = Batch { metrics: vec![at(0).metrics.swap_remove(0); 40], ..at(1) };
        let recorder = recorder(Bounds { batches: 1_000, bytes: 3 * large.bytes() - 1 });
        (0..8).for_each(|_| recorder.push(large.clone()));
        let waiting = recorder.queue.lock();
        assert_eq!((waiting.batches.len(), waiting.bytes), (2, 2 * large.bytes()));
        drop(waiting);
        // One that is larger than all that may wait is not refused: it would never be written.
        recorder.push(Batch { metrics: vec![at(0).metrics.swap_remove(0); 4_000], ..at(9) });
        assert_eq!(recorder.queue.lock().batches.len(), 1);
    }

    #[test]
    fn few_rows_of_long_texts_are_bounded_too() {
        let long = |number: i64| {
            let texts = vec![text(number, "SELECT ".repeat(1_000))];
            Batch { at: Timestamp(number), texts, ..Batch::default() }
        };
        let recorder = recorder(Bounds { batches: 1_000, bytes: 100_000 });
        (0..1_000).for_each(|number| recorder.push(long(number)));
        let waiting = recorder.queue.lock();
        assert!(waiting.bytes <= 100_000, "{}", waiting.bytes);
        assert_eq!(waiting.bytes, waiting.batches.iter().map(Batch::bytes).sum::<u64>());
        let held = waiting.batches.iter().map(|batch| batch.at.0).collect::<Vec<_>>();
        assert!((10..15).contains(&held.len()) && held[held.len() - 1] == 999, "the newest: {held:?}");
        drop(waiting);
        // The others are to be read again once the store answers, and are told once.
        assert_eq!(recorder.lost_texts(), HashSet::new());
        let answers = || recorder.queue.lock().lost = None;
        answers();
        assert_eq!(recorder.lost_texts(), (0..held[0]).map(key).collect::<HashSet<_>>());
        assert_eq!(recorder.lost_texts(), HashSet::new());
        // One that was read again is on its way, unless that is given up too.
        recorder.push(Batch { at: Timestamp(1_000), texts: vec![text(0, String::new())], ..Batch::default() });
        answers();
        assert!(!recorder.lost_texts().contains(&key(0)));
        (1_001..1_100).for_each(|number| recorder.push(long(number)));
        answers();
        assert!(recorder.lost_texts().contains(&key(0)));
    }

    #[test]
    fn what_is_said_once_outlives_its_batch() {
        let recorder = recorder(Bounds { batches: 3, bytes: u64::MAX });
        let changed = |number: i64| Event::new(Timestamp(number), EventKind::SettingChange, number.to_string());
        (0..20).for_each(|number| {
            let texts = vec![text(number % 4, number.to_string())];
            recorder.push(Batch { events: vec![changed(number)], texts, ..at(number) });
        });
        let waiting = recorder.queue.lock();
        let events = waiting.batches.iter().flat_map(|batch| &batch.events).map(|event| event.at.0);
        assert_eq!(events.collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        // Read anew meanwhile: once in a batch.
        let texts = waiting.batches.iter().map(|batch| batch.texts.len()).collect::<Vec<_>>();
        assert_eq!(texts, [4, 1, 1]);
        assert_eq!(waiting.lost.map(|lost| lost.batches), Some(17), "their figures are lost all the same");
        assert_eq!(waiting.bytes, waiting.batches.iter().map(Batch::bytes).sum::<u64>());
        drop(waiting);
        recorder.queue.lock().lost = None;
        assert_eq!(recorder.lost_texts(), HashSet::new());
        assert_eq!((recorder.counters.dropped(), recorder.counters.queued()), (17, 3));
    }

    #[test]
    fn a_batch_without_figures_is_not_lost() {
        let recorder = recorder(Bounds { batches: 1, bytes: u64::MAX });
        recorder.push(Batch { texts: vec![text(1, String::new())], ..Batch::default() });
        recorder.push(at(1));
        let waiting = recorder.queue.lock();
        assert_eq!((waiting.lost, waiting.batches.len(), waiting.batches[0].texts.len()), (None, 1, 1));
        assert_eq!((recorder.counters.dropped(), recorder.counters.queued()), (0, 1));
    }

    /// However the store came to lack a text: lost before it was written, or removed as nothing was done for long.
    #[tokio::test(flavor = "multi_thread")]
    async fn statements_without_a_text_in_the_store_are_told() {
        let (control, _directory, _url) = control().await;
        let mut writer = Writer::new(control.clone(), "main".to_owned());
        let delta = StatementDelta { calls: 1, total_ms: 1.0, max_ms: 1.0, rows: 1, ..StatementDelta::zero(key(1)) };
        let figures = Batch { at: now(), statements: vec![delta], interval_ms: 1_000, ..Batch::default() };
        let named = Batch { texts: vec![text(1, "SELECT 1".to_owned())], ..figures.clone() };
        let lacking = HashSet::from([key(1)]);
        assert_eq!(writer.write(&figures).await.unwrap(), lacking);
        assert_eq!(writer.write(&named).await.unwrap(), HashSet::new());
        assert_eq!(writer.write(&figures).await.unwrap(), HashSet::new());
        let statements = StatementRepo(control.store().db());
        let forget = async || assert_eq!(statements.forget(now().plus_ms(60_000)).await.unwrap(), 1);
        forget().await;
        // As after ten minutes.
        writer.statements_read = None;
        assert_eq!(writer.write(&figures).await.unwrap(), lacking);
        assert_eq!(writer.write(&named).await.unwrap(), HashSet::new());
        forget().await;
        // Its ids are read anew for another's text, before it does anything again.
        let other = Batch { at: now(), texts: vec![text(2, "SELECT 2".to_owned())], ..Batch::default() };
        assert_eq!(writer.write(&other).await.unwrap(), lacking);
        assert_eq!(writer.write(&named).await.unwrap(), HashSet::new());
        let found = statements.find("main", key(1)).await.unwrap();
        assert_eq!(found.map(|it| it.text.query).as_deref(), Some("SELECT 1"));
    }

    /// Somebody holds the store; more comes than may wait. What was lost is said once, with its stretch, and the rest is there.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_overflows_while_the_store_is_away_is_told_when_it_answers() {
        let (control, _directory, url) = control().await;
        let other = Store::connect(&url).await.unwrap();
        let holding = other.begin().await.unwrap();
        let (mut tasks, counters, stop) = (JoinSet::new(), Arc::default(), CancellationToken::new());
        let bounds = Bounds { batches: 5, bytes: u64::MAX };
        let recorder = start_with(&mut tasks, control.clone(), "main".to_owned(), &counters, bounds, stop.clone());
        let begun = now();
        recorder.push(Batch { at: begun, ..at(0) });
        // The first is being written, and waits for the holder.
        let waited = Instant::now();
        while !recorder.queue.lock().batches.is_empty() {
            assert!(waited.elapsed() < Duration::from_secs(60), "it is not taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for i in 1..=20 {
            recorder.push(Batch { at: begun.plus_ms(i * 10), ..at(0) });
        }
        assert_eq!((counters.dropped(), counters.queued()), (15, 6));
        drop(holding);
        let events = EventRepo(control.store().db());
        let waited = Instant::now();
        let found = loop {
            let found = events
                .list_of("main", EventKind::HistoryLost, begun.plus_ms(-1_000), now().plus_ms(60_000))
                .await
                .unwrap();
            if !found.is_empty() && counters.queued() == 0 {
                break found;
            }
            assert!(waited.elapsed() < Duration::from_secs(150), "{} wait", counters.queued());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(found.len(), 1, "told once: {found:?}");
        assert!(found[0].title.starts_with("15 readings from "), "{found:?}");
        assert_eq!(found[0].at, begun.plus_ms(150), "where the hole is");
        let rows = MetricRepo(control.store().db())
            .history("main", Metric::HealthScore, begun.plus_ms(-1), begun.plus_ms(1_000), 1)
            .await
            .unwrap();
        assert_eq!(rows.len(), 6, "{rows:?}");
        assert_eq!(counters.rows(), 7, "six readings and what tells of the others");
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
