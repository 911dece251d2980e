//! Writing what the engine changed: alerts, what happened to them, and the messages that follow, in one transaction.
//! While the store does not answer the changes wait in memory and become one; nothing is lost and nothing is told twice.
use control::{
    ControlPlane,
    alerts::{Changes, deliveries},
};
use notify::MessageKind;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{AlertRepo, ChannelRepo, DeliveryRepo, EventRepo, StoreError};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);
/// At the end of the program: longer than a busy store needs, shorter than whoever stops us waits.
const LAST_TRY: Duration = Duration::from_secs(3);
/// What happened is dropped beyond this, the oldest first; the alerts themselves never are.
const EVENTS_AT_MOST: usize = 10_000;

#[derive(Debug, Default)]
struct Waiting {
    changes: Mutex<Changes>,
    more: Notify,
}

/// Takes changes; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AlertWriter {
    waiting: Arc<Waiting>,
}

impl AlertWriter {
    /// To be written after what came before.
    pub(crate) fn push(&self, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        self.waiting.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
        self.waiting.more.notify_one();
    }

    fn take(&self) -> Changes {
        std::mem::take(&mut *self.waiting.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What could not be written goes before what came meanwhile.
    fn put_back(&self, mut older: Changes) {
        let mut changes = self.waiting.changes.lock().unwrap_or_else(PoisonError::into_inner);
        older.extend(std::mem::take(&mut *changes));
        let surplus = older.events.len().saturating_sub(EVENTS_AT_MOST);
        if surplus > 0 {
            tracing::warn!(surplus, "what happened to alerts is lost: the store did not answer for too long");
            older.events.drain(..surplus);
        }
        *changes = older;
    }
}

pub(super) fn start(tasks: &mut JoinSet<()>, control: ControlPlane, stop: CancellationToken) -> AlertWriter {
    let writer = AlertWriter { waiting: Arc::default() };
    tasks.spawn(run(writer.clone(), control, stop));
    writer
}

async fn run(writer: AlertWriter, control: ControlPlane, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = writer.waiting.more.notified() => {}
            () = stop.cancelled() => break,
        }
        while !attempt(&writer, &control).await {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => break,
            }
        }
    }
    // The watchers may still be in their last tick.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _ = tokio::time::timeout(LAST_TRY, attempt(&writer, &control)).await;
}

/// Whether all that waited is written.
async fn attempt(writer: &AlertWriter, control: &ControlPlane) -> bool {
    let changes = writer.take();
    if changes.is_empty() {
        return true;
    }
    match write(control, &changes).await {
        Ok(messages) => {
            if messages > 0 {
                control.alerts().poke();
            }
            true
        }
        Err(error) => {
            tracing::error!(%error, "alerts could not be written; it is tried again");
            writer.put_back(changes);
            false
        }
    }
}

/// How many messages were written down.
async fn write(control: &ControlPlane, changes: &Changes) -> Result<usize, StoreError> {
    let store = control.store();
    let transaction = store.begin().await?;
    let alerts = AlertRepo(&transaction);
    for id in &changes.deletes {
        alerts.delete(*id).await?;
    }
    for row in changes.puts.values() {
        alerts.put(row).await?;
    }
    alerts.insert_events(&changes.events).await?;
    for (id, at) in &changes.expired {
        alerts.expire(*id, *at).await?;
    }
    for (cluster, event) in &changes.timeline {
        EventRepo(&transaction).insert(cluster, std::slice::from_ref(event)).await?;
    }
    let mut new = Vec::new();
    if !changes.tells.is_empty() {
        let channels = ChannelRepo(&transaction).list().await?;
        let mut told = BTreeMap::<i64, BTreeSet<i64>>::new();
        for tell in changes.tells.iter().filter(|tell| tell.kind == MessageKind::Resolved) {
            let before = DeliveryRepo(&transaction).of_alert(tell.alert.id).await?;
            // Of a begin that never arrived no end is told.
            let arrived = before.into_iter().filter(|row| matches!(row.state.as_str(), "sent" | "waiting" | "sending"));
            told.entry(tell.alert.id).or_default().extend(arrived.map(|row| row.channel_id));
        }
        let name = |id: &str| control.clusters().find(Some(id)).map_or_else(|_| id.to_owned(), |it| it.0.name.clone());
        new = deliveries(&changes.tells, &channels, &told, name, control.alerts().alerting());
        DeliveryRepo(&transaction).insert(&new).await?;
    }
    store.commit(transaction).await?;
    Ok(new.len())
}
