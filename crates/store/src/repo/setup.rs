//! One-time links for the first administrator.
use crate::{StoreError, entity::setup_link};
use domain::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::Expr,
};

/// Links over a connection or a transaction.
#[derive(Debug)]
pub struct SetupLinkRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> SetupLinkRepo<'_, C> {
    /// Makes a new one the only one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replace(&self, token_hash: &str, at: Timestamp, expires_at: Timestamp) -> Result<(), StoreError> {
        setup_link::Entity::delete_many().exec(self.0).await.map_err(StoreError::query("remove old set-up links"))?;
        let row = setup_link::ActiveModel {
            token_hash: Set(token_hash.to_owned()),
            created_at: Set(at.0),
            expires_at: Set(expires_at.0),
            used_at: Set(None),
        };
        setup_link::Entity::insert(row)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("add a set-up link"))
    }

    /// Uses one up; false when it is unknown, over or used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn consume(&self, token_hash: &str, at: Timestamp) -> Result<bool, StoreError> {
        let updated = setup_link::Entity::update_many()
            .col_expr(setup_link::Column::UsedAt, Expr::value(at.0))
            .filter(setup_link::Column::TokenHash.eq(token_hash))
            .filter(setup_link::Column::UsedAt.is_null())
            .filter(setup_link::Column::ExpiresAt.gt(at.0))
            .exec(self.0)
            .await
            .map_err(StoreError::query("use a set-up link"))?;
        Ok(updated.rows_affected == 1)
    }
}
