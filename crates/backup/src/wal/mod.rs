//! Write-ahead log in the repository: pieces that each cover a range of positions of one timeline. A closed segment is
//! a piece, and so is what came since the last few seconds.
mod fetch;
mod guard;
mod push;
mod stream;
mod times;

pub(crate) use fetch::assemble;
pub use fetch::{Fetched, fetch};
pub use guard::{SlotLimits, SlotState, slot_state};
pub use push::push;
pub use stream::{StreamOptions, StreamStatus, stream};
pub use times::TimeStop;
pub(crate) use times::{WalTimes, to_timestamp};

use crate::{
    BackupError,
    create::Taken,
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout::{self, WalPieceName},
        manifest::ClusterFacts,
    },
    repo::Repository,
};
use domain::Lsn;
use pgphysical::{
    replication::{ConnInfo, ReplicationConnection, WalEvent},
    wal::{Timeline, TimelineHistory, WalSegment},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A hole in the WAL that somebody knows of: moments in it cannot be restored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gap {
    /// Timeline.
    pub timeline: Timeline,
    /// The timeline of [`Self::end`].
    pub resumes_on: Timeline,
    /// First missing byte.
    pub start: Lsn,
    /// First byte there is again.
    pub end: Lsn,
    /// When it was found.
    pub declared_at: domain::Timestamp,
    /// Why.
    pub reason: String,
}

impl Repository {
    /// All pieces of a timeline by start; longer ones first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn wal_pieces(&self, system: u64, timeline: Timeline) -> Result<Vec<WalPieceName>, BackupError> {
        let listed = self.store().list(&layout::wal_timeline(system, timeline)).await?;
        let mut pieces = listed.iter().filter_map(|info| layout::parse_wal_piece(&info.key)).collect::<Vec<_>>();
        pieces.sort_by_key(|piece| (piece.start, std::cmp::Reverse(piece.end)));
        Ok(pieces)
    }

    /// Timelines that have WAL here.
    ///
    /// # Errors
    /// What the store says.
    pub async fn wal_timelines(&self, system: u64) -> Result<Vec<Timeline>, BackupError> {
        let listed = self.store().list(&layout::wal(system)).await?;
        let mut all =
            listed.iter().filter_map(|info| Some(layout::parse_wal_piece(&info.key)?.timeline)).collect::<Vec<_>>();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Stores a piece.
    pub(crate) async fn write_piece(
        &self,
        system: u64,
        timeline: Timeline,
        start: Lsn,
        bytes: &[u8],
    ) -> Result<WalPieceName, BackupError> {
        let (id, end) = (ObjectId::random(), Lsn(start.0 + bytes.len() as u64));
        self.write(&layout::wal_piece(system, timeline, start, end, id), id, ObjectKind::Wal, bytes).await?;
        Ok(WalPieceName { timeline, start, end, id })
    }

    pub(crate) async fn read_piece(&self, system: u64, piece: &WalPieceName) -> Result<Vec<u8>, BackupError> {
        let key = layout::wal_piece(system, piece.timeline, piece.start, piece.end, piece.id);
        let bytes = self.read(&key, ObjectKind::Wal).await?;
        if bytes.len() as u64 != piece.end.0 - piece.start.0 {
            return Err(BackupError::malformed(&key, "it does not hold as much WAL as its name says"));
        }
        // A renamed object is authentic all the same; the server would take it for the end of the WAL.
        pgphysical::wal::check_pages(&bytes, piece.start).map_err(|at| {
            BackupError::malformed(&key, format!("it holds WAL of {at}, not of the place that its name says"))
        })?;
        Ok(bytes)
    }

    /// Keeps a history file; the same content twice is one.
    pub(crate) async fn write_history(
        &self,
        system: u64,
        timeline: Timeline,
        content: &[u8],
    ) -> Result<(), BackupError> {
        let known = match self.history_file(system, timeline).await {
            // The source still has it: a second copy mends the damage.
            Err(error) if error.is_damage() => None,
            other => other?,
        };
        match known {
            Some(known) if known == content => Ok(()),
            Some(_) => Err(BackupError::Failed(format!(
                "another history of timeline {timeline} is in the repository: two clusters were promoted to the same timeline; archive one of them elsewhere"
            ))),
            None => {
                let id = ObjectId::random();
                self.write(&layout::history(system, timeline, id), id, ObjectKind::History, content).await?;
                Ok(())
            }
        }
    }

    /// A history file; `None` for the first timeline and for one that is not there.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn history_file(&self, system: u64, timeline: Timeline) -> Result<Option<Vec<u8>>, BackupError> {
        let prefix = format!("{}{timeline:08X}-", layout::histories(system));
        let mut damaged = None;
        for info in self.store().list(&prefix).await? {
            match self.read(&info.key, ObjectKind::History).await {
                Err(error) if error.is_damage() => damaged = Some(error),
                other => return other.map(Some),
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// The way to a timeline.
    ///
    /// # Errors
    /// [`BackupError::NotFound`] when its history file is missing.
    pub async fn timeline_history(&self, system: u64, timeline: Timeline) -> Result<TimelineHistory, BackupError> {
        if timeline == 1 {
            return Ok(TimelineHistory::root(1));
        }
        let content = self.history_file(system, timeline).await?.ok_or_else(|| {
            BackupError::NotFound(format!("the history file of timeline {timeline} is not in the repository"))
        })?;
        TimelineHistory::parse(timeline, &String::from_utf8_lossy(&content))
            .ok_or_else(|| BackupError::malformed(&layout::histories(system), "a history file in it cannot be read"))
    }

    /// Declares a hole.
    pub(crate) async fn declare_gap(&self, system: u64, gap: &Gap) -> Result<(), BackupError> {
        let id = ObjectId::random();
        let key = format!("{}gaps/{:08X}-{:016X}-{id}", layout::cluster(system), gap.timeline, gap.start.0);
        let text = serde_json::to_vec(gap).map_err(|error| BackupError::Failed(error.to_string()))?;
        self.write(&key, id, ObjectKind::Gap, &text).await?;
        Ok(())
    }

    /// All declared holes. A declaration that cannot be read is passed over: the hole itself shows in the listing.
    ///
    /// # Errors
    /// What the store says.
    pub async fn gaps(&self, system: u64) -> Result<Vec<Gap>, BackupError> {
        let mut all = Vec::new();
        for info in self.store().list(&format!("{}gaps/", layout::cluster(system))).await? {
            match self.gap(&info.key).await {
                Ok(gap) => all.push(gap),
                Err(error) if error.is_damage() => tracing::error!(%error, "the record of a gap cannot be read"),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    pub(crate) async fn gap(&self, key: &str) -> Result<Gap, BackupError> {
        let content = self.read(key, ObjectKind::Gap).await?;
        serde_json::from_slice(&content).map_err(|error| BackupError::malformed(key, error))
    }
}

/// How long a running stream is waited for.
const STREAM_PATIENCE: Duration = Duration::from_secs(6);

/// How far the pieces reach without a hole from `start`; `start` itself when they have nothing there.
pub fn covered_until(pieces: &[WalPieceName], start: Lsn) -> Lsn {
    let mut until = start;
    // Sorted by start: one pass is enough.
    for piece in pieces {
        if piece.start > until {
            break;
        }
        until = until.max(piece.end);
    }
    until
}

/// Makes sure that all WAL of a backup is in the repository: waits a moment for the archive, then fetches what is missing
/// from the server, which keeps it by `keeper`'s slot.
pub(crate) async fn complete(
    repository: &Repository,
    source: &ConnInfo,
    mut keeper: Option<ReplicationConnection>,
    facts: &ClusterFacts,
    taken: &Taken,
    timeout: Duration,
) -> Result<(), BackupError> {
    let system = facts.system_identifier;
    let size = facts.wal_segment_size;
    if taken.timeline > 1 && repository.history_file(system, taken.timeline).await?.is_none() {
        let mut connection = ReplicationConnection::connect(source).await?;
        let (_, content) = connection.timeline_history(taken.timeline).await?;
        repository.write_history(system, taken.timeline, &content).await?;
    }
    // Replay looks at the header of the segment that it begins in.
    let start = WalSegment::containing(taken.timeline, taken.start, size).start(size);
    let deadline = Instant::now() + timeout;
    // Somebody may be streaming: give that the few seconds it needs, and only then ask for the same bytes again.
    let streaming =
        repository.store().head(&format!("{}{}", layout::LEASES, stream::lease_name(system))).await?.is_some();
    let patience = Instant::now() + if streaming { STREAM_PATIENCE } else { Duration::ZERO };
    loop {
        let pieces = repository.wal_pieces(system, taken.timeline).await?;
        let until = covered_until(&pieces, start);
        if until >= taken.stop {
            return Ok(());
        }
        if Instant::now() >= patience
            && let Some(connection) = keeper.take()
        {
            let from = WalSegment::containing(taken.timeline, until, size).start(size).max(start);
            receive(repository, system, connection, taken.timeline, from, taken.stop, size).await?;
            continue;
        }
        if Instant::now() > deadline {
            return Err(BackupError::Failed(format!(
                "the backup needs WAL up to {}, the repository has it up to {until}: start 'holdfast wal stream', set archive_command to 'holdfast wal push %p', or give the role REPLICATION",
                taken.stop
            )));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Receives WAL from `from` until at least `stop`, one piece a segment.
async fn receive(
    repository: &Repository,
    system: u64,
    connection: ReplicationConnection,
    timeline: Timeline,
    from: Lsn,
    stop: Lsn,
    segment_size: u32,
) -> Result<(), BackupError> {
    let mut stream = connection.start_physical(None, from, timeline).await?;
    let (mut start, mut buffer) = (from, Vec::new());
    while Lsn(start.0 + buffer.len() as u64) < stop {
        match tokio::time::timeout(Duration::from_secs(60), stream.next()).await {
            Err(_) => {
                return Err(BackupError::Failed(format!(
                    "the server sent no WAL for a minute; {stop} was waited for (on a standby, the primary must write more)"
                )));
            }
            Ok(event) => match event? {
                WalEvent::Data { start: at, bytes, .. } => {
                    if at.0 != start.0 + buffer.len() as u64 {
                        return Err(BackupError::Failed(format!("the server sent WAL at {at} out of turn")));
                    }
                    buffer.extend_from_slice(&bytes);
                    let end = WalSegment::containing(timeline, start, segment_size).end(segment_size);
                    let whole = usize::try_from(end.0 - start.0).unwrap_or(usize::MAX);
                    if buffer.len() >= whole {
                        let rest = buffer.split_off(whole);
                        repository.write_piece(system, timeline, start, &buffer).await?;
                        (start, buffer) = (end, rest);
                    }
                }
                WalEvent::Keepalive { reply_requested: true, .. } => {
                    stream.send_status(start, Lsn(0), Lsn(0), false).await?;
                }
                WalEvent::Keepalive { .. } => {}
                WalEvent::EndOfTimeline { .. } => {
                    return Err(BackupError::Failed(
                        "the server was promoted during the backup; take it again".to_owned(),
                    ));
                }
            },
        }
    }
    if !buffer.is_empty() {
        repository.write_piece(system, timeline, start, &buffer).await?;
    }
    stream.stop().await?;
    Ok(())
}
