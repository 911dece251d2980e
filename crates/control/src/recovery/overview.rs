//! What the pages show: from the catalogue and the store, never from the repository itself.
use super::{Slot, jobs::view};
use crate::{Actor, ControlError, ControlPlane, error::page_limit, now};
use backup::{SourceKind, Summary, retention::Retention};
use domain::{
    Permission, Timestamp, format,
    view::{
        Availability, BackupRow, BackupsPage, DrRunsPage, JobKind, JobResult, KeySlotView, Objectives, ProofView,
        ProvenRestore, RecoveryOverview, RecoveryWindow, RepositoryView, VerifiedView,
    },
};
use store::{DrRepo, JobFilter, JobRepo, JobRow, ObjectiveRepo};

/// Restore tests and verifications that a page looks back at.
const RESULTS_AT_MOST: u64 = 200;
const JOBS_SHOWN: u64 = 12;
/// Most backups on one page.
const BACKUPS_AT_MOST: u64 = 200;
/// Most runs on one page.
const RUNS_AT_MOST: u64 = 200;

impl ControlPlane {
    /// Everything about backup and recovery of one cluster.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn recovery_overview(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
    ) -> Result<RecoveryOverview, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let config = self.inner.clusters.find(cluster)?.0;
        let mut overview = RecoveryOverview {
            cluster: config.id.clone(),
            cluster_name: config.name.clone(),
            now: now(),
            ..RecoveryOverview::default()
        };
        let Some(slot) = self.inner.recovery.slot(&config.id) else {
            overview.availability = match &config.standby_of {
                Some(primary) => Availability::Missing {
                    reason: format!("This is a standby of '{primary}'; backups are taken there."),
                    cure: Vec::new(),
                },
                None => Availability::Missing {
                    reason: "This cluster is not backed up. Make a repository and give it to the cluster, then restart Holdfast:".to_owned(),
                    cure: vec![
                        "holdfast --repo /var/backups/holdfast --key-file /etc/holdfast/repository.key repo init".to_owned(),
                        "export BACKUP_STORAGE_PATH=/var/backups/holdfast BACKUP_ENCRYPTION_KEY_PATH=/etc/holdfast/repository.key".to_owned(),
                    ],
                },
            };
            return Ok(overview);
        };
        let (proofs, verified) = self.results(&config.id).await?;
        let catalogue = slot.catalogue.load_full();
        let status = slot.status.load_full();
        if catalogue.read_at.is_none() && catalogue.error.is_none() {
            overview.availability = Availability::Collecting;
        }
        overview.backups = catalogue.backups.iter().rev().map(|one| row(one, &proofs, &verified)).collect();
        overview.window = window(slot, &proofs);
        overview.objectives = Some(self.objectives(slot).await?);
        overview.forecast = status.forecast.clone();
        overview.schedules = status.schedules.clone();
        overview.retention = retention_rules(&slot.config.retention);
        overview.problems = status.problems.clone();
        overview.repository = RepositoryView {
            place: slot.config.place.clone(),
            id: catalogue.file.as_ref().map(|file| file.id.to_string()),
            encryption: catalogue.file.as_ref().map(|file| file.encryption.clone()),
            stored_bytes: catalogue.stored_bytes,
            free_bytes: catalogue.free_bytes,
            error: catalogue.error.clone(),
            keys: catalogue
                .keys
                .iter()
                .map(|slot| KeySlotView {
                    id: slot.id.to_string(),
                    kind: slot.kind.clone(),
                    label: slot.label.clone(),
                    created_at: slot.created,
                })
                .collect(),
        };
        let filter = JobFilter { cluster: Some(config.id.clone()), ..JobFilter::default() };
        overview.jobs = JobRepo(self.inner.store.db()).list(&filter, JOBS_SHOWN).await?.into_iter().map(view).collect();
        Ok(overview)
    }

    /// One backup.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn backup_show(&self, actor: &Actor, cluster: Option<&str>, id: &str) -> Result<BackupRow, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (cluster, slot) = self.protected(cluster)?;
        let catalogue = slot.catalogue.load_full();
        let one = catalogue.backups.iter().find(|one| one.id == id);
        let one = one.ok_or_else(|| ControlError::not_found("backup", id, "the list of backups shows all"))?;
        let (proofs, verified) = self.results(cluster).await?;
        Ok(row(one, &proofs, &verified))
    }

    /// Backups, the newest first; the page after `cursor`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Invalid`] for a cursor of another list.
    pub async fn backups_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<BackupsPage, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let after = cursor.map(place).transpose()?;
        page_limit(limit, BACKUPS_AT_MOST)?;
        let (cluster, slot) = self.protected(cluster)?;
        let (proofs, verified) = self.results(cluster).await?;
        let catalogue = slot.catalogue.load();
        let (shown, next_cursor) = page_of(&catalogue.backups, after, limit);
        Ok(BackupsPage { rows: shown.into_iter().map(|one| row(one, &proofs, &verified)).collect(), next_cursor })
    }

    /// Drills and executions that are over, the newest first; the page after `cursor`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Invalid`] for a cursor of another list.
    pub async fn dr_runs_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<DrRunsPage, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let behind = cursor.map(place).transpose()?;
        page_limit(limit, RUNS_AT_MOST)?;
        let (cluster, _) = self.protected(cluster)?;
        let rows = DrRepo(self.inner.store.db()).runs(cluster, behind, limit).await?;
        let last = rows.last().filter(|_| rows.len() as u64 == limit);
        let next_cursor = last.map(|row| format!("{}.{}", row.finished_at.0, row.id));
        Ok(DrRunsPage { rows, next_cursor })
    }

    /// What can be restored.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn recovery_window(&self, actor: &Actor, cluster: Option<&str>) -> Result<RecoveryWindow, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (cluster, slot) = self.protected(cluster)?;
        let (proofs, _) = self.results(cluster).await?;
        Ok(window(slot, &proofs))
    }

    /// What is promised: as changed on the page, else as configured.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn objectives(&self, slot: &Slot) -> Result<Objectives, ControlError> {
        let changed = ObjectiveRepo(self.inner.store.db()).get(&slot.config.cluster).await?;
        Ok(changed.unwrap_or(slot.config.objectives))
    }

    /// What restore tests and verifications showed, the newest first.
    async fn results(&self, cluster: &str) -> Result<(Vec<(JobRow, ProofView)>, Vec<JobRow>), ControlError> {
        let repo = JobRepo(self.inner.store.db());
        let of = |kind| JobFilter { cluster: Some(cluster.to_owned()), kind: Some(kind), ..JobFilter::default() };
        let tests = repo.list(&of(JobKind::RestoreTest), RESULTS_AT_MOST).await?;
        let mut verified = repo.list(&of(JobKind::Verify), RESULTS_AT_MOST).await?;
        let drills = repo.list(&of(JobKind::Drill), RESULTS_AT_MOST).await?;
        let mut proofs = tests
            .into_iter()
            .chain(drills)
            .filter_map(|row| match row.result.clone() {
                Some(JobResult::RestoreTest(proof)) => Some((row, proof)),
                // A drill proves a restore as a test does, and more.
                Some(JobResult::DrRun(report)) => Some((row, super::dr::proof(&report)?)),
                _ => None,
            })
            .collect::<Vec<_>>();
        // By their ends: what was rebuilt from the repository has younger numbers than it is old.
        proofs.sort_by_key(|(_, proof)| std::cmp::Reverse(proof.at));
        verified.sort_by_key(|row| std::cmp::Reverse(row.finished_at));
        Ok((proofs, verified))
    }

    /// Proofs of restore tests, the newest first, for our own background tasks.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn proofs(&self, cluster: &str) -> Result<Vec<ProofView>, ControlError> {
        Ok(self.results(cluster).await?.0.into_iter().map(|(_, proof)| proof).collect())
    }
}

