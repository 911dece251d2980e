//! The monitored clusters and their newest snapshots.
use crate::{BackendAgent, ControlError};
use arc_swap::{ArcSwap, ArcSwapOption};
use domain::{
    Timestamp,
    reading::Provider,
    view::{
        ActivityPage, Attention, ClusterCost, ClusterState, ClusterSummary, ColumnsKept, ConnectionsPage, Dashboard,
        HostPage, IndexAdvice, IndexesPage, LiveEvent, LockSnapshot, LocksPage, MaintenancePage, ReplicationPage,
        SettingsPage, TablesPage,
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};
use tokio::sync::broadcast;

/// A cluster as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Stable id: lower-case letters, digits and `-`.
    pub id: String,
    /// For people.
    pub name: String,
    /// The id of the cluster whose standby this is, so that index scans are added up over both.
    pub standby_of: Option<String>,
    /// The group that it is in, as `production`: settings of alert rules can be for a group.
    pub group: Option<String>,
}

/// Everything known of one cluster at one moment. It is made by `monitor`, swapped in as a whole and never changed,
/// so that whatever a page shows belongs together, and a page view sends no query to the monitored database.
#[derive(Clone, Debug)]
pub struct ClusterSnapshot {
    /// The picture; `age_seconds` is filled when it is served.
    pub dashboard: Dashboard,
    /// Indexes.
    pub indexes: Arc<IndexesPage>,
    /// Backends.
    pub activity: Arc<ActivityPage>,
    /// Who holds the connection slots.
    pub connections: Arc<ConnectionsPage>,
    /// Tables.
    pub tables: Arc<TablesPage>,
    /// The columns of the larger tables, for the page of one.
    pub columns: Arc<ColumnsKept>,
    /// Standbys and slots.
    pub replication: Arc<ReplicationPage>,
    /// Settings; the changes are added when it is served.
    pub settings: Arc<SettingsPage>,
    /// Vacuum, checkpoints, WAL, I/O.
    pub maintenance: Arc<MaintenancePage>,
    /// Who waits for whom; the kept graphs are added when it is served.
    pub locks: Arc<LocksPage>,
    /// The worst moment of the waiting that goes on now.
    pub locks_worst: Option<Arc<LockSnapshot>>,
    /// What watching it costs.
    pub watching: ClusterCost,
    /// What the server needs to be watched, and how far it is.
    pub setup: Vec<Attention>,
    /// Whether statements can be read.
    pub statements: domain::view::Availability,
    /// Statements evicted from `pg_stat_statements` per hour.
    pub evictions_per_hour: Option<f64>,
    /// The machine it runs on; forecasts are added when it is served.
    pub host: Arc<HostPage>,
    /// Whether the server's log can be read.
    pub log: domain::view::Availability,
    /// Why no plans come from the log; `None` when they come or when that is not known.
    pub auto_explain: Option<String>,
    /// The service that runs the server, as far as it is known.
    pub provider: Option<Provider>,
}

/// One cluster's place in the registry.
#[derive(Debug)]
pub(crate) struct ClusterSlot {
    pub(crate) config: ClusterConfig,
    pub(crate) snapshot: ArcSwap<ClusterSnapshot>,
    pub(crate) agent: OnceLock<Arc<dyn BackendAgent>>,
    /// The last review of the indexes; it comes seldom and on its own.
    pub(crate) advice: ArcSwapOption<IndexAdvice>,
    /// Memory of its machine, where that is this one.
    pub(crate) memory: OnceLock<i64>,
    /// Processors of its machine, where they are configured or that is this one.
    pub(crate) cpus: OnceLock<u32>,
}

/// All clusters, the first being the default.
#[derive(Debug)]
pub struct Clusters {
    slots: Vec<ClusterSlot>,
    live: broadcast::Sender<Arc<LiveEvent>>,
}

/// Events kept for a slow reader; one that falls behind further just skips to the newest.
const LIVE_BACKLOG: usize = 64;

impl Clusters {
    /// `first` makes the snapshot to show before the first tick.
    pub fn new(configs: Vec<ClusterConfig>, first: impl Fn(&ClusterConfig) -> ClusterSnapshot) -> Self {
        let slots = configs
            .into_iter()
            .map(|config| ClusterSlot {
                snapshot: ArcSwap::from_pointee(first(&config)),
                agent: OnceLock::new(),
                advice: ArcSwapOption::empty(),
                memory: OnceLock::new(),
                cpus: OnceLock::new(),
                config,
            })
            .collect();
        Self { slots, live: broadcast::Sender::new(LIVE_BACKLOG) }
    }

    /// Swaps in a new snapshot and tells the event streams. An unknown id is ignored: there is nobody to show it to.
    pub fn publish(&self, id: &str, snapshot: ClusterSnapshot, at: Timestamp) {
        let Some(slot) = self.slots.iter().find(|slot| slot.config.id == id) else { return };
        let event = live_event(&snapshot.dashboard, at);
        slot.snapshot.store(Arc::new(snapshot));
        // An error only says that nobody listens.
        let _ = self.live.send(Arc::new(event));
    }

    /// Names who acts on the cluster when a person asks for it. The first one stays.
    pub fn set_agent(&self, id: &str, agent: Arc<dyn BackendAgent>) {
        if let Some(slot) = self.slots.iter().find(|slot| slot.config.id == id) {
            let _ = slot.agent.set(agent);
        }
    }

