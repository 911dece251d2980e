//! What can be restored, how long it would take, and what is wrong with it: pure rules over what the repository holds.
use domain::{
    Lsn, Timestamp, format,
    view::{Objectives, ProofView, RecoveryGap, RecoveryInterval, RecoveryProblem, RestoreForecast},
};

/// A backup, as far as the window is concerned.
#[derive(Clone, Debug)]
pub struct BackupPoint {
    /// The first moment that can be restored from it.
    pub stopped_at: Timestamp,
    /// Timeline.
    pub timeline: u32,
    /// Replay begins here.
    pub start: Lsn,
    /// Consistent from here.
    pub stop: Lsn,
    /// Size of a WAL segment.
    pub segment_bytes: u64,
}

/// A piece of WAL in the repository.
#[derive(Clone, Copy, Debug)]
pub struct WalPoint {
    /// Timeline.
    pub timeline: u32,
    /// First byte.
    pub start: Lsn,
    /// Behind the last byte.
    pub end: Lsn,
    /// When it was stored: what it holds was written before.
    pub stored_at: Timestamp,
}

/// A hole that was declared.
#[derive(Clone, Debug)]
pub struct GapPoint {
    /// Timeline of the first missing byte.
    pub timeline: u32,
    /// First missing byte.
    pub start: Lsn,
    /// First byte there is again.
    pub end: Lsn,
    /// When it was found.
    pub declared_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// A timeline was left here for the next one.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// The one that was left.
    pub from: u32,
    /// The one that follows.
    pub to: u32,
    /// Where.
    pub at: Lsn,
}

/// Everything the window is made of.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// By the moment they ended.
    pub backups: Vec<BackupPoint>,
    /// In any order.
    pub wal: Vec<WalPoint>,
    /// In any order.
    pub gaps: Vec<GapPoint>,
    /// From the way to the newest timeline.
    pub switches: Vec<Switch>,
    /// Everything the server wrote was in the repository at this moment, up to this position.
    pub complete_at: Option<(Timestamp, Lsn)>,
}

/// WAL from behind a hole may come for so long before the hole counts as one, by the store's clock.
const ON_ITS_WAY_MS: i64 = 600_000;

struct Reach {
    timeline: u32,
    lsn: Lsn,
    at: Timestamp,
}

impl Holdings {
    /// How far the WAL goes from a backup without a hole. `None` when it is not there up to the backup's end, and of a backup
    /// that does not lead to the newest timeline: a restore refuses it as well.
    fn reach(&self, sorted: &[WalPoint], backup: &BackupPoint) -> Option<Reach> {
        if !self.is_on_the_way(backup.timeline, backup.stop) {
            return None;
        }
        let floor = |lsn: Lsn| Lsn(lsn.0 / backup.segment_bytes.max(1) * backup.segment_bytes.max(1));
        let (mut timeline, mut lsn, mut at) = (backup.timeline, floor(backup.start), backup.stopped_at);
        loop {
            let switch = self.switches.iter().find(|switch| switch.from == timeline);
            for piece in sorted.iter().filter(|piece| piece.timeline == timeline) {
                if piece.start > lsn {
                    break;
                }
                if piece.end > lsn {
                    lsn = piece.end;
                    at = at.max(piece.stored_at);
                }
            }
            match switch {
                // The child's first segment begins with its parent's bytes, so that the parent may end a little before.
                Some(switch) if floor(switch.at) <= lsn => {
                    (timeline, lsn) = (switch.to, floor(switch.at));
                }
                _ => break,
            }
        }
        if let Some((moment, durable)) = self.complete_at
            && lsn >= durable
        {
            at = at.max(moment);
        }
        (lsn >= backup.stop).then_some(Reach { timeline, lsn, at })
    }

    /// Whether a place is in what led to the newest timeline: a cluster that was brought back to a moment before it has left it,
    /// and of a timeline that the newest does not come from nothing is.
    fn is_on_the_way(&self, timeline: u32, at: Lsn) -> bool {
        match self.switches.iter().find(|switch| switch.from == timeline) {
            Some(switch) => at <= switch.at,
            // Without a history it is not known what came from what.
            None => self.last_switch().is_none_or(|last| timeline >= last.to),
        }
    }

