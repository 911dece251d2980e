//! Bulk operations on plugins: planned first, then done in the background, followed and found again by their key.
//!
//! The record of an operation is in the platform's database, with the transactions of its items. Here is only what this
//! process is working on at the moment: after a kill an operation stands there as it is, and is taken up by
//! [`ControlPlane::plugin_bulks_resume`] of any server, or by whoever sends the same request with the same key.
use super::plugins::by;
use crate::{Actor, Confirmation, ControlError, ControlPlane};
use catalog::{BulkOperation, BulkRequest, Catalog, CatalogError, PluginFilter, Tenant};
use domain::{
    ErrorKind, Permission,
    view::{BulkReport, BulkStatus, Plugin},
};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Operations that are worked on at once; each holds a connection to the primary.
const AT_ONCE: usize = 4;
/// Outcomes kept here for those who ask; the database keeps them all but failures.
const KEPT: usize = 256;
/// Until one that left the queue is looked for again in the database: its record is its first transaction.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// One operation of this process.
#[derive(Debug)]
struct Run {
    through: AtomicU64,
    total: u64,
    outcome: OnceLock<Result<BulkReport, (ErrorKind, String)>>,
    /// Set once: `None` as it leaves the queue for the database, or who cancelled it while it waited for its turn, of which
    /// the database does not know. One of the two: a cancel that comes between them must not be lost.
    left_queue: OnceLock<Option<String>>,
}

impl Run {
    fn new(total: u64) -> Self {
        Self { through: AtomicU64::new(0), total, outcome: OnceLock::new(), left_queue: OnceLock::new() }
    }

    /// Who cancelled it before it began.
    fn cancelled_by(&self) -> Option<&str> {
        self.left_queue.get()?.as_deref()
    }
}

/// Those of this process, by tenant and key.
#[derive(Debug)]
pub(crate) struct BulkRuns {
    runs: Mutex<HashMap<(i64, String), Arc<Run>>>,
    places: Arc<Semaphore>,
    failed: AtomicU64,
}

impl Default for BulkRuns {
    fn default() -> Self {
        Self { runs: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)), failed: AtomicU64::new(0) }
    }
}

impl BulkRuns {
    fn get(&self, tenant: Tenant, key: &str) -> Option<Arc<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(&(tenant.0, key.to_owned())).cloned()
    }

    /// A new one, unless that key is being worked on here.
    fn begin(&self, tenant: Tenant, key: &str, total: u64) -> Option<Arc<Run>> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (tenant.0, key.to_owned());
        if runs.get(&place).is_some_and(|run| run.outcome.get().is_none()) {
            return None;
        }
        if runs.len() >= KEPT {
            runs.retain(|_, run| run.outcome.get().is_none());
        }
        let run = Arc::new(Run::new(total));
        runs.insert(place, run.clone());
        Some(run)
    }
}

impl ControlPlane {
    /// What a bulk operation would do. Nothing is changed.
    ///
    /// # Errors
    /// Those of [`Self::platform_for`]; [`ControlError::Invalid`] by field.
    pub async fn plugin_bulk_plan(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        request: &BulkRequest,
    ) -> Result<BulkReport, ControlError> {
        let (catalog, tenant) =
            self.platform_to_change(actor, tenant, "plugin_bulk_plan", ("plugins", request.operation.as_str())).await?;
        Ok(catalog.bulk_plan(tenant, request).await?)
    }

