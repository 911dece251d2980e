//! What a restore will do, before it does anything.
use crate::{
    BackupError,
    format::{layout, manifest::Summary},
    repo::{Catalogue, Manifest, Repository},
    wal::{TimeStop, WalTimes, covered_until, to_timestamp},
};
use domain::{Lsn, Timestamp};
use pgphysical::wal::{Timeline, TimelineHistory, WalSegment};
use serde::Serialize;

/// Until where replay goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// All WAL there is.
    Latest,
    /// As soon as the copy is consistent.
    Immediate,
    /// The last commit before or at this moment; with microseconds, as text with an offset.
    Time(String, Timestamp),
    /// Up to and with this position.
    Lsn(Lsn),
    /// Up to and with this transaction.
    Xid(u64),
    /// A point made by `pg_create_restore_point`.
    Name(String),
}

impl Target {
    /// Reads a time with offset, to the microsecond.
    ///
    /// # Errors
    /// [`BackupError::Invalid`] says how to write it.
    pub fn time(text: &str) -> Result<Self, BackupError> {
        use time::{OffsetDateTime, format_description::well_known::Rfc3339};
        let normal = text.trim().replacen(' ', "T", 1);
        let normal = if normal.ends_with("+00") { format!("{normal}:00") } else { normal };
        let at = OffsetDateTime::parse(&normal, &Rfc3339).map_err(|_| {
            BackupError::Invalid(format!(
                "'{text}' is not a time with an offset; write it like 2026-11-24T02:00:00Z or '2026-11-24 02:00:00.5+01:00'"
            ))
        })?;
        let shown = shown(at.to_offset(time::UtcOffset::UTC));
        let ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000)
            .map_err(|_| BackupError::Invalid(format!("'{text}' is out of range")))?;
        Ok(Self::Time(shown, Timestamp(ms)))
    }

    /// Microseconds since 1970 as a target's text.
    fn at_micros(at_us: i64) -> String {
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_us) * 1_000)
            .map_or_else(|_| at_us.to_string(), shown)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Latest => Vec::new(),
            Self::Immediate => vec![("recovery_target", "immediate".to_owned())],
            Self::Time(text, _) => vec![("recovery_target_time", text.clone())],
            Self::Lsn(lsn) => vec![("recovery_target_lsn", lsn.to_string())],
            Self::Xid(xid) => vec![("recovery_target_xid", xid.to_string())],
            Self::Name(name) => vec![("recovery_target_name", name.clone())],
        }
    }
}

fn shown(utc: time::OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00",
        utc.year(),
        u8::from(utc.month()),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second(),
        utc.microsecond()
    )
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The cluster; the only one when `None`.
    pub system: Option<u64>,
    /// Which backup; the best for the target when `None`.
    pub backup: Option<String>,
    /// Until where.
    pub target: Target,
    /// On which timeline; that of the newest WAL that descends from the backup when `None`.
    pub timeline: Option<Timeline>,
}

/// What will be done.
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// From this backup.
    pub backup: Summary,
    /// Until here.
    pub target: Target,
    /// Along this timeline.
    pub timeline: Timeline,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// WAL to replay: from the backup's start to the target, or to the end of what is there.
    pub wal_bytes: u64,
    /// WAL is there without a hole up to here.
    pub wal_until: Lsn,
    /// The last commit or heartbeat before that: no later time can be a target. Looked up for a target by time only.
    pub last_commit: Option<Timestamp>,
    /// Where recovery stops, when the target says so or it could be found.
    pub stops_at: Option<Lsn>,
    /// The place of a target by time. `None` for others, and when it could not be found.
    pub time_stop: Option<TimeStop>,
    /// What a person should know before.
    pub notes: Vec<String>,
}

