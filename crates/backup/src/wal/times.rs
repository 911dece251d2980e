//! What time it is where in the WAL: read from the commit records themselves, so it holds for every way that WAL came by.
use super::{assemble, covered_until};
use crate::{BackupError, format::layout::WalPieceName, repo::Repository};
use domain::{Lsn, Timestamp};
use pgphysical::{
    Moment, MomentKind, WalScanner,
    wal::{Timeline, TimelineHistory, WalSegment},
};
use serde::Serialize;
use std::collections::HashMap;

/// So many segments are looked through for a commit, from the end backwards.
const LOOK_BACK: u64 = 64;

/// The last moment in some WAL at which recovery can stop by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastCommit {
    pub at_us: i64,
    pub end: Lsn,
}

/// Reads times along the way to a timeline.
pub(crate) struct WalTimes<'a> {
    repository: &'a Repository,
    system: u64,
    size: u32,
    history: &'a TimelineHistory,
    pieces: HashMap<Timeline, Vec<WalPieceName>>,
    /// What was found in segments, up to a position: the same ones are asked for again and again.
    known: HashMap<(u64, u64), Vec<Moment>>,
}

impl<'a> WalTimes<'a> {
    pub fn new(repository: &'a Repository, system: u64, size: u32, history: &'a TimelineHistory) -> Self {
        Self { repository, system, size, history, pieces: HashMap::new(), known: HashMap::new() }
    }

    async fn bytes(&mut self, number: u64, until: Lsn) -> Result<Vec<u8>, BackupError> {
        let first = WalSegment { timeline: self.history.timeline, number };
        // Where timelines meet, the child's copy of the segment has the parent's bytes too.
        let last_byte = Lsn(until.0.min(first.end(self.size).0).saturating_sub(1));
        let timeline = self.history.timeline_at(last_byte);
        if !self.pieces.contains_key(&timeline) {
            let pieces = self.repository.wal_pieces(self.system, timeline).await?;
            self.pieces.insert(timeline, pieces);
        }
        let pieces = self.pieces.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        let segment = WalSegment { timeline, number };
        Ok(assemble(self.repository, self.system, pieces, segment, self.size).await?.unwrap_or_default())
    }

    /// Ends of transactions, and their preparations, whose records lie in one segment and end before `until`. With `beyond`
    /// also the one that begins there and goes on behind it, for which the next segment is read too.
    async fn segment(&mut self, number: u64, until: Lsn, beyond: bool) -> Result<Vec<Moment>, BackupError> {
        if let Some(known) = self.known.get(&(number, until.0)).filter(|_| !beyond) {
            return Ok(known.clone());
        }
        let size = u64::from(self.size);
        let mut scanner = WalScanner::new(self.size);
        for at in number.. {
            let start = Lsn(at * size);
            if start >= until || (at > number && !(beyond && scanner.is_within_a_record())) {
                break;
            }
            let bytes = self.bytes(at, until).await?;
            if bytes.is_empty() {
                break;
            }
            scanner = tokio::task::spawn_blocking(move || {
                scanner.feed(&bytes, start);
                scanner
            })
            .await
            .map_err(|error| BackupError::Failed(error.to_string()))?;
        }
        let wanted = |moment: &Moment| {
            moment.start.0 / size == number
                && moment.end <= until
                && !matches!(moment.kind, MomentKind::RestorePoint(_))
        };
        let found = scanner.finish().moments.into_iter().filter(wanted).collect::<Vec<_>>();
        if !beyond {
            self.known.insert((number, until.0), found.clone());
        }
        Ok(found)
    }

    /// As [`Self::segment`], without preparations: only at these recovery looks at the time.
    async fn ends(&mut self, number: u64, until: Lsn, beyond: bool) -> Result<Vec<Moment>, BackupError> {
        let mut found = self.segment(number, until, beyond).await?;
        found.retain(|moment| matches!(moment.kind, MomentKind::Commit(_) | MomentKind::Abort(_)));
        Ok(found)
    }

    /// Whether [`Self::last`] looks at all there is between two positions.
    pub const fn sees_all(&self, from: Lsn, until: Lsn) -> bool {
        until.0.saturating_sub(from.0) / (self.size as u64) < LOOK_BACK
    }

    /// The latest time between `from` and `until`; `None` when nothing was committed in the last 64 segments.
    pub async fn last(&mut self, from: Lsn, until: Lsn) -> Result<Option<LastCommit>, BackupError> {
        if until <= from {
            return Ok(None);
        }
        let size = u64::from(self.size);
        let (first, last) = (from.0 / size, (until.0 - 1) / size);
        for number in (first.max(last.saturating_sub(LOOK_BACK))..=last).rev() {
            let found = self.ends(number, until, false).await?.into_iter().max_by_key(|moment| moment.at_us);
            if let Some(moment) = found {
                return Ok(Some(LastCommit { at_us: moment.at_us, end: moment.end }));
            }
        }
        Ok(None)
    }

