//! Who is behind a request.
use domain::{Permission, Role};
use serde::{Deserialize, Serialize};

/// What kind of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// A person with an account.
    User,
    /// An API token.
    Token,
    /// The command line on the host.
    Cli,
    /// A background task.
    System,
}

impl IdentityKind {
    /// The name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }
}

/// Somebody whose identity was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Kind.
    pub kind: IdentityKind,
    /// Id of the account or token.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Role.
    pub role: Role,
    /// What a token may beyond its role: `restore`.
    pub scopes: Vec<String>,
    /// The platform's tenant that it belongs to: it sees that tenant's rows and nothing else.
    pub tenant: Option<i64>,
}

impl Identity {
    /// The command line: whoever may read the store's file or knows its URL.
    pub fn cli() -> Self {
        let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "cli".to_owned());
        Self { kind: IdentityKind::Cli, id: name.clone(), name, role: Role::Admin, scopes: Vec::new(), tenant: None }
    }

    /// A background task of ours.
    pub fn system() -> Self {
        Self {
            kind: IdentityKind::System,
            id: "holdfast".to_owned(),
            name: "holdfast".to_owned(),
            role: Role::Admin,
            scopes: Vec::new(),
            tenant: None,
        }
    }

    /// Whether it holds `permission`. A token has no account of its own to look after, and restores only when it was
    /// made for that. Whoever belongs to a tenant acts within it only: what is seen of a server is every tenant's.
    pub fn allows(&self, permission: Permission) -> bool {
        let also = match permission {
            Permission::AccountSelf => self.kind == IdentityKind::User,
            Permission::RestoreExecute => self.kind != IdentityKind::Token || self.has_scope("restore"),
            _ => true,
        };
        self.role.allows(permission) && also && (self.tenant.is_none() || permission.is_within_tenant())
    }

    /// Whether a token was made with this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|one| one == scope)
    }
}

/// What the web session holds after a sign-in. The role stands in the store: a session shows who, never what they may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// Id of the account.
    pub account_id: i64,
    /// The account's epoch at sign-in: a later one ends the session.
    pub epoch: i64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}
