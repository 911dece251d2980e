//! Standbys that primaries have had.
use crate::{StoreError, entity::known_standby};
use domain::{Lsn, Timestamp, reading::KnownStandby};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::OnConflict,
};
use std::collections::{BTreeSet, HashMap};

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
        let there = match before {
            Some(before) => before.iter().map(|standby| standby.name.clone()).collect::<Vec<_>>(),
            None => self.names(cluster).await?,
        };
        let stays = |name: &String| after.iter().any(|standby| standby.name == *name);
        let gone = there.into_iter().filter(|name| !stays(name)).collect::<BTreeSet<_>>();
        let is_new = |standby: &&KnownStandby| before.is_none_or(|before| !before.contains(standby));
        let mut written = after.iter().filter(is_new).collect::<Vec<_>>();
        written.sort_by(|a, b| a.name.cmp(&b.name));
        // Another server on this store writes the same rows. Where both take them in the order of their names, neither waits
        // for a row of the other that waits for one of his.
        let mut rest = written.as_slice();
        for name in gone {
            let (first, behind) = rest.split_at(rest.partition_point(|standby| standby.name < name));
            self.write(cluster, first).await?;
            self.forget(cluster, &name).await?;
            rest = behind;
        }
        self.write(cluster, rest).await
    }

    async fn names(&self, cluster: &str) -> Result<Vec<String>, StoreError> {
        let rows = known_standby::Entity::find()
            .filter(known_standby::Column::ClusterId.eq(cluster))
            .all(self.0)
            .await
            .map_err(StoreError::query("list known standbys"))?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    async fn write(&self, cluster: &str, standbys: &[&KnownStandby]) -> Result<(), StoreError> {
        use known_standby::Column;
        if standbys.is_empty() {
            return Ok(());
        }
        let rows = standbys.iter().map(|standby| known_standby::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            name: Set(standby.name.clone()),
            seen_at: Set(standby.seen_at.0),
            replayed_lsn: Set(standby.replayed.map(|lsn| lsn.0 as i64)),
            by_address: Set(standby.by_address),
            ..Default::default()
        });
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
