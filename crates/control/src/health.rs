//! How the health score is weighed: what is in force for a cluster, and changing that.
use crate::{Actor, ControlError, ControlPlane, now};
use domain::{
    Permission,
    view::{HealthWeights, HealthWeightsView, RuleSource},
};
use serde_json::json;
use std::sync::{PoisonError, RwLock};
use store::{HealthWeightsRepo, HealthWeightsRow, StoreError};

/// Weights that are not as shipped, as the store has them. Empty until it was read: a score by the shipped ones is better
/// than none.
#[derive(Debug, Default)]
pub(crate) struct HealthBook(RwLock<Vec<HealthWeightsRow>>);

impl HealthBook {
    /// The row in force for a cluster: its own, else that for all.
    fn row(&self, cluster: &str) -> Option<HealthWeightsRow> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of = |id: Option<&str>| rows.iter().find(|row| row.cluster_id.as_deref() == id).cloned();
        of(Some(cluster)).or_else(|| of(None))
    }
}

impl ControlPlane {
    /// The weights in force for a cluster.
    pub fn health_weights(&self, cluster: &str) -> HealthWeights {
        self.inner.health.row(cluster).map(|row| row.weights).unwrap_or_default()
    }

    /// Reads what other processes may have set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn health_weights_refresh(&self) -> Result<(), StoreError> {
        let rows = HealthWeightsRepo(self.inner.store.db()).list().await?;
        *self.inner.health.0.write().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(())
    }

    /// The score of a cluster (the first without one), and how it is weighed.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn health_weights_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
    ) -> Result<HealthWeightsView, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        self.health_weights_refresh().await?;
        let row = self.inner.health.row(&config.id);
        let source = match &row {
            None => RuleSource::Default,
            Some(row) if row.cluster_id.is_none() => RuleSource::AllClusters,
            Some(_) => RuleSource::Cluster,
        };
        Ok(HealthWeightsView {
            cluster: config.id.clone(),
            health: snapshot.dashboard.health.clone(),
            weights: row.as_ref().map(|row| row.weights).unwrap_or_default(),
            source,
            updated_by: row.as_ref().map(|row| row.updated_by.clone()),
            updated_at: row.map(|row| row.updated_at),
            shipped: HealthWeights::default(),
        })
    }

    /// Sets the weights for a cluster, or for all clusters that have none of their own. The next score is made with them.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] by field.
    pub async fn health_weights_set(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        weights: HealthWeights,
    ) -> Result<(), ControlError> {
        const ACTION: &str = "health_weights_set";
        let object = ("health_weights", cluster.unwrap_or("all"));
        self.authorize_audited(actor, Permission::AlertManage, ACTION, object).await?;
        if let Some(id) = cluster {
            self.inner.clusters.find(Some(id))?;
        }
        weights.check().map_err(|(field, message)| ControlError::field(&field, message))?;
        let transaction = self.inner.store.begin().await?;
        let repo = HealthWeightsRepo(&transaction);
        let before = repo.list().await?.into_iter().find(|row| row.cluster_id.as_deref() == cluster);
        let row = HealthWeightsRow {
            cluster_id: cluster.map(str::to_owned),
            weights,
            updated_by: actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default(),
            updated_at: now(),
        };
        repo.set(&row).await?;
        let before = before.map(|row| row.weights).unwrap_or_default();
        self.audit_in(&transaction, actor, ACTION, object, (Some(json!(before)), Some(json!(weights)))).await?;
        self.inner.store.commit(transaction).await?;
        Ok(self.health_weights_refresh().await?)
    }

    /// Takes weights back: those for all clusters are in force again, or the shipped ones.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn health_weights_reset(&self, actor: &Actor, cluster: Option<&str>) -> Result<(), ControlError> {
        const ACTION: &str = "health_weights_reset";
        let object = ("health_weights", cluster.unwrap_or("all"));
        self.authorize_audited(actor, Permission::AlertManage, ACTION, object).await?;
        let transaction = self.inner.store.begin().await?;
        let repo = HealthWeightsRepo(&transaction);
        let before = repo.list().await?.into_iter().find(|row| row.cluster_id.as_deref() == cluster);
        // An empty name is none: the store has one where all are meant.
        if before.is_none() || !repo.delete(cluster).await? {
            let hint = "the score is weighed as shipped, or as set for all clusters, already";
            return Err(ControlError::not_found("weights of the score for", object.1, hint));
        }
        self.audit_in(&transaction, actor, ACTION, object, (before.map(|row| json!(row.weights)), None)).await?;
        self.inner.store.commit(transaction).await?;
        Ok(self.health_weights_refresh().await?)
    }
}
