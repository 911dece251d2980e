//! The archive of analytics, for those who look after the platform.
use super::{ArchiveOutcome, ArchiveStep, RestoreOutcome};
use crate::{Actor, ControlError, ControlPlane};
use backup::Repository;
use domain::{ErrorKind, Permission, Timestamp, view::ArchiveView};
use serde_json::json;
use store::Outcome;

impl ControlPlane {
    /// Opens the configured repository of archives.
    ///
    /// # Errors
    /// [`ControlError::Platform`] when none is configured or it cannot be opened.
    pub async fn analytics_repository(&self) -> Result<Repository, ControlError> {
        let failed = |message: String| ControlError::Platform { kind: ErrorKind::Unavailable, message };
        let open = self.inner.analytics.archive().ok_or_else(|| {
            failed("there is no repository for archives: configure backups (BACKUP_STORAGE_PATH or BACKUP_STORAGE_BUCKET and BACKUP_ENCRYPTION_KEY_PATH)".to_owned())
        })?;
        (open.0)().await.map_err(failed)
    }

    /// Every archived month.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::Platform`].
    pub async fn analytics_archives(
        &self,
        actor: &Actor,
        repository: &Repository,
    ) -> Result<Vec<ArchiveView>, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        Ok(self.analytics_service()?.archives(repository).await?)
    }

    /// Archives what is past its time, or with `dry_run` says what that is.
    ///
    /// # Errors
    /// As [`Self::analytics_archives`].
    pub async fn analytics_archive(
        &self,
        actor: &Actor,
        repository: &Repository,
        dry_run: bool,
        step: &(dyn Fn(ArchiveStep) + Send + Sync),
    ) -> Result<ArchiveOutcome, ControlError> {
        let object = ("analytics_archive", "");
        self.authorize_audited(actor, Permission::BackupExpire, "analytics_archive", object).await?;
        let done = self.analytics_service()?.archive(repository, dry_run, step).await;
        if !dry_run {
            let (outcome, detail) = told(&done);
            self.audit_outcome(actor, "analytics_archive", object, outcome, Some(detail)).await?;
        }
        Ok(done?)
    }

    /// Brings archived rows of a range back into `analytics_restored`.
    ///
    /// # Errors
    /// As [`Self::analytics_archives`].
    pub async fn analytics_restore(
        &self,
        actor: &Actor,
        repository: &Repository,
        (from, to): (Timestamp, Timestamp),
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<RestoreOutcome, ControlError> {
        let span = format!("{from} to {to}");
        let object = ("analytics_archive", span.as_str());
        self.authorize_audited(actor, Permission::RestoreExecute, "analytics_restore", object).await?;
        let done = self.analytics_service()?.restore_archived(repository, from, to, progress).await;
        let (outcome, detail) = told(&done);
        self.audit_outcome(actor, "analytics_restore", object, outcome, Some(detail)).await?;
        Ok(done?)
    }

    /// Removes the rows that were brought back.
    ///
    /// # Errors
    /// As [`Self::analytics_archives`].
    pub async fn analytics_discard_restored(&self, actor: &Actor) -> Result<u64, ControlError> {
        let object = ("analytics_archive", "restored");
        self.authorize_audited(actor, Permission::RestoreExecute, "analytics_discard_restored", object).await?;
        let rows = self.analytics_service()?.discard_restored().await?;
        self.audit_outcome(actor, "analytics_discard_restored", object, Outcome::Ok, Some(json!({ "rows": rows })))
            .await?;
        Ok(rows)
    }
}

fn told<T: serde::Serialize, E: std::fmt::Display>(done: &Result<T, E>) -> (Outcome, serde_json::Value) {
    match done {
        Ok(done) => (Outcome::Ok, json!(done)),
        Err(error) => (Outcome::Failed, json!({ "reason": error.to_string() })),
    }
}
