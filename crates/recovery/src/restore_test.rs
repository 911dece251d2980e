//! Restores that prove: a private copy is written, started, recovered, looked at, and thrown away.
use crate::{
    alone::{Alone, must_be_empty, reason},
    copy::{Address, CopyHost, CopyPlan, unwritable},
    execute::find,
    loss::{Loss, Witness},
    restore::{clear, remove},
    throwaway::{self, TEST_PREFIX},
    work::{Ended, Work},
};
use backup::{
    Manifest, Repository, Summary,
    restore::{self, RestorePlan, RestoreRequest, Target},
};
use control::{ControlPlane, RestoreTestParams, Slot, now};
use domain::{
    Timestamp, format,
    view::{JobResult, ProofView},
};
use pgphysical::{LocalCluster, ShutdownMode};
use std::{ffi::OsStr, fs, path::PathBuf};

const STEPS: [&str; 5] = ["Plan", "Write the files", "Start it and replay WAL", "Check", "Throw it away"];

/// What a restore test is made of.
#[derive(Debug)]
struct Trial {
    repository: Repository,
    backup: Summary,
    /// All WAL there is is replayed.
    latest: bool,
    host: CopyHost,
    /// Holds the copy.
    root: PathBuf,
    /// What tells how much was outstanding at the begin.
    witness: Witness,
    /// Recovery point objective, seconds.
    rpo_limit: Option<f64>,
}

pub(crate) async fn test(
    control: &ControlPlane,
    work: &Work,
    slot: &Slot,
    params: &RestoreTestParams,
) -> Result<JobResult, Ended> {
    work.steps(&STEPS);
    throwaway::clear_earlier(slot, TEST_PREFIX, work).await?;
    // In earnest nobody waits for what earlier tries left.
    work.begin();
    let (repository, system) = (slot.repository().await?, slot.catalogue.load().system);
    let trial = Trial {
        backup: find(&repository, system, params.backup.as_deref()).await?,
        repository,
        latest: params.latest,
        host: CopyHost::of(slot),
        root: throwaway::of(slot, TEST_PREFIX, work),
        witness: Witness::of(slot),
        rpo_limit: Some(control.objectives(slot).await?.rpo_seconds),
    };
    let proof = trial.run(work).await;
    throwaway::remove_earlier(slot, TEST_PREFIX, work);
    Ok(JobResult::RestoreTest(proof?))
}

/// A restore test of the command line: without service or store.
#[derive(Debug)]
pub struct TestAlone {
    /// The repository.
    pub repository: Repository,
    /// The backup.
    pub backup: Summary,
    /// All WAL there is is replayed.
    pub latest: bool,
    /// A superuser of the cluster.
    pub superuser: String,
    /// `DATABASE: SELECT …`.
    pub probes: Vec<String>,
    /// Parts fetched at once.
    pub workers: usize,
    /// Where the copy goes meanwhile; must not hold anything.
    pub directory: PathBuf,
    /// Recovery point objective in seconds, when one is promised.
    pub rpo_limit: Option<f64>,
    /// The source writes a heartbeat: [`control::Protected::writes_heartbeat`].
    pub heartbeat: bool,
}

impl Alone {
    /// Proves a backup as the service does; the copy is gone afterwards.
    ///
    /// # Errors
    /// Why the test could not be begun; why it failed, and what is wrong with the copy, is in the result.
    pub async fn test_restore(&self, of: TestAlone) -> Result<ProofView, String> {
        must_be_empty(&of.directory, "a restore test")?;
        self.0.steps(&STEPS);
        let trial = Trial {
            repository: of.repository,
            backup: of.backup,
            latest: of.latest,
            host: CopyHost { workers: of.workers, superuser: of.superuser, probes: of.probes, listen: None },
            root: of.directory,
            witness: Witness { heartbeat: of.heartbeat, ..Witness::default() },
            rpo_limit: of.rpo_limit,
        };
        trial.run(&self.0).await.map_err(reason)
    }
}

