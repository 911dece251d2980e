//! People, tokens and the audit log.
use crate::{Permission, Role, Timestamp};
use serde::{Deserialize, Serialize};

/// Who is signed in and what they may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Whoami {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// What the role allows.
    pub permissions: Vec<Permission>,
    /// Id of the platform's tenant that they belong to; `None` for people of the estate.
    pub tenant: Option<String>,
}

/// One account, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountView {
    /// Id as text.
    pub id: String,
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// May not sign in.
    pub disabled: bool,
    /// Made.
    pub created_at: Timestamp,
    /// Last sign-in.
    pub last_login_at: Option<Timestamp>,
    /// Id of the platform's tenant that they belong to; `None` for people of the estate.
    pub tenant: Option<String>,
}

/// One API token, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenView {
    /// Id as text.
    pub id: String,
    /// Name.
    pub name: String,
    /// First characters, to tell tokens apart.
    pub prefix: String,
    /// Role.
    pub role: Role,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: Timestamp,
    /// Ends.
    pub expires_at: Option<Timestamp>,
    /// Last used.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_address: Option<String>,
    /// Revoked.
    pub revoked_at: Option<Timestamp>,
    /// What it may beyond its role: `restore`.
    pub scopes: Vec<String>,
    /// Id of the platform's tenant whose rows it sees, and nothing else; `None` for tokens of the estate.
    pub tenant: Option<String>,
}

/// One row of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Position in the chain.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// `user`, `token`, `cli`, `system`, `anonymous`.
    pub actor_kind: String,
    /// Who.
    pub actor_id: String,
    /// `page`, `api`, `cli`, `system`.
    pub source: String,
    /// From where.
    pub address: Option<String>,
    /// Use case: `session_sign_in`.
    pub action: String,
    /// Kind of thing.
    pub object_kind: String,
    /// Which one.
    pub object_id: String,
    /// `ok`, `refused`, `failed`.
    pub outcome: String,
    /// State before, secrets masked.
    pub before: Option<serde_json::Value>,
    /// State after, secrets masked.
    pub after: Option<serde_json::Value>,
    /// Request.
    pub request_id: Option<String>,
    /// Hash of this row.
    pub hash: String,
}

/// A page of the audit log, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// The rows.
    pub rows: Vec<AuditEntry>,
    /// For the next page.
    pub next_cursor: Option<String>,
}

/// Whether the chain holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditVerdict {
    /// Rows checked.
    pub rows: i64,
    /// The first row where it breaks, with the reason; none when all is well.
    pub broken: Option<String>,
    /// Hash of the last row.
    pub head: Option<String>,
}
