//! Which backups stay and which go: pure rules. What goes with them is in [`crate::expire`].
use crate::{format::manifest::Summary, hold::Hold};
use domain::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

pub use crate::expire::{ExpirePlan, Waiting, expire, garbage, plan_expire, plan_removal};

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
    /// Never fewer than this, at least one; backups with damaged pages do not count.
    pub minimum: u32,
    /// Hours from the expiry of a backup to the removal of its objects; a day when `None`.
    pub grace_hours: Option<u32>,
}

/// Why a backup stays, or that it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The backup.
    pub id: String,
    /// Reasons to keep it; none: it goes.
    pub reasons: Vec<String>,
    /// The WAL after it is kept, so that later moments can be restored from it; else only what makes it consistent.
    pub keeps_wal: bool,
}

pub(crate) const DAY_MS: i64 = 86_400_000;

impl Retention {
    /// Decides over the backups of one cluster, oldest first. Pure: `now` comes from outside, and only the order and the
    /// ages by the backups' own times count.
    pub fn decide(&self, backups: &[Summary], now: Timestamp) -> Vec<Verdict> {
        self.decide_with(backups, &[], now)
    }

    /// Whether any rule is set.
    pub fn is_set(&self) -> bool {
        [self.keep_full, self.keep_days, self.keep_daily, self.keep_weekly, self.keep_monthly]
            .iter()
            .any(Option::is_some)
    }

    /// As [`Self::decide`], with holds.
    pub fn decide_with(&self, backups: &[Summary], holds: &[Hold], now: Timestamp) -> Vec<Verdict> {
        let verdict = |one: &Summary| Verdict { id: one.id.clone(), reasons: Vec::new(), keeps_wal: false };
        let mut verdicts = backups.iter().map(verdict).collect::<Vec<_>>();
        if !self.is_set() {
            for verdict in &mut verdicts {
                verdict.reasons.push("no retention is set".to_owned());
                verdict.keeps_wal = true;
            }
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
                    verdict.reasons.push(format!(
                        "of the newest {}",
                        domain::format::counted(count, "full backup", "full backups")
                    ));
                }
            }
        }
        if let Some(days) = self.keep_days {
            let since = now.plus_ms(-i64::from(days).saturating_mul(DAY_MS));
            let base = backups.iter().rposition(|one| one.stopped_at <= since);
            for (at, (one, verdict)) in backups.iter().zip(&mut verdicts).enumerate() {
                if one.stopped_at > since {
                    verdict.reasons.push(format!("younger than {}", domain::format::counted(days, "day", "days")));
                } else if base == Some(at) {
                    verdict
                        .reasons
                        .push(format!("the base for the moments {} ago", domain::format::counted(days, "day", "days")));
                }
            }
        }
        // The rules so far are those of moments; of the others only the backups' own ends are wanted, when both are set.
        let moments = self.keep_full.is_some() || self.keep_days.is_some();
        verdicts.iter_mut().for_each(|it| it.keeps_wal = !it.reasons.is_empty());
        let day = |one: &Summary| one.stopped_at.0.div_euclid(DAY_MS);
        let month = |one: &Summary| {
            one.stopped_at.to_rfc3339().get(..7).map_or(0, |text| text.replace('-', "").parse::<i64>().unwrap_or(0))
        };
        // 1970-01-01 was a Thursday.
        newest_of_each(backups, &mut verdicts, self.keep_daily, "day", day);
        newest_of_each(backups, &mut verdicts, self.keep_weekly, "week", |one| (day(one) + 3).div_euclid(7));
        newest_of_each(backups, &mut verdicts, self.keep_monthly, "month", month);
        if !moments {
            verdicts.iter_mut().for_each(|it| it.keeps_wal = !it.reasons.is_empty());
        }
        // A backup with damaged pages must not push the last clean one out.
        let minimum = self.minimum.max(1) as usize;
        let clean = backups.iter().zip(&mut verdicts).rev().filter(|(one, _)| one.damaged.is_empty());
        let mut counted = 0;
        for (_, verdict) in clean.take(minimum) {
            counted += 1;
            if verdict.reasons.is_empty() {
                verdict
                    .reasons
                    .push(format!("at least {} kept without damage", domain::format::counted(minimum, "is", "are")));
                verdict.keeps_wal = true;
            }
        }
        // Where there are too few of those, damaged ones are better than nothing.
        let damaged = backups.iter().zip(&mut verdicts).rev().filter(|(one, _)| !one.damaged.is_empty());
        for (_, verdict) in damaged.take(minimum - counted) {
            if verdict.reasons.is_empty() {
                verdict.reasons.push(format!("at least {} kept", domain::format::counted(minimum, "is", "are")));
                verdict.keeps_wal = true;
            }
        }
        for hold in holds.iter().filter(|hold| hold.holds_at(now)) {
            if let Some(verdict) = verdicts.iter_mut().find(|it| it.id == hold.backup) {
                verdict.reasons.push(hold.describe());
            }
        }
        // What comes after the newest that stays can only be restored from it.
        if let Some(newest) = verdicts.iter_mut().rfind(|it| !it.reasons.is_empty()) {
            newest.keeps_wal = true;
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