impl RestorePlan {
    /// The settings that say where recovery stops, for `postgresql.auto.conf`. A time is given as its place in the WAL where
    /// that is known: PostgreSQL would else replay what the next transaction did besides its rows before it stops.
    /// `inclusive`: with what ended just at the target.
    pub(super) fn settings(&self, inclusive: bool) -> Vec<(&'static str, String)> {
        let with_inclusive = |mut settings: Vec<(&'static str, String)>, inclusive: bool| {
            settings.push(("recovery_target_inclusive", if inclusive { "on" } else { "off" }.to_owned()));
            settings
        };
        match (&self.target, self.time_stop.filter(|_| inclusive)) {
            (Target::Time(..), Some(TimeStop::Behind { start, .. })) => {
                with_inclusive(Target::Lsn(start).settings(), true)
            }
            (Target::Time(..), Some(TimeStop::Before(start))) => with_inclusive(Target::Lsn(start).settings(), false),
            (Target::Time(..), Some(TimeStop::Consistent)) => Target::Immediate.settings(),
            (Target::Time(..) | Target::Lsn(_) | Target::Xid(_), _) => {
                with_inclusive(self.target.settings(), inclusive)
            }
            _ => self.target.settings(),
        }
    }
}

/// Chooses the backup and the timeline, and refuses what cannot work.
///
/// # Errors
/// [`BackupError::NotFound`] and [`BackupError::Invalid`] with the reason and the nearest that can be had.
pub async fn plan(repository: &Repository, request: &RestoreRequest) -> Result<(RestorePlan, Manifest), BackupError> {
    let system = match request.system {
        Some(system) => system,
        None => match repository.clusters().await?.as_slice() {
            [] => {
                return Err(BackupError::NotFound(
                    "the repository holds no backup yet; 'holdfast backup create' takes one".to_owned(),
                ));
            }
            [one] => *one,
            several => {
                let all = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(BackupError::Invalid(format!(
                    "the repository holds several clusters ({all}); say which by --cluster"
                )));
            }
        },
    };
    let Catalogue { backups, damaged } = repository.catalogue(system).await?;
    if backups.is_empty() {
        if let Some(error) = damaged.into_iter().next() {
            return Err(error);
        }
        return Err(BackupError::NotFound(format!(
            "the repository holds no backup of cluster {system}; 'holdfast repo info' lists its clusters"
        )));
    }
    let newest_timeline = repository.wal_timelines(system).await?.into_iter().max();
    let wanted = request.timeline.or(newest_timeline).unwrap_or(1);
    let backup = match &request.backup {
        Some(id) => match backups.into_iter().find(|one| one.id == *id) {
            Some(one) => one,
            // Its commit is there and damaged: the error says so.
            None => {
                let key = layout::commit(system, id);
                let of_it = damaged.into_iter().find(|error| error.object_key() == Some(key.as_str()));
                return Err(of_it.unwrap_or_else(|| no_backup(id, system)));
            }
        },
        None => choose(repository, backups, request, system, wanted).await?,
    };
    // Recovery to the earliest moment stays on the backup's own timeline.
    let wanted =
        if request.target == Target::Immediate && request.timeline.is_none() { backup.timeline } else { wanted };
    let history = history(repository, system, wanted.max(backup.timeline)).await?;
    if !history.contains(backup.timeline, backup.stop_lsn) {
        return Err(BackupError::Invalid(format!(
            "timeline {wanted} was left before backup {} ended; choose another timeline or backup (--timeline, --backup)",
            backup.id
        )));
    }
    check_reach(&backup, &request.target)?;
    let wal_until = reach(repository, &backup, &history).await?;
    if wal_until < backup.stop_lsn {
        return Err(BackupError::Failed(format!(
            "the WAL that backup {} needs reaches only to {wal_until}, not to its end at {}; choose another backup (--backup)",
            backup.id, backup.stop_lsn
        )));
    }
    let mut notes = damaged.iter().map(|error| format!("another backup cannot be used: {error}")).collect::<Vec<_>>();
    let hole = hole_after(repository, &backup, &history, wal_until).await?;
    let (mut last_commit, mut stops_at, mut time_stop) = (None, None, None);
    match &request.target {
        Target::Lsn(lsn) if *lsn > wal_until => {
            return Err(BackupError::Invalid(match &hole {
                Some(hole) => format!("{lsn} is not reached from backup {}: {hole}", backup.id),
                None => format!("{lsn} is not reached: the WAL in the repository ends at {wal_until}"),
            }));
        }
        Target::Lsn(lsn) => stops_at = Some(*lsn),
        Target::Immediate => stops_at = Some(backup.stop_lsn),
        Target::Latest => {
            if let Some(hole) = &hole {
                return Err(BackupError::Invalid(format!(
                    "{hole}; choose the position {wal_until} to replay up to there (--lsn), the end of the backup itself (--immediate), or a later backup (--backup)"
                )));
            }
        }
        Target::Time(text, at) => {
            let wanted = micros(text, *at);
            let mut times = WalTimes::new(repository, system, backup.cluster.wal_segment_size, &history);
            match times.last(backup.stop_lsn, wal_until).await? {
                Some(last) => {
                    last_commit = Some(to_timestamp(last.at_us));
                    if last.at_us <= wanted {
                        return Err(BackupError::Invalid(after_the_last(text, last.at_us, wal_until, hole.as_deref())));
                    }
                    time_stop = times.stop(wanted, backup.stop_lsn, wal_until).await?;
                    stops_at = time_stop.map(|stop| match stop {
                        TimeStop::Behind { end, .. } => end,
                        TimeStop::Consistent => backup.stop_lsn,
                        TimeStop::Before(start) => start,
                    });
                }
                None if times.sees_all(backup.stop_lsn, wal_until) => {
                    return Err(BackupError::Invalid(format!(
                        "{text} is not reached: nothing was committed after backup {} in the WAL, which ends at {wal_until}; PostgreSQL could not tell that the time was reached. Restore without a target, which gives the same data, or wait for a commit ('wal stream --heartbeat 10' writes one every ten seconds)",
                        backup.id
                    )));
                }
                None => notes.push(format!(
                    "nothing was committed lately before {wal_until}, where the WAL ends: if nothing was committed after {text}, PostgreSQL says 'recovery ended before configured recovery target was reached'; restoring without a target gives the same data then"
                )),
            }
        }
        Target::Xid(_) | Target::Name(_) => notes.extend(
            hole.iter().map(|hole| format!("{hole}; a target behind that is not reached, and recovery stops there")),
        ),
    }
    if !backup.damaged.is_empty() {
        notes.push(format!(
            "{} had wrong checksums in the source already; the first is page {} of {}",
            domain::format::counted(backup.damaged.len(), "page", "pages"),
            backup.damaged[0].page,
            backup.damaged[0].path
        ));
    }
    // What was lost before the backup began concerns no restore from it.
    for gap in repository.gaps(system).await?.into_iter().filter(|gap| gap.end > backup.start_lsn) {
        notes.push(format!("WAL from {} to {} is missing: {}", gap.start, gap.end, gap.reason));
    }
    let manifest = repository.manifest(&backup).await?;
    let plan = RestorePlan {
        timeline: history.timeline,
        bytes: backup.stats.bytes,
        files: backup.stats.files,
        wal_bytes: stops_at.unwrap_or(wal_until).0.saturating_sub(backup.start_lsn.0),
        wal_until,
        last_commit,
        stops_at,
        time_stop,
        target: request.target.clone(),
        notes,
        backup,
    };
    Ok((plan, manifest))
}