    /// The plugins that a filter finds, for a bulk operation on all of them; at most `most`, the first by id.
    ///
    /// # Errors
    /// As [`Self::plugin_bulk_plan`].
    pub async fn plugins_matching(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        filter: &PluginFilter,
        most: u32,
    ) -> Result<Vec<i64>, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(catalog.ids(tenant, filter, most).await?)
    }

    /// Some plugins by their ids, those that are there, for a preview.
    ///
    /// # Errors
    /// As [`Self::plugin_bulk_plan`].
    pub async fn plugins_named(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        ids: &[i64],
    ) -> Result<Vec<Plugin>, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(catalog.plugins_by_id(tenant, ids).await?)
    }

    /// Begins a bulk operation, or takes up the one of the same key; it is followed by [`Self::plugin_bulk_get`]. The key
    /// stands for this one request of the tenant for ever. To remove plugins is confirmed by their number and the password.
    ///
    /// # Errors
    /// As [`Self::plugin_bulk_plan`]; what fails later is in the status.
    pub async fn plugin_bulk_start(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        key: &str,
        request: BulkRequest,
        confirmation: &Confirmation,
    ) -> Result<BulkStatus, ControlError> {
        let object = ("plugin_bulk", key);
        let (catalog, tenant) = self.platform_to_change(actor, tenant, "plugin_bulk", object).await?;
        // What is wrong with the request or its key is told now, not by the status.
        catalog.bulk_check(tenant, key, &request).await?;
        let total = request.plugins.len() as u64;
        if request.operation == BulkOperation::Delete {
            self.confirm(actor, "plugin_bulk", object, &total.to_string(), confirmation).await?;
        }
        if let Some(run) = self.inner.bulks.begin(tenant, key, total) {
            let asked = json!({ "tenant": tenant.0, "operation": request.operation, "mode": request.mode, "plugins": total, "add_tags": request.add_tags, "remove_tags": request.remove_tags });
            self.audit_outcome(actor, "plugin_bulk_asked", object, store::Outcome::Ok, Some(asked)).await?;
            self.bulk_spawn(actor.clone(), catalog.clone(), tenant, key.to_owned(), request, run);
        }
        self.bulk_status(&catalog, tenant, key).await
    }

    /// How a bulk operation stands.
    ///
    /// # Errors
    /// As [`Self::plugins_list`]; not found for a key that the tenant has not used.
    pub async fn plugin_bulk_get(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        key: &str,
    ) -> Result<BulkStatus, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        self.bulk_status(&catalog, tenant, key).await
    }

    /// Bulk operations of this process that failed, or some of whose items did.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn plugin_bulks_failed(&self, actor: &Actor) -> Result<u64, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.bulks.failed.load(Ordering::Relaxed))
    }

    /// Cancels a bulk operation, on whichever server it runs: item by item it ends between two parts and what was done stays
    /// done, of all or none nothing is done.
    ///
    /// # Errors
    /// As [`Self::plugin_bulk_get`]; [`ControlError`] of the kind conflict when it is over.
    pub async fn plugin_bulk_cancel(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        key: &str,
    ) -> Result<BulkStatus, ControlError> {
        let object = ("plugin_bulk", key);
        let (catalog, tenant) = self.platform_to_change(actor, tenant, "plugin_bulk_cancel", object).await?;
        let asked = self.bulk_ask_to_cancel(&catalog, tenant, key, &by(actor)).await;
        let told = asked.as_ref().map(|()| json!({ "tenant": tenant.0 }));
        self.platform_told(actor, "plugin_bulk_cancel", object, told).await?;
        asked?;
        self.bulk_status(&catalog, tenant, key).await
    }

    async fn bulk_ask_to_cancel(
        &self,
        catalog: &Catalog,
        tenant: Tenant,
        key: &str,
        by: &str,
    ) -> Result<(), CatalogError> {
        loop {
            if catalog.bulk_cancel(tenant, key, by).await? {
                return Ok(());
            }
            // The database does not know of it: it waits here for its turn, or is on the way there.
            let run = self.inner.bulks.get(tenant, key).filter(|run| run.outcome.get().is_none());
            let run = run.ok_or_else(|| CatalogError::NoBulk(key.chars().take(80).collect()))?;
            // The first to cancel it is named.
            if run.left_queue.get_or_init(|| Some(by.to_owned())).is_some() {
                return Ok(());
            }
            tokio::time::sleep(ON_ITS_WAY).await;
        }
    }

    /// Takes up what nobody has worked on for `idle`: what an earlier process or another server left. Two that take up the same
    /// do it once: the items' transactions see to that.
    ///
    /// # Errors
    /// [`ControlError::Platform`].
    pub async fn plugin_bulks_resume(&self, idle: Duration) -> Result<usize, ControlError> {
        let catalog = self.platform_catalog()?;
        let mut found = 0;
        for (tenant, key, by, request) in catalog.bulks_unfinished(idle).await? {
            let Some(run) = self.inner.bulks.begin(tenant, &key, request.plugins.len() as u64) else { continue };
            found += 1;
            tracing::info!(tenant = tenant.0, key, by, "a bulk operation that lost its server is taken up");
            let mut actor = Actor::system();
            if let Some(identity) = &mut actor.identity {
                identity.name = by;
            }
            self.bulk_spawn(actor, catalog.clone(), tenant, key, request, run);
        }
        Ok(found)
    }

    fn bulk_spawn(
        &self,
        actor: Actor,
        catalog: Arc<Catalog>,
        tenant: Tenant,
        key: String,
        request: BulkRequest,
        run: Arc<Run>,
    ) {
        let (control, places) = (self.clone(), self.inner.bulks.places.clone());
        tokio::spawn(async move {
            // It is never closed.
            let _place = places.acquire_owned().await;
            if let Some(by) = run.left_queue.get_or_init(|| None) {
                let message = format!("{by} cancelled it before it began; nothing was done");
                // It is set here and below only.
                let _ = run.outcome.set(Err((ErrorKind::Conflict, message)));
                return;
            }
            let progress = |through: usize, _: usize| run.through.store(through as u64, Ordering::Relaxed);
            let done = catalog.bulk_run(tenant, &key, &by(&actor), &request, &progress).await;
            let told = done.as_ref().map(|report| {
                json!({ "tenant": tenant.0, "operation": report.operation, "state": report.state, "done": report.done, "unchanged": report.unchanged, "refused": report.refused, "failed": report.failed, "repeated": report.repeated })
            });
            if let Err(error) = control.platform_told(&actor, "plugin_bulk", ("plugin_bulk", &key), told).await {
                tracing::error!(%error, key, "the outcome of a bulk operation could not be written into the audit log");
            }
            if done.as_ref().map_or(true, |report| report.failed > 0 && !report.repeated) {
                control.inner.bulks.failed.fetch_add(1, Ordering::Relaxed);
            }
            let outcome = done.map_err(|error| (error.kind(), error.to_string()));
            // It is set here and above only.
            let _ = run.outcome.set(outcome);
        });
    }

    async fn bulk_status(&self, catalog: &Catalog, tenant: Tenant, key: &str) -> Result<BulkStatus, ControlError> {
        let status = |state: &str, through: u64, total: u64| BulkStatus {
            key: key.to_owned(),
            state: state.to_owned(),
            processed: through,
            total,
            report: None,
            message: None,
        };
        if let Some(run) = self.inner.bulks.get(tenant, key) {
            let through = run.through.load(Ordering::Relaxed);
            match run.outcome.get() {
                None => {
                    let message = match run.cancelled_by() {
                        Some(by) => Some(cancelling(by)),
                        // What this process knows is told also when the database does not answer.
                        None => match catalog.bulk_state(tenant, key).await {
                            Ok(Some(state)) => state.cancelled_by.as_deref().map(cancelling),
                            _ => None,
                        },
                    };
                    return Ok(BulkStatus { message, ..status("running", through, run.total) });
                }
                Some(Ok(report)) if report.state != "running" => {
                    let through = if report.state == "cancelled" { processed(report) } else { run.total };
                    return Ok(BulkStatus {
                        report: Some(report.clone()),
                        message: cancelled(report, run.cancelled_by()),
                        ..status(&report.state, through, run.total)
                    });
                }
                Some(Err((_, message))) => {
                    let state = if run.cancelled_by().is_some() { "cancelled" } else { "failed" };
                    return Ok(BulkStatus { message: Some(message.clone()), ..status(state, through, run.total) });
                }
                // The record knows more.
                Some(Ok(_)) => {}
            }
        }
        let found = catalog
            .bulk_state(tenant, key)
            .await?
            .ok_or_else(|| CatalogError::NoBulk(key.chars().take(80).collect()))?;
        let report = found.report;
        let running = report.state == "running";
        let (state, message) = match (running, found.attended, &found.cancelled_by) {
            (true, true, Some(by)) => ("running", Some(cancelling(by))),
            (true, true, None) => ("running", None),
            (true, false, _) => (
                "unattended",
                Some(
                    "its server has ended; another one takes it up within two minutes and goes on with what is left"
                        .to_owned(),
                ),
            ),
            (false, _, by) => (report.state.as_str(), cancelled(&report, by.as_deref())),
        };
        let status = status(state, processed(&report), report.total.unsigned_abs());
        Ok(BulkStatus { message, report: Some(report), ..status })
    }
}

fn processed(report: &BulkReport) -> u64 {
    (report.done + report.unchanged + report.refused + report.failed).unsigned_abs()
}

fn cancelling(by: &str) -> String {
    format!("{by} cancelled it; it ends with the part that is being done")
}

/// What became of one that was cancelled.
fn cancelled(report: &BulkReport, by: Option<&str>) -> Option<String> {
    let by = by.map_or_else(|| "it was cancelled".to_owned(), |by| format!("{by} cancelled it"));
    (report.state == "cancelled").then(|| match report.mode.as_str() {
        "atomic" => format!("{by}; nothing was done"),
        _ => format!("{by}; what was done until then stays done"),
    })
}
