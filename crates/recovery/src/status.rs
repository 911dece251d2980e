//! What follows from the catalogue, the stream and the jobs: the dashboard's figures, the forecast, what is wrong.
use crate::schedule::Schedule;
use analysis::recovery::{ProtectionInput, forecast, problems};
use backup::BackupType;
use control::{ControlError, ControlPlane, ProtectionStatus, ScheduleKind, Slot, now};
use domain::view::{BackupView, JobKind, JobResult, JobState, RestoreTestView, ScheduleView};
use std::sync::Arc;
use store::{JobFilter, JobRepo, JobRow};

/// Next runs that a page shows.
const NEXT_SHOWN: usize = 3;

/// The newest job of a kind that is over and was not stopped by a person.
async fn newest(control: &ControlPlane, cluster: &str, kind: JobKind) -> Result<Option<JobRow>, ControlError> {
    let filter = JobFilter { cluster: Some(cluster.to_owned()), kind: Some(kind), ..JobFilter::default() };
    let rows = JobRepo(control.store().db()).list(&filter, 20).await.map_err(ControlError::from)?;
    Ok(rows.into_iter().find(|row| matches!(row.state, JobState::Succeeded | JobState::Failed)))
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
    // A verification or a test that could not be done is no damage, and no proof either.
    let found = |job: &Option<JobRow>| {
        job.as_ref().and_then(|row| match &row.result {
            Some(JobResult::Verify { problems, .. }) => problems.first().cloned(),
            Some(JobResult::RestoreTest(proof)) => proof.problems.first().cloned(),
            _ => row.error.clone(),
        })
    };
    let proof = proofs.first();
    let input = ProtectionInput {
        repository_error: catalogue.error.clone(),
        free_bytes: catalogue.free_bytes,
        next_full_bytes: last_full.map(|one| one.stats.stored_bytes),
        backup_age_seconds: last.map(|one| at.seconds_since(one.stopped_at)),
        backup_every_seconds: pause(&[ScheduleKind::Full, ScheduleKind::Incremental]),
        backup_error: backup_job.filter(|row| row.state == JobState::Failed).and_then(|row| row.error),
        streams: slot.config.stream && wal.state != "elsewhere" && wal.state != "starting",
        wal_lag_seconds: wal.lag_seconds,
        wal_error: wal.error.clone(),
        open_gap: catalogue.gaps.last().filter(|gap| gap.to.is_none()).map(|gap| gap.reason.clone()),
        test_age_seconds: proof.map(|proof| at.seconds_since(proof.at)),
        test_every_seconds: pause(&[ScheduleKind::RestoreTest]),
        test_problem: found(&test_job),
        verify_problem: found(&verify_job),
        forecast_seconds: forecast.as_ref().map(|it| it.seconds),
    };
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
            last_restore_test: proof.map(|it| RestoreTestView { at: it.at, ok: it.ok, rto_seconds: it.rto_seconds }),
        }),
        problems: problems(&input, control.objectives(slot).await?),
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
