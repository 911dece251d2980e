//! Weights of the health score that are not as shipped.
use crate::{StoreError, entity::health_weights};
use domain::{Timestamp, view::HealthWeights};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::OnConflict,
};

/// Weights for one cluster or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthWeightsRow {
    /// `None` is all clusters.
    pub cluster_id: Option<String>,
    /// The weights.
    pub weights: HealthWeights,
    /// Who.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
}

/// Weights over a connection or a transaction.
#[derive(Debug)]
pub struct HealthWeightsRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> HealthWeightsRepo<'_, C> {
    /// All.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<HealthWeightsRow>, StoreError> {
        let rows = health_weights::Entity::find().all(self.0).await;
        rows.map_err(StoreError::query("list weights of the score"))?
            .into_iter()
            .map(|row| {
                let weights = serde_json::from_str(&row.weights)
                    .map_err(|error| StoreError::Damaged { what: "weights of the score", detail: error.to_string() })?;
                Ok(HealthWeightsRow {
                    cluster_id: Some(row.cluster_id).filter(|id| !id.is_empty()),
                    weights,
                    updated_by: row.updated_by,
                    updated_at: Timestamp(row.updated_at),
                })
            })
            .collect()
    }

    /// Sets them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set(&self, row: &HealthWeightsRow) -> Result<(), StoreError> {
        use health_weights::Column as C;
        let weights = serde_json::to_string(&row.weights)
            .map_err(|error| StoreError::Damaged { what: "weights of the score", detail: error.to_string() })?;
        let model = health_weights::ActiveModel {
            cluster_id: Set(row.cluster_id.clone().unwrap_or_default()),
            weights: Set(weights),
            updated_by: Set(row.updated_by.clone()),
            updated_at: Set(row.updated_at.0),
            ..Default::default()
        };
        let mut conflict = OnConflict::column(C::ClusterId);
        conflict.update_columns([C::Weights, C::UpdatedBy, C::UpdatedAt]);
        health_weights::Entity::insert(model)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("set weights of the score"))
    }

    /// Takes them back; whether there were some.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, cluster: Option<&str>) -> Result<bool, StoreError> {
        let deleted = health_weights::Entity::delete_many()
            .filter(health_weights::Column::ClusterId.eq(cluster.unwrap_or_default()))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected > 0).map_err(StoreError::query("take back weights of the score"))
    }
}
