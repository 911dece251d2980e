//! Plans for disasters: written, rehearsed, carried out, and what came of it.
use super::{DrillParams, ExecutionParams, JobParams, RestoreAsk, Slot, TargetAsk, lies_in};
use crate::{Actor, Confirmation, ControlError, ControlPlane, now};
use domain::{
    Permission, Timestamp, format,
    view::{
        DrAction, DrDryRun, DrDryStep, DrKind, DrOverview, DrPlanSpec, DrPlanView, DrReport, DrRunRow, DrRunView,
        JobKind, JobResult, JobView, ProofView,
    },
};
use serde_json::json;
use store::{DrDecisionRow, DrPlanRow, DrRepo, JobRow, Transaction};

/// Runs that a page shows.
const RUNS_SHOWN: u64 = 50;

/// The next moments of a calendar: cron and time zone are read where schedules are (`recovery`).
pub type DrSchedule = fn(cron: &str, zone: &str) -> Result<Vec<Timestamp>, String>;

/// What a drill proved, as a restore test would have; `None` when it chose no backup. One that failed before its copy took
/// writes proves that the backup could not be restored, and measured no recovery time.
pub(super) fn proof(report: &DrReport) -> Option<ProofView> {
    let plan = report.steps.iter().find(|step| step.action == DrAction::ChoosePoint).and_then(|step| step.seconds);
    Some(ProofView {
        backup: report.backup.clone()?,
        at: report.finished_at,
        ok: report.ok,
        // The report has what was to be written.
        bytes: if report.restore_seconds > 0.0 { report.bytes } else { 0 },
        wal_bytes: report.wal_bytes,
        plan_seconds: plan.unwrap_or_default(),
        restore_seconds: report.restore_seconds,
        recovery_seconds: report.recovery_seconds,
        check_seconds: report.check_seconds,
        rto_seconds: report.rto_seconds.map_or(0.0, |it| it - report.waited_seconds),
        rpo_seconds: report.rpo_seconds,
        checks: report.checks.clone(),
        unproved: report.unproved.clone(),
        problems: report.problems.clone(),
    })
}

