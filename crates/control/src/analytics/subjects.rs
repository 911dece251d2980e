//! What is held on a person, and its erasure. Whoever belongs to a tenant works on that tenant's rows; whoever belongs
//! to none names one, or means all.
use crate::{Actor, Confirmation, ControlError, ControlPlane};
use analytics::Analytics;
use backup::Repository;
use catalog::Tenant;
use domain::{
    Permission,
    view::{ErasureReport, SubjectPlan},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use store::{AccountRepo, Outcome, PersonRepo};
use tokio::sync::mpsc;

/// Pieces of an export that wait to be taken.
const PIECES: usize = 2;

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

/// Takes a name out of our own records. An account belongs to a tenant or to none: a tenant's erasure is of that tenant's accounts.
async fn own_names(
    transaction: &store::Transaction,
    tenant: Option<Tenant>,
    subject: &str,
) -> Result<SubjectPlan, ControlError> {
    let account = AccountRepo(transaction).find(subject).await?;
    let own = account.as_ref().and_then(|account| account.tenant);
    if tenant.is_some() && own != tenant.map(|it| it.0) {
        return Ok(SubjectPlan::default());
    }
    let names = PersonRepo(transaction).erase(subject).await?;
    Ok(SubjectPlan {
        own_records: i64::try_from(names.erased).unwrap_or(i64::MAX),
        own_kept: i64::try_from(names.kept).unwrap_or(i64::MAX),
        account: account.is_some(),
        ..SubjectPlan::default()
    })
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
        let plan = analytics.subject_plan(tenant, subject, self.repository_if_any().await.as_ref()).await?;
        let transaction = self.store().begin().await?;
        // As an erasure would do it, and taken back.
        let own = own_names(&transaction, tenant, subject).await?;
        // Dropped, it is rolled back.
        drop(transaction);
        Ok(SubjectPlan { own_records: own.own_records, own_kept: own.own_kept, account: own.account, ..plan })
    }

    /// Everything that is held on a subject, as the pieces of one JSON document; an error is the last. That it was asked for is in
    /// the audit log before the first piece, what became of it after the last.
    ///
    /// # Errors
    /// As [`Self::subject_plan`].
    pub async fn subject_export(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        subject: &str,
    ) -> Result<mpsc::Receiver<Result<String, ControlError>>, ControlError> {
        let (analytics, tenant) = self.subjects_of(actor, tenant, "subject_export", subject).await?;
        let hash = hash(subject);
        let asked = json!({ "tenant": tenant.map(|it| it.0) });
        self.audit_outcome(actor, "subject_export_asked", ("subject", &hash), Outcome::Ok, Some(asked)).await?;
        let (to, taken) = mpsc::channel(PIECES);
        let (control, actor, subject) = (self.clone(), actor.clone(), subject.to_owned());
        tokio::spawn(async move {
            let done = control.export(&analytics, tenant, &subject, &to).await;
            let (outcome, detail) = match &done {
                Ok(()) => (Outcome::Ok, json!({ "tenant": tenant.map(|it| it.0) })),
                Err(error) => (Outcome::Failed, json!({ "reason": error.to_string() })),
            };
            let told = control.audit_outcome(&actor, "subject_export", ("subject", &hash), outcome, Some(detail)).await;
            if let Err(error) = told {
                tracing::error!(%error, "the outcome of an export could not be written into the audit log");
            }
            if let Err(error) = done {
                // Whoever has gone away need not be told.
                let _ = to.send(Err(error)).await;
            }
        });
        Ok(taken)
    }

    async fn export(
        &self,
        analytics: &Analytics,
        tenant: Option<Tenant>,
        subject: &str,
        to: &mpsc::Sender<Result<String, ControlError>>,
    ) -> Result<(), ControlError> {
        let repository = self.repository_if_any().await;
        let (pieces, mut written) = mpsc::channel(1);
        let write = async {
            let done = analytics.subject_export(tenant, subject, repository.as_ref(), &pieces).await;
            drop(pieces);
            done
        };
        let pass_on = async {
            while let Some(piece) = written.recv().await {
                if to.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            // Whoever writes is told that nobody takes it.
            drop(written);
        };
        let (done, ()) = tokio::join!(write, pass_on);
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
        // Two databases: ours comes first, and whoever erases again finds nothing more there.
        let transaction = self.store().begin().await?;
        let own = own_names(&transaction, tenant, subject).await?;
        self.store().commit(transaction).await?;
        let repository = self.repository_if_any().await;
        let done = analytics.subject_erase(tenant, subject, &by, repository.as_ref(), &own).await;
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
