//! `holdfast backup test-restore`: the restore test of the service, at the command line.

use super::{find, now, record, to_json};
use crate::{
    cli::{
        Failure,
        audited::{allowed, begun, ended},
        complain, dr,
        health::kept_store,
        print, serve,
        steps::{alone, watched},
    },
    config::Config,
    repository::RepositoryArgs,
};
use backup::{Repository, Summary};
use clap::Args;
use control::Protected;
use domain::{
    format,
    view::{JobKind, Objectives, ProofView},
};
use recovery::TestAlone;
use std::path::PathBuf;
use store::ObjectiveRepo;

/// What is restored, and what it must hold.
#[derive(Debug, Args)]
pub struct TestRestoreArgs {
    /// Its id; the newest without it.
    id: Option<String>,
    /// Replay all WAL there is, instead of only what the backup needs: tells what would be lost, too.
    #[arg(long)]
    latest: bool,
    /// Id of a configured cluster: for its repository, superuser, chosen statements and objective. Without it the one cluster
    /// that is configured with this repository counts, if there is one.
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// Where the copy goes meanwhile; a temporary directory without it.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// A superuser of the cluster; without it that of the configured cluster, else postgres.
    #[arg(long)]
    superuser: Option<String>,
    /// DATABASE: SELECT …; must give true, or a figure that is shown. Beside those that are configured; may be repeated.
    #[arg(long = "probe", value_name = "DATABASE: SELECT", value_parser = dr::probe)]
    probes: Vec<String>,
}

/// Runs `holdfast backup test-restore`.
pub async fn run(args: &RepositoryArgs, given: TestRestoreArgs, json: bool) -> Result<(), Failure> {
    const ACTION: &str = "backup_test_restore";
    // As it was asked for; a cluster that is not configured is refused.
    let named = given.cluster.clone();
    let object = named.as_deref().map(|id| ("cluster", id));
    let asked = async {
        let named = match &given.cluster {
            Some(id) => {
                let config = Config::load()?;
                let cluster = dr::protected(&config, Some(id.as_str()))?.clone();
                Some((config, cluster))
            }
            None => None,
        };
        let repository = match &named {
            Some((_, cluster)) if args.repo.is_none() => (cluster.open.0)().await.map_err(Failure::failed)?,
            _ => args.open().await?,
        };
        let one = chosen(&repository, named.as_ref(), given.id.as_deref()).await?;
        let cluster = match named {
            Some((_, cluster)) => Some(cluster),
            None => only_configured(&repository, args).await?,
        };
        Ok::<_, Failure>((repository, one, cluster))
    };
    let asked = asked.await;
    let (repository, one, cluster) = allowed(args, ACTION, object, asked).await?;
    let what = serde_json::json!({ "do": "restore_test", "backup": one.id, "latest": given.latest });
    begun(args, ACTION, object, None, serde_json::json!({ "what": what })).await;
    let parent = given.directory.unwrap_or_else(std::env::temp_dir);
    let directory = parent.join(format!("holdfast-test-restore-{}", backup::format::ObjectId::random()));
    let configured = cluster.as_ref();
    let system = one.cluster.system_identifier;
    let rpo_limit = match configured {
        Some(cluster) => Some(promised(cluster).await.rpo_seconds),
        None => None,
    };
    let of = TestAlone {
        repository: repository.clone(),
        backup: one,
        latest: given.latest,
        superuser: given
            .superuser
            .or_else(|| configured.map(|it| it.superuser.clone()))
            .unwrap_or_else(|| "postgres".to_owned()),
        probes: [configured.map(|it| it.probes.clone()).unwrap_or_default(), given.probes].concat(),
        workers: configured.map_or(2, |it| it.workers),
        directory: std::path::absolute(&directory).unwrap_or(directory),
        rpo_limit,
        // Of another repository the configuration says nothing.
        heartbeat: args.repo.is_none() && configured.is_some_and(Protected::writes_heartbeat),
    };
    let (test, since) = (alone(JobKind::RestoreTest, json), now());
    let work = async {
        let proof = watched("restore test", json, &test, test.test_restore(of)).await?;
        record::tested(&repository, system, given.latest, since, &proof).await;
        print(&if json { to_json(&proof)? } else { described(&proof) });
        match proof.problems.first() {
            None => Ok(proof),
            Some(reason) if proof.measured_rto().is_none() => Err(Failure::failed(reason)),
            Some(problem) => Err(Failure::failed(format!("the restored copy is not sound: {problem}"))),
        }
    };
    let done = work.await;
    let shown = |proof: &ProofView| {
        serde_json::json!({
            "backup": proof.backup,
            "rto_seconds": proof.measured_rto(),
            "rpo_seconds": proof.rpo_seconds,
            "checks": proof.checks.len(),
        })
    };
    ended(args, "restore_test_finish", object, done, shown).await.map(drop)
}

