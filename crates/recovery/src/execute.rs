//! What each kind of job does.
use crate::{
    dr,
    pressure::{self, Verdict},
    restore, restore_test,
    work::{Ended, Work},
};
use backup::{BackupError, BackupType, Confirm, CreateOptions, Repository, Summary, retention};
use control::{BackupWanted, ControlPlane, ExpireParams, JobParams, Slot};
use domain::{format, view::JobResult};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A job waits so long in all for a database that suffers; then it goes on, because no backup, or none that is proved, is worse.
const LONGEST_PAUSE: Duration = Duration::from_secs(1_800);
const LOOK: Duration = Duration::from_secs(2);
/// The catalogue's first look is waited for so long.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// What a server without a sign of life holds of a repository ends after two minutes; so long, and a little, is waited.
const PREDECESSOR: Duration = Duration::from_secs(150);

pub(crate) async fn execute(control: &ControlPlane, work: &Arc<Work>) -> Result<JobResult, Ended> {
    let cluster = &work.row.cluster;
    let slot = control.recovery().slot(cluster).ok_or_else(|| {
        Ended::Failed(format!("cluster '{cluster}' is no longer backed up: it is not in the configuration"))
    })?;
    look_once(work, slot).await?;
    let params = serde_json::from_value::<JobParams>(work.row.params.clone())
        .map_err(|error| Ended::Failed(format!("the job cannot be read: {error}")))?;
    match params {
        JobParams::Backup(params) => take_backup(control, work, slot, params.kind).await,
        JobParams::Verify(params) => {
            hold(control, work, slot).await?;
            verify(work, slot, params.backup.as_deref()).await
        }
        JobParams::RestoreTest(params) => {
            hold(control, work, slot).await?;
            restore_test::test(control, work, slot, &params).await
        }
        JobParams::Restore(params) => restore::restore(control, work, slot, &params).await,
        JobParams::Expire(params) => expire(work, slot, &params).await,
        JobParams::Drill(params) => {
            hold(control, work, slot).await?;
            dr::drill(control, work, slot, &params).await
        }
        JobParams::Execution(params) => dr::execution(control, work, slot, &params).await,
    }
}

/// A job that was interrupted is taken up as soon as the server is back, which does not know yet then which of the
/// repository's clusters it is about. Where that cannot be read, each kind of job says why itself.
async fn look_once(work: &Work, slot: &Slot) -> Result<(), Ended> {
    let begun = Instant::now();
    let is_known = || {
        let catalogue = slot.catalogue.load();
        catalogue.read_at.is_some() || catalogue.error.is_some()
    };
    while !is_known() && begun.elapsed() < FIRST_LOOK {
        work.sleep(Duration::from_millis(100)).await?;
    }
    Ok(())
}

async fn take_backup(
    control: &ControlPlane,
    work: &Arc<Work>,
    slot: &Slot,
    kind: BackupWanted,
) -> Result<JobResult, Ended> {
    work.steps(&["Open the repository", "Read the cluster, write what changed, wait for its WAL"]);
    let repository = slot.repository().await?;
    work.done(&slot.config.place).await;
    work.check()?;
    let summary = match committed_before(work, &repository, slot).await? {
        Some(done) => {
            work.log(&format!("the try before had committed {}, and was ended before it could say so", done.id)).await;
            done
        }
        None => read_cluster(control, work, slot, &repository, kind).await?,
    };
    let stats = &summary.stats;
    work.done(format!(
        "{}: {} of {} changed, {} stored",
        summary.id,
        format::bytes(stats.changed_bytes as f64),
        format::bytes(stats.bytes as f64),
        format::bytes(stats.stored_bytes as f64)
    ))
    .await;
    if let Some(first) = summary.damaged.first() {
        work.log(&format!(
            "{} wrong checksums, the first is page {} of {}: the database is damaged; keep the last clean backup",
            format::counted(summary.damaged.len(), "page of the source has", "pages of the source have"),
            first.page,
            first.path
        ))
        .await;
    }
    Ok(JobResult::Backup {
        kind: summary.kind.to_string(),
        stored_bytes: stats.stored_bytes,
        damaged_pages: summary.damaged.len() as u64,
        id: summary.id,
    })
}

