//! Jobs: asking for one, seeing them, stopping them.
use super::{Catalogue, RestoreParams, TargetAsk, copies::copy_of, engine};
use crate::{Actor, Confirmation, ControlError, ControlPlane, error::page_limit, now};
use domain::{
    Permission,
    view::{DrKind, DrPlanSpec, Event, EventKind, ExpirePlanView, ExpireVerdict, JobKind, JobState, JobView, JobsPage},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use store::{EventRepo, JobFilter, JobRepo, JobRow, NewJob, Outcome, Transaction};

/// Full or incremental.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupWanted {
    /// Everything anew.
    Full,
    /// What changed.
    Incremental,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupParams {
    /// Full or incremental.
    pub kind: BackupWanted,
}

/// A verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyParams {
    /// The backup; the newest when `None`.
    pub backup: Option<String>,
}

/// A restore test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestParams {
    /// The backup; the newest when `None`.
    pub backup: Option<String>,
    /// All WAL there is is replayed.
    pub latest: bool,
}

/// Retention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireParams {
    /// Exactly these may go; more is refused. `None`: whatever the rules do not keep.
    pub only: Option<Vec<String>>,
    /// This one goes and no other, whatever the rules say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
}

/// A drill: a plan is rehearsed on a private copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillParams {
    /// The plan.
    pub plan_id: String,
    /// As it was when the drill was asked for.
    pub plan: DrPlanSpec,
    /// To the newest moment, or from the recovery kit.
    pub kind: DrKind,
}

/// The execution of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutionParams {
    /// The plan.
    pub plan_id: String,
    /// As it was when the execution was asked for.
    pub plan: DrPlanSpec,
    /// Until where.
    pub target: TargetAsk,
    /// The directory of the copy; its data in `data`.
    pub directory: PathBuf,
}

/// What exactly a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum JobParams {
    /// A backup.
    Backup(BackupParams),
    /// A verification.
    Verify(VerifyParams),
    /// A restore test.
    RestoreTest(RestoreTestParams),
    /// A restore.
    Restore(Box<RestoreParams>),
    /// Retention.
    Expire(ExpireParams),
    /// A plan is rehearsed.
    Drill(Box<DrillParams>),
    /// A plan is carried out.
    Execution(Box<ExecutionParams>),
}

impl JobParams {
    /// Its kind.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Backup(_) => JobKind::Backup,
            Self::Verify(_) => JobKind::Verify,
            Self::RestoreTest(_) => JobKind::RestoreTest,
            Self::Restore(_) => JobKind::Restore,
            Self::Expire(_) => JobKind::Expire,
            Self::Drill(_) => JobKind::Drill,
            Self::Execution(_) => JobKind::Execution,
        }
    }

    pub(super) fn title(&self) -> String {
        let of = |id: &Option<String>| id.clone().unwrap_or_else(|| "the newest backup".to_owned());
        match self {
            Self::Backup(BackupParams { kind: BackupWanted::Full }) => "Full backup".to_owned(),
            Self::Backup(_) => "Incremental backup".to_owned(),
            Self::Verify(params) => format!("Verification of {}", of(&params.backup)),
            Self::RestoreTest(params) => format!("Restore test of {}", of(&params.backup)),
            Self::Restore(params) => format!("Restore to {}", params.target.label()),
            Self::Expire(ExpireParams { remove: Some(id), .. }) => format!("Removal of {id}"),
            Self::Expire(_) => "Retention".to_owned(),
            Self::Drill(params) => match params.kind {
                DrKind::FullTest => format!("Full drill of plan '{}'", params.plan.name),
                _ => format!("Drill of plan '{}'", params.plan.name),
            },
            Self::Execution(params) => {
                format!("Execution of plan '{}' to {}", params.plan.name, params.target.label())
            }
        }
    }

    /// Jobs of one lane run one after the other: one writer of a repository, one reader of each kind.
    fn lane(&self, place: &str, cluster: &str) -> String {
        match self {
            Self::Backup(_) | Self::Expire(_) => format!("write {place}"),
            other => format!("{} {cluster}", other.kind().as_str()),
        }
    }
}

/// Most jobs on one page.
const JOBS_AT_MOST: u64 = 200;

