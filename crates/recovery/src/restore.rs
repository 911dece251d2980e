//! Restores that stay.
use crate::{
    copy::{Address, CopyHost, CopyPlan},
    execute::Predecessor,
    loss::{Loss, Witness},
    work::{Ended, Work},
};
use backup::restore::{self, RestoreOptions, RestoreRequest, Target};
use control::{ControlPlane, RestoreParams, Slot, now, running_in};
use domain::{format, view::JobResult};
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// A copy that a killed predecessor started ends by its guardian; so long is waited for that.
const PREDECESSOR: Duration = Duration::from_secs(60);

pub(crate) async fn wait_for_predecessor(work: &Work, data: &Path) -> Result<(), Ended> {
    let begun = Instant::now();
    while let Some(pid) = running_in(data) {
        if begun.elapsed() > PREDECESSOR {
            return Err(Ended::Failed(format!("a server still runs in {} (process {pid}); stop it", data.display())));
        }
        work.sleep(Duration::from_millis(200)).await?;
    }
    Ok(())
}

/// Removes the directory of a copy, when it is there.
pub(crate) fn remove(root: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes room for a copy that proves a restore from nothing: what a killed predecessor left is of no use.
pub(crate) async fn clear(work: &Work, root: &Path) -> Result<(), Ended> {
    wait_for_predecessor(work, &root.join("data")).await?;
    Ok(remove(root)?)
}

pub(crate) async fn restore(
    control: &ControlPlane,
    work: &Arc<Work>,
    slot: &Slot,
    params: &RestoreParams,
) -> Result<JobResult, Ended> {
    // Of this try: what it replays came until now.
    let (tried_at, witness) = (now(), Witness::of(slot));
    // No restore fails for want of it.
    let rpo_limit = control.objectives(slot).await.ok().map(|it| it.rpo_seconds);
    // From the begin of the first try: what a killed server spent is part of what it took.
    let begun = work.row.started_at.unwrap_or_else(now);
    let took = || now().seconds_since(begun).max(0.0);
    if params.start {
        work.steps(&["Plan", "Write the files", "Start it and replay WAL", "Look inside"]);
    } else {
        work.steps(&["Plan", "Write the files"]);
    }
    let repository = slot.repository().await?;
    let request = RestoreRequest {
        system: slot.catalogue.load().system,
        backup: Some(params.backup.clone()),
        target: params.target.target()?,
        timeline: Some(params.timeline),
    };
    let (plan, manifest) = restore::plan(&repository, &request).await?;
    work.done(format!(
        "{} from {}, then up to {} of WAL on timeline {}",
        format::bytes(plan.bytes as f64),
        plan.backup.id,
        format::bytes(plan.wal_bytes as f64),
        plan.timeline
    ))
    .await;
    for note in &plan.notes {
        work.log(note).await;
    }
    work.check()?;
    let target = params.target.label();
    let data = params.data_directory();
    if !params.start {
        let options = RestoreOptions {
            to: data.clone(),
            delta: params.delta,
            tablespaces: if params.delta {
                Vec::new()
            } else {
                let beside = |oid| params.directory.join(format!("tablespace-{oid}"));
                plan.backup.tablespaces.iter().map(|it| (it.oid.to_string(), beside(it.oid))).collect()
            },
            workers: slot.config.workers,
            owner: None,
            restore_command: slot.config.restore_command.clone(),
            action: "promote".to_owned(),
            inclusive: !params.exclusive,
            tame: false,
        };
        let (counters, mut predecessor) = (work.counters(), Predecessor::new());
        let restored = loop {
            match restore::restore(&repository, &plan, &manifest, &options, &counters).await {
                Ok(restored) => break restored,
                Err(error) => predecessor.outlast(work, error).await?,
            }
        };
        work.done(format!("{} written", format::bytes(restored.written_bytes as f64))).await;
        return Ok(JobResult::Restore {
            next: format!("pg_ctl -D {} start", data.display()),
            directory: data.display().to_string(),
            port: None,
            backup: plan.backup.id,
            target,
            files_seconds: Some(took()),
            rto_seconds: None,
            rpo_seconds: None,
            last_commit_at: None,
            written_bytes: restored.written_bytes,
            kept_bytes: restored.kept_bytes,
            checks: Vec::new(),
            unproved: Vec::new(),
            problems: Vec::new(),
        });
    }
    let copy = CopyPlan {
        host: CopyHost::of(slot),
        repository: &repository,
        plan: &plan,
        manifest: &manifest,
        root: params.directory.clone(),
        exclusive: params.exclusive,
        throw_away: false,
        hold: false,
        lease: tokio::sync::Mutex::default(),
    };
    wait_for_predecessor(work, &data).await?;
    let restored = copy.restore(work).await?;
    let files_seconds = took();
    let written = restored.as_ref().map_or(0, |it| it.written_bytes);
    match &restored {
        Some(it) => {
            let (written, read) = (format::bytes(it.written_bytes as f64), format::bytes(it.fetched_bytes as f64));
            work.done(format!("{written} written, {read} read")).await;
        }
        None => {
            work.done_before().await;
        }
    }
    work.check()?;
    let server = copy.start(work).await?.server;
    let at = Address::from(&server);
    let last_commit_at = copy.last_commit(&at).await;
    let rto_seconds = took();
    work.done(format!(
        "port {}, the last transaction {}",
        server.port(),
        last_commit_at.map_or_else(|| "is unknown".to_owned(), |at| format!("is of {}", at.to_rfc3339()))
    ))
    .await;
    let is_latest = plan.target == Target::Latest;
    let loss = if is_latest { witness.lost(tried_at, last_commit_at) } else { Loss::Unknown };
    let (mut checks, problems) = copy.look_inside(work, &at).await?;
    checks.extend(witness.heartbeat(last_commit_at).filter(|_| is_latest));
    work.done(checks.join("; ")).await;
    let port = server.port();
    control.recovery().copies().keep(work.row.id, server).await;
    work.log("the copy runs on 127.0.0.1 until Holdfast ends; it archives nothing, follows nothing and subscribes to nothing").await;
    Ok(JobResult::Restore {
        directory: data.display().to_string(),
        port: Some(port),
        backup: plan.backup.id.clone(),
        target,
        files_seconds: Some(files_seconds),
        rto_seconds: Some(rto_seconds),
        rpo_seconds: loss.seconds(rpo_limit),
        last_commit_at,
        written_bytes: written,
        kept_bytes: restored.map_or(0, |it| it.kept_bytes),
        next: format!("psql -h 127.0.0.1 -p {port}"),
        checks,
        unproved: loss.unproved(rpo_limit).into_iter().collect(),
        problems,
    })
}
