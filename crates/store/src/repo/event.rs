//! What happened to clusters.
use crate::{StoreError, entity::event};
use domain::{
    Timestamp,
    view::{Event, EventKind},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

/// Events over a connection or a transaction.
#[derive(Debug)]
pub struct EventRepo<'a, C>(pub &'a C);

/// A page shows no more markers than this.
const LIMIT: u64 = 200;

impl<C: ConnectionTrait> EventRepo<'_, C> {
    /// Adds some.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, cluster: &str, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let rows = events.iter().map(|it| event::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            at: Set(it.at.0),
            kind: Set(it.kind.as_str().to_owned()),
            title: Set(stored(it)),
            ..Default::default()
        });
        event::Entity::insert_many(rows)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("add events"))
    }

    /// Those of one kind between two moments, the oldest first; the newest 200 when there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_of(
        &self,
        cluster: &str,
        kind: EventKind,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = event::Entity::find()
            .filter(event::Column::ClusterId.eq(cluster))
            .filter(event::Column::Kind.eq(kind.as_str()))
            .filter(event::Column::At.between(from.0, to.0))
            .order_by_desc(event::Column::At)
            .limit(LIMIT)
            .all(self.0)
            .await
            .map_err(StoreError::query("list events"))?;
        Ok(rows.into_iter().rev().map(|row| read(row, kind)).collect())
    }

    /// Those between two moments, the oldest first; the newest 200 when there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, cluster: &str, from: Timestamp, to: Timestamp) -> Result<Vec<Event>, StoreError> {
        let rows = event::Entity::find()
            .filter(event::Column::ClusterId.eq(cluster))
            .filter(event::Column::At.between(from.0, to.0))
            .order_by_desc(event::Column::At)
            .limit(LIMIT)
            .all(self.0)
            .await
            .map_err(StoreError::query("list events"))?;
        // A kind that a newer version wrote is left out rather than failing the page.
        let known = |row: event::Model| {
            let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == row.kind)?;
            Some(read(row, kind))
        };
        Ok(rows.into_iter().rev().filter_map(known).collect())
    }

    /// Removes those before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = event::Entity::delete_many().filter(event::Column::At.lt(before.0)).exec(self.0).await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old events"))
    }
}

/// A statement's key stands in brackets behind the words.
fn stored(event: &Event) -> String {
    match &event.statement {
        Some(key) => format!("{} [{key}]", event.title),
        None => event.title.clone(),
    }
}

fn read(row: event::Model, kind: EventKind) -> Event {
    let mut event = Event::new(Timestamp(row.at), kind, row.title);
    if kind == EventKind::PlanChange
        && let Some((title, key)) = event.title.strip_suffix(']').and_then(|it| it.rsplit_once(" ["))
    {
        event.statement = Some(key.to_owned());
        event.title = title.to_owned();
    }
    event
}