impl ControlPlane {
    /// Plans of a cluster, what they showed, and what can be chosen for them.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] when the cluster is not backed up.
    pub async fn dr_overview(&self, actor: &Actor, cluster: Option<&str>) -> Result<DrOverview, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (id, slot) = self.protected(cluster)?;
        let repo = DrRepo(self.inner.store.db());
        let plans = repo.plans(id).await?.into_iter().map(|row| self.plan_view(slot, row)).collect();
        let disaster = &slot.config.disaster;
        Ok(DrOverview {
            cluster: id.to_owned(),
            plans,
            runs: repo.runs(id, None, RUNS_SHOWN).await?,
            hooks: disaster.hooks.keys().cloned().collect(),
            full_test_missing: disaster.kit.as_ref().err().cloned(),
        })
    }

    fn plan_view(&self, slot: &Slot, row: DrPlanRow) -> DrPlanView {
        let next = |cron: &Option<String>| {
            let zone = &slot.config.time_zone;
            let schedule = self.inner.recovery.schedule;
            cron.as_deref().zip(schedule).and_then(|(cron, schedule)| schedule(cron, zone).ok()).unwrap_or_default()
        };
        DrPlanView {
            id: row.id.to_string(),
            cluster: row.cluster,
            next_test: next(&row.spec.test),
            next_full_test: next(&row.spec.full_test),
            plan: row.spec,
            hash: row.hash,
            changed_by: row.changed_by,
            changed_at: row.changed_at,
        }
    }

    async fn plan_row(&self, cluster: &str, id: &str) -> Result<DrPlanRow, ControlError> {
        let missing = || ControlError::not_found("recovery plan", id, "the list of plans shows all");
        let number = id.parse::<i64>().map_err(|_| missing())?;
        let row = DrRepo(self.inner.store.db()).plan(number).await?;
        row.filter(|row| row.cluster == cluster).ok_or_else(missing)
    }

    /// One plan.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn dr_plan_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
    ) -> Result<DrPlanView, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (cluster, slot) = self.protected(cluster)?;
        let row = self.plan_row(cluster, id).await?;
        Ok(self.plan_view(slot, row))
    }

    /// What is wrong with a plan here: its order, a hook that the host does not have, a calendar that cannot be read.
    fn plan_check(&self, slot: &Slot, spec: &DrPlanSpec) -> Result<(), ControlError> {
        spec.check().map_err(|(field, message)| ControlError::field(field, message))?;
        let disaster = &slot.config.disaster;
        for hook in spec.steps.iter().filter_map(|step| step.hook.as_deref()).filter(|hook| !hook.is_empty()) {
            if !disaster.hooks.contains_key(hook) {
                let there = disaster.hooks.keys().cloned().collect::<Vec<_>>().join(", ");
                let there = if there.is_empty() { "there is none".to_owned() } else { format!("there are: {there}") };
                let message = format!(
                    "the host has no hook '{hook}' ({there}); commands are written in [backup.hooks] of holdfast.toml, never here"
                );
                return Err(ControlError::field("steps", message));
            }
        }
        for (field, cron) in [("test", &spec.test), ("full_test", &spec.full_test)] {
            if let (Some(cron), Some(schedule)) = (cron, self.inner.recovery.schedule) {
                schedule(cron, &slot.config.time_zone).map_err(|message| ControlError::field(field, message))?;
            }
        }
        if let (Some(_), Err(reason)) = (&spec.full_test, &disaster.kit) {
            return Err(ControlError::field("full_test", format!("it needs the recovery kit: {reason}")));
        }
        Ok(())
    }

    /// Writes a plan. The typed name is the cluster's id.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field, [`ControlError::Conflict`] when the name is taken.
    pub async fn dr_plan_create(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        spec: DrPlanSpec,
        confirmation: &Confirmation,
    ) -> Result<DrPlanView, ControlError> {
        const ACTION: &str = "dr_plan_create";
        let object = cluster.unwrap_or_default().to_owned();
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("cluster", &object)).await?;
        let (id, slot) = self.protected_audited(actor, ACTION, ("cluster", &object), cluster).await?;
        self.confirm(actor, ACTION, ("cluster", id), id, confirmation).await?;
        self.told(actor, ACTION, ("cluster", id), self.plan_check(slot, &spec)).await?;
        let made = self.plan_insert(actor, id, &spec).await?;
        let made = made.ok_or_else(|| ControlError::Conflict(format!("there is a plan '{}' already", spec.name)));
        let made = self.told(actor, ACTION, ("cluster", id), made).await?;
        Ok(self.plan_view(slot, self.plan_row(id, &made.to_string()).await?))
    }

    async fn plan_insert(&self, actor: &Actor, cluster: &str, spec: &DrPlanSpec) -> Result<Option<i64>, ControlError> {
        let who = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        let transaction = self.inner.store.begin().await?;
        let Some(made) = DrRepo(&transaction).plan_add(cluster, spec, &who, now()).await? else { return Ok(None) };
        let object = made.to_string();
        self.audit_in(&transaction, actor, "dr_plan_create", ("dr_plan", &object), (None, Some(json!(spec)))).await?;
        self.inner.store.commit(transaction).await?;
        Ok(Some(made))
    }

    /// For the service's start: a cluster that never had a plan gets the standard one.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn dr_plan_ensure(&self, cluster: &str) -> Result<(), ControlError> {
        if !DrRepo(self.inner.store.db()).had_plan(cluster).await? {
            self.plan_insert(&Actor::system(), cluster, &DrPlanSpec::standard()).await?;
        }
        Ok(())
    }

    /// Changes a plan. The typed name is the cluster's id. Runs that are under way go on by the plan as it was.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] by field.
    pub async fn dr_plan_set(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        spec: DrPlanSpec,
        confirmation: &Confirmation,
    ) -> Result<DrPlanView, ControlError> {
        const ACTION: &str = "dr_plan_set";
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("dr_plan", id)).await?;
        let (name, slot) = self.protected_audited(actor, ACTION, ("dr_plan", id), cluster).await?;
        self.confirm(actor, ACTION, ("dr_plan", id), name, confirmation).await?;
        let before = self.told(actor, ACTION, ("dr_plan", id), self.plan_row(name, id).await).await?;
        self.told(actor, ACTION, ("dr_plan", id), self.plan_check(slot, &spec)).await?;
        let who = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        let transaction = self.inner.store.begin().await?;
        if !DrRepo(&transaction).plan_set(before.id, &spec, &who, now()).await? {
            drop(transaction);
            let reason = format!("there is a plan '{}' already, or this one is gone", spec.name);
            return self.told(actor, ACTION, ("dr_plan", id), Err(ControlError::Conflict(reason))).await;
        }
        let change = (Some(json!(before.spec)), Some(json!(spec)));
        self.audit_in(&transaction, actor, ACTION, ("dr_plan", id), change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(self.plan_view(slot, self.plan_row(name, id).await?))
    }

    /// Takes a plan out of the offer; its runs and their evidence stay.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn dr_plan_remove(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        confirmation: &Confirmation,
    ) -> Result<(), ControlError> {
        const ACTION: &str = "dr_plan_remove";
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("dr_plan", id)).await?;
        let name = self.protected_audited(actor, ACTION, ("dr_plan", id), cluster).await?.0;
        self.confirm(actor, ACTION, ("dr_plan", id), name, confirmation).await?;
        let before = self.told(actor, ACTION, ("dr_plan", id), self.plan_row(name, id).await).await?;
        let transaction = self.inner.store.begin().await?;
        DrRepo(&transaction).plan_remove(before.id, now()).await?;
        self.audit_in(&transaction, actor, ACTION, ("dr_plan", id), (Some(json!(before.spec)), None)).await?;
        Ok(self.inner.store.commit(transaction).await?)
    }

    /// What each step of a plan would do now. Nothing is changed.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] for a target that cannot be reached.
    pub async fn dr_dry_run(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        target: &TargetAsk,
    ) -> Result<DrDryRun, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (name, slot) = self.protected(cluster)?;
        let row = self.plan_row(name, id).await?;
        let ask = RestoreAsk { target: target.clone(), start: true, ..RestoreAsk::default() };
        let (_, restore) = self.planned(Some(name), &ask).await?;
        let objectives = self.objectives(slot).await?;
        let forecast = analysis::recovery::forecast(restore.bytes, restore.wal_bytes, &self.proofs(name).await?);
        let disaster = &slot.config.disaster;
        let port = disaster.port.map_or_else(|| "a free port".to_owned(), |port| format!("port {port}"));
        let steps = row.spec.steps.iter().map(|step| {
            let (what, expected) = match step.action {
                DrAction::ChoosePoint => (
                    format!(
                        "{}: from {} ({}) along timeline {}",
                        restore.target, restore.backup, restore.backup_kind, restore.timeline
                    ),
                    forecast.as_ref().map(|it| it.plan_seconds).filter(|seconds| *seconds > 0.0),
                ),
                DrAction::Restore => (
                    format!(
                        "{} in {} to {}",
                        format::bytes(restore.bytes as f64),
                        format::counted(restore.files, "file", "files"),
                        restore.directory
                    ),
                    forecast.as_ref().map(|it| it.restore_seconds),
                ),
                DrAction::Start => (
                    format!(
                        "on {} and {port}, replays up to {}",
                        disaster.listen,
                        format::bytes(restore.wal_bytes as f64)
                    ),
                    forecast.as_ref().map(|it| it.replay_seconds),
                ),
                DrAction::Promote => (
                    "the copy takes writes, on a timeline of its own and with the original's configuration".to_owned(),
                    None,
                ),
                DrAction::Check => (
                    format!(
                        "rows of the largest tables, {}; a drill also runs pg_amcheck and pg_checksums",
                        format::counted(slot.config.probes.len(), "chosen statement", "chosen statements")
                    ),
                    None,
                ),
                DrAction::Switch => (
                    match (&step.hook, &step.connection) {
                        (Some(hook), _) => match disaster.hooks.get(hook) {
                            Some(_) => format!("runs the host's hook '{hook}'; a drill only says so"),
                            None => format!("the host has no hook '{hook}'"),
                        },
                        (None, Some(text)) => format!("shows people: {text}"),
                        (None, None) => "nothing is configured".to_owned(),
                    },
                    None,
                ),
                DrAction::Notify => ("tells the channels of alerts what was done".to_owned(), None),
            };
            DrDryStep { action: step.action, what, expected_seconds: expected, approval: step.approval }
        });
        let steps = steps.collect();
        let mut notes = restore.notes.clone();
        if let Some(reason) = self.original_lives(name) {
            notes.push(reason);
        }
        let mut refusals = restore.refusals;
        if let Err(error) = self.plan_check(slot, &row.spec) {
            refusals.push(error.to_string());
        }
        Ok(DrDryRun {
            plan: self.plan_view(slot, row),
            steps,
            expected_seconds: forecast.map(|it| it.seconds),
            objectives: Some(objectives),
            notes,
            refusals,
        })
    }

    /// What speaks against leading applications elsewhere: the original still takes writes. Of the newest snapshot.
    pub fn original_lives(&self, cluster: &str) -> Option<String> {
        let (_, snapshot) = self.inner.clusters.find(Some(cluster)).ok()?;
        let dashboard = &snapshot.dashboard;
        let lives = dashboard.cluster.state == domain::view::ClusterState::Up
            && dashboard.collected_at.is_some_and(|at| now().seconds_since(at) < 120.0);
        lives.then(|| {
            format!(
                "the original '{cluster}' answers and may take writes: stop it or keep applications away from it before the switch, or its writes are lost"
            )
        })
    }

    /// Rehearses a plan, soon.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Conflict`] when there is no backup or no recovery kit.
    pub async fn dr_drill_start(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        kind: DrKind,
    ) -> Result<JobView, ControlError> {
        const ACTION: &str = "dr_drill_start";
        self.authorize_audited(actor, Permission::BackupOperate, ACTION, ("dr_plan", id)).await?;
        let (name, slot) = self.protected_audited(actor, ACTION, ("dr_plan", id), cluster).await?;
        let allowed = async {
            let row = self.plan_row(name, id).await?;
            if kind == DrKind::Execution {
                return Err(ControlError::field("kind", "a drill is a test or a full_test"));
            }
            if let (DrKind::FullTest, Err(reason)) = (kind, &slot.config.disaster.kit) {
                return Err(ControlError::Conflict(format!(
                    "a full drill opens the repository by the recovery kit: {reason}"
                )));
            }
            if slot.catalogue.load().backups.is_empty() {
                return Err(ControlError::Conflict("there is no backup yet; take one first".to_owned()));
            }
            Ok(row)
        };
        let row = self.told(actor, ACTION, ("dr_plan", id), allowed.await).await?;
        let params = DrillParams { plan_id: row.id.to_string(), plan: row.spec, kind };
        self.job_ask(actor, ACTION, Some(name), JobParams::Drill(Box::new(params)), None).await
    }

    /// Carries a plan out, soon. The typed name is the cluster's id.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Conflict`] with why the plan is refused.
    pub async fn dr_execute(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        target: &TargetAsk,
        confirmation: &Confirmation,
    ) -> Result<JobView, ControlError> {
        const ACTION: &str = "dr_execute";
        self.authorize_audited(actor, Permission::RestoreExecute, ACTION, ("dr_plan", id)).await?;
        let (name, slot) = self.protected_audited(actor, ACTION, ("dr_plan", id), cluster).await?;
        self.confirm(actor, ACTION, ("dr_plan", id), name, confirmation).await?;
        let same =
            |before: &JobParams| matches!(before, JobParams::Execution(it) if it.plan_id == id && it.target == *target);
        if let Some(job) = self.job_asked_before(actor, ACTION, Some(name), same).await? {
            return Ok(job);
        }
        let allowed = async {
            let row = self.plan_row(name, id).await?;
            self.plan_check(slot, &row.spec)?;
            let ask = RestoreAsk { target: target.clone(), start: true, ..RestoreAsk::default() };
            let (restore, view) = self.planned(Some(name), &ask).await?;
            match view.refusals.into_iter().next() {
                Some(refusal) => Err(ControlError::Conflict(refusal)),
                None => Ok((row, restore)),
            }
        };
        let (row, restore) = self.told(actor, ACTION, ("dr_plan", id), allowed.await).await?;
        let before = json!({
            "plan": row.spec.name,
            "plan_hash": row.hash,
            "there": lies_in(&restore.data_directory()),
            "original": self.original_lives(name),
        });
        let params = ExecutionParams {
            plan_id: row.id.to_string(),
            plan: row.spec,
            target: target.clone(),
            directory: restore.directory,
        };
        self.job_ask(actor, ACTION, Some(name), JobParams::Execution(Box::new(params)), Some(before)).await
    }

    /// Approves the step that an execution waits at, or aborts it. Approving wants the cluster's id and the password.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Conflict`] when it does not wait at that step.
    pub async fn dr_decide(
        &self,
        actor: &Actor,
        job: &str,
        step: usize,
        approve: bool,
        note: &str,
        confirmation: &Confirmation,
    ) -> Result<JobView, ControlError> {
        let action = if approve { "dr_approve" } else { "dr_abort" };
        self.authorize_audited(actor, Permission::RestoreExecute, action, ("job", job)).await?;
        let row = self.told(actor, action, ("job", job), self.job_row(job).await).await?;
        if approve {
            self.confirm(actor, action, ("job", job), &row.cluster, confirmation).await?;
        }
        let waits = row.progress.waiting.as_ref().filter(|_| row.kind == JobKind::Execution && !row.state.is_over());
        let Some(waits) = waits.filter(|waits| waits.step == step) else {
            let refusal = ControlError::Conflict(format!("job {job} does not wait for step {}", step + 1));
            return self.told(actor, action, ("job", job), Err(refusal)).await;
        };
        let before = json!({ "state": row.state, "step": step, "decision": null, "waits_for": waits.what });
        let decision = DrDecisionRow {
            step,
            decision: if approve { "approve" } else { "abort" }.to_owned(),
            actor: actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default(),
            at: now(),
            note: note.trim().chars().take(2_000).collect(),
        };
        let transaction = self.inner.store.begin().await?;
        if !DrRepo(&transaction).decide(row.id, &decision).await? {
            drop(transaction);
            let refusal = ControlError::Conflict(format!("step {} of job {job} is decided already", step + 1));
            return self.told(actor, action, ("job", job), Err(refusal)).await;
        }
        let after = json!({ "step": step, "decision": decision.decision, "note": decision.note });
        self.audit_in(&transaction, actor, action, ("job", job), (Some(before), Some(after))).await?;
        self.inner.store.commit(transaction).await?;
        self.job_view(row.id).await
    }

    /// One run, under way or over.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn dr_run_get(&self, actor: &Actor, cluster: Option<&str>, id: &str) -> Result<DrRunView, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let name = self.protected(cluster)?.0;
        let record = DrRepo(self.inner.store.db()).run(name, id).await?;
        let job = match self.job_row(id).await {
            Ok(row) if row.cluster == name && matches!(row.kind, JobKind::Drill | JobKind::Execution) => {
                Some(self.job_view(row.id).await?)
            }
            Ok(_) | Err(ControlError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if record.is_none() && job.is_none() {
            return Err(ControlError::not_found("drill", id, "the list of runs shows all"));
        }
        let report = record.as_ref().and_then(store::DrRunRecord::read_report);
        Ok(DrRunView { run: record.map(|it| it.row), job, report })
    }

    /// The evidence of a run as it was written, and its hash.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Conflict`] while it is under way.
    pub async fn dr_evidence(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
    ) -> Result<(String, String), ControlError> {
        let view = self.dr_run_get(actor, cluster, id).await?;
        let name = self.protected(cluster)?.0;
        let record = DrRepo(self.inner.store.db()).run(name, id).await?;
        match record.and_then(|it| it.report.zip(it.row.evidence_sha256)) {
            Some(found) => Ok(found),
            None if view.run.is_none() => {
                Err(ControlError::Conflict(format!("run {id} is under way; its evidence is written at its end")))
            }
            None => Err(ControlError::not_found("evidence of run", id, "it ended before there was anything to show")),
        }
    }

    /// For the end of a job: the run as it goes into the history.
    pub(super) async fn dr_run_in(
        &self,
        transaction: &Transaction,
        row: &JobRow,
        result: Option<&JobResult>,
        error: Option<&str>,
    ) -> Result<DrRunRow, ControlError> {
        let report = match result {
            Some(JobResult::DrRun(report)) => Some(report.as_ref()),
            _ => None,
        };
        let (kind, plan_id, plan_name) = match serde_json::from_value(row.params.clone()) {
            Ok(JobParams::Drill(params)) => (params.kind, Some(params.plan_id), params.plan.name),
            Ok(JobParams::Execution(params)) => (DrKind::Execution, Some(params.plan_id), params.plan.name),
            _ => (DrKind::Test, None, String::new()),
        };
        let run = DrRunRow {
            id: row.id.to_string(),
            plan_id,
            plan_name,
            cluster: row.cluster.clone(),
            kind,
            started_at: report.map_or(row.started_at.unwrap_or(row.requested_at), |it| it.started_at),
            finished_at: report.map_or_else(now, |it| it.finished_at),
            ok: report.is_some_and(|it| it.ok) && error.is_none(),
            rto_seconds: report.and_then(|it| it.rto_seconds),
            rpo_seconds: report.and_then(|it| it.rpo_seconds),
            objectives: report.and_then(|it| it.objectives),
            error: error.map(str::to_owned).or_else(|| report.is_none().then(|| "stopped before its end".to_owned())),
            evidence_sha256: None,
        };
        Ok(DrRepo(transaction).run_add(run, report).await?)
    }

    /// Keeps what a drill of the command line showed.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn dr_run_record(&self, actor: &Actor, report: &DrReport) -> Result<DrRunRow, ControlError> {
        const ACTION: &str = "dr_run_record";
        self.authorize_audited(actor, Permission::BackupOperate, ACTION, ("cluster", &report.cluster)).await?;
        let run = DrRunRow {
            id: format!("cli-{}", report.started_at.0),
            plan_id: report.plan_id.clone(),
            plan_name: report.plan.name.clone(),
            cluster: report.cluster.clone(),
            kind: report.kind,
            started_at: report.started_at,
            finished_at: report.finished_at,
            ok: report.ok,
            rto_seconds: report.rto_seconds,
            rpo_seconds: report.rpo_seconds,
            objectives: report.objectives,
            error: report.problems.first().cloned(),
            evidence_sha256: None,
        };
        let transaction = self.inner.store.begin().await?;
        let run = DrRepo(&transaction).run_add(run, Some(report)).await?;
        self.audit_in(&transaction, actor, ACTION, ("cluster", &report.cluster), (None, Some(json!(run)))).await?;
        self.inner.store.commit(transaction).await?;
        Ok(run)
    }

    /// For the service: plans of a cluster.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn dr_plans(&self, cluster: &str) -> Result<Vec<DrPlanRow>, ControlError> {
        Ok(DrRepo(self.inner.store.db()).plans(cluster).await?)
    }

    /// For the service: the newest run of one kind of a plan, and the newest sound one, however many others there were.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn dr_newest(
        &self,
        cluster: &str,
        plan: i64,
        kind: DrKind,
    ) -> Result<(Option<DrRunRow>, Option<DrRunRow>), ControlError> {
        let repo = DrRepo(self.inner.store.db());
        let newest = repo.newest_run(cluster, plan, kind, false).await?;
        Ok((newest, repo.newest_run(cluster, plan, kind, true).await?))
    }

    /// For a run: the newest row of the audit log, whose hash stands for all before it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn audit_head(&self) -> Result<Option<(i64, String)>, ControlError> {
        let rows = store::AuditRepo(self.inner.store.db()).list(&store::AuditFilter::default(), 1).await?;
        Ok(rows.into_iter().next().map(|row| (row.seq, row.hash)))
    }
}