/// The backup by its id, or the newest: of the named cluster, where the repository holds several.
async fn chosen(
    repository: &Repository,
    named: Option<&(Config, Protected)>,
    id: Option<&str>,
) -> Result<Summary, Failure> {
    let (None, Some((config, cluster))) = (id, named) else { return find(repository, id).await };
    if repository.clusters().await?.len() < 2 {
        return find(repository, id).await;
    }
    let control = serve::control(config).await?;
    dr::look(&control, &cluster.cluster).await?;
    let system = control.recovery().slot(&cluster.cluster).and_then(|slot| slot.catalogue.load().system);
    let newest = match system {
        Some(system) => repository.backups(system).await?.pop(),
        None => None,
    };
    newest.ok_or_else(|| {
        Failure::failed(format!("there is no backup of '{}' yet; 'holdfast backup create' takes one", cluster.cluster))
    })
}

/// The cluster that is configured with this repository, when both are the only ones: nobody named one.
async fn only_configured(repository: &Repository, args: &RepositoryArgs) -> Result<Option<Protected>, Failure> {
    // On a bare host there is no configuration, and the repository is enough.
    let (Ok(config), Ok(place)) = (Config::load(), args.describe()) else { return Ok(None) };
    if args.repo.is_some() || repository.clusters().await?.len() != 1 {
        return Ok(None);
    }
    let mut here = config.protected.into_iter().filter(|it| it.place == place);
    Ok(match (here.next(), here.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    })
}

/// What is promised for a cluster: as changed on the page, else as configured. A host without a store has no page, and one
/// whose store does not answer can restore all the same.
async fn promised(cluster: &Protected) -> Objectives {
    let changed = match changed_objectives(&cluster.cluster).await {
        Ok(changed) => changed,
        Err(reason) => {
            complain(&format!(
                "whether the objectives of '{}' were changed is not known, and those of the configuration count: {reason}",
                cluster.cluster
            ));
            None
        }
    };
    changed.unwrap_or(cluster.objectives)
}

async fn changed_objectives(cluster: &str) -> Result<Option<Objectives>, String> {
    let config = Config::load().map_err(|error| error.to_string())?;
    let Some(store) = kept_store(&config).await? else { return Ok(None) };
    ObjectiveRepo(store.db()).get(cluster).await.map_err(|error| error.to_string())
}

fn described(proof: &ProofView) -> String {
    let mut text = match proof.measured_rto() {
        Some(rto) => format!(
            "{}: {}; planned in {}, files written in {} ({}), recovered in {}, checked in {}; RTO {}\n",
            proof.backup,
            if proof.ok { "sound" } else { "NOT SOUND" },
            format::duration_s(proof.plan_seconds),
            format::duration_s(proof.restore_seconds),
            format::bytes(proof.bytes as f64),
            format::duration_s(proof.recovery_seconds),
            format::duration_s(proof.check_seconds),
            format::duration_s(rto)
        ),
        None => format!("{}: NOT RESTORED\n", proof.backup),
    };
    if let Some(rpo) = proof.rpo_seconds {
        text += &format!("  RPO {}\n", format::duration_s(rpo));
    }
    for check in &proof.checks {
        text += &format!("  good: {check}\n");
    }
    for line in &proof.unproved {
        text += &format!("  not proved: {line}\n");
    }
    for problem in &proof.problems {
        text += &format!("  WRONG: {problem}\n");
    }
    text
}
