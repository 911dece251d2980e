//! What is due becomes a job; whichever server sees it first, it is one job.
use crate::{
    Pace,
    schedule::{Schedule, jitter_ms},
};
use control::{
    BackupParams, BackupWanted, ControlError, ControlPlane, DrillParams, ExpireParams, JobParams, RestoreTestParams,
    ScheduleKind, Slot, VerifyParams, now,
};
use domain::{
    Lsn, Timestamp,
    view::{DrKind, JobKind, JobState},
};
use store::{JobFilter, JobRepo};
use tokio_util::sync::CancellationToken;

/// Jobs are kept so long: what they proved is shown on the time bar.
const KEEP_JOBS_MS: i64 = 400 * 86_400_000;

pub(crate) async fn run(control: ControlPlane, pace: Pace, stop: CancellationToken) {
    let mut pruned = Timestamp(0);
    loop {
        for slot in control.recovery().slots() {
            if let Err(error) = look(&control, slot, pace).await {
                tracing::warn!(%error, cluster = slot.config.cluster, "schedules could not be looked at; it is tried again");
            }
        }
        if now().seconds_since(pruned) > 3_600.0 {
            pruned = now();
            if let Err(error) = JobRepo(control.store().db()).prune(pruned.plus_ms(-KEEP_JOBS_MS)).await {
                tracing::warn!(%error, "old jobs could not be removed");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pace.look) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(control: &ControlPlane, slot: &Slot, pace: Pace) -> Result<(), ControlError> {
    let catalogue = slot.catalogue.load_full();
    // Without a look into the repository nobody knows what is due.
    if catalogue.read_at.is_none() || catalogue.error.is_some() {
        return Ok(());
    }
    let at = now();
    let cluster = slot.config.cluster.as_str();
    let backup = |kind| JobParams::Backup(BackupParams { kind });
    let Some(first) = catalogue.backups.first() else {
        // A cluster without any backup gets one at once.
        if !backup_under_way(control, cluster).await? && !just_taken(control, slot).await? {
            let again_ms = i64::try_from(pace.again.as_millis()).unwrap_or(i64::MAX).max(1);
            let key = format!("{cluster} first {}", at.0 / again_ms);
            control.job_schedule(cluster, backup(BackupWanted::Full), key, "first backup").await?;
        }
        return Ok(());
    };
    let newest = catalogue.backups.last().map_or(first.stopped_at, |one| one.stopped_at);
    for schedule in &slot.config.schedules {
        let (kind, name) = (schedule.kind, schedule.kind.as_str());
        let Ok(parsed) = Schedule::parse(&schedule.cron, &slot.config.time_zone) else { continue };
        let late = jitter_ms(cluster, name, i64::try_from(slot.config.jitter.as_millis()).unwrap_or(0));
        // The last moment that is due, also when nobody was here at that moment. What was due before the first backup
        // was due for nobody.
        let Some(due) = parsed.last(at.plus_ms(-late)).filter(|due| *due > first.stopped_at) else { continue };
        let params = match kind {
            ScheduleKind::Full => backup(BackupWanted::Full),
            // A backup that ended since serves it.
            ScheduleKind::Incremental if newest >= due || backup_under_way(control, cluster).await? => continue,
            ScheduleKind::Incremental => backup(BackupWanted::Incremental),
            ScheduleKind::Verify => JobParams::Verify(VerifyParams { backup: None }),
            ScheduleKind::RestoreTest => JobParams::RestoreTest(RestoreTestParams { backup: None, latest: true }),
            ScheduleKind::Expire => JobParams::Expire(ExpireParams::default()),
        };
        let key = format!("{cluster} {name} {}", due.to_rfc3339());
        if control.job_schedule(cluster, params, key, "schedule").await? {
            tracing::info!(cluster, kind = name, due = %due, "a schedule is due");
        }
    }
    drills(control, slot, at).await?;
    // What is missing in the WAL cannot be mended; a backup ends the time that cannot be restored.
    if let Some(gap) = catalogue.gaps.last().filter(|gap| gap.to.is_none()) {
        let key = gap_key(control, cluster, (gap.start_lsn, catalogue.timeline.unwrap_or(1)), at, pace).await?;
        control.job_schedule(cluster, backup(BackupWanted::Incremental), key, "gap in the WAL").await?;
    }
    let status = slot.status.load_full();
    let objective = control.objectives(slot).await?.rto_seconds;
    if let Some(forecast) = &status.forecast
        && forecast.seconds > objective
        // Only less WAL to replay helps; a cluster that is too large is not made smaller by a backup.
        && forecast.restore_seconds < objective
        && at.seconds_since(newest) > pace.forecast_pause.as_secs_f64()
        && let Some(last) = catalogue.backups.last()
    {
        let key = format!("{cluster} forecast {}", last.id);
        control.job_schedule(cluster, backup(BackupWanted::Incremental), key, "forecast above the RTO").await?;
    }
    Ok(())
}

/// Plans are rehearsed by their calendars. What was due before a plan was written, or changed, is not made up for.
async fn drills(control: &ControlPlane, slot: &Slot, at: Timestamp) -> Result<(), ControlError> {
    let cluster = slot.config.cluster.as_str();
    let plans = control.dr_plans(cluster).await?;
    for plan in plans {
        for (kind, cron) in [(DrKind::Test, &plan.spec.test), (DrKind::FullTest, &plan.spec.full_test)] {
            let Some(parsed) = cron.as_deref().and_then(|cron| Schedule::parse(cron, &slot.config.time_zone).ok())
            else {
                continue;
            };
            let late = jitter_ms(cluster, kind.as_str(), i64::try_from(slot.config.jitter.as_millis()).unwrap_or(0));
            let Some(due) = parsed.last(at.plus_ms(-late)).filter(|due| *due > plan.changed_at) else { continue };
            let key = format!("{cluster} plan {} {} {}", plan.id, kind.as_str(), due.to_rfc3339());
            let params = DrillParams { plan_id: plan.id.to_string(), plan: plan.spec.clone(), kind };
            if control.job_schedule(cluster, JobParams::Drill(Box::new(params)), key, "calendar").await? {
                tracing::info!(cluster, plan = plan.spec.name, kind = kind.as_str(), due = %due, "a drill is due");
            }
        }
    }
    Ok(())
}

/// Names the backup that ends a gap, so that it is one job whoever sees the gap. The newest timeline is a part of it: on
/// another one the backup that has ended a gap leads nowhere. One that failed is followed by another after a while: until then
/// no moment behind the gap can be restored.
async fn gap_key(
    control: &ControlPlane,
    cluster: &str,
    (gap, timeline): (Lsn, u32),
    at: Timestamp,
    pace: Pace,
) -> Result<String, ControlError> {
    let first = format!("{cluster} gap {gap} timeline {timeline}");
    let again = format!("{first} again after ");
    let filter = JobFilter { cluster: Some(cluster.to_owned()), kind: Some(JobKind::Backup), ..JobFilter::default() };
    let newest = JobRepo(control.store().db()).list(&filter, 1).await.map_err(ControlError::from)?.into_iter().next();
    let is_for_it = |key: &str| key == first || key.starts_with(&again);
    let failed =
        newest.filter(|row| row.state == JobState::Failed && row.schedule_key.as_deref().is_some_and(is_for_it));
    Ok(match failed.and_then(|row| Some((row.id, row.finished_at?))) {
        Some((id, ended)) if at.seconds_since(ended) > pace.again.as_secs_f64() => format!("{again}{id}"),
        _ => first,
    })
}

/// A backup that another server finished is in the repository before it is in our catalogue.
async fn just_taken(control: &ControlPlane, slot: &Slot) -> Result<bool, ControlError> {
    let filter = JobFilter {
        cluster: Some(slot.config.cluster.clone()),
        kind: Some(JobKind::Backup),
        state: Some(JobState::Succeeded),
        before_id: None,
    };
    let newest = JobRepo(control.store().db()).list(&filter, 1).await.map_err(ControlError::from)?;
    let read_at = slot.catalogue.load().read_at;
    // A minute for clocks that differ.
    Ok(newest
        .first()
        .and_then(|row| row.finished_at)
        .is_some_and(|at| read_at.is_none_or(|read| at.plus_ms(60_000) > read)))
}

async fn backup_under_way(control: &ControlPlane, cluster: &str) -> Result<bool, ControlError> {
    let repo = JobRepo(control.store().db());
    // The first again: one whose server vanished goes back into the queue, perhaps between the two.
    for state in [JobState::Queued, JobState::Running, JobState::Queued] {
        let filter = JobFilter {
            cluster: Some(cluster.to_owned()),
            kind: Some(JobKind::Backup),
            state: Some(state),
            before_id: None,
        };
        if !repo.list(&filter, 1).await.map_err(ControlError::from)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