    /// Where the newest timeline begins.
    fn last_switch(&self) -> Option<&Switch> {
        self.switches.iter().max_by_key(|switch| switch.to)
    }

    /// The time that cannot be restored although there are backups, of which none leads to what the server writes now: all are
    /// of what it left, as when a standby that was behind took over, or their WAL is gone. There is no interval then behind
    /// which a hole could be.
    fn nothing_leads_to_now(&self) -> Option<RecoveryGap> {
        let last = self.backups.last()?;
        let on_the_way = self.backups.iter().find(|backup| self.is_on_the_way(backup.timeline, backup.stop));
        let (from, start_lsn, reason) = match (on_the_way, self.last_switch()) {
            (None, Some(switch)) => {
                // When the switch was nobody wrote down; what came behind it was stored soon after.
                let behind = self.wal.iter().filter(|piece| piece.timeline > last.timeline);
                let reason = format!(
                    "no backup leads to timeline {}, which the cluster began at {} of timeline {}: all are of what it left \
                     then, as when a standby that was behind took over or an earlier moment was restored. What it writes since \
                     can be restored once there is a backup of it; a restore to what was left has to ask for that timeline",
                    switch.to, switch.at, switch.from
                );
                (behind.map(|piece| piece.stored_at).min(), switch.at, reason)
            }
            (one, _) => {
                let one = one.unwrap_or(last);
                let reason = "the WAL that each backup needs itself is not in the repository: it was deleted there. None can be \
                              restored until a new one is there";
                (Some(one.stopped_at), one.start, reason.to_owned())
            }
        };
        Some(RecoveryGap {
            from: from.unwrap_or(last.stopped_at),
            to: None,
            start_lsn,
            end_lsn: None,
            reason,
            declared: false,
        })
    }

    /// WAL that is there although what would lead to it from the end of an interval is not.
    fn behind(&self, interval: &RecoveryInterval) -> impl Iterator<Item = &WalPoint> + Clone {
        let (timeline, end) = (interval.timeline, interval.to_lsn);
        self.wal.iter().filter(move |piece| piece.timeline == timeline && piece.start > end)
    }

    /// Whether what is missing behind an interval will not come any more: the stream, which stores in order, has brought all
    /// there is, or WAL from further on has been coming for long. A backup that cannot wait for a stream far behind fetches its
    /// own WAL, and what lies between is on its way then.
    fn is_lost_behind(&self, interval: &RecoveryInterval) -> bool {
        let stored = self.behind(interval).map(|piece| piece.stored_at);
        let (Some(first), Some(last)) = (stored.clone().min(), stored.max()) else { return false };
        let has_passed = self.complete_at.is_some_and(|(_, durable)| durable > interval.to_lsn);
        has_passed || last.0 - first.0 > ON_ITS_WAY_MS
    }

    /// Intervals in which each moment can be restored, and the holes between them and behind the last.
    pub fn window(&self) -> (Vec<RecoveryInterval>, Vec<RecoveryGap>) {
        let mut sorted = self.wal.clone();
        sorted.sort_by_key(|piece| (piece.start, std::cmp::Reverse(piece.end)));
        let mut intervals = Vec::<RecoveryInterval>::new();
        for backup in &self.backups {
            let Some(reach) = self.reach(&sorted, backup) else { continue };
            match intervals.last_mut() {
                // Its WAL may have been stored before its end was noted: that moment can be restored all the same.
                Some(last) if last.to_lsn >= reach.lsn && last.timeline == reach.timeline => {
                    last.to = last.to.max(reach.at)
                }
                _ => intervals.push(RecoveryInterval {
                    from: backup.stopped_at,
                    to: reach.at.max(backup.stopped_at),
                    from_lsn: backup.stop,
                    to_lsn: reach.lsn,
                    timeline: reach.timeline,
                }),
            }
        }
        let mut gaps = Vec::new();
        for (index, interval) in intervals.iter().enumerate() {
            let next = intervals.get(index + 1);
            let declared = self
                .gaps
                .iter()
                .filter(|gap| self.is_on_the_way(gap.timeline, gap.start))
                .filter(|gap| gap.start >= interval.to_lsn && next.is_none_or(|next| gap.start < next.from_lsn))
                .min_by_key(|gap| gap.start);
            if next.is_none() && declared.is_none() && !self.is_lost_behind(interval) {
                continue;
            }
            let resumes = || self.behind(interval).map(|piece| piece.start).min();
            gaps.push(RecoveryGap {
                from: interval.to,
                to: next.map(|next| next.from),
                start_lsn: declared.map_or(interval.to_lsn, |gap| gap.start),
                end_lsn: declared.map(|gap| gap.end).or(next.map(|next| next.from_lsn)).or_else(resumes),
                reason: declared.map_or_else(
                    || {
                        "WAL between is not in the repository and nobody declared it lost: it is late, or was deleted there"
                            .to_owned()
                    },
                    |gap| gap.reason.clone(),
                ),
                declared: declared.is_some(),
            });
        }
        if intervals.is_empty() {
            gaps.extend(self.nothing_leads_to_now());
        }
        (intervals, gaps)
    }
}

