//! Server functions of backup and recovery. Rights are decided in `control`; what the reader may is told only so that a
//! page offers nothing that would be refused.

use crate::AppError;
#[cfg(feature = "ssr")]
use crate::server_fns::{asking, form, told};
use domain::view::{
    BackupRow, BackupsPage, DrDryRun, DrOverview, DrPlanSpec, DrPlanView, DrRunView, ExpirePlanView, JobKind, JobState,
    JobView, JobsPage, RecoveryOverview, RemovalPlanView, RestorePlanView,
};
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// Jobs on one page.
#[cfg(feature = "ssr")]
const JOBS_SHOWN: u64 = 50;
/// Backups on one page.
#[cfg(feature = "ssr")]
const BACKUPS_SHOWN: u64 = 50;

/// What the reader may do here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct May {
    /// Start, verify, test, stop.
    pub operate: bool,
    /// Restore.
    pub restore: bool,
    /// Remove by retention.
    pub expire: bool,
    /// Keys and objectives.
    pub manage: bool,
}

/// Everything of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryData {
    /// The picture.
    pub overview: RecoveryOverview,
    /// Plans and drills; `None` when the cluster is not backed up.
    pub dr: Option<DrOverview>,
    /// A page of the list of backups; `None` when the cluster is not backed up.
    pub backups: Option<BackupsPage>,
    /// It is not the first page.
    pub is_later: bool,
    /// Databases that the cluster has now; none while it was not read.
    pub databases: Vec<String>,
    /// A restore to the moment that was chosen, or why there is none.
    pub chosen: Option<Result<RestorePlanView, String>>,
    /// What the reader may.
    pub may: May,
}

/// Plans for disasters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrData {
    /// All plans and runs.
    pub overview: DrOverview,
    /// One plan, and what it would do now or why that cannot be said.
    pub dry: Option<(DrPlanView, Result<DrDryRun, String>)>,
    /// One run.
    pub run: Option<DrRunView>,
    /// A plan is to be written.
    pub new: bool,
    /// What was typed into a plan that was refused.
    pub draft: Option<DrPlanSpec>,
    /// What the reader may.
    pub may: May,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupData {
    /// Id of the cluster.
    pub cluster: String,
    /// The backup.
    pub backup: BackupRow,
    /// The job that restored it last to prove it.
    pub tested_by: Option<String>,
    /// What its removal would do, for whoever may remove it; or why that cannot be said.
    pub removal: Option<Result<RemovalPlanView, String>>,
    /// What the reader may.
    pub may: May,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobData {
    /// The job.
    pub job: JobView,
    /// Whether the reader may stop it.
    pub may_cancel: bool,
    /// Whether the reader may approve its steps.
    pub may_approve: bool,
    /// Whether the reader may take the copy away that it started.
    pub may_remove: bool,
    /// Now, by the server's clock.
    pub now: domain::Timestamp,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsData {
    /// The jobs.
    pub page: JobsPage,
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Only in this state.
    pub state: Option<JobState>,
    /// Not the first page.
    pub is_later: bool,
}

/// The plan of a restore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanData {
    /// The plan, or why there is none.
    pub plan: Result<RestorePlanView, String>,
    /// What the reader may.
    pub may: May,
}

/// The plan of retention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpireData {
    /// Id of the cluster.
    pub cluster: String,
    /// The plan.
    pub plan: ExpirePlanView,
    /// What the reader may.
    pub may: May,
}

#[cfg(feature = "ssr")]
fn may(actor: &control::Actor) -> May {
    use domain::Permission as P;
    May {
        operate: actor.may(P::BackupOperate),
        restore: actor.may(P::RestoreExecute),
        expire: actor.may(P::BackupExpire),
        manage: actor.may(P::BackupManage),
    }
}

/// Marks that a time bar has room for.
#[cfg(feature = "ssr")]
const MARKS: i64 = 400;

/// Of many backups those that a time bar can show apart, the newest first as before: of each kind one for each stretch of the
/// part that is looked at. The one that a restore to `at` begins with stays.
#[cfg(feature = "ssr")]
fn thin(
    backups: &mut Vec<BackupRow>,
    at: Option<domain::Timestamp>,
    part: Option<(domain::Timestamp, domain::Timestamp)>,
) {
    let (Some(newest), Some(oldest)) = (backups.first(), backups.last()) else { return };
    let (from, to) = part.filter(|(from, to)| from < to).unwrap_or((oldest.stopped_at, newest.stopped_at));
    let begins = backups.iter().position(|row| at.is_none_or(|at| row.stopped_at <= at));
    if backups.len() <= usize::try_from(MARKS).unwrap_or(usize::MAX) {
        return;
    }
    let stretch = ((to.0 - from.0) / MARKS).max(1);
    let mut taken = std::collections::HashSet::new();
    let mut place = 0;
    backups.retain(|row| {
        let shown = (from..=to).contains(&row.stopped_at)
            && taken.insert((row.kind.clone(), (row.stopped_at.0 - from.0) / stretch));
        place += 1;
        shown || begins == Some(place - 1)
    });
}

