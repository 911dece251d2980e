//! Signing in and out, and the first administrator.
use crate::{Actor, ControlError, ControlPlane, now};
use auth::{Identity, IdentityKind, SignedIn};
use domain::{Role, view::Whoami};
use store::{Account, AccountRepo, NewAccount, Outcome, SetupLinkRepo};

/// How long the link for the first administrator works.
const SETUP_LINK_MS: i64 = 24 * 60 * 60 * 1_000;

impl ControlPlane {
    /// Checks name and password. What was wrong is not told; an unknown name takes as long as a wrong password.
    ///
    /// # Errors
    /// [`ControlError::Credentials`], [`ControlError::TooManyRequests`].
    pub async fn session_sign_in(&self, actor: &Actor, name: &str, password: &str) -> Result<SignedIn, ControlError> {
        const ACTION: &str = "session_sign_in";
        let name = normalized(name);
        let address = actor.address.as_deref();
        let object = ("account", name.as_str());
        let throttle = &self.inner.throttle;
        if let Some(retry_after_seconds) =
            throttle.retry_after(&name, address, now()).await.map_err(ControlError::Auth)?
        {
            let detail = Some(serde_json::json!({ "reason": "throttled", "retry_after_seconds": retry_after_seconds }));
            self.audit_outcome(actor, ACTION, object, Outcome::Refused, detail).await?;
            return Err(ControlError::TooManyRequests { retry_after_seconds });
        }
        let account = AccountRepo(self.inner.store.db()).find(&name).await?;
        let usable = account.as_ref().filter(|account| !account.disabled);
        let verdict = self.inner.passwords.verify(password, usable.map(|account| account.password_hash.as_str())).await;
        let verdict = verdict.map_err(ControlError::Auth)?;
        let (Some(account), true) = (usable, verdict.right) else {
            throttle.failed(&name, address, now()).await.map_err(ControlError::Auth)?;
            let detail = Some(serde_json::json!({ "reason": "wrong name or password" }));
            self.audit_outcome(actor, ACTION, object, Outcome::Refused, detail).await?;
            return Err(ControlError::Credentials);
        };
        throttle.succeeded(&name).await.map_err(ControlError::Auth)?;
        let transaction = self.inner.store.begin().await?;
        let accounts = AccountRepo(&transaction);
        if let Some(hash) = &verdict.rehashed {
            accounts.set_password_hash(account.id, hash).await?;
        }
        accounts.set_last_login(account.id, now()).await?;
        let known = Actor { identity: Some(identity_of(account)), ..actor.clone() };
        self.audit_in(&transaction, &known, ACTION, object, (None, None)).await?;
        self.inner.store.commit(transaction).await?;
        Ok(SignedIn { account_id: account.id, epoch: account.session_epoch, at_ms: now().0 })
    }

    /// Notes the end of a session.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn session_sign_out(&self, actor: &Actor) -> Result<(), ControlError> {
        let Some(identity) = &actor.identity else { return Ok(()) };
        self.audit_outcome(actor, "session_sign_out", ("account", &identity.name), Outcome::Ok, None).await
    }

    /// Whose session it is, unless it was ended by a change of password, role or state since.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn session_identity(&self, signed_in: &SignedIn) -> Result<Option<Identity>, ControlError> {
        let account = AccountRepo(self.inner.store.db()).get(signed_in.account_id).await?;
        Ok(account
            .filter(|account| !account.disabled && account.session_epoch == signed_in.epoch)
            .map(|account| identity_of(&account)))
    }

    /// A one-time link for the first administrator; `None` when there is one.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn setup_link_create(&self) -> Result<Option<String>, ControlError> {
        if AccountRepo(self.inner.store.db()).count_admins().await? > 0 {
            return Ok(None);
        }
        let secret = auth::new_secret().map_err(ControlError::Auth)?;
        let transaction = self.inner.store.begin().await?;
        SetupLinkRepo(&transaction).replace(&auth::hash_of(&secret), now(), now().plus_ms(SETUP_LINK_MS)).await?;
        self.audit_in(&transaction, &Actor::system(), "setup_link_create", ("setup_link", ""), (None, None)).await?;
        self.inner.store.commit(transaction).await?;
        Ok(Some(secret))
    }

    /// Makes the first administrator by the link and signs in.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field; [`ControlError::Forbidden`]-like refusals are `Conflict` with what to do.
    pub async fn setup_complete(
        &self,
        actor: &Actor,
        token: &str,
        name: &str,
        password: &str,
    ) -> Result<SignedIn, ControlError> {
        let name = checked_name(name)?;
        let hash = self.inner.passwords.hash(password).await.map_err(weak_password)?;
        let transaction = self.inner.store.begin().await?;
        let used = SetupLinkRepo(&transaction).consume(&auth::hash_of(token), now()).await?;
        if !used || AccountRepo(&transaction).count_admins().await? > 0 {
            drop(transaction);
            self.audit_outcome(actor, "setup_complete", ("account", &name), Outcome::Refused, None).await?;
            return Err(ControlError::Conflict(
                "this link is over or was used; start Holdfast again for a new one, or use 'holdfast user add'"
                    .to_owned(),
            ));
        }
        let account = AccountRepo(&transaction)
            .insert(NewAccount { name, role: Role::Admin, password_hash: hash, at: now(), tenant: None })
            .await?;
        let known = Actor { identity: Some(identity_of(&account)), ..actor.clone() };
        let after = serde_json::json!({ "role": account.role });
        self.audit_in(&transaction, &known, "setup_complete", ("account", &account.name), (None, Some(after))).await?;
        self.inner.store.commit(transaction).await?;
        Ok(SignedIn { account_id: account.id, epoch: account.session_epoch, at_ms: now().0 })
    }

    /// Who is signed in and what they may do.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`].
    pub fn whoami(&self, actor: &Actor) -> Result<Whoami, ControlError> {
        let identity = actor.identity.as_ref().ok_or(ControlError::Unauthenticated)?;
        let permissions =
            domain::Permission::ALL.into_iter().filter(|permission| identity.allows(*permission)).collect();
        let tenant = identity.tenant.map(|id| id.to_string());
        Ok(Whoami { name: identity.name.clone(), role: identity.role, permissions, tenant })
    }
}

pub(crate) fn identity_of(account: &Account) -> Identity {
    Identity {
        kind: IdentityKind::User,
        id: account.id.to_string(),
        name: account.name.clone(),
        role: account.role,
        scopes: Vec::new(),
        tenant: account.tenant,
    }
}

/// Names are the same in any case and with spaces around.
pub(crate) fn normalized(name: &str) -> String {
    name.trim().to_lowercase().chars().take(64).collect()
}

/// A name that may be given to an account or token.
pub(crate) fn checked_name(name: &str) -> Result<String, ControlError> {
    let normal = normalized(name);
    let plain = normal.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'));
    if normal.is_empty() || !plain || name.trim().chars().count() > 64 {
        return Err(ControlError::field("name", "a name has 1 to 64 letters, digits, '.', '-', '_' or '@'"));
    }
    Ok(normal)
}

pub(crate) fn weak_password(error: auth::AuthError) -> ControlError {
    match error {
        auth::AuthError::Weak(message) => ControlError::field("password", message),
        error => ControlError::Auth(error),
    }
}
