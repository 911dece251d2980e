//! Proof that a backup can be read: every object that it names, every byte decrypted and checked, every page's
//! fingerprint compared, and the WAL without a hole.
use crate::{
    BackupError,
    create::Progress,
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout::{self, WalPieceName},
        manifest::{EntryKind, Summary},
        map::{Fingerprinter, WINDOW_PAGES},
        object::{FrameRef, open_frame},
    },
    lease::Lease,
    maps::{MapReader, check_end, sealer_for},
    repo::Repository,
    wal::{assemble, covered_until},
};
use domain::Lsn;
use pgphysical::{WalScanner, page::PAGE_SIZE, wal::WalSegment};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

/// What was proved, or what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// The backup.
    pub id: String,
    /// Files whose maps were read.
    pub files: u64,
    /// Bytes of frames decrypted and checked.
    pub checked_bytes: u64,
    /// Pages whose content fits their fingerprint.
    pub pages: u64,
    /// WAL is whole from the backup's start up to here.
    pub wal_until: Lsn,
    /// Records of that WAL whose own checksum was right.
    pub wal_records: u64,
    /// What is wrong; empty when all is well.
    pub problems: Vec<String>,
}

const PROBLEMS_LIMIT: usize = 100;
/// One page of a file: the file, the page, its fingerprint, where it is in the frame, its length.
type Check = (u32, u32, u64, u32, u16);

/// Reads everything of a backup.
///
/// # Errors
/// When the repository cannot be reached; damage is in the result.
pub async fn verify(
    repository: &Repository,
    backup: &Summary,
    progress: &Arc<Progress>,
) -> Result<Verified, BackupError> {
    let lease = Lease::share(repository, backup, "verify").await?;
    let done = verify_leased(repository, backup, progress).await;
    if let Some(lease) = lease {
        lease.release().await;
    }
    done
}