/// From less WAL than this no rate of replay can be told: starting and promoting a server takes most of the time.
const ENOUGH_WAL: u64 = 16 << 20;

/// What restore tests measured; of the last ones each byte weighs alike.
struct Rates {
    /// Seconds of the newest plan: it hardly depends on what is restored.
    plan: f64,
    /// Bytes per second.
    restore: f64,
    /// What recovery takes however little there is to replay, in seconds.
    startup: f64,
    /// Bytes per second; `None` when no WAL was replayed yet.
    replay: Option<f64>,
    /// No proof replayed enough: the rate has the start of the server in it and is too low, which is the careful side.
    from_little: bool,
}

fn rates(proofs: &[ProofView]) -> Option<Rates> {
    let last = proofs.iter().filter(|proof| proof.ok).take(5).collect::<Vec<_>>();
    let bytes = last.iter().map(|it| it.bytes as f64).sum::<f64>();
    let seconds = last.iter().map(|it| it.restore_seconds).sum::<f64>();
    if bytes <= 0.0 || seconds <= 0.0 {
        return None;
    }
    let (much, little) = last.iter().copied().partition::<Vec<&ProofView>, _>(|it| it.wal_bytes >= ENOUGH_WAL);
    let startup = little.iter().map(|it| it.recovery_seconds).min_by(f64::total_cmp);
    let from_little = much.is_empty();
    let (of, startup) = if from_little { (little, 0.0) } else { (much, startup.unwrap_or_default()) };
    let wal = of.iter().map(|it| it.wal_bytes as f64).sum::<f64>();
    // A noisy start must not make replay free: half of what was measured is the least.
    let replay = of.iter().map(|it| (it.recovery_seconds - startup).max(it.recovery_seconds / 2.0)).sum::<f64>();
    let replay = (wal > 0.0 && replay > 0.0).then(|| wal / replay);
    let plan = last.first().map_or(0.0, |it| it.plan_seconds);
    Some(Rates { plan, restore: bytes / seconds, startup, replay, from_little })
}

/// How long a restore of `bytes` with `wal_bytes` to replay takes, by what restore tests measured (newest first).
pub fn forecast(bytes: u64, wal_bytes: u64, proofs: &[ProofView]) -> Option<RestoreForecast> {
    let rates = rates(proofs)?;
    let restore_seconds = bytes as f64 / rates.restore;
    let replay_seconds = rates.startup + rates.replay.map_or(0.0, |rate| wal_bytes as f64 / rate);
    let replay = match rates.replay {
        None => "no replay measured yet".to_owned(),
        Some(rate) if rates.from_little => {
            format!("replay at least {}/s (from little WAL, with the start of the server in it)", format::bytes(rate))
        }
        Some(rate) => format!("replay {}/s", format::bytes(rate)),
    };
    // Tests of older versions did not measure it.
    let plan = if rates.plan > 0.0 { format!("plan {}, ", format::duration_s(rates.plan)) } else { String::new() };
    Some(RestoreForecast {
        seconds: rates.plan + restore_seconds + replay_seconds,
        plan_seconds: rates.plan,
        restore_seconds,
        replay_seconds,
        wal_bytes,
        basis: format!("{plan}restore {}/s, {replay}, measured by restore tests", format::bytes(rates.restore)),
    })
}

