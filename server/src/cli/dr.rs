//! `holdfast dr`: plans, and drills that need nothing but the repository and what opens it.

use super::{
    Failure, print, serve,
    steps::{alone, watched},
};
use crate::{config::Config, evidence, repository::RepositoryArgs};
use clap::{Args, Subcommand};
use control::{Actor, ControlPlane, Protected, TargetAsk};
use domain::{
    format,
    view::{DrDryRun, DrKind, DrPlanSpec, DrReport, JobKind, Objectives},
};
use recovery::DrillAlone;
use std::path::PathBuf;

/// Disaster recovery.
#[derive(Debug, Subcommand)]
pub enum DrCommand {
    /// Show a plan and what each of its steps would do now; nothing is changed.
    Plan {
        /// Name or id of the plan; the first without it.
        plan: Option<String>,
        /// Id of a configured cluster; the first that is backed up without it.
        #[arg(long, value_name = "ID")]
        cluster: Option<String>,
    },
    /// Rehearse a plan to the newest moment on a private copy, measure RTO and RPO, throw the copy away.
    Test(DrillArgs),
    /// Rehearse to a random moment of the recovery window, from the recovery code in HOLDFAST_RECOVERY_CODE alone, in an
    /// empty directory: what would be left after the loss of the whole host.
    FullTest(DrillArgs),
}

/// How a drill is done.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// Name or id of a plan of the store; the standard plan without it.
    #[arg(long)]
    plan: Option<String>,
    /// Id of a configured cluster: for its objectives, chosen statements and superuser, and to keep the result in the
    /// store. Without it the repository alone is enough.
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// System identifier, when the repository holds several clusters.
    #[arg(long)]
    system: Option<u64>,
    /// Where the copy goes meanwhile: a directory that is empty or not there. A temporary one without it.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// A superuser of the cluster; without it that of the named cluster, else postgres.
    #[arg(long)]
    superuser: Option<String>,
    /// DATABASE: SELECT …; must give true, or a figure that is shown. May be repeated.
    #[arg(long = "probe", value_name = "DATABASE: SELECT", value_parser = probe)]
    probes: Vec<String>,
    /// Reads at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Recovery time objective in seconds, whatever is promised for the named cluster; without it what is promised.
    #[arg(long, value_parser = seconds)]
    rto_seconds: Option<f64>,
    /// Recovery point objective in seconds, whatever is promised for the named cluster; without it what is promised.
    #[arg(long, value_parser = seconds)]
    rpo_seconds: Option<f64>,
    /// Write the evidence here, as HTML when the name ends so, else as JSON.
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
}

/// A chosen statement, as it is written at the command line.
pub fn probe(text: &str) -> Result<String, String> {
    let is_whole = text.split_once(':').is_some_and(|(database, sql)| ![database, sql].map(str::trim).contains(&""));
    is_whole
        .then(|| text.to_owned())
        .ok_or_else(|| format!("'{text}' is not DATABASE: SELECT …, as in 'shop: SELECT count(*) > 0 FROM orders'"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|it| it.is_finite() && *it > 0.0);
    number.ok_or_else(|| format!("'{text}' is not a number of seconds above 0"))
}

/// Runs `holdfast dr …`.
pub async fn run(command: DrCommand, args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    match command {
        DrCommand::Plan { plan, cluster } => show(plan.as_deref(), cluster.as_deref(), json).await,
        DrCommand::Test(drill_args) => drill(DrKind::Test, drill_args, args, json).await,
        DrCommand::FullTest(drill_args) => drill(DrKind::FullTest, drill_args, args, json).await,
    }
}

/// The configured cluster that is backed up.
pub fn protected<'a>(config: &'a Config, cluster: Option<&str>) -> Result<&'a Protected, Failure> {
    let found = config.protected.iter().find(|one| cluster.is_none_or(|id| one.cluster == id));
    found.ok_or_else(|| match cluster {
        Some(id) => {
            Failure::usage(format!("no cluster '{id}' with a repository is configured; 'holdfast config' lists them"))
        }
        None => Failure::usage(
            "no configured cluster is backed up; set DATABASE_URL and BACKUP_STORAGE_PATH, or write holdfast.toml",
        ),
    })
}

