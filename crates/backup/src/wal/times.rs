//! What time it is where in the WAL: read from the commit records themselves, so it holds for every way that WAL came by.
use super::{assemble, covered_until};
use crate::{BackupError, format::layout::WalPieceName, repo::Repository};
use domain::{Lsn, Timestamp};
use pgphysical::{
    Moment, MomentKind, scan_wal,
    wal::{Timeline, TimelineHistory, WalSegment},
};
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
}

impl<'a> WalTimes<'a> {
    pub fn new(repository: &'a Repository, system: u64, size: u32, history: &'a TimelineHistory) -> Self {
        Self { repository, system, size, history, pieces: HashMap::new() }
    }

    /// Commits and rollbacks that end in one segment, up to `until`.
    async fn segment(&mut self, number: u64, until: Lsn) -> Result<Vec<Moment>, BackupError> {
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
        let bytes = assemble(self.repository, self.system, pieces, segment, self.size).await?.unwrap_or_default();
        let (start, size) = (segment.start(self.size), self.size);
        let scan = tokio::task::spawn_blocking(move || scan_wal(&bytes, start, size))
            .await
            .map_err(|error| BackupError::Failed(error.to_string()))?;
        let ends = |moment: &Moment| {
            moment.end <= until && matches!(moment.kind, MomentKind::Commit(_) | MomentKind::Abort(_))
        };
        Ok(scan.moments.into_iter().filter(ends).collect())
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
            let found = self.segment(number, until).await?.into_iter().max_by_key(|moment| moment.at_us);
            if let Some(moment) = found {
                return Ok(Some(LastCommit { at_us: moment.at_us, end: moment.end }));
            }
        }
        Ok(None)
    }

    /// Where recovery to the time will stop: the first commit behind it. Times of commits hardly ever go back, so halving
    /// finds it; `None` when there is none.
    pub async fn first_after(&mut self, at_us: i64, from: Lsn, until: Lsn) -> Result<Option<Lsn>, BackupError> {
        let size = u64::from(self.size);
        let (mut low, mut high) = (from.0 / size, until.0.saturating_sub(1) / size);
        while low < high {
            let middle = low.midpoint(high);
            // The segment in the middle, or the next that has a commit.
            let (mut at, mut latest) = (middle, None);
            while at < high && latest.is_none() {
                latest = self.segment(at, until).await?.iter().map(|moment| moment.at_us).max();
                at += 1;
            }
            match latest {
                Some(latest) if latest <= at_us => low = at,
                _ => high = middle,
            }
        }
        let found = self.segment(low, until).await?.into_iter().find(|moment| moment.at_us > at_us);
        Ok(found.map(|moment| moment.end))
    }
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

    /// Why no later moment than some can be restored until a new backup is taken: WAL behind the newest backup is lost.
    /// `None` when all is well, or there is no backup yet.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn backup_needed(&self, system: u64) -> Result<Option<String>, BackupError> {
        let Some(newest) = self.backups(system).await?.pop() else { return Ok(None) };
        let advice = "take a backup: later moments cannot be restored before";
        for gap in self.gaps(system).await? {
            if (gap.resumes_on, gap.end) > (newest.timeline, newest.stop_lsn) {
                return Ok(Some(format!("WAL from {} to {} is lost ({}); {advice}", gap.start, gap.end, gap.reason)));
            }
        }
        let size = newest.cluster.wal_segment_size;
        let pieces = self.wal_pieces(system, newest.timeline).await?;
        let until = covered_until(&pieces, WalSegment::containing(newest.timeline, newest.start_lsn, size).start(size));
        let later = pieces.iter().find(|piece| piece.start > until);
        Ok(later.map(|piece| format!("WAL from {until} to {} is not in the repository; {advice}", piece.start)))
    }
}
