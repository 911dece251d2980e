//! Who waits for whom: from the snapshot, and the kept graphs from the store.
use crate::{Actor, ControlError, ControlPlane, now};
use domain::{
    Permission,
    view::{LockSnapshot, LocksPage},
};
use store::LockRepo;

/// Kept graphs in the list.
const SNAPSHOTS: u64 = 50;

impl ControlPlane {
    /// Who waits for whom now, and the kept graphs.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn locks_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<LocksPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let mut page = LocksPage::clone(&snapshot.locks);
        page.age_seconds = page.collected_at.map(|since| now().seconds_since(since).max(0.0));
        page.snapshots = LockRepo(self.inner.store.db()).list(&config.id, SNAPSHOTS).await?;
        if let Some(worst) = &snapshot.locks_worst {
            page.snapshots.insert(0, worst.summary.clone());
        }
        Ok(page)
    }

    /// One kept graph; `0` is the worst moment of the waiting that goes on.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn lock_snapshot_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
    ) -> Result<LockSnapshot, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let missing = || ControlError::not_found("graph of locks", id, "the list of locks names those that are kept");
        if id == "0" {
            return snapshot.locks_worst.as_deref().cloned().ok_or_else(missing);
        }
        let number = id.parse().map_err(|_| missing())?;
        LockRepo(self.inner.store.db()).get(&config.id, number).await?.ok_or_else(missing)
    }
}