/// What the try before committed: it was killed between that and the end of its job. Another would be one that nobody
/// asked for. It is known by the job that its commit names: what clocks say, of several machines, decides nothing.
async fn committed_before(work: &Work, repository: &Repository, slot: &Slot) -> Result<Option<Summary>, Ended> {
    if work.row.attempt < 2 {
        return Ok(None);
    }
    let Some(system) = slot.catalogue.load().system else { return Ok(None) };
    let job = work.mark();
    Ok(repository.backups(system).await?.into_iter().rfind(|one| one.job.as_ref() == Some(&job)))
}

async fn read_cluster(
    control: &ControlPlane,
    work: &Arc<Work>,
    slot: &Slot,
    repository: &Repository,
    kind: BackupWanted,
) -> Result<Summary, Ended> {
    let asked = work.clone();
    let options = CreateOptions {
        kind: match kind {
            BackupWanted::Full => BackupType::Full,
            BackupWanted::Incremental => BackupType::Incremental,
        },
        workers: slot.config.workers,
        confirm: Some(Confirm::new(move || {
            let work = asked.clone();
            async move { work.is_ours().await }
        })),
        job: Some(work.mark()),
        ..CreateOptions::default()
    };
    let source = slot.config.source.clone().with_application_name("holdfast backup");
    let counters = work.counters();
    // Of the time before it: while it reads, nothing is as usual.
    let usual = pressure::usual_p95_ms(control, &slot.config.cluster).await;
    let mut pauses = Pauses::default();
    let mut predecessor = Predecessor::new();
    loop {
        let backup = backup::create(repository, &source, &source.database, &options, &counters);
        tokio::pin!(backup);
        // Before anything is read, then again and again.
        let mut look = tokio::time::interval(LOOK);
        let done = loop {
            tokio::select! {
                biased;
                _ = look.tick() => {
                    let verdict = pressure::look(control, &slot.config.cluster, usual, pauses.since.is_some());
                    pauses.follow(work, verdict).await;
                }
                done = &mut backup => break done,
            }
        };
        match done {
            Ok(summary) => return Ok(summary),
            Err(error) => predecessor.outlast(work, error).await?,
        }
    }
}

/// What is done to be sure, and may share the machine with the database, does not begin while that suffers. A restore and a
/// plan that is carried out never wait: then the database is no better off for it.
async fn hold(control: &ControlPlane, work: &Arc<Work>, slot: &Slot) -> Result<(), Ended> {
    let usual = pressure::usual_p95_ms(control, &slot.config.cluster).await;
    let mut pauses = Pauses::default();
    loop {
        let verdict = pressure::look(control, &slot.config.cluster, usual, pauses.since.is_some());
        pauses.follow(work, verdict).await;
        if pauses.since.is_none() {
            return Ok(());
        }
        work.sleep(LOOK).await?;
    }
}

/// Whoever takes a job over may find the repository, or a directory, held by the server that had it before: one that is
/// frozen or cut off gives it up when it hears that the job is no longer its own, and the repository takes it for dead in
/// time.
#[derive(Debug)]
pub(crate) struct Predecessor {
    since: Instant,
    told: bool,
}

impl Predecessor {
    pub fn new() -> Self {
        Self { since: Instant::now(), told: false }
    }

    /// Waits a moment when it makes sense to try again, and ends the job with `error` when it does not.
    pub async fn outlast(&mut self, work: &Work, error: BackupError) -> Result<(), Ended> {
        match error {
            BackupError::Busy(reason) if work.row.attempt > 1 && self.since.elapsed() < PREDECESSOR => {
                if !self.told {
                    self.told = true;
                    work.log(&format!("waits for the try before: {reason}")).await;
                }
                work.sleep(LOOK).await
            }
            error => Err(error.into()),
        }
    }
}

/// How a job has waited for its database so far.
#[derive(Debug, Default)]
struct Pauses {
    /// In all, without the present one.
    before: Duration,
    /// It waits since then.
    since: Option<Instant>,
}

impl Pauses {
    async fn follow(&mut self, work: &Work, verdict: Verdict) {
        let waited = self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed());
        let reason = match verdict {
            Verdict::Wait(reason) if waited < LONGEST_PAUSE => Some(reason),
            Verdict::Wait(_) | Verdict::GoOn => None,
        };
        match (&reason, self.since) {
            (Some(reason), None) => {
                work.log(&format!("waits: {reason}")).await;
                self.since = Some(Instant::now());
            }
            (None, Some(_)) => {
                (self.before, self.since) = (waited, None);
                work.log(if waited < LONGEST_PAUSE {
                    "goes on"
                } else {
                    "goes on, although the database is no better: it has waited for half an hour, and nothing done is worse"
                })
                .await;
            }
            _ => {}
        }
        work.pause(reason);
    }
}

