//! Whose rows: the one place where a transaction is given its tenant.
use pool::Scope;
use serde::{Deserialize, Serialize};

/// The role that sees one tenant's rows; made by the migration, without BYPASSRLS.
const TENANT_ROLE: &str = "holdfast_tenant";

/// A tenant's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant(pub i64);

impl Tenant {
    /// `SET LOCAL` of the role and the tenant: both end with the transaction.
    pub(crate) fn scope(self) -> Scope {
        Scope::default().set("role", TENANT_ROLE).set("holdfast.tenant_id", self.0.to_string())
    }
}
