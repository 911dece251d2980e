//! Managing accounts.
use crate::{Actor, ControlError, ControlPlane, now, sessions};
use domain::{Permission, Role, view::AccountView};
use serde_json::json;
use store::{Account, AccountRepo, NewAccount, Outcome, Transaction};

impl ControlPlane {
    /// All accounts by name.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn users_list(&self, actor: &Actor) -> Result<Vec<AccountView>, ControlError> {
        self.authorize_audited(actor, Permission::UserManage, "users_list", ("account", "")).await?;
        Ok(AccountRepo(self.inner.store.db()).list().await?.iter().map(view).collect())
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field, [`ControlError::Conflict`] when the name is taken.
    pub async fn user_add(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        password: &str,
    ) -> Result<AccountView, ControlError> {
        self.user_add_in(actor, name, role, password, None).await
    }

    /// As [`Self::user_add`], for somebody of a tenant of the platform, by its name or id: they see that tenant's rows and
    /// nothing else.
    ///
    /// # Errors
    /// As [`Self::user_add`]; [`ControlError::NotFound`] for the tenant.
    pub async fn user_add_in(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        password: &str,
        tenant: Option<&str>,
    ) -> Result<AccountView, ControlError> {
        self.authorize_audited(actor, Permission::UserManage, "user_add", ("account", name)).await?;
        let name = sessions::checked_name(name)?;
        let tenant = self.tenant_named(tenant).await?;
        let password_hash = self.inner.passwords.hash(password).await.map_err(sessions::weak_password)?;
        let transaction = self.inner.store.begin().await?;
        let account = AccountRepo(&transaction)
            .insert(NewAccount { name, role, password_hash, at: now(), tenant })
            .await
            .map_err(taken)?;
        self.audit_in(
            &transaction,
            actor,
            "user_add",
            ("account", &account.name),
            (None, Some(json!({ "role": role, "tenant": tenant }))),
        )
        .await?;
        self.inner.store.commit(transaction).await?;
        Ok(view(&account))
    }

