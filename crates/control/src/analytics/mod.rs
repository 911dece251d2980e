//! How a tenant's plugins are used: asked, sent in, archived, erased.
//!
//! Every use case begins as those on plugins do: the permission, then the tenant, then whether there is a platform.
mod archive;
mod questions;
mod subjects;

pub use analytics::{
    ArchiveOutcome, ArchiveStep, Backlog, Batch, Measure, RestoreOutcome, SeriesFilter, SeriesQuestion, TopBy,
};

use crate::{Actor, ControlError, ControlPlane, FieldError, OpenRepository};
use ::analytics::{Analytics, AnalyticsError, RETENTION_DAYS};
use arc_swap::ArcSwapOption;
use catalog::Catalog;
use domain::Permission;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// What is configured of it.
#[derive(Debug)]
pub struct AnalyticsPlace {
    retention_days: AtomicU32,
    archive: OnceLock<OpenRepository>,
    backlog: ArcSwapOption<Backlog>,
}

impl Default for AnalyticsPlace {
    fn default() -> Self {
        Self {
            retention_days: AtomicU32::new(RETENTION_DAYS),
            archive: OnceLock::new(),
            backlog: ArcSwapOption::empty(),
        }
    }
}

impl AnalyticsPlace {
    /// Days that rows stay in the live tables, and where older ones go.
    pub fn configure(&self, retention_days: u32, archive: Option<OpenRepository>) {
        self.retention_days.store(retention_days, Ordering::Relaxed);
        if let Some(archive) = archive {
            // The first one stays.
            let _ = self.archive.set(archive);
        }
    }

    /// Tells what waits; `None` when that is not known.
    pub fn set_backlog(&self, backlog: Option<Backlog>) {
        self.backlog.store(backlog.map(Arc::new));
    }

    /// Opens the repository of archives, where one is configured.
    pub fn archive(&self) -> Option<&OpenRepository> {
        self.archive.get()
    }
}

impl ControlPlane {
    /// What is configured of analytics.
    pub fn analytics(&self) -> &AnalyticsPlace {
        &self.inner.analytics
    }

    /// Analytics over the platform's pools, for work over all tenants. Asks for no permission.
    ///
    /// # Errors
    /// [`ControlError::Platform`] when there is no platform.
    pub fn analytics_service(&self) -> Result<Analytics, ControlError> {
        Ok(self.analytics_over(self.platform_catalog()?.as_ref()))
    }

    /// What waited at the last look. It asks no server.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn analytics_backlog(&self, actor: &Actor) -> Result<Option<Arc<Backlog>>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.analytics.backlog.load_full())
    }

    fn analytics_over(&self, catalog: &Catalog) -> Analytics {
        Analytics::new(catalog.pools().clone(), self.inner.analytics.retention_days.load(Ordering::Relaxed))
    }
}

impl From<AnalyticsError> for ControlError {
    fn from(error: AnalyticsError) -> Self {
        match error {
            AnalyticsError::Invalid { field, message } => Self::Invalid {
                message: message.clone(),
                fields: vec![FieldError { field: field.to_owned(), message }],
            },
            error => Self::Platform { kind: error.kind(), message: error.to_string() },
        }
    }
}