fn no_backup(id: &str, system: u64) -> BackupError {
    BackupError::NotFound(format!("there is no backup {id} of cluster {system}; 'holdfast backup list' shows them"))
}

/// The microseconds of a target by time, which its text has and its time stamp not.
fn micros(text: &str, at: Timestamp) -> i64 {
    let rest = text.rsplit_once('.').and_then(|(_, rest)| rest.get(3..6)?.parse::<i64>().ok()).unwrap_or(0);
    at.0.saturating_mul(1_000).saturating_add(rest)
}

fn after_the_last(wanted: &str, last_us: i64, wal_until: Lsn, hole: Option<&str>) -> String {
    let last = Target::at_micros(last_us);
    let why = match hole {
        Some(hole) => format!("{hole}; the last commit before that is of {last}"),
        None => format!(
            "nothing was committed after it in the WAL, which ends at {wal_until}: the last commit is of {last}"
        ),
    };
    let advice = match hole {
        Some(_) => "choose an earlier time, or a later backup (--backup)",
        None => {
            "PostgreSQL could not tell that the time was reached; restore without a target, which gives all there is and so the same data, or wait for a later commit ('wal stream --heartbeat 10' writes one every ten seconds)"
        }
    };
    format!("{wanted} is not reached: {why}; {advice}")
}

