//! The way out: a backup as `pg_basebackup` would have written it, with a manifest for `pg_verifybackup`. Whoever has it
//! needs nothing of ours any more. Everything streams; memory is bounded by a few mebibytes for each read in flight.
mod manifest;
mod sink;

use crate::{
    BackupError,
    create::Progress,
    format::{
        manifest::{Entry, EntryKind, Summary},
        map::{FileMap, WINDOW_SIZE},
    },
    lease::Lease,
    maps::MapReader,
    pages::PageReader,
    repo::{Repository, is_safe_path},
    wal::{assemble, covered_until},
};
use futures::StreamExt as _;
use manifest::BackupManifest;
use pgphysical::wal::WalSegment;
use serde::Serialize;
use sink::Sink;
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

/// How the files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// `base.tar`, `OID.tar` for each tablespace, `pg_wal.tar`.
    #[default]
    Tar,
    /// A data directory.
    Plain,
}

/// How an export is done.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// An empty directory, or one that is not there yet.
    pub to: PathBuf,
    /// How the files are written.
    pub format: ExportFormat,
    /// New places of tablespaces by oid or old place; for the plain format each needs one.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// Reads in flight.
    pub workers: usize,
}

/// What was written.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exported {
    /// The backup.
    pub id: String,
    /// Files, the WAL's not counted.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// WAL segments.
    pub wal_segments: u64,
    /// Configuration files from outside the data directory, which such a copy does not have.
    pub left_out: Vec<String>,
}

/// Windows read at once.
const WINDOWS_A_READ: usize = 4;

/// Writes a backup, and the WAL that makes it consistent.
///
/// # Errors
/// [`BackupError::Conflict`] for a directory that is not empty; damage; what the store or the file system says. What was
/// written is left, without the manifest.
pub async fn export(
    repository: &Repository,
    backup: &Summary,
    options: &ExportOptions,
    progress: &Arc<Progress>,
) -> Result<Exported, BackupError> {
    let lease = Lease::share(repository, backup, "export").await?;
    let done = write(repository, backup, options, progress).await;
    if let Some(lease) = lease {
        lease.release().await;
    }
    done
}