/// A plan of the store by name or id; the first without either.
async fn plan_of(
    control: &ControlPlane,
    cluster: &str,
    plan: Option<&str>,
) -> Result<domain::view::DrPlanView, Failure> {
    control.dr_plan_ensure(cluster).await?;
    let overview = control.dr_overview(&Actor::cli(), Some(cluster)).await?;
    let names = overview.plans.iter().map(|it| it.plan.name.clone()).collect::<Vec<_>>().join(", ");
    let found =
        overview.plans.into_iter().find(|it| plan.is_none_or(|wanted| it.plan.name == wanted || it.id == wanted));
    found.ok_or_else(|| {
        let wanted = plan.map_or_else(String::new, |wanted| format!(" '{wanted}'"));
        Failure::usage(if names.is_empty() {
            format!("cluster '{cluster}' has no plan any more; write one on /recovery/plans or by the API")
        } else {
            format!("there is no plan{wanted} of cluster '{cluster}'; there are: {names}")
        })
    })
}

/// What the repository holds of the cluster, as the service would know it.
pub async fn look(control: &ControlPlane, cluster: &str) -> Result<(), Failure> {
    recovery::read_once(control, cluster).await.map_err(|error| {
        Failure::failed(match error.contains("several clusters") {
            true => format!(
                "{error}; when the server is gone, 'holdfast repo info' lists the clusters and 'holdfast restore --plan --cluster SYSTEM' plans for one"
            ),
            false => error,
        })
    })
}

async fn show(plan: Option<&str>, cluster: Option<&str>, json: bool) -> Result<(), Failure> {
    let config = Config::load()?;
    let cluster = protected(&config, cluster)?.cluster.clone();
    let control = serve::control(&config).await?;
    let plan = plan_of(&control, &cluster, plan).await?;
    look(&control, &cluster).await?;
    if control.recovery().slot(&cluster).is_some_and(|slot| slot.catalogue.load().backups.is_empty()) {
        return Err(Failure::failed(format!(
            "there is no backup of '{cluster}' yet: 'holdfast backup create' takes one, and 'holdfast serve' by itself"
        )));
    }
    let dry = control.dr_dry_run(&Actor::cli(), Some(&cluster), &plan.id, &TargetAsk::default()).await?;
    if json {
        print(&serde_json::to_string(&dry).map_err(Failure::failed)?);
    } else {
        print(&describe(&dry));
    }
    match dry.refusals.first() {
        None => Ok(()),
        Some(reason) => Err(Failure::failed(format!("the plan cannot be carried out now: {reason}"))),
    }
}

fn describe(dry: &DrDryRun) -> String {
    let plan = &dry.plan;
    let mut text = format!(
        "plan '{}' of cluster {} (id {}, hash {})\n",
        plan.plan.name,
        plan.cluster,
        plan.id,
        &plan.hash[..plan.hash.len().min(12)]
    );
    for (index, step) in dry.steps.iter().enumerate() {
        let expected =
            step.expected_seconds.map_or_else(String::new, |it| format!(", about {}", format::duration_s(it)));
        let approval = if step.approval { " [waits for an approval]" } else { "" };
        text += &format!("{:>3}. {:<21} {}{expected}{approval}\n", index + 1, step.action.label(), step.what);
    }
    match (dry.expected_seconds, dry.objectives) {
        (Some(seconds), Some(limit)) => {
            text += &format!(
                "restore now: {}, limit {}\n",
                format::duration_s(seconds),
                format::duration_s(limit.rto_seconds)
            );
        }
        (None, _) => text += "restore now: unknown before the first drill or restore test\n",
        (Some(seconds), None) => text += &format!("restore now: {}\n", format::duration_s(seconds)),
    }
    for (name, cron) in [("drill", &plan.plan.test), ("full drill", &plan.plan.full_test)] {
        text += &match cron {
            Some(cron) => format!("{name}: {cron}\n"),
            None => format!("{name}: on no calendar\n"),
        };
    }
    for note in &dry.notes {
        text += &format!("note: {note}\n");
    }
    text
}

