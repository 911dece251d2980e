//! What the repository holds, read often enough for a page to be true.
use crate::status;
use analysis::recovery::{BackupPoint, GapPoint, Holdings, Switch, WalPoint};
use backup::{BackupError, Repository, Summary, format::layout};
use blobs::BlobInfo;
use control::{Catalogue, ControlPlane, Slot, now};
use domain::{
    Lsn, Timestamp,
    view::{RecoveryGap, RecoveryInterval},
};
use pgphysical::replication::ReplicationConnection;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The judgement follows the stream, which is quicker than the catalogue.
const JUDGE_EVERY: Duration = Duration::from_secs(2);
/// After a word that it is stale; several words come together.
const SOON: Duration = Duration::from_millis(50);

pub(crate) async fn keep(control: ControlPlane, index: usize, stop: CancellationToken) {
    let Some(slot) = control.recovery().slots().get(index) else { return };
    let mut commits = Vec::new();
    let mut due = tokio::time::Instant::now();
    loop {
        if tokio::time::Instant::now() >= due {
            let read = tokio::time::timeout(Duration::from_secs(300), read(slot, &mut commits)).await;
            let read = read.unwrap_or_else(|_| Err("the repository did not answer within 5 minutes".to_owned()));
            match read {
                Ok(catalogue) => slot.catalogue.store(Arc::new(catalogue)),
                Err(error) => {
                    tracing::warn!(
                        error,
                        cluster = slot.config.cluster,
                        "the repository cannot be read; it is tried again"
                    );
                    let before = slot.catalogue.load_full();
                    slot.catalogue.store(Arc::new(Catalogue { error: Some(error), ..Catalogue::clone(&before) }));
                }
            }
            due = tokio::time::Instant::now() + slot.config.refresh;
        }
        if let Err(error) = status::judge(&control, slot).await {
            tracing::warn!(%error, cluster = slot.config.cluster, "the state of backups could not be judged");
        }
        tokio::select! {
            () = tokio::time::sleep(JUDGE_EVERY) => {}
            () = slot.stale.notified() => {
                tokio::time::sleep(SOON).await;
                due = tokio::time::Instant::now();
            }
            () = stop.cancelled() => return,
        }
    }
}

/// Asks the server who it is; without it a repository of one cluster says it too.
async fn system(slot: &Slot, repository: &Repository) -> Result<Option<u64>, String> {
    if let Some(known) = slot.catalogue.load().system {
        return Ok(Some(known));
    }
    let ask = async {
        let source = &slot.config.source;
        let mut sql = ReplicationConnection::connect_sql(source, &source.database).await?;
        sql.query("SELECT system_identifier FROM pg_control_system()").await
    };
    let asked = tokio::time::timeout(Duration::from_secs(10), ask).await;
    let row = asked.ok().and_then(Result::ok).and_then(|rows| rows.into_iter().next()?.into_iter().next()?);
    if let Some(system) = row.and_then(|text| text.parse::<i64>().ok()) {
        return Ok(Some(system.cast_unsigned()));
    }
    match repository.clusters().await.map_err(|error| error.to_string())?.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err("the repository holds several clusters and the server does not say which it is; it is asked again"
            .to_owned()),
    }
}

/// Reads the catalogue of a cluster once: for a command, beside which no service keeps it.
///
/// # Errors
/// Why the repository cannot be read, or which of its clusters it is.
pub async fn read_once(control: &ControlPlane, cluster: &str) -> Result<(), String> {
    let Some(slot) = control.recovery().slot(cluster) else { return Ok(()) };
    let catalogue = read(slot, &mut Vec::new()).await?;
    slot.catalogue.store(Arc::new(catalogue));
    Ok(())
}

async fn read(slot: &Slot, commits: &mut Vec<String>) -> Result<Catalogue, String> {
    let repository = slot.repository().await.map_err(|error| error.to_string())?;
    let told = |error: backup::BackupError| error.to_string();
    // A data key that the command line or another server made: the stream shares this handle and goes on with it.
    repository.reread_keys().await.map_err(told)?;
    let system = system(slot, &repository).await?;
    let keys = repository.key_slots().await.map_err(told)?;
    let mut catalogue = Catalogue {
        read_at: Some(now()),
        system,
        file: Some(repository.file().clone()),
        keys,
        free_bytes: slot.config.repository_directory.as_deref().and_then(backup::free_bytes),
        ..Catalogue::default()
    };
    let Some(system) = system else { return Ok(catalogue) };
    let stream = slot.wal.load_full();
    let complete_at = stream
        .durable_lsn
        .filter(|_| stream.state == "streaming" && stream.lag_bytes == Some(0))
        .map(|durable| (now(), durable));
    let before = slot.catalogue.load_full();
    let known =
        (before.error.is_none() && before.read_at.is_some()).then(|| (commits.as_slice(), before.backups.as_slice()));
    let held = Held::read(&repository, system, known, complete_at).await.map_err(told)?;
    *commits = held.commits;
    catalogue.stored_bytes = Some(held.stored_bytes);
    let end = held.intervals.last().map_or(Lsn(0), |last| last.to_lsn);
    catalogue.wal_since_backup = held.backups.last().map_or(0, |last| end.0.saturating_sub(last.start_lsn.0));
    catalogue.timeline = Some(held.timeline);
    (catalogue.backups, catalogue.intervals, catalogue.gaps) = (held.backups, held.intervals, held.gaps);
    Ok(catalogue)
}

