//! Writing the pages: each page is read once, from the piece that holds its newest state. Requests are sorted by pack
//! and place and joined to large reads, several at a time.
use super::{CONTROL_ASIDE, MARK, Place, RestoreOptions, Restored, place::make_directory};
use crate::{
    BackupError,
    create::Progress,
    format::{
        ObjectId,
        crypto::{ObjectKind, Sealer},
        layout,
        manifest::EntryKind,
        map::{FileMap, Fingerprinter, WINDOW_PAGES, ZERO_PAGE},
        object::{FrameRef, open_frame},
    },
    maps::{MapReader, sealer_for},
    repo::{Manifest, Repository},
};
use futures::{StreamExt as _, TryStreamExt as _};
use pgphysical::page::PAGE_SIZE;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::task::JoinHandle;

/// Pages asked for before they are fetched together; meanwhile the next are asked for.
const BATCH_BYTES: u64 = 512 << 20;
/// Files of one batch; of two they are open at once.
const FILES_LIMIT: usize = 250;
/// Frames nearer than this are read in one go.
const JOIN_GAP: u64 = 256 << 10;
/// Largest read.
const READ_LIMIT: u64 = 8 << 20;

/// Pages in one frame that go to one place of one file.
struct Run {
    file: Arc<Target>,
    /// Byte in the frame.
    from: usize,
    /// Byte in the file.
    to: u64,
    length: usize,
}

struct Target {
    path: PathBuf,
    file: File,
    /// The kernel lets one write to a file at a time and has the others spin: who waits here leaves the core to a worker
    /// that decodes.
    writing: Mutex<()>,
}

type Wanted = BTreeMap<(ObjectId, FrameRef), Vec<Run>>;

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    fetched: AtomicU64,
}

pub(super) async fn files(
    repository: &Repository,
    manifest: &Manifest,
    place: &Place,
    options: &RestoreOptions,
    progress: &Arc<Progress>,
) -> Result<Restored, BackupError> {
    let summary = &manifest.summary;
    progress.total.store(manifest.entries.iter().map(|entry| entry.size).sum(), Ordering::Relaxed);
    let mut restored = Restored::default();
    // The old control file goes first, and that is on disk before anything else changes: from here on nothing starts in
    // this directory until the end, not even after a loss of power.
    let control = place.root.join("global/pg_control");
    match fs::remove_file(&control) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(BackupError::io("remove", control)(error)),
        Ok(()) => {
            let global = place.root.join("global");
            File::open(&global).and_then(|it| it.sync_all()).map_err(BackupError::io("flush", &global))?;
        }
    }
    // Of an earlier state, or of a restore that was interrupted.
    restored.removed_files = remove_foreign(manifest, place)?;
    let fingerprinter = Fingerprinter(repository.fingerprint_key());
    let mut maps = MapReader::new(repository, summary.cluster.system_identifier, summary.lineage);
    let counts = Arc::new(Counts::default());
    let fetcher = Fetcher {
        repository: repository.clone(),
        system: summary.cluster.system_identifier,
        lineage: summary.lineage,
        workers: options.workers,
        counts: counts.clone(),
        progress: progress.clone(),
    };
    let mut fetching = Fetching(None);
    let (mut wanted, mut waiting, mut open) = (Wanted::new(), 0, 0);
    for entry in &manifest.entries {
        if progress.cancelled.load(Ordering::Relaxed) {
            return Err(BackupError::Cancelled);
        }
        let path = match entry.path.as_str() {
            "global/pg_control" => place.root.join(CONTROL_ASIDE),
            other => place.resolve(other),
        };
        if entry.kind == EntryKind::Directory {
            make_directory(&path)?;
            if entry.mode != 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode))
                    .map_err(BackupError::io("set the mode of", &path))?;
            }
            place.own(&path)?;
            link(place, &entry.path)?;
            continue;
        }
        if let Some(parent) = path.parent()
            && !parent.is_dir()
        {
            make_directory(parent)?;
            place.own(parent)?;
        }
        let file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(BackupError::io("open", &path))?;
        let before = file.metadata().map_err(BackupError::io("look at", &path))?.len();
        file.set_len(entry.size).map_err(BackupError::io("set the length of", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(if entry.mode == 0 { 0o600 } else { entry.mode }))
            .map_err(BackupError::io("set the mode of", &path))?;
        place.own(&path)?;
        let Some(at) = entry.map else { continue };
        let map = maps.read(at).await?;
        if map.size != entry.size {
            return Err(BackupError::malformed(&entry.path, "its map has another size"));
        }
        let target = Arc::new(Target { path, file, writing: Mutex::default() });
        let (asked, kept) = tokio::task::block_in_place(|| ask(&map, &target, before, &fingerprinter, &mut wanted))?;
        restored.kept_bytes += kept;
        Progress::add(&progress.done, entry.size - asked.min(entry.size));
        waiting += asked;
        open += usize::from(asked > 0);
        if waiting >= BATCH_BYTES || open >= FILES_LIMIT {
            let sealers = fetching.ended().await?;
            fetching = fetcher.clone().start(std::mem::take(&mut wanted), sealers);
            (waiting, open) = (0, 0);
        }
    }
    let sealers = fetching.ended().await?;
    fetcher.start(wanted, sealers).ended().await?;
    restored.written_bytes = counts.written.load(Ordering::Relaxed);
    restored.fetched_bytes = counts.fetched.load(Ordering::Relaxed);
    Ok(restored)
}