    /// Where recovery to the time must stop, between `from`, where the backup is consistent, and `until`; `None` when
    /// nothing was committed behind the time.
    ///
    /// PostgreSQL itself goes on to the first commit behind the time and stops before it. What that transaction did
    /// besides its rows is done by then: the files of a database that it dropped are gone. So the last commit before is
    /// looked up here, and replay ends there.
    pub async fn stop(&mut self, at_us: i64, from: Lsn, until: Lsn) -> Result<Option<TimeStop>, BackupError> {
        let Some(after) = self.first_after(at_us, from, until).await? else { return Ok(None) };
        let size = u64::from(self.size);
        let (first, last) = (from.0 / size, after.0 / size);
        for number in (first.max(last.saturating_sub(LOOK_BACK))..=last).rev() {
            let before = |moment: &Moment| moment.start < after && moment.end > from && moment.at_us <= at_us;
            // What goes on behind the segment of the later one begins behind it too.
            if let Some(moment) = self.segment(number, until, number < last).await?.into_iter().rfind(before) {
                let at = to_timestamp(moment.at_us);
                return Ok(Some(TimeStop::Behind { start: moment.start, end: moment.end, at }));
            }
        }
        Ok(Some(if last - first <= LOOK_BACK { TimeStop::Consistent } else { TimeStop::Before(after) }))
    }

    /// Where the first commit or rollback behind the time begins. Times of commits hardly ever go back, so halving finds
    /// it; `None` when there is none.
    async fn first_after(&mut self, at_us: i64, from: Lsn, until: Lsn) -> Result<Option<Lsn>, BackupError> {
        let size = u64::from(self.size);
        let (mut low, mut high) = (from.0 / size, until.0.saturating_sub(1) / size);
        let end = high;
        while low < high {
            let middle = low.midpoint(high);
            // The segment in the middle, or the next that has a commit.
            let (mut at, mut latest) = (middle, None);
            while at < high && latest.is_none() {
                latest = self.ends(at, until, false).await?.iter().map(|moment| moment.at_us).max();
                at += 1;
            }
            match latest {
                Some(latest) if latest <= at_us => low = at,
                _ => high = middle,
            }
        }
        // Segments without a commit may lie before it.
        for number in low..=end {
            let after = |moment: &Moment| moment.end > from && moment.at_us > at_us;
            // One that goes on behind the segment is its last.
            for beyond in [false, true] {
                if let Some(moment) = self.ends(number, until, beyond).await?.into_iter().find(after) {
                    return Ok(Some(moment.start));
                }
            }
        }
        Ok(None)
    }
}

/// A moment as a place in the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeStop {
    /// Behind the end of a transaction: the last one that ended at the moment or before.
    Behind {
        /// Where its record begins.
        start: Lsn,
        /// Where its record ends.
        end: Lsn,
        /// When it ended. PostgreSQL does not tell afterwards: it stops before it takes note of the last record's time.
        at: Timestamp,
    },
    /// As soon as the copy is consistent: no transaction ended between that and the moment.
    Consistent,
    /// Before the first transaction that ended later; the last one before is too far back to be looked for.
    Before(Lsn),
}

/// As a moment that people read; to the millisecond, rounded down.
pub(crate) const fn to_timestamp(at_us: i64) -> Timestamp {
    Timestamp(at_us.div_euclid(1_000))
}

impl Repository {
    /// Where the newest timeline's WAL stands in time: its last commit or heartbeat, and the position behind it. `None` when
    /// there is no WAL, or nothing was committed lately.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn last_commit(&self, system: u64) -> Result<Option<(Timestamp, Lsn)>, BackupError> {
        let Some(timeline) = self.wal_timelines(system).await?.into_iter().max() else { return Ok(None) };
        let pieces = self.wal_pieces(system, timeline).await?;
        let Some(backup) = self.backups(system).await?.pop() else { return Ok(None) };
        let history = self.timeline_history(system, timeline).await?;
        let (Some(from), Some(until)) = (pieces.first().map(|it| it.start), pieces.iter().map(|piece| piece.end).max())
        else {
            return Ok(None);
        };
        let mut times = WalTimes::new(self, system, backup.cluster.wal_segment_size, &history);
        Ok(times.last(from, until).await?.map(|it| (to_timestamp(it.at_us), it.end)))
    }

    /// Why no later moment than some can be restored until a new backup is taken: WAL behind the newest backup is lost, or no
    /// backup leads to the timeline that the cluster is on. `None` when all is well, or there is no backup yet.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn backup_needed(&self, system: u64) -> Result<Option<String>, BackupError> {
        let backups = self.backups(system).await?;
        if backups.is_empty() {
            return Ok(None);
        }
        let advice = "take a backup: later moments cannot be restored before";
        let timelines = self.wal_timelines(system).await?;
        let timeline = timelines.into_iter().chain(backups.iter().map(|one| one.timeline)).max().unwrap_or(1);
        // Without a history it is not known what came from what.
        let way = self.timeline_history(system, timeline).await.ok();
        let is_on_it = |timeline, at| way.as_ref().is_none_or(|way| way.contains(timeline, at));
        let Some(newest) = backups.iter().rfind(|one| is_on_it(one.timeline, one.stop_lsn)) else {
            return Ok(Some(format!(
                "no backup leads to timeline {timeline}, on which the cluster goes on: all are of what it left, as when a standby that was behind took over; {advice}"
            )));
        };
        for gap in self.gaps(system).await?.into_iter().filter(|gap| is_on_it(gap.timeline, gap.start)) {
            if (gap.resumes_on, gap.end) > (newest.timeline, newest.stop_lsn) {
                return Ok(Some(format!("WAL from {} to {} is lost ({}); {advice}", gap.start, gap.end, gap.reason)));
            }
        }
        let size = newest.cluster.wal_segment_size;
        let pieces = self.wal_pieces(system, newest.timeline).await?;
        let until = covered_until(&pieces, WalSegment::containing(newest.timeline, newest.start_lsn, size).start(size));
        let later = pieces.iter().find(|piece| piece.start > until && is_on_it(newest.timeline, piece.start));
        Ok(later.map(|piece| format!("WAL from {until} to {} is not in the repository; {advice}", piece.start)))
    }
}
