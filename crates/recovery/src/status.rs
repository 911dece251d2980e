//! What follows from the catalogue, the stream and the jobs: the dashboard's figures, the forecast, what is wrong.
use crate::{conditions, schedule::Schedule};
use analysis::recovery::{ProtectionInput, forecast, problems};
use backup::BackupType;
use control::{ControlError, ControlPlane, ProtectionStatus, ScheduleKind, Slot, now};
use domain::{
    Timestamp,
    view::{BackupView, DrKind, DrRunRow, JobKind, JobResult, JobState, RestoreTestView, ScheduleView},
};
use std::{collections::BTreeMap, sync::Arc};
use store::{JobFilter, JobRepo, JobRow};

/// Next runs that a page shows.
const NEXT_SHOWN: usize = 3;

/// The newest job of a kind that is over and was not stopped by a person.
async fn newest(control: &ControlPlane, cluster: &str, kind: JobKind) -> Result<Option<JobRow>, ControlError> {
    let filter = JobFilter { cluster: Some(cluster.to_owned()), kind: Some(kind), ..JobFilter::default() };
    let rows = JobRepo(control.store().db()).list(&filter, 20).await.map_err(ControlError::from)?;
    // What was made good from the repository is older than its number.
    let over = rows.into_iter().filter(|row| matches!(row.state, JobState::Succeeded | JobState::Failed));
    Ok(over.max_by_key(|row| (row.finished_at, row.id)))
}

