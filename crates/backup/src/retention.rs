//! Which backups go, and what goes with them. Planned first, shown, then done: commits first, so that an interrupted
//! expiry leaves garbage and never a backup with holes.
use crate::{
    BackupError,
    format::{ObjectId, layout, manifest::Summary},
    lease::Lease,
    repo::{Repository, now},
};
use domain::{Lsn, Timestamp};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

/// What is kept: the union of all rules. Without any rule everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// The newest so many full backups with their incrementals.
    pub keep_full: Option<u32>,
    /// All of the last so many days, and the one before, so that each moment in them can be restored.
    pub keep_days: Option<u32>,
    /// The newest of each of so many days.
    pub keep_daily: Option<u32>,
    /// The newest of each of so many weeks (from Monday, UTC).
    pub keep_weekly: Option<u32>,
    /// The newest of each of so many months.
    pub keep_monthly: Option<u32>,
    /// Never fewer than this; at least one.
    pub minimum: u32,
}

/// Why a backup stays, or that it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The backup.
    pub id: String,
    /// Reasons to keep it; none: it goes.
    pub reasons: Vec<String>,
}

const DAY_MS: i64 = 86_400_000;

impl Retention {
    /// Decides over the backups of one cluster, oldest first. Pure: `now` comes from outside, and only the order and the
    /// ages by the backups' own times count.
    pub fn decide(&self, backups: &[Summary], now: Timestamp) -> Vec<Verdict> {
        let mut verdicts =
            backups.iter().map(|one| Verdict { id: one.id.clone(), reasons: Vec::new() }).collect::<Vec<_>>();
        let rules = [self.keep_full, self.keep_days, self.keep_daily, self.keep_weekly, self.keep_monthly];
        if rules.iter().all(Option::is_none) {
            verdicts.iter_mut().for_each(|it| it.reasons.push("no retention is set".to_owned()));
            return verdicts;
        }
        if let Some(count) = self.keep_full {
            let mut lineages = Vec::new();
            for one in backups.iter().rev() {
                if !lineages.contains(&one.lineage) {
                    lineages.push(one.lineage);
                }
            }
            lineages.truncate(count as usize);
            for (one, verdict) in backups.iter().zip(&mut verdicts) {
                if lineages.contains(&one.lineage) {
                    verdict.reasons.push(format!("of the newest {count} full backups"));
                }
            }
        }
        if let Some(days) = self.keep_days {
            let since = now.plus_ms(-i64::from(days).saturating_mul(DAY_MS));
            let base = backups.iter().rposition(|one| one.stopped_at <= since);
            for (at, (one, verdict)) in backups.iter().zip(&mut verdicts).enumerate() {
                if one.stopped_at > since {
                    verdict.reasons.push(format!("younger than {days} days"));
                } else if base == Some(at) {
                    verdict.reasons.push(format!("the base for the moments {days} days ago"));
                }
            }
        }
        let day = |one: &Summary| one.stopped_at.0.div_euclid(DAY_MS);
        let month = |one: &Summary| {
            one.stopped_at.to_rfc3339().get(..7).map_or(0, |text| text.replace('-', "").parse::<i64>().unwrap_or(0))
        };
        // 1970-01-01 was a Thursday.
        newest_of_each(backups, &mut verdicts, self.keep_daily, "day", day);
        newest_of_each(backups, &mut verdicts, self.keep_weekly, "week", |one| (day(one) + 3).div_euclid(7));
        newest_of_each(backups, &mut verdicts, self.keep_monthly, "month", month);
        let minimum = self.minimum.max(1) as usize;
        for verdict in verdicts.iter_mut().rev().take(minimum) {
            if verdict.reasons.is_empty() {
                verdict.reasons.push(format!("at least {minimum} are kept"));
            }
        }
        verdicts
    }
}

fn newest_of_each(
    backups: &[Summary],
    verdicts: &mut [Verdict],
    count: Option<u32>,
    unit: &str,
    of: impl Fn(&Summary) -> i64,
) {
    let Some(count) = count else { return };
    let mut seen = BTreeSet::new();
    for (one, verdict) in backups.iter().zip(verdicts).rev() {
        if seen.len() >= count as usize {
            break;
        }
        if seen.insert(of(one)) {
            verdict.reasons.push(format!("the newest of its {unit}"));
        }
    }
}

