//! Failed sign-ins.
use crate::{StoreError, entity::login_throttle};
use domain::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::OnConflict,
};

/// The book of one subject: `account:name` or `address:ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThrottleRow {
    /// Whom it counts.
    pub subject: String,
    /// Failures in a row.
    pub failures: i64,
    /// The last one.
    pub last_failure_at: Timestamp,
    /// No attempt before.
    pub blocked_until: Timestamp,
}

/// Throttling over a connection or a transaction.
#[derive(Debug)]
pub struct ThrottleRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> ThrottleRepo<'_, C> {
    /// The book of one subject.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, subject: &str) -> Result<Option<ThrottleRow>, StoreError> {
        let row = login_throttle::Entity::find_by_id(subject.to_owned()).one(self.0).await;
        Ok(row.map_err(StoreError::query("read the throttle"))?.map(|row| ThrottleRow {
            subject: row.subject,
            failures: row.failures,
            last_failure_at: Timestamp(row.last_failure_at),
            blocked_until: Timestamp(row.blocked_until),
        }))
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn upsert(&self, row: &ThrottleRow) -> Result<(), StoreError> {
        use login_throttle::Column;
        let active = login_throttle::ActiveModel {
            subject: Set(row.subject.clone()),
            failures: Set(row.failures),
            last_failure_at: Set(row.last_failure_at.0),
            blocked_until: Set(row.blocked_until.0),
        };
        let mut conflict = OnConflict::column(Column::Subject);
        conflict.update_columns([Column::Failures, Column::LastFailureAt, Column::BlockedUntil]);
        login_throttle::Entity::insert(active)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("write the throttle"))
    }

    /// Forgets one subject.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, subject: &str) -> Result<(), StoreError> {
        login_throttle::Entity::delete_by_id(subject.to_owned())
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("clear the throttle"))
    }

    /// Forgets all that have not failed since `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_older(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = login_throttle::Entity::delete_many()
            .filter(login_throttle::Column::LastFailureAt.lt(before.0))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("clear the throttle"))
    }
}
