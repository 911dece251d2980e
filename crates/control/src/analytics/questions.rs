//! Questions, and what comes in.
use super::{Batch, SeriesFilter, SeriesQuestion, TopBy};
use crate::{Actor, ControlError, ControlPlane, error::page_limit};
use domain::{
    Permission, Timestamp,
    view::{AnalyticsGeography, AnalyticsSeries, AnalyticsTop, IngestReport, UsagePatterns},
};
use serde_json::json;
use store::Outcome;

/// Of what is used most.
const ROWS_AT_MOST: u64 = 100;

impl ControlPlane {
    /// A time series of events, users or a metric.
    ///
    /// # Errors
    /// Those of [`Self::platform_for`]; [`ControlError::Invalid`] by field.
    pub async fn analytics_series(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        question: &SeriesQuestion,
    ) -> Result<AnalyticsSeries, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(self.analytics_over(&catalog).series(tenant, question).await?)
    }

    /// What is used most.
    ///
    /// # Errors
    /// As [`Self::analytics_series`].
    pub async fn analytics_top(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        (by, filter): (TopBy, &SeriesFilter),
        span: (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<AnalyticsTop, ControlError> {
        self.may_ask_platform(actor, Permission::PlatformRead)?;
        page_limit(limit as u64, ROWS_AT_MOST)?;
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(self.analytics_over(&catalog).top(tenant, by, filter, span, limit).await?)
    }

    /// Where use comes from.
    ///
    /// # Errors
    /// As [`Self::analytics_series`].
    pub async fn analytics_geography(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        filter: &SeriesFilter,
        span: (Timestamp, Timestamp),
    ) -> Result<AnalyticsGeography, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(self.analytics_over(&catalog).geography(tenant, filter, span).await?)
    }

    /// When and how plugins are used.
    ///
    /// # Errors
    /// As [`Self::analytics_series`].
    pub async fn analytics_usage_patterns(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        filter: &SeriesFilter,
        span: (Timestamp, Timestamp),
        time_zone: Option<&str>,
    ) -> Result<UsagePatterns, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(self.analytics_over(&catalog).usage_patterns(tenant, filter, span, time_zone).await?)
    }

    /// Takes a batch of events and metrics; what became of it is in the audit log, its items are not.
    ///
    /// # Errors
    /// As [`Self::analytics_series`]; single wrong items are in the report.
    pub async fn analytics_ingest(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        batch: &Batch,
    ) -> Result<IngestReport, ControlError> {
        let object = ("analytics", batch.key.as_deref().unwrap_or_default());
        let (catalog, tenant) = self.platform_to_change(actor, tenant, "analytics_ingest", object).await?;
        let done = self.analytics_over(&catalog).ingest(tenant, batch).await;
        let (outcome, detail) = match &done {
            Ok(report) => (
                Outcome::Ok,
                json!({ "tenant": tenant.0, "accepted": report.accepted, "duplicates": report.duplicates, "rejected": report.rejected, "repeated": report.repeated }),
            ),
            Err(error) => (Outcome::Failed, json!({ "tenant": tenant.0, "reason": error.to_string() })),
        };
        self.audit_outcome(actor, "analytics_ingest", object, outcome, Some(detail)).await?;
        Ok(done?)
    }
}
