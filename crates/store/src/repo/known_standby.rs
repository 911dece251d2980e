//! Standbys that primaries have had.
use crate::{StoreError, entity::known_standby};
use domain::{Lsn, Timestamp, reading::KnownStandby};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::OnConflict,
};
use std::collections::HashMap;

/// Known standbys over a connection or a transaction.
#[derive(Debug)]
pub struct KnownStandbyRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> KnownStandbyRepo<'_, C> {
    /// All, by cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all(&self) -> Result<HashMap<String, Vec<KnownStandby>>, StoreError> {
        let rows = known_standby::Entity::find().all(self.0).await.map_err(StoreError::query("list known standbys"))?;
        let mut all = HashMap::<String, Vec<KnownStandby>>::new();
        for row in rows {
            let standby = KnownStandby {
                name: row.name,
                seen_at: Timestamp(row.seen_at),
                replayed: row.replayed_lsn.map(|lsn| Lsn(lsn as u64)),
                by_address: row.by_address,
            };
            all.entry(row.cluster_id).or_default().push(standby);
        }
        Ok(all)
    }

    /// Makes a cluster's rows of `before` those of `after`, writing only what differs; when it is not known what there is,
    /// all are written anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change(
        &self,
        cluster: &str,
        before: Option<&[KnownStandby]>,
        after: &[KnownStandby],
    ) -> Result<(), StoreError> {
        use known_standby::Column;
        let mut surplus = known_standby::Entity::delete_many().filter(Column::ClusterId.eq(cluster));
        let mut remove = true;
        if let Some(before) = before {
            let stays = |standby: &KnownStandby| after.iter().any(|other| other.name == standby.name);
            let gone = before.iter().filter(|standby| !stays(standby)).map(|standby| standby.name.clone());
            let gone = gone.collect::<Vec<_>>();
            remove = !gone.is_empty();
            surplus = surplus.filter(Column::Name.is_in(gone));
        }
        if remove {
            surplus.exec(self.0).await.map_err(StoreError::query("remove known standbys"))?;
        }
        let is_new = |standby: &&KnownStandby| before.is_none_or(|before| !before.contains(standby));
        let rows = after.iter().filter(is_new).map(|standby| known_standby::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            name: Set(standby.name.clone()),
            seen_at: Set(standby.seen_at.0),
            replayed_lsn: Set(standby.replayed.map(|lsn| lsn.0 as i64)),
            by_address: Set(standby.by_address),
            ..Default::default()
        });
        let rows = rows.collect::<Vec<_>>();
        if rows.is_empty() {
            return Ok(());
        }
        let mut conflict = OnConflict::columns([Column::ClusterId, Column::Name]);
        conflict.update_columns([Column::SeenAt, Column::ReplayedLsn, Column::ByAddress]);
        known_standby::Entity::insert_many(rows)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("keep known standbys"))
    }

    /// Forgets one: a person says that it will not come back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(&self, cluster: &str, name: &str) -> Result<(), StoreError> {
        use known_standby::Column;
        known_standby::Entity::delete_many()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::Name.eq(name))
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("forget a known standby"))
    }

    /// Forgets those of clusters other than `configured`; how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_unknown(&self, configured: &[String]) -> Result<u64, StoreError> {
        let removed = known_standby::Entity::delete_many()
            .filter(known_standby::Column::ClusterId.is_not_in(configured.iter().map(String::as_str)))
            .exec(self.0)
            .await;
        removed
            .map(|done| done.rows_affected)
            .map_err(StoreError::query("remove known standbys of clusters that are gone"))
    }
}
