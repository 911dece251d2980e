//! `holdfast backup verify --daily`: what can be verified every day, so that in the end everything is.

use super::{VERIFY, VERIFY_END, now, record, to_json, told};
use crate::{
    cli::{
        Failure,
        audited::{allowed, begun, ended},
        long::long,
        print,
    },
    repository::RepositoryArgs,
};
use backup::{Progress, Repository, Summary};
use domain::{format, view::RecoveryGap};
use recovery::Held;
use serde::Serialize;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// What was done for one cluster, and what was found.
#[derive(Debug, Serialize)]
struct Daily {
    system_identifier: String,
    /// Every byte of these was read, decrypted and compared.
    verified: Vec<One>,
    /// Backups that wait for their day.
    waiting: usize,
    /// After so many days every backup was read again.
    rotation_days: usize,
    /// Any moment in these can be restored.
    window: Vec<domain::view::RecoveryInterval>,
    /// Holes, declared ones too.
    gaps: Vec<RecoveryGap>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct One {
    id: String,
    why: &'static str,
    checked_bytes: u64,
    files: u64,
    pages: u64,
    wal_until: domain::Lsn,
}

/// Today's: the newest, and of the older ones that whose turn it is.
fn chosen(backups: &[Summary], day: i64) -> Vec<(&Summary, &'static str)> {
    let Some((newest, older)) = backups.split_last() else { return Vec::new() };
    let mut chosen = vec![(newest, "newest")];
    let turn = usize::try_from(day.rem_euclid(i64::try_from(older.len().max(1)).unwrap_or(1))).unwrap_or(0);
    chosen.extend(older.get(turn).map(|one| (one, "its turn")));
    chosen
}

/// Runs it over all clusters of the repository; fails when anything is wrong.
pub async fn run(args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    let repository = allowed(args, VERIFY, None, args.open().await).await?;
    begun(args, VERIFY, None, None, serde_json::json!({ "what": { "do": "verify", "daily": true } })).await;
    let done = verify(&repository, json).await;
    let result = |verified: &Vec<String>| serde_json::json!({ "verified": verified });
    ended(args, VERIFY_END, None, done, result).await.map(drop)
}

/// The ids of the backups that were read, all of them sound.
async fn verify(repository: &Repository, json: bool) -> Result<Vec<String>, Failure> {
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    let systems = repository.clusters().await?;
    if systems.is_empty() {
        // Whoever asks every day believes that something is there.
        return Err(Failure::failed(format!(
            "there is nothing to verify: {} holds no backup; 'holdfast backup create' takes one",
            repository.store().describe()
        )));
    }
    for system in systems {
        let catalogue = repository.catalogue(system).await?;
        damaged.extend(catalogue.damaged);
        let held = Held::read(repository, system, None, None).await?;
        let mut daily = Daily {
            system_identifier: system.to_string(),
            verified: Vec::new(),
            waiting: 0,
            rotation_days: catalogue.backups.len().saturating_sub(1).max(1),
            window: held.intervals,
            gaps: held.gaps,
            problems: Vec::new(),
        };
        if catalogue.backups.is_empty() {
            daily.problems.push("there is no backup; 'holdfast backup create' takes one".to_owned());
        }
        let chosen = chosen(&catalogue.backups, now().0 / DAY_MS);
        daily.waiting = catalogue.backups.len() - chosen.len();
        for (one, why) in chosen {
            let progress = Arc::new(Progress::default());
            let work = async { Ok(backup::verify(repository, one, &progress).await?) };
            let begun = now();
            let found = long(&format!("verify {}", one.id), json, &progress, work).await?;
            record::verified(repository, one, begun, &found).await;
            daily.problems.extend(found.problems.iter().map(|problem| format!("{}: {problem}", one.id)));
            let (checked_bytes, files, pages, wal_until) =
                (found.checked_bytes, found.files, found.pages, found.wal_until);
            daily.verified.push(One { id: found.id, why, checked_bytes, files, pages, wal_until });
        }
        // A declared hole is known and was alarmed; one that nobody declared means that objects vanished.
        for gap in daily.gaps.iter().filter(|gap| !gap.declared) {
            daily.problems.push(if daily.window.is_empty() {
                format!("what is written now cannot be restored: {}; take a backup", gap.reason)
            } else {
                format!("WAL from {} is missing and was never declared lost: {}", gap.start_lsn, gap.reason)
            });
        }
        let needed = repository.backup_needed(system).await?;
        // Where nothing can be restored that was said.
        daily.problems.extend(needed.filter(|_| !daily.window.is_empty() || daily.gaps.is_empty()));
        all.push(daily);
    }
    print(&if json { to_json(&all)? } else { all.iter().map(described).collect::<Vec<_>>().join("\n") });
    told(damaged)?;
    match all.iter().flat_map(|daily| &daily.problems).next() {
        None => Ok(all.iter().flat_map(|daily| daily.verified.iter().map(|one| one.id.clone())).collect()),
        Some(problem) => Err(Failure::failed(format!("not everything can be restored: {problem}"))),
    }
}

fn described(daily: &Daily) -> String {
    let mut text = format!("cluster {}\n", daily.system_identifier);
    for one in &daily.verified {
        text += &format!(
            "  {} ({}): {} in {}, {}, WAL without a hole up to {}\n",
            one.id,
            one.why,
            format::bytes(one.checked_bytes as f64),
            format::counted(one.files, "file", "files"),
            format::counted(one.pages, "page", "pages"),
            one.wal_until
        );
    }
    text += &format!(
        "  {} for a later day; each is read once in {}\n",
        format::counted(daily.waiting, "older backup waits", "older backups wait"),
        format::counted(daily.rotation_days, "day", "days")
    );
    for interval in &daily.window {
        text += &format!("  restorable from {} to {}\n", interval.from.to_human(), interval.to.to_human());
    }
    for gap in &daily.gaps {
        text += &format!("  hole after {}: {}\n", gap.from.to_human(), gap.reason);
    }
    for problem in &daily.problems {
        text += &format!("  WRONG: {problem}\n");
    }
    text
}
