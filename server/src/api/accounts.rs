//! Who one is, users, tokens.

use crate::http::{
    App, Asking,
    problem::{JsonBody, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use domain::{
    Role,
    view::{AccountView, TokenView, Whoami},
};
use serde::{Deserialize, Serialize};

/// Who is behind this request and what they may do.
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses(
    (status = 200, description = "You", body = Whoami),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
))]
pub async fn me(State(app): State<App>, Asking(actor): Asking) -> Result<Json<Whoami>, Problem> {
    Ok(Json(app.control.whoami(&actor)?))
}

/// All accounts. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/users", tag = "access", responses(
    (status = 200, description = "The accounts by name", body = Vec<AccountView>),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn users(State(app): State<App>, Asking(actor): Asking) -> Result<Json<Vec<AccountView>>, Problem> {
    Ok(Json(app.control.users_list(&actor).await?))
}

/// A new account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Name to sign in with.
    name: String,
    /// Role.
    role: Role,
    /// At least 10 characters.
    password: String,
    /// Name or id of the platform's tenant that they belong to: they see that tenant's rows and nothing else.
    tenant: Option<String>,
}

/// Adds an account. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/users", tag = "access", request_body = NewUser, responses(
    (status = 201, description = "The account", body = AccountView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
))]
pub async fn user_add(
    State(app): State<App>,
    Asking(actor): Asking,
    JsonBody(new): JsonBody<NewUser>,
) -> Result<(StatusCode, Json<AccountView>), Problem> {
    let account = app.control.user_add_in(&actor, &new.name, new.role, &new.password, new.tenant.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(account)))
}

/// What to change; what is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// New role.
    role: Option<Role>,
    /// New password.
    password: Option<String>,
    /// Forbid (true) or allow (false) signing in.
    disabled: Option<bool>,
}

/// Changes an account; its sessions end. Needs the role admin.
#[utoipa::path(patch, path = "/api/v1/users/{name}", tag = "access", request_body = UserChange,
    params(("name" = String, Path, description = "Name of the account")), responses(
    (status = 200, description = "The account", body = AccountView),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such account", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is the last administrator", body = Problem, content_type = "application/problem+json"),
))]
pub async fn user_change(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(name): Path<String>,
    JsonBody(change): JsonBody<UserChange>,
) -> Result<Json<AccountView>, Problem> {
    if let Some(password) = &change.password {
        app.control.user_password_set(&actor, &name, password).await?;
    }
    if let Some(role) = change.role {
        app.control.user_role_set(&actor, &name, role).await?;
    }
    if let Some(disabled) = change.disabled {
        app.control.user_disable(&actor, &name, disabled).await?;
    }
    let all = app.control.users_list(&actor).await?;
    let wanted = name.trim().to_lowercase();
    let found = all.into_iter().find(|account| account.name == wanted);
    found.map(Json).ok_or_else(|| Problem::of(domain::ErrorKind::NotFound, format!("there is no account '{name}'")))
}

/// All tokens, without their secrets. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", responses(
    (status = 200, description = "The tokens, the newest first", body = Vec<TokenView>),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn tokens(State(app): State<App>, Asking(actor): Asking) -> Result<Json<Vec<TokenView>>, Problem> {
    Ok(Json(app.control.tokens_list(&actor).await?))
}

/// A new token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenBody {
    /// What it is for.
    name: String,
    /// Role.
    role: Role,
    /// Days until it ends, 1 to 3650; without it, it does not end.
    expires_in_days: Option<u32>,
    /// `restore` lets an administrator's token restore and remove backups.
    #[serde(default)]
    scopes: Vec<String>,
    /// Name or id of the platform's tenant that it belongs to: it sees that tenant's rows and nothing else.
    tenant: Option<String>,
}

/// A token with its secret, which is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CreatedToken {
    /// The secret: `hf_…`.
    secret: String,
    /// The token.
    token: TokenView,
}

/// Makes a token. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", request_body = NewTokenBody, responses(
    (status = 201, description = "The token and its secret", body = CreatedToken),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn token_create(
    State(app): State<App>,
    Asking(actor): Asking,
    JsonBody(new): JsonBody<NewTokenBody>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let (token, secret) = app
        .control
        .token_create_scoped(&actor, &new.name, new.role, new.expires_in_days, new.scopes, new.tenant.as_deref())
        .await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { secret, token })))
}

/// Revokes a token. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "access",
    params(("id" = String, Path, description = "Id of the token")), responses(
    (status = 200, description = "The token, revoked", body = TokenView),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such token", body = Problem, content_type = "application/problem+json"),
))]
pub async fn token_revoke(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<TokenView>, Problem> {
    Ok(Json(app.control.token_revoke(&actor, &id).await?))
}
