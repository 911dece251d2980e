//! The platform's data: whose it is, whether it can be worked with, and what its connections do.
//!
//! Every use case on it begins with [`ControlPlane::platform_for`]: first the permission, then the tenant, then whether
//! there is a platform. A tenant comes from the identity; only who belongs to none and may choose can name one.
mod bulk;
mod plugins;
mod pools;

pub(crate) use bulk::BulkRuns;
pub use plugins::PluginQuery;

use crate::{Actor, ControlError, ControlPlane};
use arc_swap::{ArcSwap, ArcSwapOption};
use catalog::{Catalog, CatalogError, Tenant};
use domain::{
    ErrorKind, Permission,
    view::{PlatformState, TenantView},
};
use std::sync::{Arc, OnceLock};

/// Most tenants of a list to choose from.
const MOST_TENANTS: u32 = 50;

/// The place of the platform's catalogue; empty until its database was found and its schema is there.
#[derive(Debug, Default)]
pub struct Platform {
    catalog: ArcSwapOption<Catalog>,
    state: ArcSwap<PlatformState>,
    cluster: OnceLock<String>,
}

impl Platform {
    /// Names the monitored cluster that holds it; the first one stays.
    pub fn set_cluster(&self, id: &str) {
        let _ = self.cluster.set(id.to_owned());
    }

    /// Tells how it stands, as long as there is no catalogue.
    pub fn set_state(&self, state: PlatformState) {
        self.state.store(Arc::new(state));
    }

    /// It works from now on.
    pub fn set_ready(&self, catalog: Catalog, state: PlatformState) {
        self.catalog.store(Some(Arc::new(catalog)));
        self.set_state(state);
    }

    /// How it stands.
    pub fn state(&self) -> Arc<PlatformState> {
        self.state.load_full()
    }

    /// The catalogue, when it works.
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.load_full()
    }

    /// The id of the monitored cluster that holds it.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.get().map(String::as_str)
    }
}

impl ControlPlane {
    /// The platform, for whoever connects it and for background work on it.
    pub fn platform(&self) -> &Platform {
        &self.inner.platform
    }

    /// The catalogue and the tenant that a use case works for. `wanted` is the name or id that the request gave.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`] without the permission, for another tenant than one's own, and for whoever has none and
    /// may not choose; [`ControlError::Invalid`] when one must be chosen; [`ControlError::Platform`] when there is no
    /// platform to ask.
    pub async fn platform_for(
        &self,
        actor: &Actor,
        permission: Permission,
        wanted: Option<&str>,
    ) -> Result<(Arc<Catalog>, Tenant), ControlError> {
        self.may_ask_platform(actor, permission)?;
        let wanted = wanted.map(str::trim).filter(|text| !text.is_empty());
        let own = actor.identity.as_ref().and_then(|identity| identity.tenant);
        let catalog = self.platform_catalog()?;
        let tenant = match (own, wanted) {
            (Some(own), None) => Tenant(own),
            (Some(own), Some(wanted)) => {
                // Whether another tenant exists is not told: only one's own name is looked at.
                let same = wanted == own.to_string() || catalog.tenant_by_id(Tenant(own)).await?.slug == wanted;
                if !same {
                    return Err(ControlError::OtherTenant);
                }
                Tenant(own)
            }
            (None, Some(wanted)) => {
                let found = catalog.tenant(wanted).await?;
                Tenant(found.id.parse().map_err(|_| CatalogError::NoTenant(wanted.to_owned()))?)
            }
            (None, None) => {
                return Err(ControlError::field(
                    "tenant",
                    "you belong to no tenant: choose one by 'tenant', its name or its id",
                ));
            }
        };
        Ok((catalog, tenant))
    }