/// The backup by its id, or the newest, as the repository itself has it now.
pub(crate) async fn find(repository: &Repository, system: Option<u64>, id: Option<&str>) -> Result<Summary, Ended> {
    let all = match system {
        Some(system) => repository.backups(system).await?,
        None => repository.all_backups().await?,
    };
    let found = match id {
        Some(id) => all.into_iter().find(|one| one.id == id),
        None => all.into_iter().next_back(),
    };
    found.ok_or_else(|| {
        Ended::Failed(id.map_or_else(
            || "there is no backup yet; take one first".to_owned(),
            |id| format!("backup {id} is no longer there"),
        ))
    })
}

async fn verify(work: &Arc<Work>, slot: &Slot, id: Option<&str>) -> Result<JobResult, Ended> {
    work.steps(&["Open the repository", "Read, decrypt and compare every byte"]);
    let repository = slot.repository().await?;
    let system = slot.catalogue.load().system;
    let one = find(&repository, system, id).await?;
    work.done(&one.id).await;
    work.check()?;
    let verified = backup::verify(&repository, &one, &work.counters()).await?;
    for problem in &verified.problems {
        work.log(problem).await;
    }
    work.done(format!(
        "{} in {}, {}, WAL without a hole up to {}{}",
        format::bytes(verified.checked_bytes as f64),
        format::counted(verified.files, "file", "files"),
        format::counted(verified.pages, "page", "pages"),
        verified.wal_until,
        if verified.problems.is_empty() { "" } else { ": DAMAGED" }
    ))
    .await;
    Ok(JobResult::Verify {
        id: verified.id,
        checked_bytes: verified.checked_bytes,
        pages: verified.pages,
        problems: verified.problems,
    })
}

async fn expire(work: &Arc<Work>, slot: &Slot, params: &ExpireParams) -> Result<JobResult, Ended> {
    work.steps(&["Plan", "Remove", "Sweep what interrupted work left"]);
    let repository = slot.repository().await?;
    let Some(system) = slot.catalogue.load().system else {
        return Err(Ended::Failed("the repository holds nothing of this cluster yet".to_owned()));
    };
    let plan = match &params.remove {
        Some(id) => retention::plan_removal(&repository, system, &slot.config.retention, id).await?,
        None => retention::plan_expire(&repository, system, &slot.config.retention).await?,
    };
    let removed = plan.verdicts.iter().filter(|it| it.reasons.is_empty()).map(|it| it.id.clone()).collect::<Vec<_>>();
    // Somebody looked at a plan and said yes to it: what came since was not shown.
    if let Some(only) = &params.only
        && let Some(more) = removed.iter().find(|id| !only.contains(id))
    {
        return Err(Ended::Failed(format!(
            "backup {more} would go too, which the plan did not show; look at it again"
        )));
    }
    work.done(format!(
        "{}, {}, {}",
        format::counted(removed.len(), "backup", "backups"),
        format::counted(plan.objects.len(), "object", "objects"),
        format::bytes(plan.bytes as f64)
    ))
    .await;
    work.check()?;
    for id in &removed {
        work.log(&format!("removes {id}")).await;
    }
    // A backup that was expired just now keeps its objects for its grace time: there may be none to remove yet.
    if !plan.objects.is_empty() || !plan.expiring.is_empty() {
        let mut predecessor = Predecessor::new();
        while let Err(error) = retention::expire(&repository, &plan).await {
            predecessor.outlast(work, error).await?;
        }
    }
    work.done("").await;
    let garbage = retention::garbage(&repository, system).await?;
    for (key, _) in &garbage {
        work.check()?;
        repository.store().delete(key).await.map_err(|error| Ended::Failed(error.to_string()))?;
    }
    work.done(format::counted(garbage.len(), "object", "objects")).await;
    Ok(JobResult::Expire { removed, objects: (plan.objects.len() + garbage.len()) as u64, bytes: plan.bytes })
}