async fn verify_leased(
    repository: &Repository,
    backup: &Summary,
    progress: &Arc<Progress>,
) -> Result<Verified, BackupError> {
    let mut verified = Verified { id: backup.id.clone(), ..Verified::default() };
    let system = backup.cluster.system_identifier;
    let manifest = match repository.manifest(backup).await {
        Err(error) if error.is_loss() => {
            verified.problems.push(error.to_string());
            return Ok(verified);
        }
        other => other?,
    };
    let mut maps = MapReader::new(repository, system, backup.lineage);
    let mut map_frames: BTreeMap<ObjectId, BTreeSet<FrameRef>> = BTreeMap::new();
    let mut wanted: BTreeMap<(ObjectId, FrameRef), Vec<Check>> = BTreeMap::new();
    for (number, entry) in manifest.entries.iter().enumerate() {
        let Some(at) = entry.map else {
            if entry.kind == EntryKind::File && entry.size > 0 {
                verified.problems.push(format!("{} has no map", entry.path));
            }
            continue;
        };
        let map = match maps.read(at).await {
            Err(error) if error.is_loss() => {
                note(&mut verified, format!("{}: {error}", entry.path));
                continue;
            }
            other => other?,
        };
        verified.files += 1;
        map_frames.entry(at.object).or_default().insert(at.frame);
        for (index, window) in map.windows.iter().enumerate() {
            for (page, fingerprint) in window.fingerprints.iter().enumerate() {
                let Some((piece, start)) = window.place(page) else { continue };
                let in_file = index * WINDOW_PAGES + page;
                let length = (map.size - (in_file * PAGE_SIZE) as u64).min(PAGE_SIZE as u64);
                let narrow = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
                wanted.entry((map.packs[piece.pack as usize], piece.frame)).or_default().push((
                    narrow(number),
                    narrow(in_file),
                    *fingerprint,
                    narrow(start),
                    u16::try_from(length).unwrap_or(u16::MAX),
                ));
            }
        }
    }
    progress.total.store(wanted.keys().map(|(_, frame)| u64::from(frame.sealed)).sum(), Ordering::Relaxed);
    let mut pack_frames: BTreeMap<ObjectId, BTreeSet<FrameRef>> = BTreeMap::new();
    for (pack, frame) in wanted.keys() {
        pack_frames.entry(*pack).or_default().insert(*frame);
    }
    let ends = map_frames
        .into_iter()
        .map(|it| (ObjectKind::Map, it))
        .chain(pack_frames.into_iter().map(|it| (ObjectKind::Pack, it)));
    for (kind, (id, frames)) in ends {
        let key = match kind {
            ObjectKind::Map => layout::map(system, backup.lineage, id),
            _ => layout::pack(system, backup.lineage, id),
        };
        let checked = async {
            let sealer = sealer_for(repository, &key, id, kind).await?;
            check_end(repository, &key, &sealer, frames).await
        };
        match checked.await {
            Err(error) if error.is_loss() => note(&mut verified, error.to_string()),
            other => other?,
        }
    }
    let fingerprinter = Fingerprinter(repository.fingerprint_key());
    let mut sealers = HashMap::new();
    for ((pack, frame), checks) in wanted {
        if progress.cancelled.load(Ordering::Relaxed) {
            return Err(BackupError::Cancelled);
        }
        let key = layout::pack(system, backup.lineage, pack);
        let read = async {
            let sealer = match sealers.get(&pack) {
                Some(sealer) => sealer,
                None => {
                    let sealer = sealer_for(repository, &key, pack, ObjectKind::Pack).await?;
                    sealers.entry(pack).or_insert(sealer)
                }
            };
            let bytes = repository.store().get_range(&key, u64::from(frame.offset), u64::from(frame.sealed)).await?;
            open_frame(sealer, u64::from(frame.frame), bytes.to_vec()).map_err(BackupError::object(&key))
        };
        let plain = match read.await {
            Err(error) if error.is_loss() => {
                let file = &manifest.entries[checks[0].0 as usize].path;
                note(
                    &mut verified,
                    format!(
                        "{error}; {} lost, the first of {file}",
                        domain::format::counted(checks.len(), "page is", "pages are")
                    ),
                );
                continue;
            }
            other => other?,
        };
        verified.checked_bytes += u64::from(frame.sealed);
        Progress::add(&progress.done, u64::from(frame.sealed));
        for (file, page, fingerprint, start, length) in checks {
            let content = plain.get(start as usize..start as usize + usize::from(length));
            if content.map(|content| fingerprinter.page(content)) == Some(fingerprint) {
                verified.pages += 1;
            } else {
                let path = &manifest.entries[file as usize].path;
                note(&mut verified, format!("page {page} of {path} is not the page that was backed up"));
            }
        }
    }
    let size = backup.cluster.wal_segment_size;
    let pieces = repository.wal_pieces(system, backup.timeline).await?;
    let from = WalSegment::containing(backup.timeline, backup.start_lsn, size).start(size);
    verified.wal_until = covered_until(&pieces, from);
    if verified.wal_until < backup.stop_lsn {
        let problem = format!("its WAL reaches only to {}, it needs {}", verified.wal_until, backup.stop_lsn);
        note(&mut verified, problem);
    }
    for piece in pieces.iter().filter(|piece| piece.end > from && piece.start < backup.stop_lsn) {
        match repository.read_piece(system, piece).await {
            // Put together with others in the meantime; the whole is looked at below.
            Err(error) if error.is_gone() && !repository.wal_pieces(system, backup.timeline).await?.contains(piece) => {
            }
            Err(error) if error.is_loss() => note(&mut verified, error.to_string()),
            other => verified.checked_bytes += other?.len() as u64,
        }
    }
    if verified.wal_until >= backup.stop_lsn {
        scan_records(repository, backup, &pieces, from, &mut verified).await?;
    }
    Ok(verified)
}

/// Looks at each record of the backup's WAL with the server's own checksum: an object can be unchanged and hold WAL that
/// was wrong when it came.
async fn scan_records(
    repository: &Repository,
    backup: &Summary,
    pieces: &[WalPieceName],
    from: Lsn,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let (system, size) = (backup.cluster.system_identifier, backup.cluster.wal_segment_size);
    let last = WalSegment::containing(backup.timeline, Lsn(backup.stop_lsn.0.saturating_sub(1)), size).number;
    let mut scanner = WalScanner::new(size);
    for number in WalSegment::containing(backup.timeline, from, size).number..=last {
        let segment = WalSegment { timeline: backup.timeline, number };
        let bytes = match assemble(repository, system, pieces, segment, size).await {
            // Named above.
            Err(error) if error.is_loss() => return Ok(()),
            other => other?.unwrap_or_default(),
        };
        let start = segment.start(size);
        scanner = tokio::task::spawn_blocking(move || {
            scanner.feed(&bytes, start);
            scanner
        })
        .await
        .map_err(|error| BackupError::Failed(error.to_string()))?;
    }
    let scan = scanner.finish();
    verified.wal_records = scan.records;
    if let Some((at, why)) = scan.broken.filter(|(at, _)| *at < backup.stop_lsn) {
        note(verified, format!("its WAL cannot be replayed beyond {at}: {why}"));
    } else if scan.end.0.next_multiple_of(8) < backup.stop_lsn.0 {
        // Records begin at multiples of eight, and so does what the server calls the end of one.
        note(verified, format!("its WAL holds no record behind {}, it needs {}", scan.end, backup.stop_lsn));
    }
    Ok(())
}

fn note(verified: &mut Verified, problem: String) {
    if verified.problems.len() < PROBLEMS_LIMIT {
        verified.problems.push(problem);
    }
}