async fn drill(kind: DrKind, given: DrillArgs, args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    // With a named cluster its configuration counts, and its store keeps the result; without one nothing of this host does.
    let configured = match given.cluster.as_deref().or(given.plan.as_ref().map(|_| "")) {
        None => None,
        Some(id) => {
            let config = Config::load()?;
            let cluster = protected(&config, Some(id).filter(|id| !id.is_empty()))?.clone();
            let control = serve::control(&config).await?;
            Some((cluster, control))
        }
    };
    if kind == DrKind::FullTest && !args.is_by_recovery_code() {
        return Err(Failure::usage(
            "a full test opens the repository as somebody who has lost everything else: set HOLDFAST_RECOVERY_CODE from the recovery kit, and give no key file (BACKUP_ENCRYPTION_KEY_PATH, --key-file) or passphrase",
        ));
    }
    for path in &given.evidence {
        // Before an hour's drill, not after it.
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.map_err(|error| {
            Failure::usage(format!("the evidence {} cannot be written: {error}; choose another file", path.display()))
        })?;
    }
    let (repository, place) = match &configured {
        Some((cluster, _)) if args.repo.is_none() && kind == DrKind::Test => {
            ((cluster.open.0)().await.map_err(Failure::failed)?, cluster.place.clone())
        }
        _ => (args.open().await?, args.describe()?),
    };
    let (plan_id, plan) = match &configured {
        Some((cluster, control)) => {
            let view = plan_of(control, &cluster.cluster, given.plan.as_deref()).await?;
            (Some(view.id), view.plan)
        }
        None => (None, DrPlanSpec::standard()),
    };
    let promised = match &configured {
        Some((cluster, control)) => match control.recovery().slot(&cluster.cluster) {
            Some(slot) => Some(control.objectives(slot).await?),
            None => None,
        },
        None => None,
    };
    let objectives = measured_against(promised, given.rto_seconds, given.rpo_seconds);
    let (superuser, probes) = match &configured {
        Some((cluster, _)) => (Some(cluster.superuser.clone()), [cluster.probes.clone(), given.probes].concat()),
        None => (None, given.probes),
    };
    let superuser = given.superuser.or(superuser).unwrap_or_else(|| "postgres".to_owned());
    // From the recovery code alone it has to be found too.
    let system = match (&configured, given.system) {
        (Some((cluster, control)), None) if kind == DrKind::Test && args.repo.is_none() => {
            look(control, &cluster.cluster).await?;
            control.recovery().slot(&cluster.cluster).and_then(|slot| slot.catalogue.load().system)
        }
        (_, given) => given,
    };
    let directory = given
        .directory
        .unwrap_or_else(|| std::env::temp_dir().join(format!("holdfast-drill-{}", backup::format::ObjectId::random())));
    let of = DrillAlone {
        kind,
        plan,
        plan_id,
        cluster: configured.as_ref().map(|it| it.0.cluster.clone()),
        repository,
        place,
        from_kit: args.is_by_recovery_code(),
        system,
        superuser,
        probes,
        workers: usize::from(given.workers),
        directory: std::path::absolute(&directory).unwrap_or(directory),
        objectives,
        // Of another repository the configuration says nothing.
        heartbeat: args.repo.is_none() && configured.as_ref().is_some_and(|it| it.0.writes_heartbeat()),
    };
    let drill = alone(JobKind::Drill, json);
    let report = watched(kind.as_str(), json, &drill, drill.drill(of)).await?;
    let text = serde_json::to_string_pretty(&report).map_err(Failure::failed)?;
    let run = match &configured {
        Some((_, control)) => Some(control.dr_run_record(&Actor::cli(), &report).await?),
        None => None,
    };
    let sha256 = run.and_then(|run| run.evidence_sha256).unwrap_or_else(|| "not kept in a store".to_owned());
    print(&if json { serde_json::to_string(&report).map_err(Failure::failed)? } else { told(&report) });
    for path in &given.evidence {
        let is_html = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("html"));
        let content = if is_html { evidence::html(&report, &sha256) } else { text.clone() };
        std::fs::write(path, content)
            .map_err(|error| Failure::failed(format!("the evidence {} cannot be written: {error}", path.display())))?;
    }
    match report.problems.first() {
        None => Ok(()),
        Some(problem) => Err(Failure::failed(format!("the drill is not sound: {problem}"))),
    }
}