/// Backups, the window, schedules, keys, jobs. `since` and `until` are the part of the time bar that is looked at.
#[server(endpoint = "recovery", input = GetUrl)]
pub async fn load_recovery(
    cluster: Option<String>,
    at: Option<String>,
    part: Option<(domain::Timestamp, domain::Timestamp)>,
    cursor: Option<String>,
) -> Result<RecoveryData, AppError> {
    let (control, actor) = asking()?;
    let mut overview = told(control.recovery_overview(&actor, cluster.as_deref()).await)?;
    thin(&mut overview.backups, at.as_deref().and_then(domain::Timestamp::parse_rfc3339), part);
    let dr = match control.dr_overview(&actor, cluster.as_deref()).await {
        Ok(dr) => Some(dr),
        Err(error) if error.kind() == domain::ErrorKind::Conflict => None,
        Err(error) => return told(Err(error)),
    };
    let backups = match control.backups_list(&actor, cluster.as_deref(), cursor.as_deref(), BACKUPS_SHOWN).await {
        Ok(page) => Some(page),
        Err(error) if error.kind() == domain::ErrorKind::Conflict => None,
        Err(error) => return told(Err(error)),
    };
    let ask = at.map(|value| control::RestoreAsk {
        target: control::TargetAsk { kind: "time".to_owned(), value },
        start: true,
        ..control::RestoreAsk::default()
    });
    let chosen = match ask {
        None => None,
        Some(ask) => match control.restore_plan(&actor, cluster.as_deref(), &ask).await {
            Ok(plan) => Some(Ok(plan)),
            // Whatever is wrong with one moment must not hide all the others.
            Err(error) => Some(Err(error.to_string())),
        },
    };
    // Without them the page is worth as much.
    let databases = control.databases_list(&actor, cluster.as_deref()).unwrap_or_default();
    Ok(RecoveryData { overview, dr, backups, is_later: cursor.is_some(), databases, chosen, may: may(&actor) })
}

/// Plans, and what the page's own address asks for: one plan with what it would do now, one run, or a new plan.
#[server(endpoint = "dr", input = GetUrl)]
pub async fn load_dr(cluster: Option<String>, search: String) -> Result<DrData, AppError> {
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let value =
        |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).filter(|it| !it.is_empty());
    let cluster = cluster.as_deref();
    let overview = told(control.dr_overview(&actor, cluster).await)?;
    let dry = match value("plan") {
        None => None,
        Some(id) => {
            let plan = told(control.dr_plan_get(&actor, cluster, &id).await)?;
            let dry = match control.dr_dry_run(&actor, cluster, &id, &control::TargetAsk::default()).await {
                Ok(dry) => Ok(dry),
                Err(error) if matches!(error.kind(), domain::ErrorKind::Invalid | domain::ErrorKind::Conflict) => {
                    Err(error.to_string())
                }
                Err(error) => return told(Err(error)),
            };
            Some((plan, dry))
        }
    };
    let run = match value("run") {
        None => None,
        Some(id) => Some(told(control.dr_run_get(&actor, cluster, &id).await)?),
    };
    let draft = value("draft").and_then(|text| serde_json::from_str(&text).ok());
    Ok(DrData { overview, dry, run, new: value("new").is_some(), draft, may: may(&actor) })
}

/// One backup.
#[server(endpoint = "backup", input = GetUrl)]
pub async fn load_backup(cluster: Option<String>, id: String) -> Result<BackupData, AppError> {
    let (control, actor) = asking()?;
    let backup = told(control.backup_show(&actor, cluster.as_deref(), &id).await)?;
    let may = may(&actor);
    let removal = match may.expire {
        true => Some(control.backup_removal_plan(&actor, cluster.as_deref(), &id).await.map_err(|it| it.to_string())),
        false => None,
    };
    let overview = told(control.recovery_overview(&actor, cluster.as_deref()).await)?;
    let proofs = &overview.window.proofs;
    let proof = backup.proof.as_ref();
    let tested_by =
        proof.and_then(|it| proofs.iter().find(|one| one.proof.backup == it.backup && one.proof.at == it.at));
    let tested_by = tested_by.map(|it| it.job.clone());
    Ok(BackupData { cluster: overview.cluster, backup, tested_by, removal, may })
}

