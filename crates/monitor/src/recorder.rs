//! Writing history. A store that does not answer must not stop the watching: batches wait in a bounded queue and are
//! tried again; when it is full the oldest is dropped, counted and told.
use analysis::statements::StatementDelta;
use control::now;
use domain::{
    Timestamp,
    reading::{SessionBucket, StatementKey, StatementText},
    view::{Event, EventKind, LockSnapshot, Metric},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{
    EventRepo, LockRepo, MetricRepo, Sample, SessionHistoryRepo, StatementRepo, StatementSampleRow, Store, StoreError,
    TierRepo,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// What one tick has to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) at: Timestamp,
    pub(crate) metrics: Vec<Sample>,
    pub(crate) events: Vec<Event>,
    pub(crate) texts: Vec<StatementText>,
    pub(crate) statements: Vec<StatementDelta>,
    pub(crate) interval_ms: i64,
    pub(crate) locks: Vec<LockSnapshot>,
    pub(crate) sessions: Option<SessionBucket>,
}

impl Batch {
    fn rows(&self) -> u64 {
        let sessions = self.sessions.as_ref().map_or(0, |bucket| bucket.rows.len() + 1);
        (self.metrics.len()
            + self.events.len()
            + self.texts.len()
            + self.statements.len()
            + self.locks.len()
            + sessions) as u64
    }
}

/// About half an hour of ticks of one second.
const QUEUE: usize = 2_000;
/// By then what happened may be rolled up.
const LATE_SECONDS: f64 = 45.0;
/// What waits may hold this many rows: some hundred MiB at most, whatever the batches hold.
const QUEUE_ROWS: u64 = 1_000_000;
const RETRY: Duration = Duration::from_secs(5);

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
struct Queue {
    /// What waits, batches given up, rows that wait.
    batches: Mutex<(VecDeque<Batch>, u64, u64)>,
    more: Notify,
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

    pub(crate) fn push(&self, batch: Batch) {
        let mut queue = self.queue.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = queue.2 + batch.rows();
        queue.2 = rows;
        while queue.0.len() >= QUEUE || (queue.2 > QUEUE_ROWS && !queue.0.is_empty()) {
            let lost = queue.0.pop_front().map_or(0, |lost| lost.rows());
            queue.2 = queue.2.saturating_sub(lost);
            queue.1 += 1;
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        }
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        queue.0.push_back(batch);
        drop(queue);
        self.queue.more.notify_one();
    }
}

pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    store: Store,
    cluster: String,
    counters: &Arc<Counters>,
    stop: CancellationToken,
) -> Recorder {
    let queue = Arc::new(Queue::default());
    let counters = counters.clone();
    let recorder = Recorder { queue: queue.clone(), counters: counters.clone() };
    let own = recorder.clone();
    tasks.spawn(async move {
        let recorder = own;
        let mut writer = Writer { store, cluster, series: HashMap::new(), names: HashMap::new(), statements: HashMap::new() };
        loop {
            let next = queue.batches.lock().unwrap_or_else(PoisonError::into_inner).0.pop_front();
            match next {
                Some(batch) => {
                    let outcome = writer.write(&batch).await;
                    if outcome.is_ok() {
                        counters.queued.fetch_sub(1, Ordering::Relaxed);
                        counters.rows.fetch_add(batch.rows(), Ordering::Relaxed);
                        let mut waiting = queue.batches.lock().unwrap_or_else(PoisonError::into_inner);
                        waiting.2 = waiting.2.saturating_sub(batch.rows());
                        drop(waiting);
                    }
                    if let Err(error) = outcome {
                        tracing::error!(%error, cluster = writer.cluster, "history could not be written; it is tried again");
                        queue.batches.lock().unwrap_or_else(PoisonError::into_inner).0.push_front(batch);
                        tokio::select! {
                            () = tokio::time::sleep(RETRY) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                    let dropped = std::mem::take(&mut queue.batches.lock().unwrap_or_else(PoisonError::into_inner).1);
                    if dropped > 0 {
                        // The hole is said where the lines have it.
                        let title = format!("{dropped} readings were lost: our own store did not answer for too long");
                        let event = Event { at: now(), kind: EventKind::HistoryLost, title };
                        recorder.push(Batch { at: now(), events: vec![event], ..Batch::default() });
                        tracing::warn!(dropped, cluster = writer.cluster, "history was lost: the store did not answer for too long");
                    }
                }
                None => tokio::select! {
                    () = queue.more.notified() => {}
                    () = stop.cancelled() => return,
                },
            }
        }
    });
    recorder
}

struct Writer {
    store: Store,
    cluster: String,
    series: HashMap<(Metric, String), i64>,
    /// Ids of names in samples of sessions.
    names: HashMap<String, i64>,
    /// Our ids of known statements.
    statements: HashMap<StatementKey, i64>,
}

impl Writer {
    async fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let transaction = self.store.begin().await?;
        // Ids learnt in a transaction that fails may not exist: keep them only after the commit.
        let mut series = self.series.clone();
        // Written late, as after the store was away: what was rolled up meanwhile lacks it.
        if now().seconds_since(batch.at) > LATE_SECONDS {
            TierRepo(&transaction).late(batch.at).await?;
        }
        MetricRepo(&transaction).insert(&self.cluster, batch.at, &batch.metrics, &mut series).await?;
        EventRepo(&transaction).insert(&self.cluster, &batch.events).await?;
        LockRepo(&transaction).insert(&self.cluster, &batch.locks).await?;
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
        let unknown = batch.statements.iter().any(|row| !self.statements.contains_key(&row.key));
        let learnt = if unknown || !batch.texts.is_empty() { Some(statements.ids(&self.cluster).await?) } else { None };
        let ids = learnt.as_ref().unwrap_or(&self.statements);
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
        self.store.commit(transaction).await?;
        self.series = series;
        if let Some(names) = names {
            self.names = names;
        }
        if let Some(learnt) = learnt {
            self.statements = learnt;
        }
        Ok(())
    }
}
