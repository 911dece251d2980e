//! The evidence, as it grows.
use super::run::Run;
use crate::work::Work;
use backup::{Repository, format::layout};
use control::now;
use domain::{
    Timestamp,
    view::{DrHashes, DrKind, DrReport, DrStepReport},
};
use sha2::{Digest as _, Sha256};
use std::time::Instant;

/// Version of the document.
const FORMAT: u32 = 1;

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Book {
    pub report: DrReport,
    present: Option<(usize, Instant)>,
}

impl Book {
    pub fn new(work: &Work, of: &Run) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        // An execution that a killed server began goes on: its clock does too.
        let begun = work.row.started_at.filter(|_| of.kind == DrKind::Execution).unwrap_or_else(now);
        let steps = of.plan.steps.iter().map(|step| DrStepReport {
            action: step.action,
            state: "not reached".to_owned(),
            started_at: None,
            seconds: None,
            waited_seconds: None,
            decided_by: None,
            note: None,
            detail: String::new(),
            rollback: step.rollback.clone(),
        });
        let report = DrReport {
            format: FORMAT,
            kind: of.kind,
            job: work.control.is_some().then(|| work.row.id.to_string()),
            plan_id: of.plan_id.clone(),
            steps: steps.collect(),
            hashes: DrHashes { plan: store::dr_plan_hash(&of.plan), ..DrHashes::default() },
            plan: of.plan.clone(),
            cluster: of.cluster.clone(),
            system_identifier: None,
            repository: of.place.clone(),
            repository_id: of.repository.file().id.to_string(),
            from_recovery_kit: of.from_kit,
            host,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: begun,
            finished_at: begun,
            ok: false,
            problems: Vec::new(),
            checks: Vec::new(),
            unproved: Vec::new(),
            target: String::new(),
            backup: None,
            timeline: None,
            bytes: 0,
            wal_bytes: 0,
            restore_seconds: 0.0,
            recovery_seconds: 0.0,
            check_seconds: 0.0,
            rto_seconds: None,
            waited_seconds: 0.0,
            rpo_seconds: None,
            last_commit_at: None,
            objectives: of.objectives,
            directory: None,
            connection: None,
            configuration: Vec::new(),
            next: Vec::new(),
        };
        Self { report, present: None }
    }

    fn step(&mut self, index: usize, change: impl FnOnce(&mut DrStepReport)) {
        if let Some(step) = self.report.steps.get_mut(index) {
            change(step);
        }
    }

    /// A step begins.
    pub fn begin(&mut self, work: &Work, index: usize) {
        work.begin();
        self.present = Some((index, Instant::now()));
        self.step(index, |step| step.started_at = Some(now()));
    }

    /// The step that was begun is done; how long it took.
    pub async fn done(&mut self, work: &Work, detail: impl Into<String>) -> f64 {
        let detail = detail.into();
        let Some((index, begun)) = self.present.take() else { return 0.0 };
        let seconds = begun.elapsed().as_secs_f64();
        self.step(index, |step| {
            step.state = "done".to_owned();
            step.seconds = Some(seconds);
            step.detail.clone_from(&detail);
        });
        work.done(detail).await;
        seconds
    }

    /// [`Self::done`], or [`Self::done_before`] when there is nothing to tell.
    pub async fn done_or_before(&mut self, work: &Work, detail: Option<String>) -> f64 {
        match detail {
            Some(detail) => self.done(work, detail).await,
            None => self.done_before(work).await,
        }
    }

    /// The step that was begun had been done by a try before this one; how long it took then.
    pub async fn done_before(&mut self, work: &Work) -> f64 {
        let Some(((index, _), earlier)) = self.present.take().zip(work.done_before().await) else { return 0.0 };
        self.step(index, |step| {
            step.state = "done".to_owned();
            step.started_at = earlier.started_at;
            step.seconds = earlier.seconds;
            step.detail = earlier.detail;
        });
        earlier.seconds.unwrap_or_default()
    }

    /// A person decided on a step.
    pub fn decided(&mut self, index: usize, by: &str, note: &str, waited: f64) {
        self.report.waited_seconds += waited;
        self.step(index, |step| {
            step.waited_seconds = Some(waited);
            step.decided_by = Some(by.to_owned());
            step.note = Some(note.to_owned()).filter(|note| !note.is_empty());
        });
    }

    /// A person stopped it before a step.
    pub fn aborted(&mut self, index: usize) {
        self.step(index, |step| step.state = "aborted".to_owned());
    }

    /// The step that was begun failed, or what comes behind the last.
    pub fn failed(&mut self, reason: &str) {
        if let Some((index, begun)) = self.present.take() {
            self.step(index, |step| {
                step.state = "failed".to_owned();
                step.seconds = Some(begun.elapsed().as_secs_f64());
                step.detail = reason.to_owned();
            });
        }
        self.report.problems.insert(0, reason.to_owned());
    }

    /// What a person takes back, the last step first.
    pub fn rollback(&self) -> Vec<String> {
        let touched =
            self.report.steps.iter().rev().filter(|step| step.started_at.is_some() && !step.rollback.is_empty());
        touched.map(|step| format!("{}: {}", step.action.label(), step.rollback)).collect()
    }

    /// The hashes of what it rests on, and the end.
    pub async fn close(mut self, work: &Work, of: &Run, began_at: Timestamp) -> DrReport {
        if let (Some(system), Some(backup)) = (self.report.system_identifier.clone(), self.report.backup.clone())
            && let Ok(system) = system.parse()
        {
            self.report.hashes.backup_commit = hash(&of.repository, &layout::commit(system, &backup)).await;
            self.report.hashes.backup_manifest = hash(&of.repository, &layout::manifest(system, &backup)).await;
        }
        if let Some(control) = &work.control {
            match control.audit_head().await {
                Ok(Some((seq, head))) => {
                    self.report.hashes.audit_seq = Some(seq);
                    self.report.hashes.audit_head = Some(head);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the head of the audit log could not be read for a report"),
            }
        }
        self.report.finished_at = now();
        self.report.ok = self.report.problems.is_empty() && self.report.finished_at >= began_at;
        self.report
    }
}

/// SHA-256 of an object as it lies in the repository.
async fn hash(repository: &Repository, key: &str) -> Option<String> {
    let bytes = repository.store().get(key).await.ok()?;
    Some(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}
