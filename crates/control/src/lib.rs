//! The application layer: every use case, asked with who asks. It alone decides permissions and writes audit rows;
//! the pages and the JSON API are two skins of it.

mod accounts;
mod actor;
mod advice;
pub mod alerts;
pub mod analytics;
mod audit;
mod backends;
mod clock;
mod clusters;
mod error;
mod estate;
mod events;
mod health;
mod history_policy;
mod indexes;
mod latency_history;
mod load;
mod locks;
mod moment;
mod monitoring;
mod pages;
mod plans;
mod platform;
mod queries;
mod recovery;
mod sessions;
mod table_use;
mod tokens;
mod topology;

pub use actor::{Actor, Source};
pub use audit::{audit_command, audit_filter};
pub use backends::{AgentFailure, BackendAgent, Signalled};
pub use catalog::{
    BulkMode, BulkOperation, BulkRequest, NewDependency, NewPlugin, NewVersion, PluginChange, PluginFilter, Sort,
};
pub use clock::now;
pub use clusters::{ClusterConfig, ClusterSnapshot, Clusters, connecting};
pub use error::{ControlError, FieldError};
pub use history_policy::Kept;
pub use pages::OWN_CLUSTER;
pub use platform::{Platform, PluginQuery};
pub use queries::StatementCache;
pub use recovery::{
    BackupParams, BackupWanted, Catalogue, Confirmation, Copies, Disaster, DrSchedule, DrillParams, ExecutionParams,
    ExpireParams, JobParams, OpenRepository, Protected, ProtectionStatus, Rebuilt, RebuiltBackup, Recovery, RestoreAsk,
    RestoreParams, RestoreTestParams, ScheduleConfig, ScheduleKind, Slot, TargetAsk, VerifyParams, command_record,
    lies_in, running_in,
};

use arc_swap::ArcSwap;
use auth::{Passwords, Throttle};
use domain::{Permission, view::ProcessCost};
use std::sync::Arc;
use store::Store;

/// All use cases; cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clusters: Clusters,
    passwords: Passwords,
    throttle: Throttle,
    statements: StatementCache,
    process_cost: ArcSwap<ProcessCost>,
    history: history_policy::HistoryPolicy,
    health: health::HealthBook,
    alerts: alerts::AlertBook,
    recovery: Recovery,
    platform: Platform,
    analytics: analytics::AnalyticsPlace,
    bulks: platform::BulkRuns,
    slow_threshold_ms: f64,
}

impl ControlPlane {
    /// Over a migrated store and the configured clusters.
    ///
    /// # Errors
    /// When the first password hash cannot be made.
    pub async fn new(store: Store, clusters: Clusters, slow_threshold_ms: f64) -> Result<Self, ControlError> {
        Self::with_recovery(store, clusters, slow_threshold_ms, Recovery::default()).await
    }

    /// As [`Self::new`], with clusters that are backed up.
    ///
    /// # Errors
    /// When the first password hash cannot be made.
    pub async fn with_recovery(
        store: Store,
        clusters: Clusters,
        slow_threshold_ms: f64,
        recovery: Recovery,
    ) -> Result<Self, ControlError> {
        let passwords = Passwords::new().await.map_err(ControlError::Auth)?;
        let throttle = Throttle::new(store.clone());
        let groups = clusters.all().filter_map(|(config, _)| Some((config.id.clone(), config.group.clone()?)));
        let alerts = alerts::AlertBook::of(groups.collect());
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                clusters,
                passwords,
                throttle,
                statements: StatementCache::default(),
                process_cost: ArcSwap::default(),
                history: history_policy::HistoryPolicy::default(),
                health: health::HealthBook::default(),
                alerts,
                recovery,
                platform: Platform::default(),
                analytics: analytics::AnalyticsPlace::default(),
                bulks: platform::BulkRuns::default(),
                slow_threshold_ms,
            }),
        })
    }

    /// The store, for our own background tasks.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The clusters, for the monitor that fills them.
    pub fn clusters(&self) -> &Clusters {
        &self.inner.clusters
    }

    /// What is open, and where others tell what they observe.
    pub fn alerts(&self) -> &alerts::AlertBook {
        &self.inner.alerts
    }

    /// Mean statement time from which a statement is slow.
    pub fn slow_threshold_ms(&self) -> f64 {
        self.inner.slow_threshold_ms
    }

    /// Whether we can work: the store answers and its schema is ours.
    ///
    /// # Errors
    /// [`ControlError::Store`].
    pub async fn ready(&self) -> Result<(), ControlError> {
        match self.inner.store.pending_migrations().await? {
            0 => Ok(()),
            pending => Err(ControlError::Conflict(format!(
                "{pending} migrations of the control store are pending; run holdfast init"
            ))),
        }
    }

    /// Lets an actor through or says what is missing. Changing use cases go through [`Self::authorize_audited`].
    fn authorize(&self, actor: &Actor, permission: Permission) -> Result<(), ControlError> {
        if actor.may(permission) {
            return Ok(());
        }
        match actor.role() {
            None => Err(ControlError::Unauthenticated),
            Some(role) => Err(ControlError::Forbidden { permission: permission.as_str(), role: role.to_string() }),
        }
    }

    /// As [`Self::authorize`], and a refusal is written into the audit log.
    async fn authorize_audited(
        &self,
        actor: &Actor,
        permission: Permission,
        action: &str,
        object: (&str, &str),
    ) -> Result<(), ControlError> {
        let Err(refusal) = self.authorize(actor, permission) else { return Ok(()) };
        self.audit_outcome(
            actor,
            action,
            object,
            store::Outcome::Refused,
            Some(serde_json::json!({ "reason": refusal.to_string() })),
        )
        .await?;
        Err(refusal)
    }
}
