//! Jobs of the store, done by this server: claimed with a lease, kept by a heartbeat, never lost.
use crate::{
    Pace, execute,
    work::{Ended, Work},
};
use control::{ControlError, ControlPlane};
use domain::view::{JobResult, JobState};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use store::JobRepo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Jobs of any kind at once on this server.
const AT_ONCE: usize = 3;
/// More places, for urgent kinds alone: a restore does not wait for routine.
const RESERVED: usize = 1;
/// A job whose server vanished so often has something to do with it.
const TRIES: i64 = 5;
/// Between two looks for what killed servers left.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Names this process: host, process id, and a number that no other process of that id has.
fn holder() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    format!("{host}/{}/{:08x}", std::process::id(), rand::random::<u32>())
}

/// A holder on this host whose process has ended; of another host nobody here can tell.
fn is_gone(other: &str, ours: &str) -> bool {
    let parts = |text: &str| {
        let mut parts = text.rsplitn(3, '/');
        let number = parts.next()?.to_owned();
        let process = parts.next()?.parse::<i32>().ok()?;
        Some((parts.next()?.to_owned(), process, number))
    };
    let (Some(other), Some(own)) = (parts(other), parts(ours)) else { return false };
    let (Ok(alive), true) = (std::fs::exists(format!("/proc/{}", other.1)), other.0 == own.0) else { return false };
    // Several runners in one process are several tests, or nothing we know of: their leases decide.
    !alive && other.1 != own.1
}

/// Which jobs may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Any,
    Urgent,
    None,
}

/// With so many under way; what waits for an approval does nothing, perhaps for days, and takes no place.
fn room(busy: usize) -> Room {
    if busy < AT_ONCE {
        Room::Any
    } else if busy < AT_ONCE + RESERVED {
        Room::Urgent
    } else {
        Room::None
    }
}

pub(crate) async fn run(control: ControlPlane, pace: Pace, stop: CancellationToken) {
    let holder = holder();
    let mut running = JoinSet::new();
    let mut under_way = Vec::<Weak<Work>>::new();
    let mut swept = None::<Instant>;
    while !stop.is_cancelled() {
        if swept.is_none_or(|at| at.elapsed() > SWEEP_EVERY) {
            swept = Some(Instant::now());
            for slot in control.recovery().slots() {
                if let Err(error) = crate::dr::sweep(&control, slot).await {
                    tracing::warn!(%error, "what killed servers left could not be looked for");
                }
            }
        }
        if let Err(error) = take_back(&control, &holder).await {
            tracing::warn!(%error, "jobs of vanished servers could not be looked for");
        }
        loop {
            under_way.retain(|work| work.strong_count() > 0);
            let busy = under_way.iter().filter_map(Weak::upgrade).filter(|work| !work.is_waiting()).count();
            let repo = JobRepo(control.store().db());
            let claimed = match room(busy) {
                Room::Any => repo.claim(&holder, lease_ms(pace)).await,
                Room::Urgent => repo.claim_urgent(&holder, lease_ms(pace)).await,
                Room::None => break,
            };
            match claimed {
                Ok(Some(row)) => {
                    let work = Arc::new(Work::new(control.clone(), row, lease_ms(pace)));
                    under_way.push(Arc::downgrade(&work));
                    running.spawn(one(control.clone(), work, pace, stop.clone()));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "no job could be claimed; it is tried again");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pace.look) => {}
            () = control.recovery().wanted.notified() => {}
            Some(_) = running.join_next(), if !running.is_empty() => {}
            () = stop.cancelled() => {}
        }
    }
    // Each hears of the end by itself, and goes back into the queue.
    while running.join_next().await.is_some() {}
}

fn lease_ms(pace: Pace) -> i64 {
    i64::try_from(pace.lease.as_millis()).unwrap_or(30_000)
}

/// Jobs whose server vanished begin again, where a second try can do no harm: a backup that was not committed is none,
/// verifications and tests change nothing, a restore goes on in its own directory.
async fn take_back(control: &ControlPlane, holder: &str) -> Result<(), ControlError> {
    let repo = JobRepo(control.store().db());
    for row in repo.orphans(|other| is_gone(other, holder)).await.map_err(ControlError::from)? {
        let again = row.attempt < TRIES && !row.cancel_requested;
        let reason = if again {
            "the server that worked on it vanished; it begins again"
        } else if row.cancel_requested {
            "stopped on request; the server that worked on it vanished"
        } else {
            "the server that worked on it vanished, for the fifth time; look into its log, then ask for the job anew"
        };
        if control.job_take_back(&row, again, reason).await? {
            tracing::warn!(job = row.id, kind = row.kind.as_str(), reason, "a job lost its server");
            repo.log(row.id, control::now(), reason).await.map_err(ControlError::from)?;
        }
    }
    Ok(())
}

