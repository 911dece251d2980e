//! Who asks, and through which door: the first argument of every use case.
use auth::Identity;
use domain::{Permission, Role};

/// The door a request came through; it is written into the audit row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A web page or one of its forms.
    Page,
    /// The JSON API.
    Api,
    /// The command line, on the host itself.
    Cli,
    /// A background task of ours.
    System,
}

impl Source {
    /// The name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The account, token or part of ours; `None` when nobody is signed in.
    pub identity: Option<Identity>,
    /// The door.
    pub source: Source,
    /// The peer's address, where there is one.
    pub address: Option<String>,
    /// The request id, where there is one.
    pub request_id: Option<String>,
    /// What the client calls this request: sent again under the same name it begins no second job.
    pub idempotency_key: Option<String>,
}

impl Actor {
    /// Nobody is signed in.
    pub const fn anonymous(source: Source, address: Option<String>, request_id: Option<String>) -> Self {
        Self { identity: None, source, address, request_id, idempotency_key: None }
    }

    /// Whoever is signed in.
    pub const fn known(
        identity: Identity,
        source: Source,
        address: Option<String>,
        request_id: Option<String>,
    ) -> Self {
        Self { identity: Some(identity), source, address, request_id, idempotency_key: None }
    }

    /// The person at the command line of this host: whoever may read the store may administer it.
    pub fn cli() -> Self {
        Self::known(Identity::cli(), Source::Cli, None, None)
    }

    /// One of our own background tasks.
    pub fn system() -> Self {
        Self::known(Identity::system(), Source::System, None, None)
    }

    /// Whether nobody is signed in.
    pub const fn is_anonymous(&self) -> bool {
        self.identity.is_none()
    }

    /// The role, when somebody is signed in.
    pub fn role(&self) -> Option<Role> {
        self.identity.as_ref().map(|identity| identity.role)
    }

    /// Whether the actor holds `permission`; refusing and writing the refusal down is the use case's work.
    pub fn may(&self, permission: Permission) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.allows(permission))
    }
}
