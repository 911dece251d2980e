//! Looking at the servers, and deciding anew after each look.
use crate::{
    node::State,
    pools::Inner,
    probe::{Probe, Unseen},
    snapshot::{NodeSnapshot, NodeState, PoolsSnapshot, Routing, TimingSnapshot},
    topology::{Candidate, Limits, Use, decide},
};
use std::{
    sync::{PoisonError, Weak, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A server that was only silent is given one more look before work on it is ended.
const SILENT_LOOKS: u32 = 2;
/// Share of what the servers can give that our pools may take without a warning.
const FAIR_SHARE: f64 = 0.5;

/// Looks at one server until `stop`, or until nobody holds the pools any more.
pub(crate) async fn run(inner: Weak<Inner>, i: usize, stop: CancellationToken) {
    let mut probe = Probe::default();
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let node = &strong.nodes[i];
        let looked = tokio::select! {
            looked = probe.look(&strong.settings, &node.target, &strong.probe_name) => looked,
            () = stop.cancelled() => { end(&strong); return }
        };
        let wait = strong.note(i, looked);
        strong.decide();
        if let Some(slots) = node.slots.load_full() {
            // The minimum is filled step by step; one slow connect must not hold up the next look.
            let _ = timeout(strong.settings.probe_timeout, slots.maintain()).await;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = node.look.notified() => {
                // Many failures at once are one look.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            () = stop.cancelled() => { end(&strong); return }
        }
    }
}

fn end(inner: &Inner) {
    for node in &inner.nodes {
        if let Some(slots) = node.slots.swap(None) {
            slots.retire();
        }
    }
}

impl Inner {
    /// Keeps what was seen; how long to wait for the next look.
    fn note(&self, i: usize, looked: Result<crate::probe::Reading, Unseen>) -> Duration {
        let node = &self.nodes[i];
        let mut state = node.state();
        match looked {
            Ok(reading) => {
                state.before = state.reading.as_ref().filter(|it| it.standby && reading.standby).map(|it| it.lsn);
                if reading.standby {
                    node.saw_replay(reading.lsn);
                }
                state.reading = Some(reading);
                state.trouble = None;
                state.retry_at = None;
                state.backoff.reset();
                self.settings.probe_interval
            }
            Err(unseen) => {
                node.count_failure();
                let wait = state.backoff.fail();
                if unseen.certain || state.backoff.failures() >= SILENT_LOOKS {
                    state.reading = None;
                    state.before = None;
                }
                state.trouble = Some(unseen.reason);
                state.retry_at = Some(Instant::now() + wait);
                wait
            }
        }
    }

    fn decide(&self) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let primary_lsn = self
            .nodes
            .iter()
            .filter_map(|node| node.state().reading.as_ref().filter(|it| !it.standby).map(|it| it.lsn))
            .max();
        let seen = self
            .nodes
            .iter()
            .map(|node| {
                let mut state = node.state();
                state.bound_lag(primary_lsn);
                (state.reading.clone(), state.before, matches!(state.used, Use::Replica))
            })
            .collect::<Vec<_>>();
        let candidates = self
            .nodes
            .iter()
            .zip(&seen)
            .map(|(node, (reading, before, in_use))| Candidate {
                address: &node.address,
                reading: reading.as_ref(),
                before: *before,
                in_use: *in_use,
            })
            .collect::<Vec<_>>();
        let limits = Limits { lag_bytes: self.settings.max_lag_bytes, lag: self.settings.max_lag };
        let decision = decide(&mut memory, &candidates, &limits);
        let mut changed = 0;
        // A server is fenced before another is used in its place.
        let order = |used: &Use| u8::from(*used == Use::Primary);
        let mut nodes = self.nodes.iter().zip(&decision.uses).collect::<Vec<_>>();
        nodes.sort_by_key(|(_, used)| order(used));
        for (node, used) in nodes {
            changed += u64::from(node.apply(&self.settings, used));
        }
        let before = self.decision.swap(std::sync::Arc::new(decision.clone()));
        if decision.split_brain != before.split_brain
            && let Some(said) = &decision.split_brain
        {
            tracing::error!(said, "split brain");
        }
        if *before != decision {
            self.counts.role_changes.fetch_add(changed, Ordering::Relaxed);
            self.changes.send_modify(|n| *n += 1);
        }
    }
}

impl State {
    /// The age of the last replayed change lies after a quiet time: a standby is not further behind than since it was
    /// last level with the primary.
    fn bound_lag(&mut self, primary: Option<domain::Lsn>) {
        let (Some(primary), Some(reading)) = (primary, self.reading.as_mut().filter(|it| it.standby)) else { return };
        if reading.lsn >= primary {
            self.level_at = Some(Instant::now());
        }
        if let (Some(lag), Some(level_at)) = (reading.lag_seconds, self.level_at) {
            reading.lag_seconds = Some(lag.min(level_at.elapsed().as_secs_f64()));
        }
    }
}

impl crate::Pools {
    /// Every figure at this moment; it asks no server.
    pub fn snapshot(&self) -> PoolsSnapshot {
        let inner = &self.inner;
        let primary_lsn = inner
            .nodes
            .iter()
            .find(|node| node.state().used == Use::Primary)
            .and_then(|node| node.state().reading.as_ref().map(|it| it.lsn));
        let mut warnings = Vec::new();
        let mut nodes = Vec::new();
        for node in &inner.nodes {
            let slots = node.slots.load_full();
            let state = node.state();
            let reading = state.reading.as_ref();
            let (what, reason) = match &state.used {
                Use::Primary => (NodeState::Primary, None),
                Use::Replica => (NodeState::Replica, None),
                Use::Left(reason) => (NodeState::Left, Some(reason.clone())),
                Use::Down => (NodeState::Down, state.trouble.clone()),
            };
            let standby = reading.filter(|it| it.standby);
            if let (Some(slots), Some(usable)) = (&slots, reading.map(|it| it.usable)) {
                // Two names of one server share what it can give.
                let ours = inner.nodes.iter().filter(|it| it.address == node.address);
                let sum = ours.filter_map(|it| it.slots.load_full()).map(|it| it.max).sum::<u32>().max(slots.max);
                let (processes, all) = reading.map_or((0, 0), |it| (it.processes, it.may_take));
                if processes > 1 && f64::from(all) > f64::from(usable) * FAIR_SHARE {
                    warnings.push(format!(
                        "the pools of {processes} Holdfast processes may take {all} of the {usable} connections that {} gives to ordinary roles, more than half: lower DB_POOL_MAX of each or raise max_connections",
                        node.address
                    ));
                } else if f64::from(sum) > f64::from(usable) * FAIR_SHARE {
                    warnings.push(format!(
                        "the pools may take {sum} of the {usable} connections that {} gives to ordinary roles, more than half: lower DB_POOL_MAX or raise max_connections",
                        node.address
                    ));
                }
            }
            nodes.push(NodeSnapshot {
                name: node.target.name.to_owned(),
                address: node.address.clone(),
                state: what,
                reason,
                timeline: reading.and_then(|it| it.timeline),
                lsn: reading.map(|it| it.lsn),
                lag_bytes: standby.and_then(|it| Some(primary_lsn?.0.saturating_sub(it.lsn.0))),
                lag_seconds: standby.and_then(|it| it.lag_seconds),
                slots: slots.as_ref().map(|it| it.snapshot()),
                failures: state.backoff.failures(),
                retry_in_seconds: state.retry_at.map(|at| at.saturating_duration_since(Instant::now()).as_secs_f64()),
                failures_total: node.failures(),
                usable: reading.map(|it| it.usable),
                timing: TimingSnapshot {
                    wait: slots.as_ref().map(|it| it.waits.snapshot()).unwrap_or_default(),
                    execute: node.executes.snapshot(),
                },
            });
        }
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &inner.counts;
        PoolsSnapshot {
            nodes,
            routing: Routing {
                replica_reads: read(&counts.replica_reads),
                primary_reads_no_replica: read(&counts.primary_reads_no_replica),
                primary_reads_own_write: read(&counts.primary_reads_own_write),
                primary_reads_standby_refused: read(&counts.primary_reads_standby_refused),
                writes: read(&counts.writes),
                retries: read(&counts.retries),
                refused_writes: read(&counts.refused_writes),
                role_changes: read(&counts.role_changes),
            },
            split_brain: inner.decision.load().split_brain.clone(),
            warnings,
            primary_max: inner.settings.primary_max,
            replica_max: inner.settings.replica_max,
        }
    }
}