/// A tablespace's directory is reached by a link.
fn link(place: &Place, path: &str) -> Result<(), BackupError> {
    let Some(oid) = path.strip_prefix("pg_tblspc/").filter(|rest| !rest.contains('/')) else { return Ok(()) };
    let Some(target) = oid.parse().ok().and_then(|oid: u32| place.tablespaces.get(&oid)) else { return Ok(()) };
    let link = place.root.join(path);
    if let Some(parent) = link.parent() {
        make_directory(parent)?;
        place.own(parent)?;
    }
    if fs::read_link(&link).is_ok_and(|known| known == *target) {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(target, &link).map_err(BackupError::io("link", &link))
}

/// Notes which pages of a file are to be fetched: bytes asked for, bytes that are right already.
fn ask(
    map: &FileMap,
    target: &Arc<Target>,
    before: u64,
    fingerprinter: &Fingerprinter,
    wanted: &mut Wanted,
) -> Result<(u64, u64), BackupError> {
    let (mut asked, mut kept) = (0, 0);
    let mut page_buffer = [0; PAGE_SIZE];
    for (index, window) in map.windows.iter().enumerate() {
        for (page, fingerprint) in window.fingerprints.iter().enumerate() {
            let at = ((index * WINDOW_PAGES + page) * PAGE_SIZE) as u64;
            let length = usize::try_from(map.size - at).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
            // Beyond the old end the file is a hole, and reads as zeros.
            let old = if at < before {
                target
                    .file
                    .read_exact_at(&mut page_buffer[..length], at)
                    .map_err(BackupError::io("read", &target.path))?;
                fingerprinter.page(&page_buffer[..length])
            } else if length == PAGE_SIZE {
                ZERO_PAGE
            } else {
                u64::MAX
            };
            if old == *fingerprint {
                kept += if at < before { length as u64 } else { 0 };
                continue;
            }
            let Some((piece, from)) = window.place(page) else {
                target
                    .file
                    .write_all_at(&[0; PAGE_SIZE][..length], at)
                    .map_err(BackupError::io("write", &target.path))?;
                continue;
            };
            asked += length as u64;
            let runs = wanted.entry((map.packs[piece.pack as usize], piece.frame)).or_default();
            match runs.last_mut() {
                Some(run)
                    if Arc::ptr_eq(&run.file, target)
                        && run.from + run.length == from
                        && run.to + run.length as u64 == at =>
                {
                    run.length += length;
                }
                _ => runs.push(Run { file: target.clone(), from, to: at, length }),
            }
        }
    }
    Ok((asked, kept))
}

struct Read {
    key: String,
    sealer: Sealer,
    offset: u64,
    length: u64,
    frames: Vec<(FrameRef, Vec<Run>)>,
}

/// Keys of packs that were opened.
type Sealers = HashMap<ObjectId, Sealer>;

/// The batch that is being fetched. Given up it fetches nothing more; what was fetched already is still written.
struct Fetching(Option<JoinHandle<Result<Sealers, BackupError>>>);

impl Fetching {
    /// Waits for it.
    async fn ended(&mut self) -> Result<Sealers, BackupError> {
        // Taken out only when it is over: who gives up waiting gives up the work too.
        let Some(task) = &mut self.0 else { return Ok(Sealers::new()) };
        let ended = task.await;
        self.0 = None;
        ended.map_err(|error| BackupError::Failed(error.to_string()))?
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[derive(Clone)]
struct Fetcher {
    repository: Repository,
    system: u64,
    lineage: ObjectId,
    workers: usize,
    counts: Arc<Counts>,
    progress: Arc<Progress>,
}

impl Fetcher {
    fn start(self, wanted: Wanted, sealers: Sealers) -> Fetching {
        Fetching(Some(tokio::spawn(self.fetch_all(wanted, sealers))))
    }

    async fn fetch_all(self, wanted: Wanted, mut sealers: Sealers) -> Result<Sealers, BackupError> {
        let (repository, workers, counts, progress) = (&self.repository, self.workers, &self.counts, &self.progress);
        let mut reads: Vec<(ObjectId, Read)> = Vec::new();
        // Sorted by pack and frame, and so by place.
        for ((pack, frame), runs) in wanted {
            let (offset, end) = (u64::from(frame.offset), u64::from(frame.offset) + u64::from(frame.sealed));
            if let Some((last_pack, read)) = reads.last_mut()
                && *last_pack == pack
                && offset <= read.offset + read.length + JOIN_GAP
                && end - read.offset <= READ_LIMIT
            {
                read.length = end - read.offset;
                read.frames.push((frame, runs));
                continue;
            }
            let key = layout::pack(self.system, self.lineage, pack);
            let sealer = match sealers.get(&pack) {
                Some(sealer) => sealer.clone(),
                None => {
                    let sealer = sealer_for(repository, &key, pack, ObjectKind::Pack).await?;
                    sealers.insert(pack, sealer.clone());
                    sealer
                }
            };
            reads.push((pack, Read { key, sealer, offset, length: end - offset, frames: vec![(frame, runs)] }));
        }
        futures::stream::iter(reads.into_iter().map(|(_, read)| {
            let (repository, counts, progress) = (repository.clone(), counts.clone(), progress.clone());
            async move {
                if progress.cancelled.load(Ordering::Relaxed) {
                    return Err(BackupError::Cancelled);
                }
                let bytes = repository.store().get_range(&read.key, read.offset, read.length).await?;
                counts.fetched.fetch_add(read.length, Ordering::Relaxed);
                tokio::task::spawn_blocking(move || place_pages(&read, &bytes, &counts, &progress))
                    .await
                    .map_err(|error| BackupError::Failed(error.to_string()))?
            }
        }))
        .buffer_unordered(workers.max(1) * 2)
        .try_collect::<Vec<()>>()
        .await?;
        Ok(sealers)
    }
}

fn place_pages(read: &Read, bytes: &[u8], counts: &Counts, progress: &Progress) -> Result<(), BackupError> {
    for (frame, runs) in &read.frames {
        let start = usize::try_from(u64::from(frame.offset) - read.offset).unwrap_or(usize::MAX);
        let sealed = bytes.get(start..start.saturating_add(frame.sealed as usize)).unwrap_or_default();
        let plain = open_frame(&read.sealer, u64::from(frame.frame), sealed.to_vec())
            .map_err(BackupError::object(&read.key))?;
        for run in runs {
            let content = plain
                .get(run.from..run.from.saturating_add(run.length))
                .ok_or_else(|| BackupError::malformed(&read.key, "a frame is shorter than the map says"))?;
            let one = run.file.writing.lock().unwrap_or_else(PoisonError::into_inner);
            run.file.file.write_all_at(content, run.to).map_err(BackupError::io("write", &run.file.path))?;
            drop(one);
            counts.written.fetch_add(run.length as u64, Ordering::Relaxed);
            Progress::add(&progress.done, run.length as u64);
        }
    }
    Ok(())
}

/// Files that the backup does not have: the server would not mind most, but relations of another time are wrong data.
fn remove_foreign(manifest: &Manifest, place: &Place) -> Result<u64, BackupError> {
    let known = manifest.entries.iter().map(|entry| place.resolve(&entry.path)).collect::<HashSet<_>>();
    let mut removed = 0;
    for directory in std::iter::once(&place.root).chain(place.tablespaces.values()) {
        sweep(directory, &known, &mut removed)?;
    }
    Ok(removed)
}

fn sweep(directory: &Path, known: &HashSet<PathBuf>, removed: &mut u64) -> Result<(), BackupError> {
    for entry in fs::read_dir(directory).map_err(BackupError::io("list", directory))? {
        let entry = entry.map_err(BackupError::io("list", directory))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(BackupError::io("look at", directory))?);
        if kind.is_dir() {
            if known.contains(&path) {
                sweep(&path, known, removed)?;
            } else {
                fs::remove_dir_all(&path).map_err(BackupError::io("remove", &path))?;
                *removed += 1;
            }
        } else if !kind.is_symlink() && !known.contains(&path) && entry.file_name() != MARK {
            fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
            *removed += 1;
        }
    }
    Ok(())
}
