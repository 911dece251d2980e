//! Copies that a restore started beside the original: those that run, what is here of one, taking it away.
use super::{JobParams, RestoreParams, running_in};
use crate::{Actor, Confirmation, ControlError, ControlPlane, now};
use domain::{
    Permission,
    view::{JobCopy, JobView},
};
use pgphysical::{ClusterError, LocalCluster, ShutdownMode};
use serde_json::json;
use std::{collections::HashMap, fs, path::Path};
use store::{JobRepo, JobRow, Outcome};
use tokio::sync::Mutex;

/// Copies that go on after their job, until we end.
#[derive(Debug, Default)]
pub struct Copies(Mutex<HashMap<i64, LocalCluster>>);

impl Copies {
    /// Keeps a running copy.
    pub async fn keep(&self, job: i64, server: LocalCluster) {
        self.0.lock().await.insert(job, server);
    }

    /// Stops the copy of a job; nothing when it is not kept here.
    async fn stop(&self, job: i64) -> Result<(), ClusterError> {
        let Some(mut server) = self.0.lock().await.remove(&job) else { return Ok(()) };
        let stopped = server.stop(ShutdownMode::Fast).await;
        if stopped.is_err() {
            self.keep(job, server).await;
        }
        stopped
    }

    /// Stops all of them.
    pub async fn stop_all(&self) {
        for (job, mut server) in self.0.lock().await.drain() {
            if let Err(error) = server.stop(ShutdownMode::Fast).await {
                tracing::warn!(%error, job, "a restored copy was not stopped");
            }
        }
    }
}

/// What a restore was asked to start.
fn started(row: &JobRow) -> Option<RestoreParams> {
    match serde_json::from_value(row.params.clone()) {
        Ok(JobParams::Restore(params)) if params.start && !params.delta => Some(*params),
        _ => None,
    }
}

/// The directory holds the copy of this job: its restore wrote the mark before anything else.
fn is_marked(directory: &Path, job: i64) -> bool {
    fs::read_to_string(directory.join("holdfast-job")).is_ok_and(|text| text.trim() == job.to_string())
}

/// What is on this host of the copy that a restore started; `None` when it is gone, or on another host.
pub(super) fn copy_of(row: &JobRow) -> Option<JobCopy> {
    let params = started(row).filter(|params| is_marked(&params.directory, row.id))?;
    Some(JobCopy {
        directory: params.directory.display().to_string(),
        runs: running_in(&params.data_directory()).is_some(),
    })
}

impl ControlPlane {
    /// Stops the copy that a restore started and removes its directory. The typed name is the cluster's id.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Conflict`] when there is none here, or it is not ours to stop.
    pub async fn copy_remove(
        &self,
        actor: &Actor,
        id: &str,
        confirmation: &Confirmation,
    ) -> Result<JobView, ControlError> {
        const ACTION: &str = "restore_copy_remove";
        self.authorize_audited(actor, Permission::RestoreExecute, ACTION, ("job", id)).await?;
        let row = self.told(actor, ACTION, ("job", id), self.job_row(id).await).await?;
        self.confirm(actor, ACTION, ("job", id), &row.cluster, confirmation).await?;
        self.audit_outcome(actor, "restore_copy_remove_asked", ("job", id), Outcome::Ok, None).await?;
        let before = json!({
            "job": row.title,
            "state": row.state,
            "backup": started(&row).map(|params| params.backup),
            "copy": copy_of(&row),
        });
        match self.take_away(&row).await {
            Ok(directory) => {
                let change = (Some(before), Some(json!({ "removed": directory })));
                self.audit_change(actor, ACTION, ("job", id), change).await?;
                let who = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
                let line = format!("{who} had the copy stopped and {directory} removed");
                JobRepo(self.inner.store.db()).log(row.id, now(), &line).await?;
                self.job_view(row.id).await
            }
            Err(error) => {
                let detail = json!({ "reason": error.to_string() });
                self.audit_outcome(actor, ACTION, ("job", id), Outcome::Failed, Some(detail)).await?;
                Err(error)
            }
        }
    }

    async fn take_away(&self, row: &JobRow) -> Result<String, ControlError> {
        let refused = |reason: String| Err(ControlError::Conflict(reason));
        if !row.state.is_over() {
            return refused(format!("job {} is under way; stop it first", row.id));
        }
        let Some(params) = started(row).filter(|params| is_marked(&params.directory, row.id)) else {
            return refused(format!("there is no copy of job {} on this host", row.id));
        };
        let (directory, shown) = (params.directory.clone(), params.directory.display().to_string());
        let slot = self.inner.recovery.slot(&row.cluster);
        // Nothing outside of where the host's configuration lets restores go.
        if !slot.is_some_and(|slot| directory.starts_with(&slot.config.restore_directory)) {
            return refused(format!("{shown} is not below restore_directory; remove it by hand"));
        }
        let stopped = self.inner.recovery.copies().stop(row.id).await;
        stopped.map_err(|error| ControlError::Conflict(error.to_string()))?;
        if let Some(pid) = running_in(&params.data_directory()) {
            return refused(format!("a server that is not ours runs in {shown} (process {pid}): stop it first"));
        }
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(directory)).await;
        let reason = match removed {
            Ok(Ok(())) => return Ok(shown),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        refused(format!("{shown} was not removed whole: {reason}"))
    }
}