async fn write(
    repository: &Repository,
    backup: &Summary,
    options: &ExportOptions,
    progress: &Arc<Progress>,
) -> Result<Exported, BackupError> {
    let system = backup.cluster.system_identifier;
    let contents = repository.manifest(backup).await?;
    // Before gigabytes are written: without its WAL the copy would be of no use.
    let size = backup.cluster.wal_segment_size;
    let first = WalSegment::containing(backup.timeline, backup.start_lsn, size);
    let pieces = repository.wal_pieces(system, backup.timeline).await?;
    let until = covered_until(&pieces, first.start(size));
    if until < backup.stop_lsn {
        return Err(BackupError::Failed(format!(
            "the WAL that backup {} needs reaches only to {until}, not to its end at {}; export another",
            backup.id, backup.stop_lsn
        )));
    }
    progress.total.store(contents.entries.iter().map(|entry| entry.size).sum(), Ordering::Relaxed);
    let mut sink = Sink::open(backup, options)?;
    let mut exported = Exported {
        id: backup.id.clone(),
        left_out: backup.captured.iter().map(|it| it.path.clone()).collect(),
        ..Exported::default()
    };
    let mut listed = BackupManifest::new(&backup.cluster);
    // As the server does it: the control file is the last, so that half a copy does not start.
    let (control, others): (Vec<_>, Vec<_>) = contents.entries.iter().partition(|it| it.path == "global/pg_control");
    let walk = Walk {
        entries: others.into_iter().chain(control).collect(),
        maps: MapReader::new(repository, system, backup.lineage),
        current: None,
    };
    let reader = PageReader::new(repository, system, backup.lineage);
    let steps = futures::stream::unfold(walk, |mut walk| async move {
        let step = walk.next().await.transpose()?;
        Some((step, walk))
    });
    let steps = steps.map(|step| {
        let reader = &reader;
        async move {
            Ok::<_, BackupError>(match step? {
                Step::Begin(entry) => Out::Begin(entry),
                Step::Windows(map, first) => {
                    let until = map.windows.len().min(first + WINDOWS_A_READ);
                    Out::Data(reader.windows(&map, first..until).await?)
                }
                Step::End => Out::End,
            })
        }
    });
    let mut steps = std::pin::pin!(steps.buffered(options.workers.clamp(1, 16) + 1));
    let mut file: Option<(&Entry, manifest::Checksum)> = None;
    while let Some(step) = steps.next().await {
        if progress.cancelled.load(Ordering::Relaxed) {
            return Err(BackupError::Cancelled);
        }
        match step? {
            Out::Begin(entry) if entry.kind == EntryKind::Directory => sink.directory(entry)?,
            Out::Begin(entry) => {
                sink.begin(entry)?;
                file = Some((entry, manifest::Checksum::default()));
            }
            Out::Data(bytes) => {
                tokio::task::block_in_place(|| {
                    if let Some((_, checksum)) = file.as_mut() {
                        checksum.update(&bytes);
                    }
                    sink.write(&bytes)
                })?;
                Progress::add(&progress.done, bytes.len() as u64);
            }
            Out::End => {
                sink.end()?;
                if let Some((entry, checksum)) = file.take() {
                    listed.file(entry, checksum);
                    exported.files += 1;
                    exported.bytes += entry.size;
                }
            }
        }
    }
    if let Some(history) = repository.history_file(system, backup.timeline).await? {
        sink.wal(&format!("{:08X}.history", backup.timeline), &history, backup)?;
    }
    let last = WalSegment::containing(backup.timeline, domain::Lsn(backup.stop_lsn.0.saturating_sub(1)), size);
    for number in first.number..=last.number {
        let segment = WalSegment { number, ..first };
        let mut content = assemble(repository, system, &pieces, segment, size).await?.unwrap_or_default();
        // Of the last seconds before the end there may be a part only: replay stops where the records do.
        content.resize(size as usize, 0);
        tokio::task::block_in_place(|| sink.wal(&segment.file_name(size), &content, backup))?;
        exported.wal_segments += 1;
    }
    let text = listed.finish(backup.timeline, backup.start_lsn, backup.stop_lsn);
    tokio::task::block_in_place(|| sink.finish(&text))?;
    Ok(exported)
}

/// What comes next in the order of the archives.
enum Step<'a> {
    Begin(&'a Entry),
    Windows(Arc<FileMap>, usize),
    End,
}

enum Out<'a> {
    Begin(&'a Entry),
    Data(Vec<u8>),
    End,
}

struct Walk<'a> {
    entries: VecDeque<&'a Entry>,
    maps: MapReader<'a>,
    /// The map of the file under way and its next window.
    current: Option<(Option<Arc<FileMap>>, usize)>,
}

impl<'a> Walk<'a> {
    async fn next(&mut self) -> Result<Option<Step<'a>>, BackupError> {
        if let Some((map, window)) = self.current.as_mut() {
            return Ok(Some(match map {
                Some(map) if *window < map.windows.len() => {
                    let step = Step::Windows(map.clone(), *window);
                    *window += WINDOWS_A_READ;
                    step
                }
                _ => {
                    self.current = None;
                    Step::End
                }
            }));
        }
        let Some(entry) = self.entries.pop_front() else { return Ok(None) };
        if !is_safe_path(&entry.path) {
            return Err(BackupError::malformed(&entry.path, "its path leads elsewhere"));
        }
        if entry.kind == EntryKind::File {
            let map = match entry.map {
                Some(at) => Some(Arc::new(self.maps.read(at).await?)),
                None => None,
            };
            if map.as_ref().map_or(0, |map| map.size) != entry.size {
                return Err(BackupError::malformed(&entry.path, "its map has another size"));
            }
            self.current = Some((map, 0));
        }
        Ok(Some(Step::Begin(entry)))
    }
}

const _: () = assert!(WINDOWS_A_READ * WINDOW_SIZE <= 8 << 20, "memory is bounded by this");
