//! Kept graphs of locks.
use crate::{StoreError, entity::lock_snapshot};
use domain::{
    Timestamp,
    view::{LockSnapshot, LockSnapshotSummary},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, sea_query::OnConflict,
};

/// Kept graphs over a connection or a transaction.
#[derive(Debug)]
pub struct LockRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> LockRepo<'_, C> {
    /// Keeps some; one of the same moment replaces the earlier, so that a batch can be tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, cluster: &str, snapshots: &[LockSnapshot]) -> Result<(), StoreError> {
        use lock_snapshot::Column;
        for snapshot in snapshots {
            let summary = &snapshot.summary;
            let graph = serde_json::to_string(&snapshot.nodes)
                .map_err(|error| StoreError::Damaged { what: "graph of locks", detail: error.to_string() })?;
            let row = lock_snapshot::ActiveModel {
                cluster_id: Set(cluster.to_owned()),
                at: Set(summary.at.0),
                duration_ms: Set((summary.duration_seconds * 1_000.0) as i64),
                waiters: Set(summary.waiters),
                roots: Set(summary.roots),
                longest_wait_ms: Set(summary.longest_wait_seconds.map(|seconds| (seconds * 1_000.0) as i64)),
                // PostgreSQL cannot store the character 0 in a text.
                root: Set(summary.root.replace('\0', " ")),
                graph: Set(graph.replace("\\u0000", " ")),
                ..Default::default()
            };
            let mut conflict = OnConflict::columns([Column::ClusterId, Column::At]);
            conflict.update_columns([
                Column::DurationMs,
                Column::Waiters,
                Column::Roots,
                Column::LongestWaitMs,
                Column::Root,
                Column::Graph,
            ]);
            lock_snapshot::Entity::insert(row)
                .on_conflict(conflict)
                .exec_without_returning(self.0)
                .await
                .map_err(StoreError::query("keep a graph of locks"))?;
        }
        Ok(())
    }

    /// The newest of a cluster, without their graphs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, cluster: &str, limit: u64) -> Result<Vec<LockSnapshotSummary>, StoreError> {
        self.between(cluster, Timestamp(i64::MIN), Timestamp(i64::MAX), limit).await
    }

    /// The newest of a cluster from one moment to another, without their graphs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn between(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u64,
    ) -> Result<Vec<LockSnapshotSummary>, StoreError> {
        use lock_snapshot::Column;
        let rows = lock_snapshot::Entity::find()
            .select_only()
            .columns([
                Column::Id,
                Column::At,
                Column::DurationMs,
                Column::Waiters,
                Column::Roots,
                Column::LongestWaitMs,
                Column::Root,
            ])
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::At.gte(from.0))
            .filter(Column::At.lte(to.0))
            .order_by_desc(Column::At)
            .limit(limit)
            .into_tuple::<(i64, i64, i64, i64, i64, Option<i64>, String)>()
            .all(self.0)
            .await
            .map_err(StoreError::query("list graphs of locks"))?;
        Ok(rows
            .into_iter()
            .map(|(id, at, duration, waiters, roots, longest, root)| {
                summary(id, at, duration, waiters, roots, longest, root)
            })
            .collect())
    }

    /// One of a cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, cluster: &str, id: i64) -> Result<Option<LockSnapshot>, StoreError> {
        let row = lock_snapshot::Entity::find_by_id(id)
            .filter(lock_snapshot::Column::ClusterId.eq(cluster))
            .one(self.0)
            .await
            .map_err(StoreError::query("read a graph of locks"))?;
        row.map(|row| {
            let nodes = serde_json::from_str(&row.graph)
                .map_err(|error| StoreError::Damaged { what: "graph of locks", detail: error.to_string() })?;
            let summary =
                summary(row.id, row.at, row.duration_ms, row.waiters, row.roots, row.longest_wait_ms, row.root);
            Ok(LockSnapshot { summary, nodes })
        })
        .transpose()
    }

    /// Removes those before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted =
            lock_snapshot::Entity::delete_many().filter(lock_snapshot::Column::At.lt(before.0)).exec(self.0).await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old graphs of locks"))
    }
}

fn summary(
    id: i64,
    at: i64,
    duration_ms: i64,
    waiters: i64,
    roots: i64,
    longest_ms: Option<i64>,
    root: String,
) -> LockSnapshotSummary {
    LockSnapshotSummary {
        id: id.to_string(),
        at: Timestamp(at),
        duration_seconds: duration_ms as f64 / 1_000.0,
        waiters,
        roots,
        longest_wait_seconds: longest_ms.map(|ms| ms as f64 / 1_000.0),
        root,
    }
}