/// What an expiry will do.
#[derive(Clone, Debug, Serialize)]
pub struct ExpirePlan {
    /// The cluster.
    pub system: u64,
    /// Each backup, oldest first.
    pub verdicts: Vec<Verdict>,
    /// Lineages of which nothing is left: all their packs and maps go.
    pub lineages: Vec<ObjectId>,
    /// Objects that go, commits first.
    pub objects: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// WAL before this is not needed any more.
    pub wal_before: Option<Lsn>,
}

/// Plans an expiry.
///
/// # Errors
/// What the store says; damage anywhere in the catalogue stops it, because nobody knows then what is needed.
pub async fn plan_expire(
    repository: &Repository,
    system: u64,
    retention: &Retention,
) -> Result<ExpirePlan, BackupError> {
    let backups = repository.backups(system).await?;
    let verdicts = retention.decide(&backups, now());
    let stays = |id: &str| verdicts.iter().any(|verdict| verdict.id == id && !verdict.reasons.is_empty());
    let (kept, gone): (Vec<_>, Vec<_>) = backups.iter().partition(|one| stays(&one.id));
    let living = kept.iter().map(|one| one.lineage).collect::<HashSet<_>>();
    let mut objects = Vec::new();
    let mut bytes = 0;
    for one in &gone {
        objects.push(layout::commit(system, &one.id));
    }
    for one in &gone {
        objects.push(layout::manifest(system, &one.id));
    }
    let mut lineages = gone.iter().map(|one| one.lineage).filter(|it| !living.contains(it)).collect::<Vec<_>>();
    lineages.sort();
    lineages.dedup();
    for lineage in &lineages {
        for info in repository.store().list(&layout::lineage(system, *lineage)).await? {
            bytes += info.size;
            objects.push(info.key);
        }
    }
    // WAL is needed from the oldest kept backup on; of timelines that end before it, nothing.
    let wal_before = kept.iter().map(|one| {
        let size = u64::from(one.cluster.wal_segment_size);
        Lsn(one.start_lsn.0 / size * size)
    });
    let wal_before = wal_before.min();
    if let (Some(before), false) = (wal_before, gone.is_empty()) {
        for info in repository.store().list(&layout::wal(system)).await? {
            if layout::parse_wal_piece(&info.key).is_some_and(|piece| piece.end <= before) {
                bytes += info.size;
                objects.push(info.key);
            }
        }
    }
    Ok(ExpirePlan { system, verdicts, lineages, objects, bytes, wal_before })
}

/// Does what was planned. Safe to repeat; an interruption leaves objects that the next expiry finds.
///
/// # Errors
/// [`BackupError::Conflict`] while a backup is being taken, or what the store says.
pub async fn expire(repository: &Repository, plan: &ExpirePlan) -> Result<(), BackupError> {
    // A backup that is being taken may be comparing itself with one that would go.
    let lease = Lease::take(repository, &format!("backup-{}", plan.system)).await?;
    for key in &plan.objects {
        repository.store().delete(key).await?;
    }
    lease.release().await;
    Ok(())
}

/// Objects that no backup names: of interrupted backups and expiries. Only those older than a day, which no running
/// backup can have written.
///
/// # Errors
/// As [`plan_expire`].
pub async fn garbage(repository: &Repository, system: u64) -> Result<Vec<(String, u64)>, BackupError> {
    let backups = repository.backups(system).await?;
    let lineages = backups.iter().map(|one| layout::lineage(system, one.lineage)).collect::<Vec<_>>();
    let ids = backups.iter().map(|one| format!("{}{}/", layout::backups(system), one.id)).collect::<Vec<_>>();
    let old = now().plus_ms(-DAY_MS);
    let listed = repository.store().list(&layout::cluster(system)).await?;
    let unnamed = listed.into_iter().filter(|info| {
        let of = |part: &str, known: &[String]| {
            info.key.starts_with(&format!("{}{part}/", layout::cluster(system)))
                && !known.iter().any(|prefix| info.key.starts_with(prefix))
        };
        info.modified < old && (of("lineages", &lineages) || of("backups", &ids))
    });
    Ok(unnamed.map(|info| (info.key, info.size)).collect())
}
