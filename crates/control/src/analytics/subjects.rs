//! What is held on a person, and its erasure. Whoever belongs to a tenant works on that tenant's rows; whoever belongs
//! to none names one, or means all.
use crate::{Actor, ControlError, ControlPlane};
use analytics::Analytics;
use backup::Repository;
use catalog::Tenant;
use domain::{
    Permission,
    view::{ErasureReport, SubjectPlan},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::Outcome;

/// The audit log keeps who was meant without keeping the name.
fn hash(subject: &str) -> String {
    Sha256::digest(subject.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
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

    /// Everything that is held on a subject. That it was asked for is in the audit log.
    ///
    /// # Errors
    /// As [`Self::subject_plan`].
    pub async fn subject_export(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        subject: &str,
    ) -> Result<Value, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "subject_export", subject).await?;
        let export = analytics.subject_export(tenant, subject, self.repository_if_any().await.as_ref()).await?;
        let detail = json!({ "tenant": tenant.map(|it| it.0) });
        self.audit_outcome(actor, "subject_export", ("subject", &hash(subject)), Outcome::Ok, Some(detail)).await?;
        Ok(export)
    }

    /// Erases a subject; the report is the certificate. `confirm` must be the subject once more.
    ///
    /// # Errors
    /// As [`Self::subject_plan`].
    pub async fn subject_erase(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        subject: &str,
        confirm: &str,
    ) -> Result<ErasureReport, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "subject_erase", subject).await?;
        if confirm != subject {
            return Err(ControlError::field(
                "confirm",
                "write the subject's id once more in 'confirm'; nothing was changed",
            ));
        }
        let object = hash(subject);
        let object = ("subject", object.as_str());
        // The two databases share no transaction: the intention is written before, the outcome after.
        let asked = json!({ "tenant": tenant.map(|it| it.0) });
        self.audit_outcome(actor, "subject_erase_asked", object, Outcome::Ok, Some(asked)).await?;
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
