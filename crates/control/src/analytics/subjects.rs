//! What is held on a person, and its erasure. Whoever belongs to a tenant works on that tenant's rows; whoever belongs
//! to none names one, or means all.
use super::exports::ExportKey;
use crate::{Actor, Confirmation, ControlError, ControlPlane};
use analytics::Analytics;
use backup::Repository;
use catalog::Tenant;
use domain::{
    Permission,
    view::{ErasureReport, SubjectPlan},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use store::Outcome;

/// The audit log keeps who was meant without keeping the name.
fn hash(subject: &str) -> String {
    Sha256::digest(subject.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A task that panicked, or was ended with the process.
fn ended(error: &tokio::task::JoinError) -> ControlError {
    tracing::error!(%error, "work on a subject ended early");
    let message = "the work ended early; the log has more".to_owned();
    ControlError::Platform { kind: domain::ErrorKind::Internal, message }
}

impl ControlPlane {
    async fn subjects_of(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        action: &str,
        subject: &str,
    ) -> Result<(Analytics, Option<Tenant>), ControlError> {
        let hash = hash(subject);
        self.authorize_audited(actor, Permission::SubjectManage, action, ("subject", &hash)).await?;
        let own = actor.identity.as_ref().and_then(|identity| identity.tenant);
        if own.is_none() && tenant.is_none() {
            return Ok((self.analytics_service()?, None));
        }
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok((self.analytics_over(&catalog), Some(tenant)))
    }

    /// The repository, when one is configured and answers; an erasure is pending without it.
    async fn repository_if_any(&self) -> Option<Repository> {
        match self.analytics_repository().await {
            Ok(repository) => Some(repository),
            Err(error) => {
                tracing::info!(%error, "the archive is not asked");
                None
            }
        }
    }

    /// How many rows hold a subject; nothing is changed.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::Platform`], [`ControlError::Invalid`].
    pub async fn subject_plan(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        subject: &str,
    ) -> Result<SubjectPlan, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "subject_plan", subject).await?;
        Ok(analytics.subject_plan(tenant, subject, self.repository_if_any().await.as_ref()).await?)
    }

    /// Everything that is held on a subject. That it was asked for is in the audit log. The work goes on for longer than
    /// `within`: `None` is given then, and who asks again within ten minutes gets what was found, once.
    ///
    /// # Errors
    /// As [`Self::subject_plan`].
    pub async fn subject_export(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        subject: &str,
        within: Duration,
    ) -> Result<Option<Value>, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "subject_export", subject).await?;
        let hash = hash(subject);
        let by = actor.identity.as_ref().map(|identity| (identity.kind.as_str(), identity.id.clone()));
        let key: ExportKey = (by, tenant.map(|it| it.0), hash.clone());
        let exports = &self.inner.analytics.exports;
        let mut work = match exports.take(&key) {
            Some(work) => work,
            None => {
                let (control, actor, subject) = (self.clone(), actor.clone(), subject.to_owned());
                tokio::spawn(async move { control.export(&actor, &analytics, tenant, &subject, &hash).await })
            }
        };
        match tokio::time::timeout(within, &mut work).await {
            Ok(done) => done.map_err(|error| ended(&error))?.map(Some),
            Err(_) => {
                exports.keep(key, work);
                Ok(None)
            }
        }
    }

    async fn export(
        &self,
        actor: &Actor,
        analytics: &Analytics,
        tenant: Option<Tenant>,
        subject: &str,
        hash: &str,
    ) -> Result<Value, ControlError> {
        let done = analytics.subject_export(tenant, subject, self.repository_if_any().await.as_ref()).await;
        let (outcome, detail) = match &done {
            Ok(_) => (Outcome::Ok, json!({ "tenant": tenant.map(|it| it.0) })),
            Err(error) => (Outcome::Failed, json!({ "reason": error.to_string() })),
        };
        self.audit_outcome(actor, "subject_export", ("subject", hash), outcome, Some(detail)).await?;
        Ok(done?)
    }

    /// Erases a subject; the report is the certificate. The subject once more and the password confirm it. The work goes on
    /// to its end and into the audit log whatever becomes of the caller; `None` is given when that takes longer than
    /// `within`, and the list of erasures has the certificate later.
    ///
    /// # Errors
    /// As [`Self::subject_plan`], and what is not confirmed.
    pub async fn subject_erase(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        subject: &str,
        confirmation: &Confirmation,
        within: Duration,
    ) -> Result<Option<ErasureReport>, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "subject_erase", subject).await?;
        let hash = hash(subject);
        let object = ("subject", hash.as_str());
        self.confirm(actor, "subject_erase", object, subject.trim(), confirmation).await?;
        // The two databases share no transaction: the intention is written before, the outcome after.
        let asked = json!({ "tenant": tenant.map(|it| it.0) });
        self.audit_outcome(actor, "subject_erase_asked", object, Outcome::Ok, Some(asked)).await?;
        let (control, actor, subject) = (self.clone(), actor.clone(), subject.to_owned());
        // Were it our own future, a caller who goes away would leave the archive undone and the outcome untold.
        let work = tokio::spawn(async move { control.erase(&actor, &analytics, tenant, &subject).await });
        match tokio::time::timeout(within, work).await {
            Ok(done) => done.map_err(|error| ended(&error))?.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn erase(
        &self,
        actor: &Actor,
        analytics: &Analytics,
        tenant: Option<Tenant>,
        subject: &str,
    ) -> Result<ErasureReport, ControlError> {
        let object = hash(subject);
        let object = ("subject", object.as_str());
        let by = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        let done = analytics.subject_erase(tenant, subject, &by, self.repository_if_any().await.as_ref()).await;
        let (outcome, detail) = match &done {
            Ok(report) => (Outcome::Ok, json!(report)),
            Err(error) => (Outcome::Failed, json!({ "reason": error.to_string() })),
        };
        self.audit_outcome(actor, "subject_erase", object, outcome, Some(detail)).await?;
        Ok(done?)
    }

    /// Erasures with their certificates, the newest first.
    ///
    /// # Errors
    /// As [`Self::subject_plan`].
    pub async fn erasures_list(&self, actor: &Actor, tenant: Option<&str>) -> Result<Vec<ErasureReport>, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "erasures_list", "").await?;
        Ok(analytics.erasures(tenant).await?)
    }
}