/// What a repository holds of one cluster, from the repository alone.
#[derive(Clone, Debug)]
pub struct Held {
    /// Oldest first.
    pub backups: Vec<Summary>,
    /// Times in which each moment can be restored.
    pub intervals: Vec<RecoveryInterval>,
    /// Times in which none can.
    pub gaps: Vec<RecoveryGap>,
    /// The newest timeline of which there is WAL: intervals and gaps are of what led to it.
    pub timeline: u32,
    /// Bytes.
    pub stored_bytes: u64,
    /// Keys of the commits: as long as they are the same, the backups are.
    commits: Vec<String>,
}

impl Held {
    /// One listing tells of everything, two when there is a new backup or WAL is missing; only commits are read, and none of them again while they are the `known` ones.
    /// `complete_at`: all WAL of the server was there at that moment, up to that position.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn read(
        repository: &Repository,
        system: u64,
        known: Option<(&[String], &[Summary])>,
        complete_at: Option<(Timestamp, Lsn)>,
    ) -> Result<Self, BackupError> {
        let mut listed = repository.store().list(&layout::cluster(system)).await?;
        let commits =
            listed.iter().filter(|info| info.key.ends_with("/commit")).map(|info| info.key.clone()).collect::<Vec<_>>();
        let backups = match known {
            Some((same, backups)) if same == commits => backups.to_vec(),
            _ => {
                let backups = repository.backups(system).await?;
                // A listing is not of one moment: the WAL that a new backup waited for may have come behind its back.
                listed = repository.store().list(&layout::cluster(system)).await?;
                backups
            }
        };
        let wal = pieces(&listed);
        let newest = wal.iter().map(|piece| piece.timeline).max().unwrap_or(1);
        // A history that is missing leaves the timelines apart, which is what is known then.
        let ancestors = repository.timeline_history(system, newest).await.map(|it| it.ancestors).unwrap_or_default();
        let switches = ancestors
            .iter()
            .enumerate()
            .map(|(index, step)| Switch {
                from: step.timeline,
                to: ancestors.get(index + 1).map_or(newest, |next| next.timeline),
                at: step.end,
            })
            .collect();
        let gaps = repository.gaps(system).await?;
        let mut holdings = Holdings {
            backups: backups
                .iter()
                .map(|one| BackupPoint {
                    stopped_at: one.stopped_at,
                    timeline: one.timeline,
                    start: one.start_lsn,
                    stop: one.stop_lsn,
                    segment_bytes: u64::from(one.cluster.wal_segment_size),
                })
                .collect(),
            wal,
            gaps: gaps
                .into_iter()
                .map(|gap| GapPoint {
                    timeline: gap.timeline,
                    start: gap.start,
                    end: gap.end,
                    declared_at: gap.declared_at,
                    reason: gap.reason,
                })
                .collect(),
            switches,
            complete_at,
        };
        let (mut intervals, mut gaps) = holdings.window();
        if gaps.last().is_some_and(|gap| gap.to.is_none() && !gap.declared) {
            // Pieces that a segment replaced meanwhile may be in neither half of a listing.
            listed = repository.store().list(&layout::cluster(system)).await?;
            holdings.wal = pieces(&listed);
            (intervals, gaps) = holdings.window();
        }
        let stored_bytes = listed.iter().map(|info| info.size).sum();
        Ok(Self { backups, intervals, gaps, timeline: newest, stored_bytes, commits })
    }
}

fn pieces(listed: &[BlobInfo]) -> Vec<WalPoint> {
    let of = |info: &BlobInfo| {
        let piece = layout::parse_wal_piece(&info.key)?;
        let stored_at = info.modified;
        Some(WalPoint { timeline: piece.timeline, start: piece.start, end: piece.end, stored_at })
    };
    listed.iter().filter_map(of).collect()
}
