//! Keeping history within its tiers and its budget.
use control::{ControlPlane, Kept, now};
use std::time::Duration;
use store::{LogSampleRepo, SessionHistoryRepo, StatementRepo, StoreError};

/// So long after a moment everything about it has been written, unless the store did not answer.
const SETTLED_MS: i64 = 90_000;
/// Hours of sessions that are put together in one go.
const SESSION_HOURS: usize = 48;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Rolls up what is complete.
pub(crate) async fn roll_up(control: &ControlPlane, tick: Duration) -> Result<(), StoreError> {
    // Statements are read every second tick; twice that is missing.
    let gap_ms = i64::try_from(tick.as_millis()).unwrap_or(i64::MAX).saturating_mul(5);
    let settled = now().plus_ms(-SETTLED_MS.max(gap_ms.saturating_mul(2).min(600_000)));
    store::roll_up(control.store(), settled, gap_ms).await
}

/// Removes what is older than it is kept, in every tier, and a second time when the budget asks for more.
pub(crate) async fn prune(control: &ControlPlane) -> Result<(), Failure> {
    remove(control).await?;
    if control.history_budget_check().await? {
        remove(control).await?;
    }
    Ok(())
}

async fn remove(control: &ControlPlane) -> Result<(), Failure> {
    let (store, at) = (control.store(), now());
    let mut statements_kept = at;
    for (kept, before) in control.history_limits(at) {
        match kept {
            Kept::Tier(history, tier) => {
                let removed = store::prune(store, history, tier, before).await?;
                tracing::debug!(?history, tier, removed, "old history was removed");
                if history == store::History::Statements {
                    statements_kept = statements_kept.min(before);
                }
            }
            Kept::Sessions => {
                for _ in 0..SESSION_HOURS {
                    let transaction = store.begin().await?;
                    let more = SessionHistoryRepo(&transaction).roll_up(before, analysis::sessions::thin).await?;
                    store.commit(transaction).await?;
                    if !more {
                        break;
                    }
                }
            }
            Kept::SessionHours => {
                SessionHistoryRepo(store.db()).prune(before).await?;
            }
            Kept::LogSamples => {
                LogSampleRepo(store.db()).prune(before).await?;
            }
        }
    }
    StatementRepo(store.db()).forget(statements_kept).await?;
    Ok(())
}
