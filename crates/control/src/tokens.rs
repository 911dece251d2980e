//! API tokens.
use crate::{Actor, ControlError, ControlPlane, now, sessions};
use auth::{Identity, IdentityKind};
use domain::{Permission, Role, view::TokenView};
use serde_json::json;
use store::{NewToken, TokenRepo, TokenRow};

/// The last use is written at most this often: it would be a write for each request.
const LAST_USED_EVERY_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

impl ControlPlane {
    /// All tokens, the newest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn tokens_list(&self, actor: &Actor) -> Result<Vec<TokenView>, ControlError> {
        self.authorize_audited(actor, Permission::TokenManage, "tokens_list", ("token", "")).await?;
        Ok(TokenRepo(self.inner.store.db()).list().await?.into_iter().map(view).collect())
    }

    /// Makes a token; its secret is told this once.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field.
    pub async fn token_create(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        expires_in_days: Option<u32>,
    ) -> Result<(TokenView, String), ControlError> {
        self.token_create_scoped(actor, name, role, expires_in_days, Vec::new(), None).await
    }

    /// As [`Self::token_create`], with scopes (`restore` lets an administrator's token restore) and with a tenant of the
    /// platform, by name or id: such a token sees that tenant's rows and nothing else.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field.
    pub async fn token_create_scoped(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        expires_in_days: Option<u32>,
        scopes: Vec<String>,
        tenant: Option<&str>,
    ) -> Result<(TokenView, String), ControlError> {
        self.authorize_audited(actor, Permission::TokenManage, "token_create", ("token", name)).await?;
        let name = sessions::checked_name(name)?;
        if expires_in_days.is_some_and(|days| days == 0 || days > 3_650) {
            return Err(ControlError::field(
                "expires_in_days",
                "a token lives for 1 to 3650 days, or for ever without this field",
            ));
        }
        if let Some(unknown) = scopes.iter().find(|scope| *scope != "restore") {
            return Err(ControlError::field("scopes", format!("'{unknown}' is not a scope; there is: restore")));
        }
        let tenant = self.tenant_named(tenant).await?;
        let secret = auth::new_token().map_err(ControlError::Auth)?;
        let created_by = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        let new = NewToken {
            name,
            token_hash: auth::hash_of(&secret),
            prefix: secret.chars().take(8).collect(),
            role,
            created_by,
            at: now(),
            expires_at: expires_in_days.map(|days| now().plus_ms(i64::from(days) * DAY_MS)),
            scopes,
            tenant,
        };
        let transaction = self.inner.store.begin().await?;
        let row = TokenRepo(&transaction).insert(new).await?;
        let after = json!({ "name": row.name, "role": row.role, "expires_at": row.expires_at, "scopes": row.scopes, "tenant": row.tenant });
        self.audit_in(&transaction, actor, "token_create", ("token", &row.id.to_string()), (None, Some(after))).await?;
        self.inner.store.commit(transaction).await?;
        Ok((view(row), secret))
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn token_revoke(&self, actor: &Actor, id: &str) -> Result<TokenView, ControlError> {
        self.authorize_audited(actor, Permission::TokenManage, "token_revoke", ("token", id)).await?;
        let missing = || ControlError::not_found("token", id, "'holdfast token list' shows all");
        let number = id.parse().map_err(|_| missing())?;
        let transaction = self.inner.store.begin().await?;
        let repo = TokenRepo(&transaction);
        let row = repo.get(number).await?.ok_or_else(missing)?;
        repo.revoke(number, now()).await?;
        let change = (Some(json!({ "revoked": row.revoked_at.is_some() })), Some(json!({ "revoked": true })));
        self.audit_in(&transaction, actor, "token_revoke", ("token", id), change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(view(TokenRow { revoked_at: row.revoked_at.or(Some(now())), ..row }))
    }

    /// Whose token it is, unless it is unknown, over or revoked: that is not told apart.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`].
    pub async fn token_authenticate(&self, bearer: &str, address: Option<&str>) -> Result<Identity, ControlError> {
        if !auth::is_token(bearer) {
            return Err(ControlError::Unauthenticated);
        }
        let repo = TokenRepo(self.inner.store.db());
        let row = repo.find_by_hash(&auth::hash_of(bearer)).await?.ok_or(ControlError::Unauthenticated)?;
        let at = now();
        if row.revoked_at.is_some() || row.expires_at.is_some_and(|end| end <= at) {
            return Err(ControlError::Unauthenticated);
        }
        if row.last_used_at.is_none_or(|last| at.0 - last.0 >= LAST_USED_EVERY_MS) {
            repo.set_last_used(row.id, at, address).await?;
        }
        Ok(Identity {
            kind: IdentityKind::Token,
            id: row.id.to_string(),
            name: row.name,
            role: row.role,
            scopes: row.scopes,
            tenant: row.tenant,
        })
    }
}

fn view(row: TokenRow) -> TokenView {
    TokenView {
        id: row.id.to_string(),
        name: row.name,
        prefix: row.prefix,
        role: row.role,
        created_by: row.created_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        last_used_address: row.last_used_address,
        revoked_at: row.revoked_at,
        scopes: row.scopes,
        tenant: row.tenant.map(|id| id.to_string()),
    }
}
