//! Who may do what: one matrix as data. Pages, server functions, API and tokens all get their answer from it.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a person or a token may do; each role includes the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything that is not secret.
    Viewer,
    /// Also acts on a running cluster: acknowledges, cancels, backs up, verifies.
    Operator,
    /// Also destroys and replaces: restores, expires, manages keys, users, tokens, clusters.
    Admin,
}

impl Role {
    /// All roles, the weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name used in the store, on the wire and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether this role holds `permission`.
    pub fn allows(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a role; use viewer, operator or admin"))
    }
}

/// One thing that a use case of `control` asks for before it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See clusters, statements, indexes, activity, history, health.
    MonitoringRead,
    /// Cancel or terminate a backend.
    BackendSignal,
    /// Have a statement explained by the server, without running it.
    QueryExplain,
    /// Put findings and suggestions aside, and take them back.
    AdviceDismiss,
    /// Tell of a release or another change, to be marked on charts.
    EventNote,
    /// See backups, what can be restored, jobs.
    BackupRead,
    /// Start and verify backups, test restores, stop jobs of that kind.
    BackupOperate,
    /// Restore, and stop a restore.
    RestoreExecute,
    /// Remove backups by retention.
    BackupExpire,
    /// Add, rotate and remove keys of the repository; change recovery objectives.
    BackupManage,
    /// See the audit log and check its chain.
    AuditRead,
    /// See, add, change and disable users.
    UserManage,
    /// See, create and revoke API tokens.
    TokenManage,
    /// Change one's own password, end one's own sessions.
    AccountSelf,
    /// Take alerts on, keep them quiet for a while.
    AlertAcknowledge,
    /// Change rules, blackouts and channels.
    AlertManage,
    /// See a tenant's plugins and how they are used.
    PlatformRead,
    /// Change a tenant's plugins, send what happened with them.
    PlatformManage,
    /// Say which tenant is meant; whoever belongs to one has no choice.
    TenantChoose,
    /// See all that is held on a person, and erase it.
    SubjectManage,
}

impl Permission {
    /// Every permission, for the matrix on the page and in the tests.
    pub const ALL: [Self; 20] = [
        Self::MonitoringRead,
        Self::BackendSignal,
        Self::QueryExplain,
        Self::AdviceDismiss,
        Self::EventNote,
        Self::BackupRead,
        Self::BackupOperate,
        Self::RestoreExecute,
        Self::BackupExpire,
        Self::BackupManage,
        Self::AuditRead,
        Self::UserManage,
        Self::TokenManage,
        Self::AccountSelf,
        Self::AlertAcknowledge,
        Self::AlertManage,
        Self::PlatformRead,
        Self::PlatformManage,
        Self::TenantChoose,
        Self::SubjectManage,
    ];

    /// The weakest role that holds it.
    pub const fn least_role(self) -> Role {
        match self {
            Self::MonitoringRead | Self::BackupRead | Self::AccountSelf | Self::PlatformRead => Role::Viewer,
            Self::BackendSignal
            | Self::QueryExplain
            | Self::AdviceDismiss
            | Self::EventNote
            | Self::BackupOperate
            | Self::AlertAcknowledge
            | Self::PlatformManage
            | Self::TenantChoose => Role::Operator,
            Self::RestoreExecute
            | Self::BackupExpire
            | Self::BackupManage
            | Self::AlertManage
            | Self::AuditRead
            | Self::SubjectManage
            | Self::UserManage
            | Self::TokenManage => Role::Admin,
        }
    }

    /// Whether somebody who belongs to one tenant of the platform may hold it: everything else is about all tenants.
    pub const fn is_within_tenant(self) -> bool {
        matches!(self, Self::PlatformRead | Self::PlatformManage | Self::SubjectManage | Self::AccountSelf)
    }

    /// The name used in audit rows and refusals.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MonitoringRead => "monitoring_read",
            Self::BackendSignal => "backend_signal",
            Self::QueryExplain => "query_explain",
            Self::AdviceDismiss => "advice_dismiss",
            Self::EventNote => "event_note",
            Self::BackupRead => "backup_read",
            Self::BackupOperate => "backup_operate",
            Self::RestoreExecute => "restore_execute",
            Self::BackupExpire => "backup_expire",
            Self::BackupManage => "backup_manage",
            Self::AuditRead => "audit_read",
            Self::UserManage => "user_manage",
            Self::TokenManage => "token_manage",
            Self::AccountSelf => "account_self",
            Self::AlertAcknowledge => "alert_acknowledge",
            Self::AlertManage => "alert_manage",
            Self::PlatformRead => "platform_read",
            Self::PlatformManage => "platform_manage",
            Self::TenantChoose => "tenant_choose",
            Self::SubjectManage => "subject_manage",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_role_never_loses_a_permission() {
        for permission in Permission::ALL {
            let held = Role::ALL.map(|role| role.allows(permission));
            assert!(held.is_sorted(), "{permission:?}");
            assert!(held[2], "an admin lacks {permission:?}");
        }
    }

    #[test]
    fn roles_read_back_what_they_write() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