    /// The rights that [`Self::platform_for`] asks for, before anything of a request is judged: a permission, and for whoever
    /// belongs to no tenant that of choosing one.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub(crate) fn may_ask_platform(&self, actor: &Actor, permission: Permission) -> Result<(), ControlError> {
        self.authorize(actor, permission)?;
        if actor.identity.as_ref().and_then(|identity| identity.tenant).is_none() {
            self.authorize(actor, Permission::TenantChoose)?;
        }
        Ok(())
    }

    /// As [`Self::platform_for`], for use cases that change something: a refusal is written into the audit log.
    pub(crate) async fn platform_to_change(
        &self,
        actor: &Actor,
        wanted: Option<&str>,
        action: &str,
        object: (&str, &str),
    ) -> Result<(Arc<Catalog>, Tenant), ControlError> {
        let found = self.platform_for(actor, Permission::PlatformManage, wanted).await;
        if let Err(
            error @ (ControlError::Unauthenticated | ControlError::Forbidden { .. } | ControlError::OtherTenant),
        ) = &found
        {
            let detail = serde_json::json!({ "reason": error.to_string(), "tenant": wanted });
            self.audit_outcome(actor, action, object, store::Outcome::Refused, Some(detail)).await?;
        }
        found
    }

    /// The catalogue for work over all tenants: background tasks and commands. Asks for no permission.
    ///
    /// # Errors
    /// [`ControlError::Platform`].
    pub fn platform_catalog(&self) -> Result<Arc<Catalog>, ControlError> {
        self.inner.platform.catalog().ok_or_else(|| {
            let message = self.inner.platform.state().message().unwrap_or_default();
            ControlError::Platform { kind: ErrorKind::Unavailable, message }
        })
    }

    /// How the platform stands.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn platform_state(&self, actor: &Actor) -> Result<Arc<PlatformState>, ControlError> {
        self.authorize(actor, Permission::PlatformRead)?;
        Ok(self.inner.platform.state())
    }

    /// Whether the actor may change plugins of that tenant; a refusal is written down.
    ///
    /// # Errors
    /// Those of [`Self::platform_for`].
    pub async fn platform_may_change(
        &self,
        actor: &Actor,
        wanted: Option<&str>,
        action: &str,
    ) -> Result<(), ControlError> {
        self.platform_to_change(actor, wanted, action, ("plugins", "")).await.map(drop)
    }

    /// The tenant that a request is about.
    ///
    /// # Errors
    /// Those of [`Self::platform_for`].
    pub async fn tenant_get(&self, actor: &Actor, wanted: Option<&str>) -> Result<TenantView, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, wanted).await?;
        Ok(catalog.tenant_by_id(tenant).await?)
    }

    /// The tenants that the actor may choose from, by what they begin with; one's own alone for whoever belongs to one.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn tenants_list(&self, actor: &Actor, begins: &str) -> Result<Vec<TenantView>, ControlError> {
        self.authorize(actor, Permission::PlatformRead)?;
        if let Some(own) = actor.identity.as_ref().and_then(|identity| identity.tenant) {
            return Ok(vec![self.platform_catalog()?.tenant_by_id(Tenant(own)).await?]);
        }
        self.authorize(actor, Permission::TenantChoose)?;
        Ok(self.platform_catalog()?.tenants(begins, MOST_TENANTS).await?)
    }

    /// The id of a tenant that somebody shall belong to.
    pub(crate) async fn tenant_named(&self, text: Option<&str>) -> Result<Option<i64>, ControlError> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
        let found = self.platform_catalog()?.tenant(text).await?;
        Ok(found.id.parse().ok())
    }
}

impl From<CatalogError> for ControlError {
    fn from(error: CatalogError) -> Self {
        let kind = error.kind();
        match error {
            CatalogError::Invalid { field, message } => Self::field(field, message),
            error => {
                if kind == ErrorKind::Internal {
                    tracing::error!(%error, "the platform's data layer failed");
                    let message = "the platform's data layer failed; the log has more".to_owned();
                    return Self::Platform { kind, message };
                }
                Self::Platform { kind, message: error.to_string() }
            }
        }
    }
}
