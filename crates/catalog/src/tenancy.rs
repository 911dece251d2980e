//! Whose rows: the one place where a transaction is given its tenant.
use pool::Scope;
use serde::{Deserialize, Serialize};

/// The role that sees one tenant's rows; made by the migration, without BYPASSRLS.
const TENANT_ROLE: &str = "holdfast_tenant";
/// The role that sees all tenants' rows, for the platform's own work.
const PLATFORM_ROLE: &str = "holdfast_platform";

/// A tenant's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant(pub i64);

impl Tenant {
    /// `SET LOCAL` of the role and the tenant: both end with the transaction.
    pub fn scope(self) -> Scope {
        Scope::default().set("role", TENANT_ROLE).set("holdfast.tenant_id", self.0.to_string())
    }
}

/// Of the platform's own work over all tenants: roll-ups, retention, erasure. Never of anything that a tenant asked for.
pub fn platform_scope() -> Scope {
    Scope::default().set("role", PLATFORM_ROLE)
}
