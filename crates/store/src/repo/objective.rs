//! Recovery objectives that were changed on the page.
use crate::{StoreError, entity::recovery_objective};
use domain::{Timestamp, view::Objectives};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait as _, sea_query::OnConflict};

/// Objectives over a connection or a transaction.
#[derive(Debug)]
pub struct ObjectiveRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> ObjectiveRepo<'_, C> {
    /// Those of a cluster, when they were changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, cluster: &str) -> Result<Option<Objectives>, StoreError> {
        let row = recovery_objective::Entity::find_by_id(cluster.to_owned()).one(self.0).await;
        Ok(row
            .map_err(StoreError::query("read objectives"))?
            .map(|row| Objectives { rpo_seconds: row.rpo_seconds, rto_seconds: row.rto_seconds }))
    }

    /// Changes them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set(&self, cluster: &str, to: Objectives, by: &str, at: Timestamp) -> Result<(), StoreError> {
        use recovery_objective::Column;
        let row = recovery_objective::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            rpo_seconds: Set(to.rpo_seconds),
            rto_seconds: Set(to.rto_seconds),
            changed_by: Set(by.to_owned()),
            changed_at: Set(at.0),
        };
        let mut conflict = OnConflict::column(Column::ClusterId);
        conflict.update_columns([Column::RpoSeconds, Column::RtoSeconds, Column::ChangedBy, Column::ChangedAt]);
        recovery_objective::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("change objectives"))
    }
}