    /// Changes a role; the account's sessions end.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] for the last administrator.
    pub async fn user_role_set(&self, actor: &Actor, name: &str, role: Role) -> Result<AccountView, ControlError> {
        self.authorize_audited(actor, Permission::UserManage, "user_role_set", ("account", name)).await?;
        let transaction = self.inner.store.begin().await?;
        let account = self.account(&transaction, name).await?;
        if role != Role::Admin {
            self.keep_an_admin(&transaction, &account).await?;
        }
        AccountRepo(&transaction).set_role(account.id, role).await?;
        let change = (Some(json!({ "role": account.role })), Some(json!({ "role": role })));
        self.audit_in(&transaction, actor, "user_role_set", ("account", &account.name), change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(AccountView { role, ..view(&account) })
    }

    /// Puts somebody into a tenant of the platform, or out of any; their sessions end.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] for the last administrator.
    pub async fn user_tenant_set(
        &self,
        actor: &Actor,
        name: &str,
        tenant: Option<&str>,
    ) -> Result<AccountView, ControlError> {
        self.authorize_audited(actor, Permission::UserManage, "user_tenant_set", ("account", name)).await?;
        let tenant = self.tenant_named(tenant).await?;
        let transaction = self.inner.store.begin().await?;
        let account = self.account(&transaction, name).await?;
        if tenant.is_some() {
            self.keep_an_admin(&transaction, &account).await?;
        }
        AccountRepo(&transaction).set_tenant(account.id, tenant).await?;
        let change = (Some(json!({ "tenant": account.tenant })), Some(json!({ "tenant": tenant })));
        self.audit_in(&transaction, actor, "user_tenant_set", ("account", &account.name), change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(view(&Account { tenant, ..account }))
    }

    /// Sets somebody's password; their sessions end.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`].
    pub async fn user_password_set(&self, actor: &Actor, name: &str, password: &str) -> Result<(), ControlError> {
        self.authorize_audited(actor, Permission::UserManage, "user_password_set", ("account", name)).await?;
        self.set_password(actor, "user_password_set", name, password).await
    }

    /// Sets one's own password, with the present one as proof; all own sessions end.
    ///
    /// # Errors
    /// [`ControlError::Credentials`], [`ControlError::Invalid`].
    pub async fn account_password_change(
        &self,
        actor: &Actor,
        current: &str,
        password: &str,
    ) -> Result<(), ControlError> {
        const ACTION: &str = "account_password_change";
        let name = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        self.authorize_audited(actor, Permission::AccountSelf, ACTION, ("account", &name)).await?;
        let throttle = &self.inner.throttle;
        if let Some(retry_after_seconds) =
            throttle.retry_after(&name, actor.address.as_deref(), now()).await.map_err(ControlError::Auth)?
        {
            return Err(ControlError::TooManyRequests { retry_after_seconds });
        }
        let account = AccountRepo(self.inner.store.db()).find(&name).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        if !self.inner.passwords.verify(current, hash).await.map_err(ControlError::Auth)?.right {
            throttle.failed(&name, actor.address.as_deref(), now()).await.map_err(ControlError::Auth)?;
            self.audit_outcome(
                actor,
                ACTION,
                ("account", &name),
                Outcome::Refused,
                Some(json!({ "reason": "wrong password" })),
            )
            .await?;
            return Err(ControlError::field("current", "this is not the present password"));
        }
        self.set_password(actor, ACTION, &name, password).await
    }

    async fn set_password(&self, actor: &Actor, action: &str, name: &str, password: &str) -> Result<(), ControlError> {
        let hash = self.inner.passwords.hash(password).await.map_err(sessions::weak_password)?;
        let transaction = self.inner.store.begin().await?;
        let account = self.account(&transaction, name).await?;
        AccountRepo(&transaction).set_password(account.id, &hash, now()).await?;
        self.audit_in(&transaction, actor, action, ("account", &account.name), (None, None)).await?;
        Ok(self.inner.store.commit(transaction).await?)
    }

    /// Forbids or allows signing in; sessions end.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] for the last administrator.
    pub async fn user_disable(&self, actor: &Actor, name: &str, disabled: bool) -> Result<AccountView, ControlError> {
        self.authorize_audited(actor, Permission::UserManage, "user_disable", ("account", name)).await?;
        let transaction = self.inner.store.begin().await?;
        let account = self.account(&transaction, name).await?;
        if disabled {
            self.keep_an_admin(&transaction, &account).await?;
        }
        AccountRepo(&transaction).set_disabled(account.id, disabled.then(now)).await?;
        let change = (Some(json!({ "disabled": account.disabled })), Some(json!({ "disabled": disabled })));
        self.audit_in(&transaction, actor, "user_disable", ("account", &account.name), change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(AccountView { disabled, ..view(&account) })
    }

    async fn account(&self, transaction: &Transaction, name: &str) -> Result<Account, ControlError> {
        let found = AccountRepo(transaction).find(&sessions::normalized(name)).await?;
        found.ok_or_else(|| ControlError::not_found("account", name, "'holdfast user list' shows all"))
    }

    async fn keep_an_admin(&self, transaction: &Transaction, account: &Account) -> Result<(), ControlError> {
        let last = account.role == Role::Admin
            && !account.disabled
            && account.tenant.is_none()
            && AccountRepo(transaction).count_admins().await? <= 1;
        if last {
            return Err(ControlError::Conflict(format!(
                "'{}' is the last administrator; make another one first",
                account.name
            )));
        }
        Ok(())
    }
}

fn taken(error: store::StoreError) -> ControlError {
    match error {
        store::StoreError::Exists { .. } => ControlError::Conflict(error.to_string()),
        error => ControlError::Store(error),
    }
}

fn view(account: &Account) -> AccountView {
    AccountView {
        id: account.id.to_string(),
        name: account.name.clone(),
        role: account.role,
        disabled: account.disabled,
        created_at: account.created_at,
        last_login_at: account.last_login_at,
        tenant: account.tenant.map(|id| id.to_string()),
    }
}