/// Where a page begins: behind the backup or the run that ended then. It stays a place when that one goes.
fn place(cursor: &str) -> Result<(Timestamp, &str), ControlError> {
    let parts = cursor.split_once('.').and_then(|(ended, id)| Some((Timestamp(ended.parse().ok()?), id)));
    parts.ok_or_else(|| ControlError::field("cursor", "take the cursor from 'next_cursor' of the page before"))
}

/// So many backups, the newest first, older than a place; and the place for the next page. `backups` are the oldest first.
fn page_of<'a>(
    backups: &'a [Summary],
    after: Option<(Timestamp, &str)>,
    limit: u64,
) -> (Vec<&'a Summary>, Option<String>) {
    let before = |after| backups.partition_point(|one| (one.stopped_at, one.id.as_str()) < after);
    let end = after.map_or(backups.len(), before);
    let begin = end.saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    let shown = backups[begin..end].iter().rev().collect::<Vec<_>>();
    let next = shown.last().filter(|_| begin > 0).map(|one| format!("{}.{}", one.stopped_at.0, one.id));
    (shown, next)
}

fn window(slot: &Slot, proofs: &[(JobRow, ProofView)]) -> RecoveryWindow {
    let catalogue = slot.catalogue.load();
    // A proof of a backup that is gone proves nothing of what is there.
    let mut proven = proofs
        .iter()
        .filter_map(|(row, proof)| {
            let backup = catalogue.backups.iter().find(|one| one.id == proof.backup)?;
            // Replayed to the end it stands for the moment of the test, else for the end of the backup.
            let latest = row.params["latest"].as_bool() == Some(true) || row.params["kind"] == "test";
            let moment = match &row.result {
                _ if latest => row.started_at.unwrap_or(proof.at),
                // The newest transaction before the random moment.
                Some(JobResult::DrRun(report)) => report.last_commit_at.unwrap_or(backup.stopped_at),
                _ => backup.stopped_at,
            };
            Some(ProvenRestore { moment, proof: proof.clone(), job: row.id.to_string() })
        })
        .collect::<Vec<_>>();
    proven.sort_by_key(|it| it.moment);
    RecoveryWindow {
        intervals: catalogue.intervals.clone(),
        gaps: catalogue.gaps.clone(),
        proofs: proven,
        wal: slot.wal.load().as_ref().clone(),
        read_at: catalogue.read_at,
    }
}

