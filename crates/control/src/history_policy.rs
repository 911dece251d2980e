//! How long history is kept, and how much of it the budget allows. It is a rule only: `monitor` applies it.
use crate::{ControlError, ControlPlane};
use domain::{
    Timestamp,
    view::{StoreCost, StoreTier},
};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use store::{History, LogSampleRepo, SessionHistoryRepo, TierRepo};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// What history may take unless it is said otherwise.
const BUDGET_BYTES: i64 = 2 << 30;
/// Each step of pressure keeps this much of the time before.
const STEP: f64 = 0.7;
/// After this many steps everything is at its least.
const STEPS_AT_MOST: u32 = 16;

/// One kind and tier of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Figures and statements in tiers.
    Tier(History, i32),
    /// Samples of sessions, as they were taken.
    Sessions,
    /// Samples of sessions by the hour.
    SessionHours,
    /// Samples of statements from servers' logs.
    LogSamples,
}

/// Everything that is kept in tiers: name, time wanted, least time.
const KEPT: [(Kept, &str, i64, i64); 9] = [
    (Kept::Tier(History::Metrics, 0), "metrics, each tick", 2 * DAY, 2 * HOUR),
    (Kept::Tier(History::Metrics, 1), "metrics, 5 minutes", 14 * DAY, DAY),
    (Kept::Tier(History::Metrics, 2), "metrics, hours", 400 * DAY, 14 * DAY),
    (Kept::Tier(History::Statements, 0), "statements, each reading", DAY, 2 * HOUR),
    (Kept::Tier(History::Statements, 1), "statements, 10 minutes", 14 * DAY, DAY),
    (Kept::Tier(History::Statements, 2), "statements, hours", 90 * DAY, 7 * DAY),
    (Kept::Sessions, "active sessions, each bucket", 2 * DAY, 2 * HOUR),
    (Kept::SessionHours, "active sessions, hours", 30 * DAY, 2 * DAY),
    (Kept::LogSamples, "statements in logs", 7 * DAY, DAY),
];

/// The budget, and how far it presses.
#[derive(Debug)]
pub(crate) struct HistoryPolicy {
    budget_bytes: AtomicI64,
    pressure: AtomicU32,
    /// Size at the last step, so that a database that gives back no space is not emptied for nothing.
    bytes_at_step: AtomicI64,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self {
            budget_bytes: AtomicI64::new(BUDGET_BYTES),
            pressure: AtomicU32::new(0),
            bytes_at_step: AtomicI64::new(0),
        }
    }
}

impl HistoryPolicy {
    fn keep_ms(&self, wanted: i64, least: i64) -> i64 {
        let steps = self.pressure.load(Ordering::Relaxed);
        ((wanted as f64 * STEP.powi(steps.cast_signed())) as i64).max(least)
    }

    /// Takes the size of the store: over the budget one step less is kept, well below it one step more.
    fn advance(&self, bytes: i64) {
        let (budget, steps) = (self.budget_bytes.load(Ordering::Relaxed), self.pressure.load(Ordering::Relaxed));
        // It grew all the same, or the last step gave back room and not enough of it.
        let moved = (bytes - self.bytes_at_step.load(Ordering::Relaxed)).abs() > budget / 100;
        if bytes > budget && steps < STEPS_AT_MOST && (steps == 0 || moved) {
            self.pressure.store(steps + 1, Ordering::Relaxed);
            self.bytes_at_step.store(bytes, Ordering::Relaxed);
        } else if bytes < budget / 10 * 7 && steps > 0 {
            self.pressure.store(steps - 1, Ordering::Relaxed);
            self.bytes_at_step.store(bytes, Ordering::Relaxed);
        } else if bytes <= budget {
            self.bytes_at_step.store(0, Ordering::Relaxed);
        }
    }
}

impl ControlPlane {
    /// Sets what history may take.
    pub fn set_history_budget_bytes(&self, bytes: i64) {
        self.inner.history.budget_bytes.store(bytes.max(1 << 20), Ordering::Relaxed);
    }

    /// What is to be removed at `at`: each kind of history, and the moment before which it goes.
    pub fn history_limits(&self, at: Timestamp) -> Vec<(Kept, Timestamp)> {
        let history = &self.inner.history;
        KEPT.iter().map(|(kept, _, wanted, least)| (*kept, at.plus_ms(-history.keep_ms(*wanted, *least)))).collect()
    }

    /// Looks at the size of the store and keeps less or more accordingly; says whether something is to be removed now.
    ///
    /// # Errors
    /// [`ControlError::Store`].
    pub async fn history_budget_check(&self) -> Result<bool, ControlError> {
        let bytes = self.inner.store.bytes().await?;
        let history = &self.inner.history;
        let before = history.pressure.load(Ordering::Relaxed);
        history.advance(bytes);
        let now = history.pressure.load(Ordering::Relaxed);
        if now != before {
            let budget = history.budget_bytes.load(Ordering::Relaxed);
            tracing::info!(bytes, budget, pressure = now, "the time that history is kept follows its budget");
        }
        Ok(now > before)
    }

    /// What the store holds and takes.
    ///
    /// # Errors
    /// [`ControlError::Store`].
    pub async fn store_cost(&self) -> Result<StoreCost, ControlError> {
        let (store, history) = (&self.inner.store, &self.inner.history);
        let kind = if store.is_postgres() { "postgresql" } else { "sqlite" };
        let mut tiers = Vec::new();
        for (kept, name, wanted, least) in KEPT {
            let size = match kept {
                Kept::Tier(kind, tier) => TierRepo(store.db()).size(kind, tier).await?,
                Kept::Sessions => SessionHistoryRepo(store.db()).size().await?,
                Kept::LogSamples => LogSampleRepo(store.db()).size().await?,
                // In the same table as those before: counted there.
                Kept::SessionHours => continue,
            };
            tiers.push(StoreTier {
                name: name.to_owned(),
                rows: size.number,
                from: size.oldest.map(Timestamp),
                keep_seconds: history.keep_ms(wanted, least) as f64 / 1_000.0,
                wanted_seconds: wanted as f64 / 1_000.0,
            });
        }
        Ok(StoreCost {
            kind: kind.to_owned(),
            bytes: Some(store.bytes().await?),
            budget_bytes: history.budget_bytes.load(Ordering::Relaxed),
            tiers,
            ..StoreCost::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_presses_step_by_step_and_lets_go() {
        let policy = HistoryPolicy::default();
        policy.budget_bytes.store(1_000_000, Ordering::Relaxed);
        let steps = |bytes| {
            policy.advance(bytes);
            policy.pressure.load(Ordering::Relaxed)
        };
        assert_eq!([steps(900_000), steps(1_100_000)], [0, 1]);
        assert!(policy.keep_ms(10 * DAY, DAY) < 8 * DAY);
        // A database that gives back no space but uses it again is not emptied further.
        assert_eq!([steps(1_100_000), steps(1_105_000), steps(1_200_000)], [1, 1, 2]);
        assert_eq!([steps(900_000), steps(600_000), steps(600_000), steps(600_000)], [2, 1, 0, 0]);
        // A budget that is made much smaller: one step gives back too little, and the next follows.
        assert_eq!([steps(5_000_000), steps(4_100_000), steps(3_300_000), steps(3_300_000)], [1, 2, 3, 3]);
        assert_eq!([steps(990_000), steps(600_000), steps(500_000), steps(400_000)], [3, 2, 1, 0]);
        for i in 0..100 {
            policy.advance(2_000_000 + i * 100_000);
        }
        assert_eq!(policy.keep_ms(400 * DAY, 14 * DAY), 14 * DAY, "the least stays");
    }
}
