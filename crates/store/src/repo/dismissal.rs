//! Findings and suggestions that a person put aside.
use crate::{StoreError, entity::advice_dismissal};
use domain::{Timestamp, view::Dismissal};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, sea_query::OnConflict,
};

/// Dismissals over a connection or a transaction.
#[derive(Debug)]
pub struct DismissalRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> DismissalRepo<'_, C> {
    /// Those of a cluster that hold at `at`, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, cluster: &str, at: Timestamp) -> Result<Vec<Dismissal>, StoreError> {
        use advice_dismissal::Column;
        let rows = advice_dismissal::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::Until.is_null().or(Column::Until.gt(at.0)))
            .order_by_desc(Column::At)
            .order_by_desc(Column::Id)
            .all(self.0)
            .await
            .map_err(StoreError::query("list dismissals"))?;
        Ok(rows
            .into_iter()
            .map(|row| Dismissal {
                key: row.advice_key,
                reason: row.reason,
                by: row.actor,
                at: Timestamp(row.at),
                until: row.until.map(Timestamp),
            })
            .collect())
    }

    /// Puts one aside; it replaces what was said of the same before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put(&self, cluster: &str, dismissal: &Dismissal) -> Result<(), StoreError> {
        use advice_dismissal::Column;
        let row = advice_dismissal::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            advice_key: Set(dismissal.key.clone()),
            reason: Set(dismissal.reason.clone()),
            actor: Set(dismissal.by.clone()),
            at: Set(dismissal.at.0),
            until: Set(dismissal.until.map(|at| at.0)),
            ..Default::default()
        };
        let mut conflict = OnConflict::columns([Column::ClusterId, Column::AdviceKey]);
        conflict.update_columns([Column::Reason, Column::Actor, Column::At, Column::Until]);
        advice_dismissal::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("put advice aside"))
    }

    /// Takes one back; false when there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, cluster: &str, key: &str) -> Result<bool, StoreError> {
        use advice_dismissal::Column;
        let deleted = advice_dismissal::Entity::delete_many()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::AdviceKey.eq(key))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected > 0).map_err(StoreError::query("take advice back"))
    }

    /// Removes those that ended before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = advice_dismissal::Entity::delete_many()
            .filter(advice_dismissal::Column::Until.lt(before.0))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old dismissals"))
    }
}