    /// Puts in a review of the indexes. One that failed does not put away the last that did not.
    pub fn advice_publish(&self, id: &str, advice: IndexAdvice) {
        let Some(slot) = self.slots.iter().find(|slot| slot.config.id == id) else { return };
        let failed = advice.availability != domain::view::Availability::Ready;
        if failed && slot.advice.load().as_ref().is_some_and(|last| last.reviewed_at.is_some()) {
            return;
        }
        slot.advice.store(Some(Arc::new(advice)));
    }

    /// Says how much memory the machine of a cluster has, in bytes.
    pub fn set_memory(&self, id: &str, bytes: i64) {
        if let Some(slot) = self.slots.iter().find(|slot| slot.config.id == id) {
            let _ = slot.memory.set(bytes);
        }
    }

    /// Memory of the machine of a cluster, where it is known.
    pub(crate) fn memory(&self, id: &str) -> Option<i64> {
        self.slots.iter().find(|slot| slot.config.id == id)?.memory.get().copied()
    }

    /// Says how many processors the machine of a cluster has. The first one to say it is right: the configuration.
    pub fn set_cpus(&self, id: &str, cpus: u32) {
        if let Some(slot) = self.slots.iter().find(|slot| slot.config.id == id) {
            let _ = slot.cpus.set(cpus);
        }
    }

    /// Processors of the machine of a cluster, where they are known.
    pub(crate) fn cpus(&self, id: &str) -> Option<u32> {
        self.slots.iter().find(|slot| slot.config.id == id)?.cpus.get().copied()
    }

    /// The last review of the indexes of a cluster.
    pub(crate) fn advice(&self, id: &str) -> Option<Arc<IndexAdvice>> {
        self.slots.iter().find(|slot| slot.config.id == id)?.advice.load_full()
    }

    /// Who acts on the cluster; nobody where no monitor runs, as in a command.
    pub(crate) fn agent(&self, id: &str) -> Option<Arc<dyn BackendAgent>> {
        self.slots.iter().find(|slot| slot.config.id == id)?.agent.get().cloned()
    }

    /// The newest snapshot of each cluster with its configuration.
    pub fn all(&self) -> impl Iterator<Item = (&ClusterConfig, Arc<ClusterSnapshot>)> {
        self.slots.iter().map(|slot| (&slot.config, slot.snapshot.load_full()))
    }

    /// The newest snapshot of `id`, or of the first cluster.
    ///
    /// # Errors
    /// `NotFound` when there is no such cluster, or none at all.
    pub fn find(&self, id: Option<&str>) -> Result<(&ClusterConfig, Arc<ClusterSnapshot>), ControlError> {
        let slot = match id {
            None => self.slots.first(),
            Some(id) => self.slots.iter().find(|slot| slot.config.id == id),
        };
        slot.map(|slot| (&slot.config, slot.snapshot.load_full())).ok_or_else(|| {
            if self.slots.is_empty() {
                ControlError::not_found(
                    "cluster",
                    id.unwrap_or("main"),
                    "set DATABASE_URL or add a [[cluster]] to holdfast.toml",
                )
            } else {
                let known = self.slots.iter().map(|slot| slot.config.id.as_str()).collect::<Vec<_>>().join(", ");
                ControlError::not_found("cluster", id.unwrap_or_default(), &format!("known are: {known}"))
            }
        })
    }

    /// That a cluster is in the group.
    ///
    /// # Errors
    /// `NotFound`, with the groups that there are.
    pub(crate) fn check_group(&self, group: &str) -> Result<(), ControlError> {
        let groups = self.slots.iter().filter_map(|slot| slot.config.group.as_deref()).collect::<BTreeSet<_>>();
        if groups.contains(group) {
            return Ok(());
        }
        let hint = if groups.is_empty() {
            "no cluster is in one: set 'group' of a [[cluster]] in holdfast.toml".to_owned()
        } else {
            format!("known are: {}", groups.into_iter().collect::<Vec<_>>().join(", "))
        };
        Err(ControlError::not_found("group", group, &hint))
    }

    /// The id of the cluster that is meant, and how the audit log names it: also one that there is not.
    pub(crate) fn named(&self, id: Option<&str>) -> (Result<String, ControlError>, String) {
        let known = self.find(id).map(|(config, _)| config.id.clone());
        let name = known.as_ref().map_or_else(|_| id.unwrap_or_default().to_owned(), Clone::clone);
        (known, name)
    }

    /// New snapshots as they come, of all clusters.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.live.subscribe()
    }
}

/// What the event streams tell of a snapshot.
pub(crate) fn live_event(dashboard: &Dashboard, at: Timestamp) -> LiveEvent {
    LiveEvent {
        cluster: dashboard.cluster.id.clone(),
        sequence: dashboard.sequence,
        state: dashboard.cluster.state.as_str().to_owned(),
        at_ms: at.0,
        score: dashboard.health.score,
    }
}

/// A cluster that nothing is known of yet.
pub fn connecting(config: &ClusterConfig) -> ClusterSummary {
    ClusterSummary {
        id: config.id.clone(),
        name: config.name.clone(),
        group: config.group.clone(),
        role: None,
        server_version: None,
        state: ClusterState::Connecting,
        started_at: None,
    }
}