async fn one(control: ControlPlane, work: Arc<Work>, pace: Pace, stop: CancellationToken) {
    let row = work.row.clone();
    if row.attempt > 1 {
        work.log(&format!("try {}", row.attempt)).await;
    }
    let over = CancellationToken::new();
    let beat = tokio::spawn(heartbeat(work.clone(), pace, stop.clone(), over.clone()));
    let ended = execute::execute(&control, &work).await;
    over.cancel();
    let kept = beat.await.unwrap_or(Kept::Ours);
    if work.is_lost() {
        tracing::warn!(job = row.id, "a job was taken over by another server meanwhile; its end is not ours to write");
        work.log(&format!(
            "try {} was taken over while its server gave no sign; that server is back and has given it up",
            row.attempt
        ))
        .await;
        return;
    }
    let repo = JobRepo(control.store().db());
    let progress = work.progress();
    let (state, result, error) = match ended {
        Ok(result) => match problem(&result) {
            Some(problem) => (JobState::Failed, Some(result), Some(problem)),
            None => (JobState::Succeeded, Some(result), None),
        },
        Err(Ended::Cancelled) if kept == Kept::Ours => {
            // Not on request: this server ends. Another one, or this one when it is back, begins again.
            match repo.take_back(&row, true, "").await {
                Ok(true) => work.log("this server ends; the job begins again").await,
                Ok(false) => {
                    tracing::warn!(job = row.id, "a job was taken over by another server before it was given back");
                }
                Err(error) => {
                    tracing::warn!(%error, job = row.id, "a job could not be given back; its lease ends by itself");
                }
            }
            return;
        }
        Err(Ended::Cancelled) => (JobState::Cancelled, None, None),
        Err(Ended::Failed(error)) => {
            work.log(&format!("failed: {error}")).await;
            (JobState::Failed, None, Some(error))
        }
    };
    // A store that is away for a while must not lose what was done.
    let begun = Instant::now();
    loop {
        match control.job_finish(&row, state, &progress, result.as_ref(), error.as_deref()).await {
            Ok(true) => {
                if let Some(result) = &result {
                    keep_record(&control, &work, result, error.as_deref()).await;
                }
                break;
            }
            Ok(false) => {
                tracing::warn!(job = row.id, "the end of a job was not written: it is another server's now");
                break;
            }
            Err(error) if begun.elapsed() < pace.lease => {
                tracing::warn!(%error, job = row.id, "the end of a job could not be written; it is tried again");
                tokio::time::sleep(HEARTBEAT).await;
            }
            Err(error) => {
                tracing::error!(%error, job = row.id, "the end of a job could not be written");
                break;
            }
        }
    }
    if let Some(slot) = control.recovery().slot(&row.cluster) {
        slot.stale.notify_one();
    }
    control.recovery().wanted.notify_one();
}

/// What a job showed of a backup stands beside it too: it outlives our store. Without it nothing is worse restored.
async fn keep_record(control: &ControlPlane, work: &Work, result: &JobResult, error: Option<&str>) {
    let Some(record) = control.job_record(&work.row, result, error, control::now()) else { return };
    let Some(slot) = control.recovery().slot(&work.row.cluster) else { return };
    let Some(system) = slot.catalogue.load().system else { return };
    let kept = match slot.repository().await {
        Ok(repository) => repository.record(system, &record).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = kept {
        work.log(&format!("what it showed is in the store alone; it could not be written to the repository: {error}"))
            .await;
    }
}

/// What makes a job that was done to its end a failure all the same.
fn problem(result: &JobResult) -> Option<String> {
    match result {
        JobResult::Verify { problems, .. } | JobResult::Restore { problems, .. } => problems.first().cloned(),
        JobResult::RestoreTest(proof) => proof.problems.first().cloned(),
        JobResult::DrRun(report) => report.problems.first().cloned(),
        JobResult::Backup { .. } | JobResult::Expire { .. } => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Ours,
    Cancelled,
}

async fn heartbeat(work: Arc<Work>, pace: Pace, stop: CancellationToken, over: CancellationToken) -> Kept {
    let mut sign = Instant::now();
    let mut kept = Kept::Ours;
    loop {
        match work.beat().await {
            Ok(Some(cancelled)) => {
                sign = Instant::now();
                if cancelled {
                    kept = Kept::Cancelled;
                    work.stop();
                }
            }
            Ok(None) => return kept,
            // By then another server may have it.
            Err(error) if sign.elapsed() > pace.lease => {
                tracing::error!(%error, job = work.row.id, "no sign of life could be written for the time of the lease; the job is let go");
                work.lose();
                return kept;
            }
            Err(error) => tracing::warn!(%error, job = work.row.id, "no sign of life could be written"),
        }
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT.min(pace.lease / 4)) => {}
            () = over.cancelled() => return kept,
            () = stop.cancelled(), if !work.is_cancelled() => work.cancel(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_for_what_is_urgent() {
        assert_eq!([0, 2, 3, 4].map(room), [Room::Any, Room::Any, Room::Urgent, Room::None]);
    }

    #[test]
    fn only_an_ended_process_of_this_host_is_gone() {
        let ours = holder();
        let host = ours.split('/').next().unwrap_or_default();
        assert!(!is_gone(&ours, &ours));
        assert!(!is_gone(&format!("{host}/1/00000000"), &ours), "process 1 is there");
        assert!(is_gone(&format!("{host}/99999999/00000000"), &ours));
        assert!(!is_gone("elsewhere/99999999/00000000", &ours));
        assert!(!is_gone("nonsense", &ours));
    }
}
