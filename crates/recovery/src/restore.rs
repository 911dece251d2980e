//! Restores that stay, and restores that prove.
use crate::{
    copy::{Address, CopyHost, CopyPlan},
    execute::{Predecessor, find},
    throwaway::{self, TEST_PREFIX},
    wal,
    work::{Ended, Work},
};
use backup::restore::{self, RestoreOptions, RestoreRequest, Target};
use control::{Copies, RestoreParams, RestoreTestParams, Slot, now};
use domain::{
    format,
    view::{JobResult, ProofView},
};
use pgphysical::{LocalCluster, ShutdownMode};
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// A copy that a killed predecessor started ends by its guardian; so long is waited for that.
const PREDECESSOR: Duration = Duration::from_secs(60);

/// The server that runs in a data directory.
pub(crate) fn running_in(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse::<u32>().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

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

pub(crate) async fn restore(
    work: &Arc<Work>,
    slot: &Slot,
    params: &RestoreParams,
    copies: &Copies,
) -> Result<JobResult, Ended> {
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
            rto_seconds: took(),
            last_commit_at: None,
            written_bytes: restored.written_bytes,
            kept_bytes: restored.kept_bytes,
            checks: Vec::new(),
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
    let (checks, problems) = copy.look_inside(work, &at).await?;
    work.done(checks.join("; ")).await;
    let port = server.port();
    copies.keep(work.row.id, server).await;
    work.log("the copy runs on 127.0.0.1 until Holdfast ends; it archives nothing, follows nothing and subscribes to nothing").await;
    Ok(JobResult::Restore {
        directory: data.display().to_string(),
        port: Some(port),
        backup: plan.backup.id.clone(),
        target,
        rto_seconds,
        last_commit_at,
        written_bytes: written,
        kept_bytes: restored.map_or(0, |it| it.kept_bytes),
        next: format!("psql -h 127.0.0.1 -p {port}"),
        checks,
        problems,
    })
}

pub(crate) async fn test(work: &Arc<Work>, slot: &Slot, params: &RestoreTestParams) -> Result<JobResult, Ended> {
    work.steps(&["Plan", "Write the files", "Start it and replay WAL", "Check", "Throw it away"]);
    throwaway::clear_earlier(slot, TEST_PREFIX, work).await?;
    let root = throwaway::of(slot, TEST_PREFIX, work);
    let tested = proved(work, slot, params, &root).await;
    let removed = fs::remove_dir_all(&root);
    if let Err(error) = removed.as_ref().map_or_else(
        |error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) },
        |()| Ok(()),
    ) {
        work.log(&format!("{} was not removed whole: {error}", root.display())).await;
    }
    throwaway::remove_earlier(slot, TEST_PREFIX, work);
    let proof = tested?;
    work.done("").await;
    Ok(JobResult::RestoreTest(proof))
}

async fn proved(work: &Arc<Work>, slot: &Slot, params: &RestoreTestParams, root: &Path) -> Result<ProofView, Ended> {
    let (began_at, lag) = (now(), wal::lag(slot));
    let repository = slot.repository().await?;
    let one = find(slot, &repository, params.backup.as_deref()).await?;
    let request = RestoreRequest {
        system: Some(one.cluster.system_identifier),
        target: if params.latest { Target::Latest } else { Target::Immediate },
        backup: Some(one.id),
        timeline: None,
    };
    let (plan, manifest) = restore::plan(&repository, &request).await?;
    work.done(format!("{} from {}", format::bytes(plan.bytes as f64), plan.backup.id)).await;
    let copy = CopyPlan {
        host: CopyHost::of(slot),
        repository: &repository,
        plan: &plan,
        manifest: &manifest,
        root: root.to_owned(),
        exclusive: false,
        throw_away: true,
        hold: false,
        lease: tokio::sync::Mutex::default(),
    };
    wait_for_predecessor(work, &root.join("data")).await?;
    // A test proves a restore from nothing.
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let restored = copy.restore(work).await?.unwrap_or_default();
    let restore_seconds = work.done(format!("{} written", format::bytes(restored.written_bytes as f64))).await;
    work.check()?;
    let mut server = copy.start(work).await?.server;
    let at = Address::from(&server);
    let last = copy.last_commit(&at).await;
    let recovery_seconds =
        work.done(last.map_or_else(String::new, |at| format!("the last transaction is of {}", at.to_rfc3339()))).await;
    let (mut checks, mut problems) = copy.look_inside(work, &at).await?;
    work.check()?;
    prove(work, &mut server, &copy.host.superuser, plan.backup.cluster.checksums, &mut checks, &mut problems).await?;
    for problem in &problems {
        work.log(problem).await;
    }
    let check_seconds = work.done(checks.join("; ")).await;
    Ok(ProofView {
        backup: plan.backup.id.clone(),
        at: now(),
        ok: problems.is_empty(),
        bytes: plan.bytes,
        wal_bytes: plan.wal_bytes,
        restore_seconds,
        recovery_seconds,
        check_seconds,
        rto_seconds: restore_seconds + recovery_seconds,
        rpo_seconds: wal::lost(last.map(|at| began_at.seconds_since(at).max(0.0)), lag).filter(|_| params.latest),
        checks,
        problems,
    })
}

/// Every page and every index by PostgreSQL's own programs. The server is stopped by it.
pub(crate) async fn prove(
    work: &Work,
    server: &mut LocalCluster,
    superuser: &str,
    checksums: bool,
    checks: &mut Vec<String>,
    problems: &mut Vec<String>,
) -> Result<(), Ended> {
    let (port, socket) = (server.port().to_string(), server.socket_dir());
    let arguments = [
        OsStr::new("--all"),
        OsStr::new("--install-missing"),
        OsStr::new("--heapallindexed"),
        OsStr::new("--host"),
        socket.as_os_str(),
        OsStr::new("--port"),
        OsStr::new(&port),
        OsStr::new("--username"),
        OsStr::new(superuser),
    ];
    match server.run_program("pg_amcheck", &arguments).await {
        Ok(()) => checks.push("pg_amcheck: all tables and indexes are sound".to_owned()),
        Err(error) => problems.push(error.to_string()),
    }
    server.stop(ShutdownMode::Fast).await?;
    work.check()?;
    if checksums {
        let data = server.data_dir();
        match server.run_program("pg_checksums", &[OsStr::new("--check"), OsStr::new("-D"), data.as_os_str()]).await {
            Ok(()) => checks.push("pg_checksums: every page has its checksum".to_owned()),
            Err(error) => problems.push(error.to_string()),
        }
    } else {
        checks.push("pages have no checksums in this cluster: pg_amcheck alone looked at them".to_owned());
    }
    Ok(())
}
