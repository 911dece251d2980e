//! Keeping order: history rolled up and kept within its budget, ended sessions and forgotten failures removed.
use crate::history;
use auth::Throttle;
use control::{ControlPlane, now};
use std::time::{Duration, Instant};
use store::{AlertRepo, BlackoutRepo, DeliveryRepo, DismissalRepo, EventRepo, LockRepo, PlanRepo, SessionRepo};
use tokio_util::sync::CancellationToken;

/// How often history is rolled up: the shortest stretch is five minutes.
const ROLL_EVERY: Duration = Duration::from_secs(60);
/// How often what is old is removed.
const EVERY: Duration = Duration::from_secs(600);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const KEEP_LOCKS_MS: i64 = 30 * DAY_MS;
const KEEP_EVENTS_MS: i64 = 400 * DAY_MS;
const KEEP_MESSAGES_MS: i64 = 30 * DAY_MS;

pub(crate) async fn run(control: ControlPlane, tick: Duration, stop: CancellationToken) {
    let mut cleaned = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(ROLL_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = history::roll_up(&control, tick).await {
            // What is old goes all the same: nothing is removed that its next tier lacks, and room may be what was missing.
            tracing::warn!(%error, "history could not be rolled up; it is tried again in a minute");
        }
        if cleaned.elapsed() >= EVERY {
            cleaned = Instant::now();
            if let Err(error) = clean(&control).await {
                tracing::warn!(%error, "old records could not be removed; it is tried again in ten minutes");
            }
        }
    }
}

async fn clean(control: &ControlPlane) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (store, at) = (control.store(), now());
    history::prune(control).await?;
    let events = EventRepo(store.db()).prune(at.plus_ms(-KEEP_EVENTS_MS)).await?;
    let locks = LockRepo(store.db()).prune(at.plus_ms(-KEEP_LOCKS_MS)).await?;
    DismissalRepo(store.db()).prune(at.plus_ms(-KEEP_EVENTS_MS)).await?;
    PlanRepo(store.db()).prune(at.plus_ms(-KEEP_EVENTS_MS)).await?;
    let sessions = SessionRepo(store.db()).delete_expired(at).await?;
    Throttle::new(store.clone()).prune(at).await?;
    AlertRepo(store.db()).prune(at.plus_ms(-KEEP_EVENTS_MS)).await?;
    DeliveryRepo(store.db()).prune(at.plus_ms(-KEEP_MESSAGES_MS)).await?;
    BlackoutRepo(store.db()).prune(at.plus_ms(-KEEP_MESSAGES_MS)).await?;
    tracing::debug!(events, locks, sessions, "old records were removed");
    Ok(())
}
