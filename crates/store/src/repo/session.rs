//! Web sessions.
use crate::{StoreError, entity::session};
use domain::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _, SqlErr,
    sea_query::OnConflict,
};

/// One session as stored.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// SHA-256 of the id in hexadecimal.
    pub id_hash: String,
    /// Whose, once signed in.
    pub account_id: Option<i64>,
    /// The record as JSON.
    pub data: String,
    /// Made; kept when the row is there already.
    pub created_at: Timestamp,
    /// Over when idle until then.
    pub expires_at: Timestamp,
    /// Over in any case; kept when the row is there already.
    pub absolute_expires_at: Timestamp,
}

/// Sessions over a connection or a transaction.
#[derive(Debug)]
pub struct SessionRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> SessionRepo<'_, C> {
    /// Adds one; false when the id is taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, row: SessionRow) -> Result<bool, StoreError> {
        match session::Entity::insert(active(row)).exec_without_returning(self.0).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
            Err(error) => Err(StoreError::query("add a session")(error)),
        }
    }

    /// Adds or replaces one; `created_at` and `absolute_expires_at` of an existing row stay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn upsert(&self, row: SessionRow) -> Result<(), StoreError> {
        let mut conflict = OnConflict::column(session::Column::IdHash);
        conflict.update_columns([session::Column::Data, session::Column::AccountId, session::Column::ExpiresAt]);
        session::Entity::insert(active(row))
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("save a session"))
    }

    /// One that is not over at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, id_hash: &str, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
        let row = session::Entity::find_by_id(id_hash.to_owned())
            .filter(session::Column::ExpiresAt.gt(now.0))
            .filter(session::Column::AbsoluteExpiresAt.gt(now.0))
            .one(self.0)
            .await
            .map_err(StoreError::query("load a session"))?;
        Ok(row.map(|row| SessionRow {
            id_hash: row.id_hash,
            account_id: row.account_id,
            data: row.data,
            created_at: Timestamp(row.created_at),
            expires_at: Timestamp(row.expires_at),
            absolute_expires_at: Timestamp(row.absolute_expires_at),
        }))
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, id_hash: &str) -> Result<(), StoreError> {
        session::Entity::delete_by_id(id_hash.to_owned())
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("end a session"))
    }

    /// Removes those that are over; how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        let over = session::Column::ExpiresAt.lte(now.0).or(session::Column::AbsoluteExpiresAt.lte(now.0));
        let deleted = session::Entity::delete_many().filter(over).exec(self.0).await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old sessions"))
    }
}

fn active(row: SessionRow) -> session::ActiveModel {
    session::ActiveModel {
        id_hash: Set(row.id_hash),
        account_id: Set(row.account_id),
        data: Set(row.data),
        created_at: Set(row.created_at.0),
        expires_at: Set(row.expires_at.0),
        absolute_expires_at: Set(row.absolute_expires_at.0),
    }
}