fn row(one: &Summary, proofs: &[(JobRow, ProofView)], verified: &[JobRow]) -> BackupRow {
    let verified = verified.iter().find_map(|row| match &row.result {
        Some(JobResult::Verify { id, checked_bytes, problems, .. }) if *id == one.id => Some(VerifiedView {
            at: row.finished_at.unwrap_or(Timestamp(0)),
            checked_bytes: *checked_bytes,
            problems: problems.clone(),
        }),
        _ => None,
    });
    BackupRow {
        id: one.id.clone(),
        kind: one.kind.to_string(),
        lineage: one.lineage.to_string(),
        parent: one.parent.clone(),
        source: if one.source == SourceKind::Local { "local" } else { "remote" }.to_owned(),
        from_standby: one.from_standby,
        server_version: format!("{}.{}", one.cluster.major(), one.cluster.version % 10_000),
        started_at: one.started_at,
        stopped_at: one.stopped_at,
        timeline: one.timeline,
        start_lsn: one.start_lsn,
        stop_lsn: one.stop_lsn,
        bytes: one.stats.bytes,
        files: one.stats.files,
        read_bytes: one.stats.read_bytes,
        changed_bytes: one.stats.changed_bytes,
        stored_bytes: one.stats.stored_bytes,
        duration_seconds: one.stats.duration_ms as f64 / 1e3,
        checked_pages: one.stats.checked_pages,
        damaged_pages: one.damaged.len() as u64,
        verified,
        proof: proofs.iter().find(|(_, proof)| proof.backup == one.id).map(|(_, proof)| proof.clone()),
    }
}

/// The rules of retention in words.
pub(super) fn retention_rules(retention: &Retention) -> Vec<String> {
    let rules = [
        (
            retention.keep_full,
            "newest full backup with its incrementals",
            "newest full backups with their incrementals",
        ),
        (
            retention.keep_days,
            "day of which every moment can be restored",
            "days of which every moment can be restored",
        ),
        (retention.keep_daily, "day, the newest backup of it", "days, the newest backup of each"),
        (retention.keep_weekly, "week, the newest backup of it", "weeks, the newest backup of each"),
        (retention.keep_monthly, "month, the newest backup of it", "months, the newest backup of each"),
    ];
    let mut words = rules
        .iter()
        .filter_map(|(count, one, many)| count.map(|count| format::counted(count, one, many)))
        .collect::<Vec<_>>();
    if words.is_empty() {
        words.push("everything: no retention is set".to_owned());
    } else {
        words.push(format!("never fewer than {}", format::counted(retention.minimum.max(1), "backup", "backups")));
    }
    words
}
