//! Writing history. A store that does not answer must not stop the watching: batches wait in a bounded queue and are
//! tried again; when it is full the oldest is dropped, counted and told.
use analysis::statements::StatementDelta;
use domain::{
    Timestamp,
    reading::{SessionBucket, StatementKey, StatementText},
    view::{Event, LockSnapshot, Metric},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{
    EventRepo, LockRepo, MetricRepo, Sample, SessionHistoryRepo, StatementRepo, StatementSampleRow, Store, StoreError,
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

/// About half an hour of ticks of one second.
const QUEUE: usize = 2_000;
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Queue {
    batches: Mutex<(VecDeque<Batch>, u64)>,
    more: Notify,
}

/// Takes batches; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    queue: Arc<Queue>,
}

impl Recorder {
    pub(crate) fn push(&self, batch: Batch) {
        let mut queue = self.queue.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.0.len() >= QUEUE {
            queue.0.pop_front();
            queue.1 += 1;
        }
        queue.0.push_back(batch);
        drop(queue);
        self.queue.more.notify_one();
    }
}

pub(crate) fn start(tasks: &mut JoinSet<()>, store: Store, cluster: String, stop: CancellationToken) -> Recorder {
    let queue = Arc::new(Queue::default());
    let recorder = Recorder { queue: queue.clone() };
    tasks.spawn(async move {
        let mut writer = Writer { store, cluster, series: HashMap::new(), names: HashMap::new(), statements: HashMap::new() };
        loop {
            let next = queue.batches.lock().unwrap_or_else(PoisonError::into_inner).0.pop_front();
            match next {
                Some(batch) => {
                    if let Err(error) = writer.write(&batch).await {
                        tracing::error!(%error, cluster = writer.cluster, "history could not be written; it is tried again");
                        queue.batches.lock().unwrap_or_else(PoisonError::into_inner).0.push_front(batch);
                        tokio::select! {
                            () = tokio::time::sleep(RETRY) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                    let dropped = std::mem::take(&mut queue.batches.lock().unwrap_or_else(PoisonError::into_inner).1);
                    if dropped > 0 {
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
        let learnt = if unknown || !batch.texts.is_empty() {
            Some(
                statements
                    .list(&self.cluster)
                    .await?
                    .into_iter()
                    .map(|record| (record.text.key, record.id))
                    .collect::<HashMap<_, _>>(),
            )
        } else {
            None
        };
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
