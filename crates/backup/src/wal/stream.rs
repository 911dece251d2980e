//! `holdfast wal stream`: receives WAL through a physical slot and has it in the repository seconds after it was
//! written. The slot is told only what is durable in the repository, so the server keeps all else: its slot is the spool,
//! and neither our crash nor an outage of the store loses a byte.
use super::{
    Gap, covered_until,
    guard::{SlotLimits, SlotState, attend},
};
use crate::{
    BackupError,
    format::layout::{self, WalPieceName},
    lease::{Lease, server_now},
    repo::{Repository, now},
};
use blobs::BlobError;
use domain::{Lsn, Timestamp};
use pgphysical::{
    replication::{ConnInfo, Identity, ReplicationConnection, ReplicationError, WalEvent, WalStream},
    wal::{Timeline, TimelineHistory, WalSegment},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How to stream.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The slot; made when it is not there.
    pub slot: String,
    /// A piece is written at least so often while there is something new.
    pub every: Duration,
    /// Give up after so long without success; `None` tries for ever.
    pub give_up_after: Option<Duration>,
    /// A message with the time is written to the WAL so often, so that a quiet database has a commit record.
    pub heartbeat: Option<Duration>,
    /// When the slot is given up.
    pub limits: SlotLimits,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            slot: "holdfast".to_owned(),
            every: Duration::from_secs(2),
            give_up_after: None,
            heartbeat: None,
            limits: SlotLimits::default(),
        }
    }
}

/// States of [`StreamStatus::slot_given_up`].
pub(super) const KEPT: u8 = 0;
pub(super) const DROPPING: u8 = 1;
pub(super) const DROPPED: u8 = 2;

/// What the stream is doing, for displays and alerts.
#[derive(Debug, Default)]
pub struct StreamStatus {
    /// Received up to here.
    pub received: AtomicU64,
    /// In the repository up to here.
    pub durable: AtomicU64,
    /// The server had written up to here when it last said so.
    pub server: AtomicU64,
    /// Pieces and segments written.
    pub objects: AtomicU64,
    /// The last error, until work goes on.
    pub error: Mutex<Option<String>>,
    /// The slot, when it could be looked at.
    pub slot: Mutex<Option<SlotState>>,
    /// The last heartbeat, by the clock of the source, as its commit is.
    pub heartbeat_at: Mutex<Option<Timestamp>>,
    /// Why the slot was given up, when it was: a new backup is needed.
    pub given_up: Mutex<Option<String>>,
    pub(super) slot_given_up: AtomicU8,
}