impl ControlPlane {
    /// Takes a backup, soon.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn backup_start(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        kind: BackupWanted,
    ) -> Result<JobView, ControlError> {
        let id = cluster.unwrap_or_default();
        self.authorize_audited(actor, Permission::BackupOperate, "backup_start", ("cluster", id)).await?;
        self.protected_audited(actor, "backup_start", ("cluster", id), cluster).await?;
        self.job_ask(actor, "backup_start", cluster, JobParams::Backup(BackupParams { kind }), None).await
    }

    /// Reads and checks every byte of a backup, soon.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn backup_verify(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        backup: Option<String>,
    ) -> Result<JobView, ControlError> {
        let object = ("backup", backup.as_deref().unwrap_or_default());
        self.authorize_audited(actor, Permission::BackupOperate, "backup_verify", object).await?;
        self.told(actor, "backup_verify", object, self.known_backup(cluster, backup.as_deref())).await?;
        self.job_ask(actor, "backup_verify", cluster, JobParams::Verify(VerifyParams { backup }), None).await
    }

    /// Restores a backup to a private copy, starts and checks it, soon.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn backup_test_restore(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        params: RestoreTestParams,
    ) -> Result<JobView, ControlError> {
        let object = params.backup.clone().unwrap_or_default();
        let object = ("backup", object.as_str());
        self.authorize_audited(actor, Permission::BackupOperate, "backup_test_restore", object).await?;
        self.told(actor, "backup_test_restore", object, self.known_backup(cluster, params.backup.as_deref())).await?;
        self.job_ask(actor, "backup_test_restore", cluster, JobParams::RestoreTest(params), None).await
    }

    fn known_backup(&self, cluster: Option<&str>, backup: Option<&str>) -> Result<(), ControlError> {
        let (_, slot) = self.protected(cluster)?;
        let catalogue = slot.catalogue.load();
        match backup {
            Some(id) if !catalogue.backups.iter().any(|one| one.id == id) => {
                Err(ControlError::not_found("backup", id, "the list of backups shows all"))
            }
            None if catalogue.backups.is_empty() => {
                Err(ControlError::Conflict("there is no backup yet; take one first".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// What retention would remove.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn expire_plan(&self, actor: &Actor, cluster: Option<&str>) -> Result<ExpirePlanView, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (_, slot) = self.protected(cluster)?;
        let repository = slot.repository().await?;
        let system = slot.catalogue.load().system;
        let Some(system) = system else {
            return Err(ControlError::Conflict("the repository holds nothing of this cluster yet".to_owned()));
        };
        let plan = backup::retention::plan_expire(&repository, system, &slot.config.retention).await.map_err(engine)?;
        Ok(ExpirePlanView {
            verdicts: plan.verdicts.into_iter().map(|it| ExpireVerdict { id: it.id, reasons: it.reasons }).collect(),
            objects: plan.objects.len() as u64,
            bytes: plan.bytes,
            wal_before: plan.wal_before,
            rules: super::overview::retention_rules(&slot.config.retention),
        })
    }

    /// Removes what retention does not keep, soon. With the backups that a person was shown, nothing but these; without
    /// them what a plan shows now.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] when more would go than was shown.
    pub async fn expire(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        shown: Option<&[String]>,
        confirmation: &Confirmation,
    ) -> Result<JobView, ControlError> {
        let object = cluster.unwrap_or_default().to_owned();
        self.authorize_audited(actor, Permission::BackupExpire, "expire", ("cluster", &object)).await?;
        let (id, slot) = self.protected_audited(actor, "expire", ("cluster", &object), cluster).await?;
        self.confirm(actor, "expire", ("cluster", id), id, confirmation).await?;
        let allowed = async {
            let plan = self.expire_plan(actor, cluster).await?;
            let going = plan.verdicts.iter().filter(|it| it.reasons.is_empty()).map(|it| it.id.clone()).collect();
            let going = agreed(going, shown)?;
            let catalogue = slot.catalogue.load();
            let before = serde_json::json!({
                "backups": plan.verdicts.len(),
                "restorable_from": catalogue.intervals.first().map(|it| it.from),
                "restorable_to": catalogue.intervals.last().map(|it| it.to),
                "wal_before": plan.wal_before,
                "expiring": going,
                "objects": plan.objects,
                "bytes": plan.bytes,
            });
            Ok::<_, ControlError>((going, before))
        };
        let (only, before) = self.told(actor, "expire", ("cluster", id), allowed.await).await?;
        let params = ExpireParams { only: Some(only), remove: None };
        self.job_ask(actor, "expire", cluster, JobParams::Expire(params), Some(before)).await
    }

    /// Writes the job and its audit row; wakes the runner. `before` is what stood there, for the audit; `None` where
    /// nothing is replaced, so that what there is to restore says enough.
    pub(crate) async fn job_ask(
        &self,
        actor: &Actor,
        action: &str,
        cluster: Option<&str>,
        params: JobParams,
        before: Option<serde_json::Value>,
    ) -> Result<JobView, ControlError> {
        let key = asked_key(actor, action, cluster);
        let title = params.title();
        let made = self.job_insert(actor, action, cluster, params, (None, key.clone()), before).await?;
        if let Some(id) = made {
            return self.job_view(id).await;
        }
        // It was asked before under the same name.
        let again = JobRepo(self.inner.store.db()).by_schedule_key(&key.unwrap_or_default()).await?;
        match again {
            Some(row) if row.title == title => self.job_view(row.id).await,
            _ => self.refuse_another(actor, action, cluster).await,
        }
    }

    /// The job that the same request made before, when it is sent again under its Idempotency-Key. To be asked before
    /// anything is judged: what that job did, as the directory that it wrote to, must not refuse its own request.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] when the key named another request.
    pub(crate) async fn job_asked_before(
        &self,
        actor: &Actor,
        action: &str,
        cluster: Option<&str>,
        same: impl FnOnce(&JobParams) -> bool,
    ) -> Result<Option<JobView>, ControlError> {
        let Some(key) = asked_key(actor, action, cluster) else { return Ok(None) };
        let Some(row) = JobRepo(self.inner.store.db()).by_schedule_key(&key).await? else { return Ok(None) };
        match serde_json::from_value::<JobParams>(row.params) {
            Ok(params) if same(&params) => Ok(Some(self.job_view(row.id).await?)),
            _ => self.refuse_another(actor, action, cluster).await,
        }
    }

    /// Refuses what was sent with the Idempotency-Key of another request.
    async fn refuse_another<T>(&self, actor: &Actor, action: &str, cluster: Option<&str>) -> Result<T, ControlError> {
        let id = self.protected(cluster)?.0;
        let message = "another request was sent with this Idempotency-Key; give each request a key of its own";
        self.told(actor, action, ("cluster", id), Err(ControlError::Conflict(message.to_owned()))).await
    }

    async fn job_insert(
        &self,
        actor: &Actor,
        action: &str,
        cluster: Option<&str>,
        params: JobParams,
        (requested_by, schedule_key): (Option<&str>, Option<String>),
        before: Option<serde_json::Value>,
    ) -> Result<Option<i64>, ControlError> {
        let (id, slot) = self.protected(cluster)?;
        let who = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        let json = serde_json::to_value(&params)
            .map_err(|error| ControlError::Conflict(format!("the job cannot be written down: {error}")))?;
        let transaction = self.inner.store.begin().await?;
        let made = JobRepo(&transaction)
            .insert(NewJob {
                cluster: id.to_owned(),
                kind: params.kind(),
                lane: params.lane(&slot.config.place, id),
                title: params.title(),
                params: json.clone(),
                schedule_key,
                requested_by: requested_by.map_or(who, str::to_owned),
                at: now(),
            })
            .await?;
        let Some(job) = made else { return Ok(None) };
        let before = before.unwrap_or_else(|| restorable(&slot.catalogue.load()));
        let after = serde_json::json!({ "job": job.to_string(), "what": json });
        self.audit_in(&transaction, actor, action, ("cluster", id), (Some(before), Some(after))).await?;
        self.inner.store.commit(transaction).await?;
        self.inner.recovery.wanted.notify_one();
        Ok(Some(job))
    }

    /// For the scheduler: one job for one moment of a schedule, however many servers see it. Whether it was made now: not when
    /// one that does the same waits still, so that what takes longer than the pause of its schedule does not pile up.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn job_schedule(
        &self,
        cluster: &str,
        params: JobParams,
        key: String,
        requested_by: &str,
    ) -> Result<bool, ControlError> {
        let (kind, state) = (Some(params.kind()), Some(JobState::Queued));
        let queued = JobFilter { cluster: Some(cluster.to_owned()), kind, state, ..JobFilter::default() };
        let waiting = JobRepo(self.inner.store.db()).list(&queued, JOBS_AT_MOST).await?;
        let does_same = |row: JobRow| serde_json::from_value::<JobParams>(row.params).is_ok_and(|it| it == params);
        if waiting.into_iter().any(does_same) {
            return Ok(false);
        }
        let made = self
            .job_insert(&Actor::system(), "job_schedule", Some(cluster), params, (Some(requested_by), Some(key)), None)
            .await?;
        Ok(made.is_some())
    }

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn jobs_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        kind: Option<JobKind>,
        state: Option<JobState>,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<JobsPage, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let before_id = cursor
            .map(|text| {
                text.parse()
                    .map_err(|_| ControlError::field("cursor", "take the cursor from 'next_cursor' of the page before"))
            })
            .transpose()?;
        let cluster = cluster.map(|id| self.inner.clusters.find(Some(id))).transpose()?.map(|it| it.0.id.clone());
        page_limit(limit, JOBS_AT_MOST)?;
        let filter = JobFilter { cluster, kind, state, before_id };
        let rows = JobRepo(self.inner.store.db()).list(&filter, limit).await?;
        let next_cursor = rows.last().filter(|_| rows.len() as u64 == limit).map(|row| row.id.to_string());
        Ok(JobsPage { rows: rows.into_iter().map(view).collect(), next_cursor })
    }

    /// One job with its log.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn job_get(&self, actor: &Actor, id: &str) -> Result<JobView, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        self.job_view(self.job_row(id).await?.id).await
    }

    pub(super) async fn job_row(&self, id: &str) -> Result<JobRow, ControlError> {
        let missing = || ControlError::not_found("job", id, "");
        let number = id.parse().map_err(|_| missing())?;
        JobRepo(self.inner.store.db()).get(number).await?.ok_or_else(missing)
    }

    pub(super) async fn job_view(&self, id: i64) -> Result<JobView, ControlError> {
        let repo = JobRepo(self.inner.store.db());
        let row = repo.get(id).await?.ok_or_else(|| ControlError::not_found("job", id, ""))?;
        let copy = copy_of(&row);
        Ok(JobView { log: repo.log_of(id).await?, copy, ..view(row) })
    }

    /// Stops a job: one that waits at once, one that runs as soon as it hears of it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] when it is over.
    pub async fn job_cancel(&self, actor: &Actor, id: &str) -> Result<JobView, ControlError> {
        // Who may start it may stop it; what cannot be found is told to nobody who may not even stop a backup.
        self.authorize_audited(actor, Permission::BackupOperate, "job_cancel", ("job", id)).await?;
        let row = self.told(actor, "job_cancel", ("job", id), self.job_row(id).await).await?;
        let permission = match row.kind {
            JobKind::Restore | JobKind::Execution => Permission::RestoreExecute,
            JobKind::Expire => Permission::BackupExpire,
            JobKind::Backup | JobKind::Verify | JobKind::RestoreTest | JobKind::Drill => Permission::BackupOperate,
        };
        self.authorize_audited(actor, permission, "job_cancel", ("job", id)).await?;
        let transaction = self.inner.store.begin().await?;
        if !JobRepo(&transaction).request_cancel(row.id).await? {
            drop(transaction);
            let detail = Some(serde_json::json!({ "state": row.state, "reason": "over already" }));
            self.audit_outcome(actor, "job_cancel", ("job", id), store::Outcome::Failed, detail).await?;
            return Err(ControlError::Conflict(format!("job {id} is over already")));
        }
        let change =
            (Some(serde_json::json!({ "state": row.state })), Some(serde_json::json!({ "cancel_requested": true })));
        self.audit_in(&transaction, actor, "job_cancel", ("job", id), change).await?;
        // Whoever looks at the job need not look for its audit row: who stopped it stands in its log, once.
        if !row.cancel_requested {
            let who = actor.identity.as_ref().map(|identity| identity.name.as_str()).unwrap_or_default();
            JobRepo(&transaction).log(row.id, now(), &format!("{who} asked to stop it")).await?;
        }
        self.inner.store.commit(transaction).await?;
        self.job_view(row.id).await
    }

    /// For the runner: writes the end of a job and its audit row together. `false`: the job was no longer ours.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn job_finish(
        &self,
        row: &JobRow,
        state: JobState,
        progress: &domain::view::JobProgress,
        result: Option<&domain::view::JobResult>,
        error: Option<&str>,
    ) -> Result<bool, ControlError> {
        let transaction = self.inner.store.begin().await?;
        let holder = row.holder.as_deref().unwrap_or_default();
        let done = JobRepo(&transaction).finish(row.id, holder, row.attempt, state, progress, result, error).await?;
        if !done {
            return Ok(false);
        }
        self.job_end_in(&transaction, row, state, result, error).await?;
        self.inner.store.commit(transaction).await?;
        Ok(true)
    }

    /// For the runner: a job whose server vanished goes back into the queue, or ends with a reason; its end is written
    /// as every other is. `false`: somebody else did, or its holder lives.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn job_take_back(&self, row: &JobRow, again: bool, reason: &str) -> Result<bool, ControlError> {
        let transaction = self.inner.store.begin().await?;
        if !JobRepo(&transaction).take_back(row, again, reason).await? {
            return Ok(false);
        }
        if !again {
            self.job_end_in(&transaction, row, JobState::Failed, None, Some(reason)).await?;
        }
        self.inner.store.commit(transaction).await?;
        Ok(true)
    }

    /// What stays of a job that is over: its audit row, and the run of a plan in the history.
    async fn job_end_in(
        &self,
        transaction: &Transaction,
        row: &JobRow,
        state: JobState,
        result: Option<&domain::view::JobResult>,
        error: Option<&str>,
    ) -> Result<(), ControlError> {
        let outcome = if state == JobState::Succeeded { Outcome::Ok } else { Outcome::Failed };
        // An incremental each hour would stand on every chart: those are on the time bar.
        if let Some(domain::view::JobResult::Backup { kind, stored_bytes, .. }) = result
            && kind == "full"
        {
            let title = format!("full backup, {} stored", domain::format::bytes(*stored_bytes as f64));
            let event = Event::new(now(), EventKind::Backup, title);
            EventRepo(transaction).insert(&row.cluster, &[event]).await?;
        }
        let before = serde_json::json!({ "state": row.state, "attempt": row.attempt });
        let after = match row.kind {
            // The evidence is kept for itself; its hash stands here, and so in the chain.
            JobKind::Drill | JobKind::Execution => {
                let run = self.dr_run_in(transaction, row, result, error).await?;
                serde_json::json!({ "state": state, "run": run, "error": error })
            }
            _ => serde_json::json!({ "state": state, "result": result, "error": error }),
        };
        self.audit_outcome_in(
            transaction,
            &Actor::system(),
            &format!("{}_finish", row.kind.as_str()),
            ("job", &row.id.to_string()),
            outcome,
            (Some(before), Some(after)),
        )
        .await
    }
}