/// WAL that is there behind a hole.
async fn hole_after(
    repository: &Repository,
    backup: &Summary,
    history: &TimelineHistory,
    wal_until: Lsn,
) -> Result<Option<String>, BackupError> {
    let system = backup.cluster.system_identifier;
    let way = history.ancestors.iter().map(|step| step.timeline).chain([history.timeline]);
    for timeline in way.filter(|timeline| *timeline >= backup.timeline) {
        let pieces = repository.wal_pieces(system, timeline).await?;
        let on_the_way = |piece: &&crate::format::layout::WalPieceName| {
            history.timeline_at(piece.start) == timeline && piece.start > wal_until
        };
        if let Some(later) = pieces.iter().find(on_the_way) {
            let gaps = repository.gaps(system).await?;
            let reason = gaps.iter().find(|gap| gap.start <= wal_until && gap.end > wal_until);
            let reason = reason.map_or_else(|| "lost, or removed by retention".to_owned(), |gap| gap.reason.clone());
            return Ok(Some(format!(
                "the WAL has a hole from {wal_until} to {} ({reason}), which recovery cannot pass",
                later.start
            )));
        }
    }
    Ok(None)
}

/// The newest backup that ends before the target and lies on the way to the timeline.
async fn choose(
    repository: &Repository,
    backups: Vec<Summary>,
    request: &RestoreRequest,
    system: u64,
    timeline: Timeline,
) -> Result<Summary, BackupError> {
    let newest_timeline = backups.iter().map(|one| one.timeline).max().unwrap_or(1);
    let history =
        history(repository, system, timeline.max(if request.timeline.is_none() { newest_timeline } else { 1 })).await?;
    let oldest = backups.first().cloned();
    let fits =
        |one: &Summary| history.contains(one.timeline, one.stop_lsn) && check_reach(one, &request.target).is_ok();
    let found = backups.into_iter().rfind(fits);
    found.ok_or_else(|| {
        let first =
            oldest.map(|one| format!(" (the oldest backup ends at {}, {})", one.stopped_at.to_human(), one.stop_lsn));
        BackupError::NotFound(format!(
            "no backup ends before the target on timeline {timeline}{}",
            first.unwrap_or_default()
        ))
    })
}

async fn history(repository: &Repository, system: u64, timeline: Timeline) -> Result<TimelineHistory, BackupError> {
    repository.timeline_history(system, timeline).await
}

/// Whether the backup can reach the target at all.
fn check_reach(backup: &Summary, target: &Target) -> Result<(), BackupError> {
    match target {
        Target::Time(text, at) if *at < backup.stopped_at => Err(BackupError::Invalid(format!(
            "{text} is before backup {} ended ({}); it cannot be restored from it",
            backup.id,
            backup.stopped_at.to_human()
        ))),
        Target::Lsn(lsn) if *lsn < backup.stop_lsn => Err(BackupError::Invalid(format!(
            "{lsn} is before backup {} ended ({}); it cannot be restored from it",
            backup.id, backup.stop_lsn
        ))),
        _ => Ok(()),
    }
}

/// How far the WAL goes from the backup along the timelines.
async fn reach(repository: &Repository, backup: &Summary, history: &TimelineHistory) -> Result<Lsn, BackupError> {
    let (system, size) = (backup.cluster.system_identifier, backup.cluster.wal_segment_size);
    let mut at = WalSegment::containing(backup.timeline, backup.start_lsn, size).start(size);
    let way = history.ancestors.iter().map(|step| (step.timeline, Some(step.end))).chain([(history.timeline, None)]);
    for (timeline, end) in way.filter(|(timeline, _)| *timeline >= backup.timeline) {
        let pieces = repository.wal_pieces(system, timeline).await?;
        // The child's first segment begins with the parent's bytes, so its pieces may begin before the switch.
        let from = WalSegment::containing(timeline, at, size).start(size);
        let until = covered_until(&pieces, from).max(at);
        match end {
            Some(end) if until < end => {
                // The child may have the whole segment that holds the switch.
                at = until;
            }
            Some(end) => at = end,
            None => at = until,
        }
    }
    Ok(at)
}
