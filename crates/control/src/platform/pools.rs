//! The pools' figures, for the dashboard, the page of connections, the API and `/metrics`.
use crate::{Actor, ControlError, ControlPlane};
use analysis::alerts::observe::Observed;
use domain::{
    Permission,
    view::{PoolNode, PoolRouting, PoolView, PoolsPage, PoolsView},
};
use pool::{NodeSnapshot, NodeState, PoolsSnapshot, SlotsSnapshot};
use std::time::Duration;

/// The pools are looked at with each tick; what was not told for so long is not known.
const GOOD_FOR: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Every figure of the platform's pools now. It asks no server.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn pools_get(&self, actor: &Actor) -> Result<PoolsPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let state = self.inner.platform.state();
        let mut page = PoolsPage {
            message: state.message(),
            platform: state.as_ref().clone(),
            nodes: Vec::new(),
            routing: PoolRouting::default(),
            split_brain: None,
            warnings: Vec::new(),
            cache_hits: 0,
            cache_misses: 0,
            cache_invalidations: 0,
            cache_entries: 0,
            cache_listening: false,
        };
        if let domain::view::PlatformState::Ready { outdated: true, .. } = state.as_ref() {
            page.warnings.push(
                "the platform's schema is of an older version: answers are right, but may be slower than they need be; run holdfast init"
                    .to_owned(),
            );
        }
        if let domain::view::PlatformState::Ready { role, bypasses: true, .. } = state.as_ref() {
            page.warnings.push(format!(
                "the pools sign in as {role}, which bypasses row-level security; tenants are kept apart by the role of each transaction alone: set HOLDFAST_PLATFORM_URL to a role of its own and run holdfast init, which makes it"
            ));
        }
        let Some(catalog) = self.inner.platform.catalog() else { return Ok(page) };
        let snapshot = catalog.pools().snapshot();
        let cache = catalog.cache_stats();
        page.nodes = snapshot.nodes.iter().map(node).collect();
        page.warnings.extend(snapshot.warnings);
        page.split_brain = snapshot.split_brain;
        page.routing = routing(&snapshot.routing);
        page.cache_hits = cache.hits;
        page.cache_misses = cache.misses;
        page.cache_invalidations = cache.invalidations;
        page.cache_entries = cache.entries;
        page.cache_listening = cache.listening;
        Ok(page)
    }

    /// What the dashboard of the cluster that holds the platform shows of its pools.
    pub(crate) fn pools_of(&self, cluster: &str) -> Option<PoolsView> {
        let platform = &self.inner.platform;
        if platform.cluster() != Some(cluster) {
            return None;
        }
        Some(short(&platform.catalog()?.pools().snapshot()))
    }

    /// Tells the book of alerts what the pools see, when the platform lies in this cluster. It asks no server.
    pub fn pools_tell(&self, cluster: &str) {
        let platform = &self.inner.platform;
        let Some(catalog) = platform.catalog().filter(|_| platform.cluster() == Some(cluster)) else { return };
        let snapshot = catalog.pools().snapshot();
        let book = self.alerts();
        let condition = |words: Option<String>, measured: &str| {
            let value = f64::from(u8::from(words.is_some()));
            let measured = if words.is_some() { measured } else { "" };
            vec![Observed { detail: words, ..Observed::whole(value, measured) }]
        };
        book.observe(cluster, "split_brain", condition(snapshot.split_brain, "two primaries"), GOOD_FOR);
        let oversized = Some(snapshot.warnings.join("; ")).filter(|words| !words.is_empty());
        book.observe(cluster, "pools_oversized", condition(oversized, "too large"), GOOD_FOR);
    }

    /// The pools' own snapshot, histograms included; `None` until the platform is ready.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn pools_snapshot(&self, actor: &Actor) -> Result<Option<PoolsSnapshot>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.platform.catalog().map(|catalog| catalog.pools().snapshot()))
    }
}

fn short(snapshot: &PoolsSnapshot) -> PoolsView {
    // By what a server is now: after a failover the configured replica is the primary.
    let of = |state: NodeState| snapshot.nodes.iter().find(|node| node.state == state);
    let configured = |name: &str| snapshot.nodes.iter().find(|node| node.name == name);
    let view = |node: Option<&NodeSnapshot>, max: u32| {
        let slots = node.and_then(|node| node.slots).unwrap_or(SlotsSnapshot { max, ..SlotsSnapshot::default() });
        PoolView {
            in_use: i64::from(slots.in_use),
            idle: i64::from(slots.idle),
            max: i64::from(slots.max),
            waiting: i64::try_from(slots.waiting).unwrap_or(i64::MAX),
        }
    };
    PoolsView {
        primary: view(of(NodeState::Primary), snapshot.primary_max),
        replica: (of(NodeState::Replica).is_some() || configured("replica").is_some())
            .then(|| view(of(NodeState::Replica), snapshot.replica_max)),
    }
}

fn node(node: &NodeSnapshot) -> PoolNode {
    let slots = node.slots.unwrap_or_default();
    PoolNode {
        name: node.name.clone(),
        address: node.address.clone(),
        state: node.state.as_str().to_owned(),
        reason: node.reason.clone(),
        in_use: slots.in_use,
        idle: slots.idle,
        max: slots.max,
        concurrency: slots.concurrency,
        min: slots.min,
        waiting: slots.waiting,
        exhausted_total: slots.exhausted,
        opened_total: slots.opened,
        closed_total: slots.closed,
        acquire_p50_ms: node.timing.wait.quantile_ms(0.5),
        acquire_p99_ms: node.timing.wait.quantile_ms(0.99),
        execute_p50_ms: node.timing.execute.quantile_ms(0.5),
        execute_p99_ms: node.timing.execute.quantile_ms(0.99),
        lag_seconds: node.lag_seconds,
        lag_bytes: node.lag_bytes,
        timeline: node.timeline,
        failures: node.failures,
        failures_total: node.failures_total,
        retry_in_seconds: node.retry_in_seconds,
        usable: node.usable,
    }
}

const fn routing(it: &pool::Routing) -> PoolRouting {
    PoolRouting {
        replica_reads: it.replica_reads,
        primary_reads_no_replica: it.primary_reads_no_replica,
        primary_reads_own_write: it.primary_reads_own_write,
        primary_reads_standby_refused: it.primary_reads_standby_refused,
        writes: it.writes,
        retries: it.retries,
        refused_writes: it.refused_writes,
        role_changes: it.role_changes,
    }
}
