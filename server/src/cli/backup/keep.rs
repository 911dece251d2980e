//! `holdfast backup hold|release|expire|recall`: what stays and what goes.

use super::{Failure, find, holds_of, to_json};
use crate::{
    cli::{
        audited::{allowed, audited, begun, ended},
        print,
    },
    repository::RepositoryArgs,
};
use backup::{
    Repository,
    retention::{self, Retention},
};
use clap::Args;
use domain::{Timestamp, format};
use serde_json::json;

/// What is kept.
#[derive(Debug, Args)]
pub struct ExpireArgs {
    /// Keep the newest so many full backups with their incrementals.
    #[arg(long, value_name = "N")]
    keep_full: Option<u32>,
    /// Keep every moment of the last so many days restorable.
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Keep the newest of each of so many days.
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Keep the newest of each of so many weeks.
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Keep the newest of each of so many months.
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// Never keep fewer than this; backups with damaged pages do not count.
    #[arg(long, default_value_t = 1)]
    minimum: u32,
    /// Hours that the objects of an expired backup stay, so that it can be recalled. Longer than any restore takes.
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    grace: u32,
    /// Do it.
    #[arg(long)]
    yes: bool,
}

/// A hold.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// Its id.
    id: String,
    /// Why, for those who come later.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Until this moment, with offset: 2027-01-31T00:00:00Z; for ever without it.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Holds a backup.
pub async fn hold(place: &RepositoryArgs, args: &HoldArgs, json: bool) -> Result<(), Failure> {
    let object = Some(("backup", args.id.as_str()));
    let asked = async {
        let repository = place.open().await?;
        let until = args.until.as_deref().map(moment).transpose()?;
        let one = find(&repository, Some(&args.id)).await?;
        let before = json!({ "holds": holds_of(&repository, &one).await? });
        Ok::<_, Failure>((repository, until, one, before))
    };
    let (repository, until, one, before) = allowed(place, "backup_hold", object, asked.await).await?;
    let what = json!({ "reason": args.reason, "until": until });
    begun(place, "backup_hold_asked", object, Some(before.clone()), what).await;
    let done = repository.hold(&one, &args.reason, until).await.map_err(Failure::from);
    let hold = audited(place, "backup_hold", object, Some(before), done, |hold| json!({ "hold": hold })).await?;
    print(&if json { to_json(&hold)? } else { format!("{}  {}", hold.backup, hold.describe()) });
    Ok(())
}

fn moment(text: &str) -> Result<Timestamp, Failure> {
    match backup::restore::Target::time(text)? {
        backup::restore::Target::Time(_, at) => Ok(at),
        _ => Err(Failure::usage(format!("'{text}' is not a time"))),
    }
}

/// Takes all holds off a backup.
pub async fn release(place: &RepositoryArgs, id: &str, json: bool) -> Result<(), Failure> {
    let object = Some(("backup", id));
    let asked = async {
        let repository = place.open().await?;
        let one = find(&repository, Some(id)).await?;
        let before = json!({ "holds": holds_of(&repository, &one).await? });
        Ok::<_, Failure>((repository, one, before))
    };
    let (repository, one, before) = allowed(place, "backup_release", object, asked.await).await?;
    begun(place, "backup_release_asked", object, Some(before.clone()), json!({ "release": id })).await;
    let done = repository.release(&one).await.map_err(Failure::from);
    let released = |holds: &usize| json!({ "released": holds });
    let holds = audited(place, "backup_release", object, Some(before), done, released).await?;
    print(&if json {
        json!({"released": id, "holds": holds}).to_string()
    } else {
        format!("{id}  is no longer held; the next expiry decides over it")
    });
    Ok(())
}

/// Takes an expiry back.
pub async fn recall(place: &RepositoryArgs, id: &str, json: bool) -> Result<(), Failure> {
    let object = Some(("backup", id));
    let asked = async {
        let repository = place.open().await?;
        let system = expired_of(&repository, id).await?;
        Ok::<_, Failure>((repository, system))
    };
    let (repository, system) = allowed(place, "backup_recall", object, asked.await).await?;
    let before = || Some(json!({ "expired": true }));
    begun(place, "backup_recall_asked", object, before(), json!({ "recall": id })).await;
    let done = repository.recall(system, id).await.map_err(Failure::from);
    let one = audited(place, "backup_recall", object, before(), done, |_| json!({ "expired": false })).await?;
    print(&if json {
        to_json(&one)?
    } else {
        format!("{}  is listed again; hold it, or the next expiry takes it anew", one.id)
    });
    Ok(())
}

/// The cluster of an expired backup.
async fn expired_of(repository: &Repository, id: &str) -> Result<u64, Failure> {
    let mut found = None;
    for system in repository.clusters().await? {
        if repository.expired(system).await?.iter().any(|one| one.id == id) {
            found = Some(system);
        }
    }
    found.ok_or_else(|| {
        Failure::missing(format!(
            "there is no expired backup {id} that could be recalled; 'holdfast backup list --expired' shows them"
        ))
    })
}

/// Plans, and does it when told so.
pub async fn expire(place: &RepositoryArgs, args: &ExpireArgs, json: bool) -> Result<(), Failure> {
    let repository = place.open().await;
    let repository = if args.yes { allowed(place, "expire", None, repository).await? } else { repository? };
    let retention = Retention {
        keep_full: args.keep_full,
        keep_days: args.keep_days,
        keep_daily: args.keep_daily,
        keep_weekly: args.keep_weekly,
        keep_monthly: args.keep_monthly,
        minimum: args.minimum,
        grace_hours: Some(args.grace),
    };
    for system in repository.clusters().await? {
        let plan = retention::plan_expire(&repository, system, &retention).await.map_err(Failure::from);
        let plan = if args.yes { allowed(place, "expire", None, plan).await? } else { plan? };
        if json {
            print(&json!({"plan": plan, "garbage_objects": plan.garbage, "done": args.yes}).to_string());
        } else {
            for verdict in &plan.verdicts {
                let why = if verdict.reasons.is_empty() {
                    "goes".to_owned()
                } else {
                    let wal = if verdict.keeps_wal { "" } else { "; without the WAL after it" };
                    format!("stays: {}{wal}", verdict.reasons.join(", "))
                };
                print(&format!("{}  {why}", verdict.id));
            }
            for waiting in &plan.waiting {
                let readers = if waiting.readers.is_empty() {
                    String::new()
                } else {
                    format!("; in use: {}", waiting.readers.join(", "))
                };
                print(&format!("{}  expired, can be recalled until {}{readers}", waiting.id, waiting.until.to_human()));
            }
            print(&format!(
                "cluster {system}: {}; {} of {} to remove, {} left over from interrupted work",
                format::counted(plan.expiring.len(), "backup expires", "backups expire"),
                format::counted(plan.objects.len(), "object", "objects"),
                format::bytes(plan.bytes as f64),
                plan.garbage
            ));
        }
        if args.yes {
            let before = json!({
                "backups": plan.verdicts.len(),
                "expiring": plan.expiring,
                "objects": plan.objects.len(),
                "bytes": plan.bytes,
                "wal_before": plan.wal_before,
            });
            let what = json!({ "do": "expire", "only": plan.expiring });
            begun(place, "expire", None, Some(before), json!({ "what": what })).await;
            let done = retention::expire(&repository, &plan).await.map_err(Failure::from);
            ended(place, "expire_finish", None, done, |_| json!({ "removed": plan.expiring })).await?;
        }
    }
    if !args.yes && !json {
        crate::cli::complain("nothing was removed; say --yes to do it");
    }
    Ok(())
}
