//! Removing what is old: history, ended sessions, forgotten failures.
use auth::Throttle;
use control::{ControlPlane, now};
use std::time::Duration;
use store::{
    AlertRepo, BlackoutRepo, DeliveryRepo, EventRepo, LockRepo, MetricRepo, SessionHistoryRepo, SessionRepo,
    StatementRepo,
};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(600);
/// The longest range of a page, and a day more.
const KEEP_MS: i64 = 8 * 24 * 60 * 60 * 1_000;
const KEEP_LOCKS_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
const KEEP_EVENTS_MS: i64 = 90 * 24 * 60 * 60 * 1_000;
const KEEP_MESSAGES_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

pub(crate) async fn run(control: ControlPlane, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = clean(&control).await {
            tracing::warn!(%error, "old records could not be removed; it is tried again in ten minutes");
        }
    }
}

async fn clean(control: &ControlPlane) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (store, at) = (control.store(), now());
    let metrics = MetricRepo(store.db()).prune(at.plus_ms(-KEEP_MS)).await?;
    let statements = StatementRepo(store.db()).prune(at.plus_ms(-KEEP_MS)).await?;
    let events = EventRepo(store.db()).prune(at.plus_ms(-KEEP_EVENTS_MS)).await?;
    let samples = SessionHistoryRepo(store.db()).prune(at.plus_ms(-KEEP_MS)).await?;
    let locks = LockRepo(store.db()).prune(at.plus_ms(-KEEP_LOCKS_MS)).await?;
    let sessions = SessionRepo(store.db()).delete_expired(at).await?;
    Throttle::new(store.clone()).prune(at).await?;
    AlertRepo(store.db()).prune(at.plus_ms(-KEEP_EVENTS_MS)).await?;
    DeliveryRepo(store.db()).prune(at.plus_ms(-KEEP_MESSAGES_MS)).await?;
    BlackoutRepo(store.db()).prune(at.plus_ms(-KEEP_MESSAGES_MS)).await?;
    tracing::debug!(metrics, statements, events, locks, samples, sessions, "old records were removed");
    Ok(())
}