/// Under which one job is made for a request that is sent again; `None` when the client gave it no name.
fn asked_key(actor: &Actor, action: &str, cluster: Option<&str>) -> Option<String> {
    let who = actor.identity.as_ref().map(|identity| identity.name.as_str()).unwrap_or_default();
    let key = actor.idempotency_key.as_ref()?;
    Some(format!("asked {who} {action} {} {key}", cluster.unwrap_or_default()))
}

/// What there is to restore when something is asked for: before it, in the audit log.
fn restorable(catalogue: &Catalogue) -> serde_json::Value {
    serde_json::json!({
        "newest_backup": catalogue.backups.last().map(|it| it.id.as_str()),
        "restorable_to": catalogue.intervals.last().map(|it| it.to),
    })
}

/// What may go: what would go now, as long as somebody was shown all of it.
fn agreed(going: Vec<String>, shown: Option<&[String]>) -> Result<Vec<String>, ControlError> {
    match shown.and_then(|shown| going.iter().find(|id| !shown.contains(id))) {
        Some(more) => Err(ControlError::Conflict(format!(
            "backup {more} would go too, which the plan did not show; look at it again"
        ))),
        None => Ok(going),
    }
}

pub(super) fn view(row: JobRow) -> JobView {
    JobView {
        id: row.id.to_string(),
        cluster: row.cluster,
        kind: row.kind,
        state: row.state,
        title: row.title,
        requested_by: row.requested_by,
        requested_at: row.requested_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        attempt: row.attempt,
        cancel_requested: row.cancel_requested,
        progress: row.progress,
        error: row.error,
        result: row.result,
        copy: None,
        log: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_that_was_not_shown() {
        let ids = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(agreed(ids("a b"), None).is_ok_and(|it| it == ids("a b")));
        assert!(agreed(ids("a b"), Some(&ids("b a c"))).is_ok_and(|it| it == ids("a b")), "c is kept again");
        let more = agreed(ids("a b c"), Some(&ids("a b")));
        assert!(more.is_err_and(|error| error.to_string().contains("backup c would go too")));
    }
}