/// What the newest verification of each backup found wrong.
async fn verdicts(control: &ControlPlane, cluster: &str) -> Result<BTreeMap<String, Option<String>>, ControlError> {
    let filter = JobFilter { cluster: Some(cluster.to_owned()), kind: Some(JobKind::Verify), ..JobFilter::default() };
    let mut found = BTreeMap::new();
    for row in JobRepo(control.store().db()).list(&filter, 200).await.map_err(ControlError::from)? {
        if let Some(JobResult::Verify { id, problems, .. }) = row.result {
            found.entry(id).or_insert_with(|| problems.first().cloned());
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Drills {
    newest: Vec<(String, Option<String>)>,
    runs: Vec<DrRunRow>,
    due: Vec<(String, f64, f64)>,
}

/// What the drills of each plan showed, and how old the last sound one is.
async fn drills(control: &ControlPlane, slot: &Slot, at: Timestamp) -> Result<Drills, ControlError> {
    let cluster = &slot.config.cluster;
    let mut found = Drills::default();
    for plan in control.dr_plans(cluster).await? {
        for (kind, cron) in [(DrKind::Test, &plan.spec.test), (DrKind::FullTest, &plan.spec.full_test)] {
            let name = format!("{} of plan '{}'", kind.label().to_lowercase(), plan.spec.name);
            // One that was stopped says nothing of the plan.
            let (newest, sound) = control.dr_newest(cluster, plan.id, kind).await?;
            if let Some(newest) = newest {
                let problem =
                    (!newest.ok).then(|| newest.error.clone().unwrap_or_else(|| "see its evidence".to_owned()));
                found.newest.push((name.clone(), problem));
                found.runs.push(newest);
            }
            let promised =
                cron.as_deref().and_then(|cron| Schedule::parse(cron, &slot.config.time_zone).ok()?.longest_pause(at));
            if let Some(every) = promised {
                let since = sound.map_or(plan.changed_at, |run| run.finished_at);
                found.due.push((name, at.seconds_since(since).max(0.0), every));
            }
        }
    }
    Ok(found)
}

/// What an execution waits for.
async fn waiting(control: &ControlPlane, cluster: &str) -> Result<Option<String>, ControlError> {
    let filter = JobFilter {
        cluster: Some(cluster.to_owned()),
        kind: Some(JobKind::Execution),
        state: Some(JobState::Running),
        before_id: None,
    };
    let rows = JobRepo(control.store().db()).list(&filter, 1).await.map_err(ControlError::from)?;
    Ok(rows.into_iter().find_map(|row| Some(format!("job {} waits: {}", row.id, row.progress.waiting?.what))))
}

pub(crate) async fn judge(control: &ControlPlane, slot: &Slot) -> Result<(), ControlError> {
    let catalogue = slot.catalogue.load_full();
    if catalogue.read_at.is_none() && catalogue.error.is_none() {
        return Ok(());
    }
    let (at, cluster) = (now(), slot.config.cluster.as_str());
    let wal = slot.wal.load_full();
    let parsed = slot
        .config
        .schedules
        .iter()
        .filter_map(|it| Some((it, Schedule::parse(&it.cron, &slot.config.time_zone).ok()?)))
        .collect::<Vec<_>>();
    let pause = |wanted: &[ScheduleKind]| {
        let of = parsed.iter().filter(|(it, _)| wanted.contains(&it.kind));
        of.filter_map(|(_, schedule)| schedule.longest_pause(at)).reduce(f64::min)
    };
    let proofs = control.proofs(cluster).await?;
    let last = catalogue.backups.last();
    let last_full = catalogue.backups.iter().rev().find(|one| one.kind == BackupType::Full);
    let size = last.map_or(0, |one| one.stats.bytes);
    let forecast = last.and_then(|_| forecast(size, catalogue.wal_since_backup, &proofs));
    let backup_job = newest(control, cluster, JobKind::Backup).await?;
    let test_job = newest(control, cluster, JobKind::RestoreTest).await?;
    let verify_job = newest(control, cluster, JobKind::Verify).await?;
    let verdicts = verdicts(control, cluster).await?;
    let drills = drills(control, slot, at).await?;
    // One that could not even be planned has no result.
    let test_problem = test_job.as_ref().and_then(|row| match &row.result {
        Some(JobResult::RestoreTest(proof)) => proof.problems.first().cloned(),
        _ => row.error.clone(),
    });
    let verified = verify_job.as_ref().and_then(|row| Some((row.finished_at?, row.state == JobState::Succeeded)));
    let proof = proofs.first();
    let input = ProtectionInput {
        repository_error: catalogue.error.clone(),
        is_directory: slot.config.repository_directory.is_some(),
        free_bytes: catalogue.free_bytes,
        used_percent: slot.config.repository_directory.as_deref().and_then(backup::used_percent),
        next_full_bytes: last_full.map(|one| one.stats.stored_bytes),
        backup_age_seconds: last.map(|one| at.seconds_since(one.stopped_at)),
        oldest_backup_age_seconds: catalogue.backups.first().map(|one| at.seconds_since(one.stopped_at)),
        backup_every_seconds: pause(&[ScheduleKind::Full, ScheduleKind::Incremental]),
        full_age_seconds: last_full.map(|one| at.seconds_since(one.stopped_at)),
        full_every_seconds: pause(&[ScheduleKind::Full])
            .filter(|_| parsed.iter().any(|(it, _)| it.kind == ScheduleKind::Incremental)),
        backup_tried: backup_job.is_some(),
        backup_error: backup_job.filter(|row| row.state == JobState::Failed).and_then(|row| row.error),
        wants_stream: slot.config.stream,
        streams: slot.config.stream && wal.state != "elsewhere" && wal.state != "starting",
        wal_lag_seconds: wal.lag_seconds,
        wal_error: wal.error.clone(),
        open_gap: catalogue.gaps.last().filter(|gap| gap.to.is_none()).map(|gap| gap.reason.clone()),
        nothing_restorable: catalogue.intervals.is_empty(),
        // One that failed proves nothing, however young it is.
        test_age_seconds: proofs.iter().find(|proof| proof.ok).map(|proof| at.seconds_since(proof.at)),
        test_every_seconds: pause(&[ScheduleKind::RestoreTest]),
        test_tried: test_job.is_some(),
        test_problem,
        verify_tried: verify_job.is_some(),
        // With a result it could be done, whatever it found.
        verify_error: verify_job.as_ref().filter(|row| row.result.is_none()).and_then(|row| row.error.clone()),
        // One that is gone cannot be damaged.
        verdicts: catalogue
            .backups
            .iter()
            .filter_map(|one| verdicts.get(&one.id).map(|problem| (one.id.clone(), problem.clone())))
            .collect(),
        forecast_seconds: forecast.as_ref().map(|it| it.seconds),
        drills: drills.newest,
        drills_due: drills.due,
        waiting: waiting(control, cluster).await?,
    };
    let objectives = control.objectives(slot).await?;
    conditions::tell(control, slot, &input, objectives, &catalogue, at);
    let interval = catalogue.intervals.last();
    let status = ProtectionStatus {
        backup: Some(BackupView {
            last_full_at: last_full.map(|one| one.stopped_at),
            last_incremental_at: catalogue
                .backups
                .iter()
                .rev()
                .find(|one| one.kind == BackupType::Incremental)
                .map(|one| one.stopped_at),
            wal_lag_seconds: wal.lag_seconds,
            recoverable_from: catalogue.intervals.first().map(|it| it.from),
            recoverable_to: interval.map(|it| it.to),
            last_restore_test: proof.map(|it| RestoreTestView {
                at: it.at,
                ok: it.ok,
                rto_seconds: it.rto_seconds,
                plan_seconds: it.plan_seconds,
                restore_seconds: it.restore_seconds,
                recovery_seconds: it.recovery_seconds,
                check_seconds: it.check_seconds,
                rpo_seconds: it.rpo_seconds,
            }),
        }),
        problems: problems(&input, objectives),
        drills: drills.runs,
        verified,
        objectives: Some(objectives),
        jobs: JobRepo(control.store().db()).counts(cluster).await.map_err(ControlError::from)?,
        forecast,
        schedules: parsed
            .iter()
            .map(|(it, schedule)| ScheduleView {
                name: it.kind.label().to_owned(),
                cron: it.cron.clone(),
                time_zone: slot.config.time_zone.clone(),
                next: schedule.next(at, NEXT_SHOWN),
            })
            .collect(),
        judged_at: Some(at),
    };
    slot.status.store(Arc::new(status));
    Ok(())
}
