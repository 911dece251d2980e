//! API tokens.
use crate::{StoreError, entity::api_token};
use domain::{Role, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    sea_query::Expr,
};

/// One token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Id.
    pub id: i64,
    /// Name.
    pub name: String,
    /// First characters.
    pub prefix: String,
    /// Role.
    pub role: Role,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: Timestamp,
    /// Over.
    pub expires_at: Option<Timestamp>,
    /// Last used.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_address: Option<String>,
    /// Revoked.
    pub revoked_at: Option<Timestamp>,
    /// What it may beyond its role.
    pub scopes: Vec<String>,
    /// The platform's tenant that it belongs to.
    pub tenant: Option<i64>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Name.
    pub name: String,
    /// SHA-256 in hexadecimal.
    pub token_hash: String,
    /// First characters.
    pub prefix: String,
    /// Role.
    pub role: Role,
    /// Made by.
    pub created_by: String,
    /// Now.
    pub at: Timestamp,
    /// Over.
    pub expires_at: Option<Timestamp>,
    /// What it may beyond its role.
    pub scopes: Vec<String>,
    /// The platform's tenant that it belongs to.
    pub tenant: Option<i64>,
}

/// Tokens over a connection or a transaction.
#[derive(Debug)]
pub struct TokenRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> TokenRepo<'_, C> {
    /// All, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = api_token::Entity::find().order_by_desc(api_token::Column::Id).all(self.0).await;
        rows.map_err(StoreError::query("list tokens"))?.into_iter().map(from_row).collect()
    }

    /// By the hash of the secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_by_hash(&self, token_hash: &str) -> Result<Option<TokenRow>, StoreError> {
        let row = api_token::Entity::find().filter(api_token::Column::TokenHash.eq(token_hash)).one(self.0).await;
        row.map_err(StoreError::query("find a token"))?.map(from_row).transpose()
    }

    /// By id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: i64) -> Result<Option<TokenRow>, StoreError> {
        let row = api_token::Entity::find_by_id(id).one(self.0).await;
        row.map_err(StoreError::query("find a token"))?.map(from_row).transpose()
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, new: NewToken) -> Result<TokenRow, StoreError> {
        let row = api_token::ActiveModel {
            name: Set(new.name),
            token_hash: Set(new.token_hash),
            prefix: Set(new.prefix),
            role: Set(new.role.as_str().to_owned()),
            created_by: Set(new.created_by),
            created_at: Set(new.at.0),
            expires_at: Set(new.expires_at.map(|at| at.0)),
            last_used_at: Set(None),
            last_used_address: Set(None),
            revoked_at: Set(None),
            scopes: Set(new.scopes.join(" ")),
            tenant_id: Set(new.tenant),
            ..Default::default()
        };
        let row = api_token::Entity::insert(row).exec_with_returning(self.0).await;
        from_row(row.map_err(StoreError::query("add a token"))?)
    }

    /// Revokes one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        api_token::Entity::update_many()
            .col_expr(api_token::Column::RevokedAt, Expr::value(at.0))
            .filter(api_token::Column::Id.eq(id))
            .filter(api_token::Column::RevokedAt.is_null())
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("revoke a token"))
    }

    /// Notes a use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_last_used(&self, id: i64, at: Timestamp, address: Option<&str>) -> Result<(), StoreError> {
        api_token::Entity::update_many()
            .col_expr(api_token::Column::LastUsedAt, Expr::value(at.0))
            .col_expr(api_token::Column::LastUsedAddress, Expr::value(address.map(str::to_owned)))
            .filter(api_token::Column::Id.eq(id))
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("note the use of a token"))
    }
}

fn from_row(row: api_token::Model) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        role: row.role.parse().map_err(|detail| StoreError::Damaged { what: "token", detail })?,
        created_by: row.created_by,
        created_at: Timestamp(row.created_at),
        expires_at: row.expires_at.map(Timestamp),
        last_used_at: row.last_used_at.map(Timestamp),
        last_used_address: row.last_used_address,
        revoked_at: row.revoked_at.map(Timestamp),
        scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
        tenant: row.tenant_id,
    })
}