/// What the judgement is made of.
#[derive(Clone, Debug, Default)]
pub struct ProtectionInput {
    /// Why the repository cannot be read.
    pub repository_error: Option<String>,
    /// It is a directory here, whose file system tells its room.
    pub is_directory: bool,
    /// Room left in it.
    pub free_bytes: Option<u64>,
    /// Used share of its file system.
    pub used_percent: Option<f64>,
    /// Size of the newest full backup in it: the next needs as much.
    pub next_full_bytes: Option<u64>,
    /// Age of the newest backup.
    pub backup_age_seconds: Option<f64>,
    /// Age of the oldest backup.
    pub oldest_backup_age_seconds: Option<f64>,
    /// Longest time between two scheduled backups.
    pub backup_every_seconds: Option<f64>,
    /// Age of the newest full backup.
    pub full_age_seconds: Option<f64>,
    /// Longest time between two scheduled full backups, when incrementals are scheduled beside them.
    pub full_every_seconds: Option<f64>,
    /// A backup job is over, well or not.
    pub backup_tried: bool,
    /// Why the newest backup job failed, when it did.
    pub backup_error: Option<String>,
    /// WAL is to be streamed, as configured.
    pub wants_stream: bool,
    /// It is streamed by this process, or was to be: another one knows how far its own is.
    pub streams: bool,
    /// Age of the oldest byte that is not in the repository.
    pub wal_lag_seconds: Option<f64>,
    /// What is wrong with the stream.
    pub wal_error: Option<String>,
    /// Moments after the newest backup cannot be restored.
    pub open_gap: Option<String>,
    /// No moment at all leads to what the server writes now.
    pub nothing_restorable: bool,
    /// Age of the newest sound restore test.
    pub test_age_seconds: Option<f64>,
    /// Longest time between two restore tests; `None`: none are scheduled.
    pub test_every_seconds: Option<f64>,
    /// A restore test is over, well or not.
    pub test_tried: bool,
    /// What the newest restore test found wrong.
    pub test_problem: Option<String>,
    /// A verification is over, well or not.
    pub verify_tried: bool,
    /// Why the newest verification could not be done.
    pub verify_error: Option<String>,
    /// What the newest verification of each backup that is there found wrong.
    pub verdicts: Vec<(String, Option<String>)>,
    /// The forecast.
    pub forecast_seconds: Option<f64>,
    /// What the newest run of each plan's drill found wrong: name of the plan and kind, and the problem.
    pub drills: Vec<(String, Option<String>)>,
    /// Age of the newest sound drill of each calendar, or of the plan before the first, and what the calendar promises.
    pub drills_due: Vec<(String, f64, f64)>,
    /// What an execution of a plan waits for.
    pub waiting: Option<String>,
}

