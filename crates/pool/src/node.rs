//! One server: what was seen of it, its connections, its troubles.
use crate::{
    Backoff, Histogram,
    probe::Reading,
    settings::{PoolSettings, Target},
    slots::Slots,
    topology::Use,
};
use arc_swap::ArcSwapOption;
use domain::Lsn;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::Notify;

pub(crate) struct Node {
    pub(crate) target: Target,
    pub(crate) address: String,
    state: Mutex<State>,
    /// `None` while it is used for nothing.
    pub(crate) slots: ArcSwapOption<Slots>,
    /// Replay position, as new as any reader or probe has seen it.
    replayed: AtomicU64,
    /// Wakes the probe: something looked wrong.
    pub(crate) look: Notify,
    pub(crate) executes: Histogram,
    failures: AtomicU64,
}

pub(crate) struct State {
    pub(crate) reading: Option<Reading>,
    /// Replay position one look earlier.
    pub(crate) before: Option<Lsn>,
    /// When it was last seen to have replayed all that the primary was known to have written.
    pub(crate) level_at: Option<Instant>,
    pub(crate) used: Use,
    /// As what it was last used, primary or replica.
    pub(crate) role: Option<Use>,
    pub(crate) trouble: Option<String>,
    pub(crate) backoff: Backoff,
    pub(crate) retry_at: Option<Instant>,
}

impl Node {
    pub(crate) fn new(settings: &PoolSettings, target: Target) -> Self {
        Self {
            address: target.address(),
            target,
            state: Mutex::new(State {
                reading: None,
                before: None,
                level_at: None,
                used: Use::Down,
                role: None,
                trouble: Some("not looked at yet".to_owned()),
                backoff: Backoff::new(settings.backoff.0, settings.backoff.1),
                retry_at: None,
            }),
            slots: ArcSwapOption::empty(),
            replayed: AtomicU64::new(0),
            look: Notify::new(),
            executes: Histogram::default(),
            failures: AtomicU64::new(0),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failure that work on it met, and has it looked at now.
    pub(crate) fn suspect(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.look.notify_one();
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn saw_replay(&self, lsn: Lsn) {
        self.replayed.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// A new role or timeline: what was replayed before says nothing any more.
    pub(crate) fn forget_replay(&self) {
        self.replayed.store(0, Ordering::Release);
    }

    /// Gives it the connections of its use; those of another use are retired, and the work on them ends. Says whether its
    /// role is another than the one it last had: neither a start nor coming and going is a change.
    pub(crate) fn apply(&self, settings: &PoolSettings, used: &Use) -> bool {
        let mut state = self.state();
        if state.used == *used {
            return false;
        }
        let serves = |used: &Use| matches!(used, Use::Primary | Use::Replica);
        let changed = std::mem::discriminant(&state.used) != std::mem::discriminant(used);
        if changed && (serves(used) || serves(&state.used)) {
            self.forget_replay();
            let slots = serves(used).then(|| Slots::new(settings, &self.target, *used == Use::Replica));
            if let Some(old) = self.slots.swap(slots) {
                old.retire();
            }
            tracing::info!(server = self.address, from = ?state.used, to = ?used, "a database server is used differently now");
        }
        state.used = used.clone();
        serves(used) && state.role.replace(used.clone()).is_some_and(|before| before != *used)
    }

    pub(crate) fn slots_if(&self, wanted: &Use) -> Option<Arc<Slots>> {
        let state = self.state();
        (state.used == *wanted).then(|| self.slots.load_full()).flatten()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} {})", self.target.name, self.address)
    }
}