/// Jobs, by what the page's own address asks for; what it does not know there is left out.
#[server(endpoint = "jobs", input = GetUrl)]
pub async fn load_jobs(cluster: Option<String>, search: String) -> Result<JobsData, AppError> {
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let value =
        |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).filter(|it| !it.is_empty());
    let (kind, state, cursor) = (value("kind"), value("state"), value("cursor"));
    let (kind, state) = (kind.and_then(|it| it.parse().ok()), state.and_then(|it| it.parse().ok()));
    let page = control.jobs_list(&actor, cluster.as_deref(), kind, state, cursor.as_deref(), JOBS_SHOWN).await;
    Ok(JobsData { page: told(page)?, kind, state, is_later: cursor.is_some() })
}

/// One job.
#[server(endpoint = "job", input = GetUrl)]
pub async fn load_job(id: String) -> Result<JobData, AppError> {
    use domain::Permission as P;
    let (control, actor) = asking()?;
    let job = told(control.job_get(&actor, &id).await)?;
    let may_cancel = !job.state.is_over()
        && actor.may(match job.kind {
            JobKind::Restore | JobKind::Execution => P::RestoreExecute,
            JobKind::Expire => P::BackupExpire,
            _ => P::BackupOperate,
        });
    let may_approve = actor.may(P::RestoreExecute);
    let may_remove = job.state.is_over() && job.copy.is_some() && actor.may(P::RestoreExecute);
    Ok(JobData { job, may_cancel, may_approve, may_remove, now: control::now() })
}

/// What a restore would do, by the page's own address.
#[server(endpoint = "restore_plan", input = GetUrl)]
pub async fn load_restore_plan(cluster: Option<String>, search: String) -> Result<PlanData, AppError> {
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).unwrap_or_default();
    let ask = control::RestoreAsk {
        target: control::TargetAsk { kind: value("kind"), value: value("value") },
        exclusive: value("exclusive") == "on",
        backup: Some(value("backup")).filter(|it| !it.is_empty()),
        timeline: None,
        directory: value("directory"),
        delta: value("delta") == "on",
        // The first plan offers it; the form that has been sent says it.
        start: value("asked").is_empty() || value("start") == "on",
    };
    match control.restore_plan(&actor, cluster.as_deref(), &ask).await {
        Ok(plan) => Ok(PlanData { plan: Ok(plan), may: may(&actor) }),
        Err(error) if matches!(error.kind(), domain::ErrorKind::Invalid | domain::ErrorKind::Conflict) => {
            Ok(PlanData { plan: Err(error.to_string()), may: may(&actor) })
        }
        Err(error) => told(Err(error)),
    }
}

/// What retention would remove.
#[server(endpoint = "expire_plan", input = GetUrl)]
pub async fn load_expire_plan(cluster: Option<String>) -> Result<ExpireData, AppError> {
    let (control, actor) = asking()?;
    let plan = told(control.expire_plan(&actor, cluster.as_deref()).await)?;
    let cluster = told(control.recovery_overview(&actor, cluster.as_deref()).await)?.cluster;
    Ok(ExpireData { cluster, plan, may: may(&actor) })
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::thin;
    use domain::{Timestamp, view::BackupRow};

    /// One each hour, each 24th full, the newest first.
    fn hourly(count: i64) -> Vec<BackupRow> {
        let row = |hour: i64| BackupRow {
            id: hour.to_string(),
            kind: if hour % 24 == 0 { "full" } else { "incremental" }.to_owned(),
            stopped_at: Timestamp(hour * 3_600_000),
            ..BackupRow::default()
        };
        (0..count).rev().map(row).collect()
    }

    #[test]
    fn of_thousands_of_backups_a_bar_gets_what_it_can_show() {
        let mut all = hourly(10_000);
        thin(&mut all, None, None);
        assert!((400..=900).contains(&all.len()), "{}", all.len());
        assert_eq!(all[0].id, "9999", "the newest, from which the last moment is restored");
        assert!(all.windows(2).all(|two| two[0].stopped_at > two[1].stopped_at));
        assert!(all.iter().filter(|row| row.kind == "full").count() > 300);

        // The part that is looked at has them all, and the chosen moment its own.
        let mut all = hourly(10_000);
        let hour = |hour: i64| Timestamp(hour * 3_600_000);
        thin(&mut all, Some(hour(77)), Some((hour(5_000), hour(5_100))));
        let ids = all.iter().map(|row| row.id.parse::<i64>().unwrap_or_default()).collect::<Vec<_>>();
        assert_eq!(ids, (5_000..=5_100).rev().chain([77]).collect::<Vec<_>>());

        let mut few = hourly(300);
        thin(&mut few, None, Some((hour(1), hour(2))));
        assert_eq!(few.len(), 300);
    }
}