impl Trial {
    /// Does it; the copy is gone afterwards. What fails once it is planned and has its place is what it shows: the backup
    /// was not restored.
    async fn run(&self, work: &Work) -> Result<ProofView, Ended> {
        let began_at = now();
        let request = RestoreRequest {
            system: Some(self.backup.cluster.system_identifier),
            target: if self.latest { Target::Latest } else { Target::Immediate },
            backup: Some(self.backup.id.clone()),
            timeline: None,
        };
        let (plan, manifest) = restore::plan(&self.repository, &request).await?;
        let plan_seconds = work.done(format!("{} from {}", format::bytes(plan.bytes as f64), plan.backup.id)).await;
        for note in &plan.notes {
            work.log(note).await;
        }
        clear(work, &self.root).await?;
        // Without a place for the copy nothing is shown of the backup.
        fs::create_dir_all(&self.root).map_err(|error| unwritable(&self.root, &error))?;
        let mut proof = ProofView {
            backup: plan.backup.id.clone(),
            at: began_at,
            ok: false,
            bytes: 0,
            wal_bytes: plan.wal_bytes,
            plan_seconds,
            restore_seconds: 0.0,
            recovery_seconds: 0.0,
            check_seconds: 0.0,
            rto_seconds: 0.0,
            rpo_seconds: None,
            checks: Vec::new(),
            unproved: Vec::new(),
            problems: Vec::new(),
        };
        let ended = self.carry_out(work, began_at, &plan, &manifest, &mut proof).await;
        if let Err(error) = remove(&self.root) {
            work.log(&format!("{} was not removed whole: {error}", self.root.display())).await;
        }
        match ended {
            Ok(()) => {
                work.done("").await;
            }
            Err(Ended::Failed(reason)) if !work.is_cancelled() => {
                work.log(&format!("failed: {reason}")).await;
                proof.problems.insert(0, reason);
            }
            Err(ended) => return Err(ended),
        }
        proof.at = now();
        proof.ok = proof.problems.is_empty();
        Ok(proof)
    }

    /// Writes the copy, starts it, looks at it; `proof` has what was measured and found as far as it came.
    async fn carry_out(
        &self,
        work: &Work,
        began_at: Timestamp,
        plan: &RestorePlan,
        manifest: &Manifest,
        proof: &mut ProofView,
    ) -> Result<(), Ended> {
        let copy = CopyPlan {
            host: self.host.clone(),
            repository: &self.repository,
            plan,
            manifest,
            root: self.root.clone(),
            exclusive: false,
            throw_away: true,
            hold: false,
            lease: tokio::sync::Mutex::default(),
        };
        let restored = copy.restore(work).await?.unwrap_or_default();
        let written = format!("{} written", format::bytes(restored.written_bytes as f64));
        proof.restore_seconds = work.done(written).await;
        proof.bytes = plan.bytes;
        work.check()?;
        let mut server = copy.start(work).await?.server;
        let at = Address::from(&server);
        let last = copy.last_commit(&at).await;
        let told = last.map_or_else(String::new, |at| format!("the last transaction is of {}", at.to_rfc3339()));
        proof.recovery_seconds = work.done(told).await;
        proof.rto_seconds = proof.plan_seconds + proof.restore_seconds + proof.recovery_seconds;
        // Without all WAL the copy tells nothing of the newest moment.
        let loss = if self.latest { self.witness.lost(began_at, last) } else { Loss::Unknown };
        proof.rpo_seconds = loss.seconds(self.rpo_limit);
        proof.unproved.extend(loss.unproved(self.rpo_limit));
        (proof.checks, proof.problems) = copy.look_inside(work, &at).await?;
        proof.checks.extend(self.witness.heartbeat(last).filter(|_| self.latest));
        work.check()?;
        let sums = plan.backup.cluster.checksums;
        prove(work, &mut server, &self.host.superuser, sums, &mut proof.checks, &mut proof.problems).await?;
        for problem in &proof.problems {
            work.log(problem).await;
        }
        proof.check_seconds = work.done(proof.checks.join("; ")).await;
        Ok(())
    }
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
