//! Accounts.
use crate::{StoreError, entity::account};
use domain::{Role, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, SqlErr, sea_query::Expr,
};

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Id.
    pub id: i64,
    /// Lower-case name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// May not sign in.
    pub disabled: bool,
    /// Made.
    pub created_at: Timestamp,
    /// Last sign-in.
    pub last_login_at: Option<Timestamp>,
    /// Sessions of an older epoch are over.
    pub session_epoch: i64,
    /// The platform's tenant that they belong to.
    pub tenant: Option<i64>,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Lower-case name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// Now.
    pub at: Timestamp,
    /// The platform's tenant that they belong to.
    pub tenant: Option<i64>,
}

/// Accounts over a connection or a transaction.
#[derive(Debug)]
pub struct AccountRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> AccountRepo<'_, C> {
    /// All, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<Account>, StoreError> {
        let rows = account::Entity::find().order_by_asc(account::Column::Name).all(self.0).await;
        rows.map_err(StoreError::query("list accounts"))?.into_iter().map(from_row).collect()
    }

    /// By name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let row = account::Entity::find().filter(account::Column::Name.eq(name)).one(self.0).await;
        row.map_err(StoreError::query("find an account"))?.map(from_row).transpose()
    }

    /// By id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: i64) -> Result<Option<Account>, StoreError> {
        let row = account::Entity::find_by_id(id).one(self.0).await;
        row.map_err(StoreError::query("find an account"))?.map(from_row).transpose()
    }

    /// How many administrators may sign in; those of one tenant administer nothing here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_admins(&self) -> Result<u64, StoreError> {
        account::Entity::find()
            .filter(account::Column::Role.eq(Role::Admin.as_str()))
            .filter(account::Column::DisabledAt.is_null())
            .filter(account::Column::TenantId.is_null())
            .count(self.0)
            .await
            .map_err(StoreError::query("count administrators"))
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    pub async fn insert(&self, new: NewAccount) -> Result<Account, StoreError> {
        let row = account::ActiveModel {
            name: Set(new.name.clone()),
            role: Set(new.role.as_str().to_owned()),
            password_hash: Set(new.password_hash),
            disabled_at: Set(None),
            created_at: Set(new.at.0),
            password_changed_at: Set(new.at.0),
            last_login_at: Set(None),
            session_epoch: Set(0),
            tenant_id: Set(new.tenant),
            ..Default::default()
        };
        match account::Entity::insert(row).exec_with_returning(self.0).await {
            Ok(row) => from_row(row),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Err(StoreError::Exists { what: "account", name: new.name })
            }
            Err(error) => Err(StoreError::query("add an account")(error)),
        }
    }

    /// Sets the role and ends all sessions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_role(&self, id: i64, role: Role) -> Result<(), StoreError> {
        self.set(id, account::Column::Role, Expr::value(role.as_str()), true).await
    }

    /// Sets the password and ends all sessions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_password(&self, id: i64, password_hash: &str, at: Timestamp) -> Result<(), StoreError> {
        self.set(id, account::Column::PasswordChangedAt, Expr::value(at.0), true).await?;
        self.set(id, account::Column::PasswordHash, Expr::value(password_hash), false).await
    }

    /// Replaces the hash by one with stronger parameters; sessions go on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_password_hash(&self, id: i64, password_hash: &str) -> Result<(), StoreError> {
        self.set(id, account::Column::PasswordHash, Expr::value(password_hash), false).await
    }

    /// Forbids or allows signing in; ends all sessions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_disabled(&self, id: i64, disabled_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.set(id, account::Column::DisabledAt, Expr::value(disabled_at.map(|at| at.0)), true).await
    }

    /// Sets the tenant and ends all sessions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_tenant(&self, id: i64, tenant: Option<i64>) -> Result<(), StoreError> {
        self.set(id, account::Column::TenantId, Expr::value(tenant), true).await
    }

    /// Notes a sign-in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_last_login(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.set(id, account::Column::LastLoginAt, Expr::value(at.0), false).await
    }

    async fn set(&self, id: i64, column: account::Column, value: Expr, end_sessions: bool) -> Result<(), StoreError> {
        use sea_orm::ExprTrait as _;
        let mut update = account::Entity::update_many().col_expr(column, value).filter(account::Column::Id.eq(id));
        if end_sessions {
            update = update.col_expr(account::Column::SessionEpoch, Expr::col(account::Column::SessionEpoch).add(1));
        }
        update.exec(self.0).await.map(drop).map_err(StoreError::query("change an account"))
    }
}

fn from_row(row: account::Model) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.id,
        role: row.role.parse().map_err(|detail| StoreError::Damaged { what: "account", detail })?,
        name: row.name,
        password_hash: row.password_hash,
        disabled: row.disabled_at.is_some(),
        created_at: Timestamp(row.created_at),
        last_login_at: row.last_login_at.map(Timestamp),
        session_epoch: row.session_epoch,
        tenant: row.tenant_id,
    })
}