impl StreamStatus {
    /// The slot as it was seen last.
    pub fn slot(&self) -> Option<SlotState> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last error, until work goes on.
    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last heartbeat, by the clock of the source, as its commit is.
    pub fn heartbeat_at(&self) -> Option<Timestamp> {
        *self.heartbeat_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the slot was given up.
    pub fn given_up(&self) -> Option<String> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// The lease of the one that streams.
pub(super) fn lease_name(system: u64) -> String {
    format!("wal-{system}")
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server ends a connection that is silent for `wal_sender_timeout`, a minute by default.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// While there is something to write, a new data key is looked for so often.
const KEYS_EVERY: Duration = Duration::from_secs(30);

/// Streams until `stop`, over lost connections, restarts of the server and promotions.
///
/// # Errors
/// What cannot pass by waiting: wrong rights, a wrong key, another cluster at this address.
pub async fn stream(
    repository: &Repository,
    source: &ConnInfo,
    options: &StreamOptions,
    status: &Arc<StreamStatus>,
    stop: &CancellationToken,
) -> Result<(), BackupError> {
    let (beside, ended) = (CancellationToken::new(), stop.clone());
    let streaming = async {
        let done = stream_alone(repository, source, options, status, &ended).await;
        beside.cancel();
        done
    };
    tokio::join!(streaming, attend(source, options, status, &beside)).0
}

async fn stream_alone(
    repository: &Repository,
    source: &ConnInfo,
    options: &StreamOptions,
    status: &Arc<StreamStatus>,
    stop: &CancellationToken,
) -> Result<(), BackupError> {
    let mut wait = FIRST_WAIT;
    let mut failing_since = None;
    let mut system = None;
    let mut lease = None;
    loop {
        let before = status.durable.load(Ordering::Relaxed);
        let mut place = None;
        let mut ended = session(repository, source, options, status, stop, &mut system, &mut lease, &mut place).await;
        // The server says so only once it is asked to send: what it has thrown away is a gap, and the stream goes on.
        if let (Err(BackupError::Server(ReplicationError::WalRemoved { .. })), Some(place)) = (&ended, &place) {
            ended = declare(repository, place, status.given_up()).await;
        }
        if stop.is_cancelled() {
            if let Some(lease) = lease {
                lease.release().await;
            }
            return Ok(());
        }
        if status.durable.load(Ordering::Relaxed) > before {
            (wait, failing_since) = (FIRST_WAIT, None);
        }
        if let Err(error) = ended {
            let passing = match &error {
                BackupError::Server(error) => error.is_retryable(),
                BackupError::Blob(error) => {
                    // Room is made, and rights that were there come back.
                    let worked = status.durable.load(Ordering::Relaxed) > 0;
                    error.is_retryable()
                        || matches!(error, BlobError::NoSpace { .. })
                        || (worked && matches!(error, BlobError::Denied { .. }))
                }
                // Another stream, or the lease of one that was killed.
                BackupError::Busy(_) | BackupError::Conflict(_) => true,
                _ => false,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if !passing || options.give_up_after.is_some_and(|limit| since.elapsed() > limit) {
                if let Some(lease) = lease {
                    lease.release().await;
                }
                return Err(error);
            }
            tracing::warn!(%error, wait_ms = wait.as_millis(), "WAL streaming was interrupted; it goes on");
            status.set_error(Some(error.to_string()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Where a session began to ask.
struct Place {
    timeline: Timeline,
    start: Lsn,
    identity: Identity,
    segment_size: u32,
}

#[expect(clippy::too_many_arguments, reason = "what outlives a session is lent to it")]
async fn session(
    repository: &Repository,
    source: &ConnInfo,
    options: &StreamOptions,
    status: &Arc<StreamStatus>,
    stop: &CancellationToken,
    system: &mut Option<u64>,
    lease: &mut Option<Lease>,
    place: &mut Option<Place>,
) -> Result<(), BackupError> {
    let mut connection = ReplicationConnection::connect(source).await?;
    let identity = connection.identify_system().await?;
    if *system.get_or_insert(identity.system_identifier) != identity.system_identifier {
        return Err(BackupError::Invalid(
            "another cluster answers at this address now; its WAL does not belong to this stream. Start it anew if that is wanted".to_owned(),
        ));
    }
    let system = identity.system_identifier;
    if lease.is_none() {
        *lease = Some(Lease::take(repository, &lease_name(system)).await?);
    }
    let segment_size = segment_size(&connection.show("wal_segment_size").await?)?;
    match status.slot_given_up.load(Ordering::SeqCst) {
        DROPPING => return Err(BackupError::Conflict("the slot is being given up".to_owned())),
        DROPPED => {
            // A slot without a repository that takes its WAL would fill the server's disk again.
            server_now(repository).await?;
            status.slot_given_up.store(KEPT, Ordering::SeqCst);
        }
        _ => {}
    }
    match connection.create_physical_slot(&options.slot, false, true).await {
        Ok(_) => tracing::info!(slot = options.slot, "made the replication slot"),
        Err(error) if error.is_exists() => {}
        Err(error) => return Err(error.into()),
    }
    let kept = connection.slot_kept_from(&options.slot).await?;
    let way = way(&mut connection, identity.timeline).await?;
    let known = begin_at(repository, system, &identity, &way, segment_size, kept).await?;
    let (mut timeline, mut start) = on_the_way(&way, known, segment_size);
    if timeline > 1 {
        let (_, content) = connection.timeline_history(timeline).await?;
        repository.write_history(system, timeline, &content).await?;
    }
    loop {
        *place = Some(Place { timeline, start, identity: identity.clone(), segment_size });
        let stream = connection.start_physical(Some(&options.slot), start, timeline).await?;
        status.set_error(None);
        let mut receiver = Receiver {
            repository,
            system,
            timeline,
            segment_size,
            start,
            buffer: Vec::new(),
            uploaded: 0,
            tails: Vec::new(),
            keys_read: Instant::now(),
            status,
        };
        match receiver.run(stream, options.every, stop).await? {
            Some((next, switch, handed_back)) => {
                connection = handed_back;
                let (_, content) = connection.timeline_history(next).await?;
                repository.write_history(system, next, &content).await?;
                tracing::info!(timeline = next, at = %switch, "the server goes on with a new timeline");
                // The new timeline's first segment begins with the old one's pages.
                start = WalSegment::containing(next, switch, segment_size).start(segment_size);
                timeline = next;
            }
            None => return Ok(()),
        }
    }
}

/// How the server came to the timeline that it is on.
async fn way(connection: &mut ReplicationConnection, timeline: Timeline) -> Result<TimelineHistory, BackupError> {
    if timeline == 1 {
        return Ok(TimelineHistory::root(1));
    }
    let (name, content) = connection.timeline_history(timeline).await?;
    TimelineHistory::parse(timeline, &String::from_utf8_lossy(&content))
        .ok_or_else(|| BackupError::Failed(format!("the server's {name} cannot be read")))
}

/// The place from which on the server is asked. Behind a switch it has nothing of the timeline that was left there: what the
/// repository has of that is of a primary that is no more, or of before a restore to an earlier moment.
fn on_the_way(way: &TimelineHistory, known: (Timeline, Lsn), segment_size: u32) -> (Timeline, Lsn) {
    let (mut timeline, mut start) = known;
    for (index, step) in way.ancestors.iter().enumerate() {
        if step.timeline == timeline && start >= step.end {
            timeline = way.ancestors.get(index + 1).map_or(way.timeline, |next| next.timeline);
            start = WalSegment::containing(timeline, step.end, segment_size).start(segment_size);
        }
    }
    (timeline, start)
}

/// Where to go on: after what the repository has, or where the server is when it has nothing. `kept`: the slot has WAL from
/// there on.
async fn begin_at(
    repository: &Repository,
    system: u64,
    identity: &Identity,
    way: &TimelineHistory,
    segment_size: u32,
    kept: Option<Lsn>,
) -> Result<(Timeline, Lsn), BackupError> {
    let floor = |timeline, at| WalSegment::containing(timeline, at, segment_size).start(segment_size);
    let known = repository.wal_timelines(system).await?;
    let is_on_it = |timeline: Timeline| way.contains(timeline, Lsn(0));
    // What is lost is not asked for again.
    let gaps = repository.gaps(system).await?.into_iter().map(|gap| (gap.resumes_on, gap.end));
    let gap = gaps.filter(|gap| is_on_it(gap.0)).max();
    // A timeline of the past is finished before its successor begins.
    for timeline in known.into_iter().filter(|timeline| is_on_it(*timeline)).rev() {
        let pieces = repository.wal_pieces(system, timeline).await?;
        let Some(end) = pieces.iter().map(|piece| piece.end).max() else { continue };
        if let Some((timeline, end)) = gap.filter(|gap| *gap > (timeline, end)) {
            return Ok((timeline, floor(timeline, end)));
        }
        let lost_until = gap.filter(|gap| gap.0 == timeline).map_or(Lsn(0), |gap| gap.1);
        let end = match kept {
            Some(kept) => {
                // Before its begin a timeline has nothing of its own.
                let born = way.ancestors.iter().rfind(|step| step.timeline < timeline).map_or(Lsn(0), |step| step.end);
                let kept = kept.max(lost_until).max(born);
                before_hole(repository, system, timeline, &pieces, kept, segment_size).await?
            }
            None => end,
        };
        return Ok((timeline, floor(timeline, end)));
    }
    Ok((identity.timeline, floor(identity.timeline, identity.flush)))
}

/// Where the pieces of a timeline end without a hole from `kept` on. A backup that cannot wait for a stream far behind fetches
/// its own WAL: a stream that begins anew goes on where it was, not behind that backup, because what lies between was never
/// confirmed and is there still.
async fn before_hole(
    repository: &Repository,
    system: u64,
    timeline: Timeline,
    pieces: &[WalPieceName],
    kept: Lsn,
    segment_size: u32,
) -> Result<Lsn, BackupError> {
    let end = pieces.iter().map(|piece| piece.end).max().unwrap_or(kept);
    if covered_until(pieces, kept) >= end {
        return Ok(end);
    }
    // No restore begins before the oldest backup.
    let backups = repository.catalogue(system).await?.backups;
    let oldest = backups.first().filter(|one| one.timeline == timeline).map_or(Lsn(0), |one| one.start_lsn);
    let wanted = WalSegment::containing(timeline, oldest, segment_size).start(segment_size);
    Ok(covered_until(pieces, kept.max(wanted)).min(end))
}

async fn declare(repository: &Repository, place: &Place, given_up: Option<String>) -> Result<(), BackupError> {
    let (system, identity) = (place.identity.system_identifier, &place.identity);
    let end = WalSegment::containing(identity.timeline, identity.flush, place.segment_size).start(place.segment_size);
    let pieces = repository.wal_pieces(system, place.timeline).await?;
    let start = covered_until(&pieces, place.start);
    if place.timeline == identity.timeline && end <= start {
        return Err(BackupError::Failed(format!(
            "the server has removed WAL from {} on, although it stands there itself; it is not the cluster that this stream followed",
            place.start
        )));
    }
    let gap = Gap {
        timeline: place.timeline,
        resumes_on: identity.timeline,
        start,
        end,
        declared_at: now(),
        reason: match given_up {
            Some(reason) => format!("the server has removed this WAL: the slot was given up, because {reason}"),
            None => {
                "the server has removed this WAL: the slot was dropped, or held back more than max_slot_wal_keep_size"
                    .to_owned()
            }
        },
    };
    tracing::error!(from = %gap.start, to = %gap.end, "WAL is lost between; moments in it cannot be restored. Take a backup now");
    repository.declare_gap(system, &gap).await
}

fn segment_size(text: &str) -> Result<u32, BackupError> {
    let bad = || BackupError::Failed(format!("the server's wal_segment_size '{text}' cannot be read"));
    let (number, factor) = match text.trim() {
        text if text.ends_with("MB") => (text.trim_end_matches("MB"), 1_u32 << 20),
        text if text.ends_with("GB") => (text.trim_end_matches("GB"), 1_u32 << 30),
        text => (text, 1),
    };
    number.trim().parse::<u32>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

struct Receiver<'a> {
    repository: &'a Repository,
    system: u64,
    timeline: Timeline,
    segment_size: u32,
    /// Where the buffer begins: the start of a segment.
    start: Lsn,
    buffer: Vec<u8>,
    /// So many bytes of the buffer are in the repository as pieces.
    uploaded: usize,
    tails: Vec<WalPieceName>,
    /// When a new data key was last looked for.
    keys_read: Instant,
    status: &'a Arc<StreamStatus>,
}

type Switch = (Timeline, Lsn, ReplicationConnection);

impl Receiver<'_> {
    async fn run(
        &mut self,
        mut stream: WalStream,
        every: Duration,
        stop: &CancellationToken,
    ) -> Result<Option<Switch>, BackupError> {
        let mut next_piece = tokio::time::interval(every);
        next_piece.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut said = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.piece().await?;
                    self.confirm(&mut stream).await?;
                    stream.stop().await?;
                    return Ok(None);
                }
                _ = next_piece.tick() => {
                    if self.piece().await? || said.elapsed() > SIGN_OF_LIFE {
                        self.confirm(&mut stream).await?;
                        said = Instant::now();
                    }
                }
                event = stream.next() => match event? {
                    WalEvent::Data { start, server_end, bytes, .. } => {
                        let at = Lsn(self.start.0 + self.buffer.len() as u64);
                        if start != at {
                            return Err(BackupError::Failed(format!("the server sent WAL at {start} where {at} was expected")));
                        }
                        self.buffer.extend_from_slice(&bytes);
                        self.status.received.store(self.start.0 + self.buffer.len() as u64, Ordering::Relaxed);
                        self.status.server.store(server_end.0, Ordering::Relaxed);
                        while self.buffer.len() >= self.segment_size as usize {
                            self.seal().await?;
                            self.confirm(&mut stream).await?;
                            said = Instant::now();
                        }
                    }
                    WalEvent::Keepalive { server_end, reply_requested } => {
                        self.status.server.store(server_end.0, Ordering::Relaxed);
                        if reply_requested {
                            self.confirm(&mut stream).await?;
                            said = Instant::now();
                        }
                    }
                    WalEvent::EndOfTimeline { next, connection } => {
                        self.piece().await?;
                        return match next {
                            Some((timeline, at)) => Ok(Some((timeline, at, connection))),
                            None => Err(BackupError::Server(ReplicationError::closed("streaming WAL"))),
                        };
                    }
                }
            }
        }
    }

    fn durable(&self) -> Lsn {
        Lsn(self.start.0 + self.uploaded as u64)
    }

    async fn confirm(&self, stream: &mut WalStream) -> Result<(), BackupError> {
        let received = Lsn(self.start.0 + self.buffer.len() as u64);
        Ok(stream.send_status(received, self.durable(), Lsn(0), false).await?)
    }

    fn note_durable(&self) {
        // Who sees it sees what was received before it.
        self.status.durable.store(self.durable().0, Ordering::Release);
        self.status.objects.fetch_add(1, Ordering::Relaxed);
    }

    /// What came since the last piece; whether there was something.
    async fn piece(&mut self) -> Result<bool, BackupError> {
        if self.uploaded == self.buffer.len() {
            return Ok(false);
        }
        if self.keys_read.elapsed() > KEYS_EVERY {
            self.keys_read = Instant::now();
            // With the key before, WAL is as safe; a store that is away fails the piece itself.
            if let Err(error) = self.repository.reread_keys().await {
                tracing::warn!(%error, "the data keys could not be looked at; it is tried again");
            }
        }
        let start = self.durable();
        let piece =
            self.repository.write_piece(self.system, self.timeline, start, &self.buffer[self.uploaded..]).await?;
        self.uploaded = self.buffer.len();
        self.tails.push(piece);
        self.note_durable();
        Ok(true)
    }

    /// A segment is full: it is written whole, and its pieces go.
    async fn seal(&mut self) -> Result<(), BackupError> {
        let size = self.segment_size as usize;
        let rest = self.buffer.split_off(size);
        if let Err(error) = self.repository.write_piece(self.system, self.timeline, self.start, &self.buffer).await {
            self.buffer.extend_from_slice(&rest);
            return Err(error);
        }
        self.start = Lsn(self.start.0 + size as u64);
        self.buffer = rest;
        self.uploaded = 0;
        self.note_durable();
        for piece in std::mem::take(&mut self.tails) {
            let key = layout::wal_piece(self.system, piece.timeline, piece.start, piece.end, piece.id);
            // Left over, it only takes room.
            if let Err(error) = self.repository.store().delete(&key).await {
                tracing::debug!(%error, key, "a piece that its segment replaces was not removed");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgphysical::wal::TimelineStep;

    #[test]
    fn what_a_server_has_left_is_not_asked_of_it() {
        let at = |mib: u64| Lsn(mib << 20);
        let step = |timeline, mib| TimelineStep { timeline, end: at(mib) };
        let way = TimelineHistory { timeline: 4, ancestors: vec![step(1, 40), step(3, 64)] };
        let asked = |timeline, mib| on_the_way(&way, (timeline, at(mib)), 16 << 20);
        assert_eq!(asked(1, 32), (1, at(32)), "it is not finished yet");
        assert_eq!(asked(1, 80), (3, at(32)), "more was written there than led here");
        assert_eq!(asked(3, 64), (4, at(64)), "it ends exactly there");
        assert_eq!(asked(4, 96), (4, at(96)));
    }
}
