//! The history that the store has lost, from what the repository alone holds.
use super::JobParams;
use crate::{Actor, ControlError, ControlPlane};
use backup::Record;
use domain::{
    Permission, Timestamp,
    view::{JobKind, JobResult},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{JobFilter, JobRepo};

/// A backup as the repository alone tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuiltBackup {
    /// Its id.
    pub id: String,
    /// `full` or `incremental`.
    pub kind: String,
    /// Begin.
    pub started_at: Timestamp,
    /// End.
    pub stopped_at: Timestamp,
    /// Bytes written to the repository.
    pub stored_bytes: u64,
    /// Pages with wrong checksums in the source.
    pub damaged_pages: u64,
}

/// What was added to the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Backups.
    pub backups: usize,
    /// Verifications, restore tests and drills.
    pub records: usize,
}

/// One job of the past, to be written.
struct Past {
    kind: JobKind,
    title: String,
    by: String,
    at: (Timestamp, Timestamp),
    params: Value,
    result: JobResult,
    error: Option<String>,
}

impl Past {
    fn of_backup(one: &RebuiltBackup) -> Self {
        Self {
            kind: JobKind::Backup,
            title: if one.kind == "full" { "Full backup" } else { "Incremental backup" }.to_owned(),
            by: "repository".to_owned(),
            at: (one.started_at, one.stopped_at),
            params: Value::Null,
            result: JobResult::Backup {
                id: one.id.clone(),
                kind: one.kind.clone(),
                stored_bytes: one.stored_bytes,
                damaged_pages: one.damaged_pages,
            },
            error: None,
        }
    }

    /// `None` for what a newer version wrote.
    fn of_record(record: &Record) -> Option<Self> {
        let kind = record.kind.parse::<JobKind>().ok()?;
        let params = serde_json::from_str::<Value>(&record.asked).ok()?;
        let title = serde_json::from_value::<JobParams>(params.clone()).ok();
        Some(Self {
            kind,
            title: title.map_or_else(|| kind.label().to_owned(), |params| params.title()),
            by: record.asked_by.clone(),
            at: (record.started_at, record.ended_at),
            params,
            result: serde_json::from_str(&record.result).ok()?,
            error: record.error.clone(),
        })
    }
}

impl ControlPlane {
    /// Makes good in the history what the store does not know of backups that are in the repository, and of what was shown
    /// of them: after its loss, or for what the command line did. What only the store held cannot come back: logs,
    /// jobs that came to nothing, plans and their evidence, objectives, accounts and the audit log.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn backups_rebuild(
        &self,
        actor: &Actor,
        cluster: &str,
        backups: &[RebuiltBackup],
        records: &[Record],
    ) -> Result<Rebuilt, ControlError> {
        const ACTION: &str = "backups_rebuild";
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("cluster", cluster)).await?;
        let transaction = self.inner.store.begin().await?;
        let repo = JobRepo(&transaction);
        let filter = JobFilter { cluster: Some(cluster.to_owned()), ..JobFilter::default() };
        let known = repo.list(&filter, u64::from(u32::MAX)).await?;
        let taken = known.iter().filter_map(|row| match &row.result {
            Some(JobResult::Backup { id, .. }) => Some(id.as_str()),
            _ => None,
        });
        let taken = taken.collect::<BTreeSet<_>>();
        let begun = known.iter().filter_map(|row| Some((row.kind.as_str(), row.started_at?)));
        let begun = begun.collect::<BTreeSet<_>>();
        let missing = backups.iter().filter(|one| !taken.contains(one.id.as_str())).collect::<Vec<_>>();
        let shown = records.iter().filter(|one| !begun.contains(&(one.kind.as_str(), one.started_at)));
        let shown = shown.filter_map(Past::of_record).collect::<Vec<_>>();
        let rebuilt = Rebuilt { backups: missing.len(), records: shown.len() };
        let added = missing.iter().map(|one| &one.id).collect::<Vec<_>>();
        let after = json!({ "added": added, "records": rebuilt.records });
        let mut past = missing.into_iter().map(Past::of_backup).chain(shown).collect::<Vec<_>>();
        // Lists are by number: what was later has the greater one.
        past.sort_by_key(|one| one.at.1);
        for one in &past {
            let what = (&one.params, &one.result, one.error.as_deref());
            repo.add_past(cluster, one.kind, &one.title, &one.by, one.at, what).await?;
        }
        self.audit_in(&transaction, actor, ACTION, ("cluster", cluster), (None, Some(after))).await?;
        self.inner.store.commit(transaction).await?;
        Ok(rebuilt)
    }

    /// For the runner: what a job showed of a backup, to be kept beside it; `None` when it showed nothing of one.
    pub fn job_record(
        &self,
        row: &store::JobRow,
        result: &JobResult,
        error: Option<&str>,
        ended_at: Timestamp,
    ) -> Option<Record> {
        record(row.kind, &row.requested_by, row.params.to_string(), (row.started_at?, ended_at), result, error)
    }
}

/// What a command showed of a backup, as [`ControlPlane::job_record`] has it of a job.
pub fn command_record(
    params: &JobParams,
    at: (Timestamp, Timestamp),
    result: &JobResult,
    error: Option<&str>,
) -> Option<Record> {
    let by = Actor::cli().identity.map(|it| it.name).unwrap_or_default();
    record(params.kind(), &by, serde_json::to_string(params).ok()?, at, result, error)
}

fn record(
    kind: JobKind,
    by: &str,
    asked: String,
    (started_at, ended_at): (Timestamp, Timestamp),
    result: &JobResult,
    error: Option<&str>,
) -> Option<Record> {
    let backup = match result {
        JobResult::Verify { id, .. } => id.clone(),
        JobResult::RestoreTest(proof) => proof.backup.clone(),
        JobResult::DrRun(report) if kind == JobKind::Drill => report.backup.clone()?,
        _ => return None,
    };
    Some(Record {
        id: backup::format::ObjectId::random(),
        backup,
        kind: kind.as_str().to_owned(),
        asked_by: by.to_owned(),
        started_at,
        ended_at,
        asked,
        result: serde_json::to_string(result).ok()?,
        error: error.map(str::to_owned),
    })
}