/// What is wrong, the worst first.
pub fn problems(input: &ProtectionInput, objectives: Objectives) -> Vec<RecoveryProblem> {
    let mut found = Vec::new();
    let mut add = |rule: &str, severity: &str, message: String, measured: String, threshold: String| {
        found.push(RecoveryProblem {
            rule: rule.to_owned(),
            severity: severity.to_owned(),
            message,
            measured,
            threshold,
        });
    };
    if let Some(error) = &input.repository_error {
        add(
            "repository_unreachable",
            "critical",
            format!("The repository cannot be read: {error}"),
            "no answer".into(),
            "an answer".into(),
        );
    }
    match (input.backup_age_seconds, input.backup_every_seconds) {
        (None, _) if input.repository_error.is_none() => {
            let reason = input.backup_error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            add("backup_overdue", "critical", format!("There is no backup yet{reason}"), "none".into(), "one".into());
        }
        // Half a period of grace: a run takes its time, and jitter is wanted.
        (Some(age), Some(every)) if age > every * 1.5 + 300.0 => add(
            "backup_overdue",
            "critical",
            "No backup was taken when one was due".into(),
            format::duration_s(age),
            format::duration_s(every),
        ),
        _ => {}
    }
    if let (Some(age), Some(every)) = (input.full_age_seconds, input.full_every_seconds)
        && age > every * 1.5 + 300.0
    {
        add(
            "backup_overdue",
            "critical",
            "No full backup was taken when one was due".into(),
            format::duration_s(age),
            format::duration_s(every),
        );
    }
    if let (Some(error), Some(_)) = (&input.backup_error, input.backup_age_seconds) {
        add("backup_failed", "warning", format!("The last backup failed: {error}"), "failed".into(), "done".into());
    }
    if let Some(gap) = &input.open_gap {
        add(
            "wal_gap",
            "critical",
            if input.nothing_restorable {
                format!("What is written now cannot be restored: {gap}; a new backup is begun by itself")
            } else {
                format!("WAL is missing and no backup was taken since: {gap}")
            },
            "a gap".into(),
            "none".into(),
        );
    }
    if let Some(problem) = &input.test_problem {
        add(
            "restore_test_failed",
            "critical",
            format!("The last restore test failed: {problem}"),
            "failed".into(),
            "sound".into(),
        );
    }
    // Each backup by its own newest verification: that a newer one is whole mends no older one.
    for (backup, problem) in &input.verdicts {
        if let Some(problem) = problem {
            add(
                "verification_failed",
                "critical",
                format!("Backup {backup} in the repository is damaged: {problem}"),
                "damaged".into(),
                "whole".into(),
            );
        }
    }
    if let Some(error) = &input.verify_error {
        add(
            "verification_failed",
            "warning",
            format!("The last verification could not be done: {error}"),
            "not done".into(),
            "done".into(),
        );
    }
    if input.streams {
        match (input.wal_lag_seconds, &input.wal_error) {
            (Some(lag), error) if lag > objectives.rpo_seconds => add(
                "wal_behind",
                if lag > objectives.rpo_seconds * 10.0 { "critical" } else { "warning" },
                format!(
                    "WAL reaches the repository late{}",
                    error.as_ref().map_or_else(String::new, |it| format!(": {it}"))
                ),
                format::duration_s(lag),
                format::duration_s(objectives.rpo_seconds),
            ),
            (_, Some(error)) => {
                add(
                    "wal_behind",
                    "warning",
                    format!("WAL streaming is interrupted: {error}"),
                    "interrupted".into(),
                    "streaming".into(),
                );
            }
            _ => {}
        }
    }
    if let (Some(free), Some(next)) = (input.free_bytes, input.next_full_bytes)
        && free < next.saturating_mul(2)
    {
        add(
            "repository_room",
            if free < next { "critical" } else { "warning" },
            "The repository has little room left".into(),
            format::bytes(free as f64),
            format::bytes(next as f64 * 2.0),
        );
    }
    if let Some(every) = input.test_every_seconds {
        match input.test_age_seconds {
            Some(age) if age > every * 1.5 => add(
                "restore_test_overdue",
                "warning",
                "No restore was proved when one was due".into(),
                format::duration_s(age),
                format::duration_s(every),
            ),
            None if input.backup_age_seconds.is_some() => {
                add(
                    "restore_test_overdue",
                    "warning",
                    "No restore was ever proved".into(),
                    "never".into(),
                    format::duration_s(every),
                );
            }
            _ => {}
        }
    }
    for (name, problem) in &input.drills {
        if let Some(problem) = problem {
            add(
                "drill_failed",
                "critical",
                format!("The last {name} failed: {problem}"),
                "failed".into(),
                "done".into(),
            );
        }
    }
    for (name, age, every) in &input.drills_due {
        if *age > every * 1.5 {
            add(
                "drill_overdue",
                "warning",
                format!("No {name} went well when one was due"),
                format::duration_s(*age),
                format::duration_s(*every),
            );
        }
    }
    if let Some(seconds) = input.forecast_seconds.filter(|seconds| *seconds > objectives.rto_seconds) {
        add(
            "rto_forecast",
            "warning",
            "A restore now would take longer than the objective".into(),
            format::duration_s(seconds),
            format::duration_s(objectives.rto_seconds),
        );
    }
    found.sort_by_key(|problem| match problem.severity.as_str() {
        "critical" => 0,
        "warning" => 1,
        _ => 2,
    });
    found
}

#[cfg(test)]
mod tests;