/// What was given counts before what is promised; what neither says has no limit.
fn measured_against(promised: Option<Objectives>, rto: Option<f64>, rpo: Option<f64>) -> Option<Objectives> {
    let limit = |given: Option<f64>, promised: Option<f64>| given.or(promised).unwrap_or(f64::MAX);
    (promised.is_some() || rto.is_some() || rpo.is_some()).then(|| Objectives {
        rto_seconds: limit(rto, promised.map(|it| it.rto_seconds)),
        rpo_seconds: limit(rpo, promised.map(|it| it.rpo_seconds)),
    })
}

fn told(report: &DrReport) -> String {
    let mut text = format!(
        "{} of plan '{}'{}: {}\n",
        report.kind.label(),
        report.plan.name,
        if report.cluster.is_empty() { String::new() } else { format!(", cluster {}", report.cluster) },
        if report.ok { "sound" } else { "NOT SOUND" },
    );
    if let Some(backup) = &report.backup {
        text += &format!("  restored to {} from {backup}\n", report.target);
    }
    for (index, step) in report.steps.iter().enumerate() {
        let took = step.seconds.map_or_else(|| step.state.clone(), format::duration_s);
        text += &format!("  {:>2}. {:<21} {took:>10}  {}\n", index + 1, step.action.label(), step.detail);
    }
    let limit = |limit: Option<f64>| {
        limit.filter(|it| *it < f64::MAX).map_or_else(String::new, |it| format!(" (limit {})", format::duration_s(it)))
    };
    if let Some(rto) = report.rto_seconds {
        text += &format!("  RTO {}{}\n", format::duration_s(rto), limit(report.objectives.map(|it| it.rto_seconds)));
    }
    if let Some(rpo) = report.rpo_seconds {
        text += &format!("  RPO {}{}\n", format::duration_s(rpo), limit(report.objectives.map(|it| it.rpo_seconds)));
    }
    for check in &report.checks {
        text += &format!("  good: {check}\n");
    }
    for line in &report.unproved {
        text += &format!("  not proved: {line}\n");
    }
    for problem in &report.problems {
        text += &format!("  WRONG: {problem}\n");
    }
    for line in &report.configuration {
        text += &format!("  a copy that takes over here: {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_that_was_given_counts_before_the_promised_one() {
        let promised = Some(Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 });
        let figures = |it: Option<Objectives>| it.map(|it| (it.rpo_seconds, it.rto_seconds));
        assert_eq!(figures(measured_against(promised, None, None)), Some((60.0, 900.0)));
        assert_eq!(figures(measured_against(promised, Some(5.0), None)), Some((60.0, 5.0)));
        assert_eq!(figures(measured_against(promised, Some(5.0), Some(1.0))), Some((1.0, 5.0)));
        assert_eq!(figures(measured_against(None, None, Some(1.0))), Some((1.0, f64::MAX)));
        assert_eq!(figures(measured_against(None, None, None)), None);
    }
}
