//! The pipeline: windows come in, are fingerprinted, compared with the parent, compressed, sealed and packed; maps come
//! out. Each worker is a thread with a pack of its own, so workers never wait for each other but for the maps.
use super::{
    map_writer::MapWriter,
    pace::Pacer,
    progress::Progress,
    upload::{UploadEnded, Uploaded, Uploader, Written},
    window::plan_window,
};
use crate::{
    BackupError,
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout,
        manifest::{DamagedPage, MapRef},
        map::{FileMap, Fingerprinter, Piece, WINDOW_PAGES, WINDOW_SIZE, Window},
        object::{FRAME_TARGET, ObjectBuilder},
    },
    repo::Repository,
};
use domain::Lsn;
use pgphysical::page::{PAGE_SIZE, PageState, check_page, page_lsn};
use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};
use tokio::task::JoinHandle;

/// A pack is closed when it is larger than this.
const PACK_TARGET: u64 = 64 << 20;
const DAMAGED_LIMIT: usize = 1_000;

/// One file on its way through the pipeline.
#[derive(Debug)]
pub(crate) struct FileJob {
    /// Its line in the manifest.
    pub entry: usize,
    /// From the data directory.
    pub path: String,
    /// Bytes to take.
    pub size: u64,
    /// First block of this segment in its relation; only files made of pages have one.
    pub first_block: Option<u32>,
    /// The parent's map.
    pub parent: Option<FileMap>,
    state: Mutex<FileState>,
}

#[derive(Debug)]
struct FileState {
    map: FileMap,
    /// Windows not settled yet.
    open: usize,
    /// Where reading found the end before `size`.
    ends_at: Option<u64>,
}

impl FileJob {
    pub(crate) fn new(
        entry: usize,
        path: String,
        size: u64,
        first_block: Option<u32>,
        parent: Option<FileMap>,
    ) -> Self {
        let count = usize::try_from(size.div_ceil(WINDOW_SIZE as u64)).unwrap_or(0);
        let packs = parent.as_ref().map(|map| map.packs.clone()).unwrap_or_default();
        let map = FileMap { size, packs, windows: vec![Window::default(); count] };
        Self {
            entry,
            path,
            size,
            first_block,
            parent,
            state: Mutex::new(FileState { map, open: count, ends_at: None }),
        }
    }
    /// Windows of it.
    pub(crate) fn windows(&self) -> usize {
        usize::try_from(self.size.div_ceil(WINDOW_SIZE as u64)).unwrap_or(0)
    }
}

/// Some windows of a file, to be read or there already.
#[derive(Debug)]
pub(crate) struct Job {
    pub file: Arc<FileJob>,
    pub first: usize,
    pub content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Read that many windows.
    Read(Arc<File>, PathBuf, usize),
    /// One window.
    Bytes(Vec<u8>),
}

/// A finished file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub entry: usize,
    pub size: u64,
    pub map: Option<MapRef>,
}

/// What the pipeline made.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub files: Vec<Finished>,
    pub damaged: Vec<DamagedPage>,
    pub uploaded: Uploaded,
}

/// What all workers share.
#[derive(Debug)]
struct Shared {
    repository: Repository,
    system: u64,
    lineage: ObjectId,
    fingerprinter: Fingerprinter,
    /// Judge checksums of pages older than this.
    check_before: Option<Lsn>,
    judged: Option<Judged>,
    progress: Arc<Progress>,
    pacer: Option<Pacer>,
    maps: Mutex<MapWriter>,
    damaged: Mutex<Vec<DamagedPage>>,
    failed: Mutex<Option<BackupError>>,
    stop: AtomicBool,
    /// Jobs handed over whose content was not read yet.
    unread: Mutex<usize>,
    all_read: Condvar,
}

/// What the parent's backup judged: a page that is byte for byte as it was then need not be judged again, and a page
/// that rotted since is no longer as it was.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Pages changed after this were left to replay.
    pub before: Lsn,
    /// Pages that did not fit, by file.
    pub damaged: HashSet<(String, u64)>,
}

impl Shared {
    /// A job is read; or, when the pipeline failed, will never be.
    fn note_read(&self) {
        let mut unread = lock(&self.unread);
        *unread = unread.saturating_sub(1);
        if *unread == 0 || self.stop.load(Ordering::Relaxed) {
            self.all_read.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another worker is reported by its join; the data here stays consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops the pipeline when a worker ends in any other way than with its work done.
struct StopUnlessDone {
    shared: Arc<Shared>,
    done: bool,
}

impl Drop for StopUnlessDone {
    fn drop(&mut self) {
        if !self.done {
            self.shared.stop.store(true, Ordering::Relaxed);
            self.shared.note_read();
        }
    }
}

enum WorkerEnd {
    Upload,
    Failed(BackupError),
}

impl From<UploadEnded> for WorkerEnd {
    fn from(_: UploadEnded) -> Self {
        Self::Upload
    }
}

/// Without an end in good order nothing that was begun is completed: nobody would take it away.
#[derive(Debug)]
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// The running pipeline.
#[derive(Debug)]
pub(crate) struct Packer {
    /// Dropped before the sender: a worker that hears of no more work must know why.
    _stop: StopOnDrop,
    sender: Option<mpsc::SyncSender<Job>>,
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
    uploads: Vec<JoinHandle<Result<Uploaded, BackupError>>>,
}

/// What the pipeline needs to know.
#[derive(Debug)]
pub(crate) struct PackerOptions {
    pub system: u64,
    pub lineage: ObjectId,
    pub workers: usize,
    pub cpu: Option<f64>,
    pub check_before: Option<Lsn>,
    pub judged: Option<Judged>,
    pub progress: Arc<Progress>,
    pub written: Written,
}

impl Packer {
    /// Starts the workers.
    pub fn start(repository: &Repository, options: PackerOptions) -> Result<Self, BackupError> {
        let (map_uploader, map_task) = Uploader::start(repository.store().clone(), options.written.clone());
        let mut uploads = vec![map_task];
        let shared = Arc::new(Shared {
            repository: repository.clone(),
            system: options.system,
            lineage: options.lineage,
            fingerprinter: Fingerprinter(repository.fingerprint_key()),
            check_before: options.check_before,
            judged: options.judged,
            progress: options.progress,
            pacer: options.cpu.map(Pacer::new),
            maps: Mutex::new(MapWriter::new(map_uploader, repository, options.system, options.lineage)),
            damaged: Mutex::default(),
            failed: Mutex::default(),
            stop: AtomicBool::new(false),
            unread: Mutex::new(0),
            all_read: Condvar::new(),
        });
        // Little waits in the queue: a job that carries its bytes is a mebibyte.
        let (sender, receiver) = mpsc::sync_channel(options.workers.max(1) * 2);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for number in 0..options.workers.max(1) {
            let (uploader, task) = Uploader::start(repository.store().clone(), options.written.clone());
            uploads.push(task);
            let worker = Worker::new(shared.clone(), uploader);
            let receiver = receiver.clone();
            let thread =
                std::thread::Builder::new().name(format!("backup-{number}")).spawn(move || worker.run(&receiver));
            threads.push(thread.map_err(BackupError::io("start a thread for", "the backup"))?);
        }
        Ok(Self { _stop: StopOnDrop(shared.clone()), sender: Some(sender), shared, threads, uploads })
    }

    /// Hands over work; blocks while the workers are busy. `false` when the pipeline has failed: call [`Self::finish`].
    pub fn push(&self, job: Job) -> bool {
        if self.shared.stop.load(Ordering::Relaxed) {
            return false;
        }
        *lock(&self.shared.unread) += 1;
        self.sender.as_ref().is_some_and(|sender| sender.send(job).is_ok())
    }

    /// Waits until everything handed over was read from the source. Only then may the source be told that the backup is
    /// over: a page read later could hold changes that the backup's WAL does not explain.
    pub fn wait_until_read(&self) {
        let mut unread = lock(&self.shared.unread);
        while *unread > 0 && !self.shared.stop.load(Ordering::Relaxed) {
            unread = self.shared.all_read.wait(unread).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it without completing anything, and waits until nothing is written any more.
    pub async fn abandon(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // That it did not come to its end is known.
        let _ = self.finish().await;
    }

    /// Waits for the rest.
    pub async fn finish(mut self) -> Result<Packed, BackupError> {
        self.sender = None;
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
        let whole = matches!(joined, Ok(true));
        let (mut files, mut ended) = (Vec::new(), Ok(()));
        if whole && !self.shared.stop.load(Ordering::Relaxed) {
            let shared = self.shared.clone();
            // Sealing blocks on the upload: not on a thread of the runtime.
            let closed = tokio::task::spawn_blocking(move || lock(&shared.maps).close()).await;
            match closed {
                Ok(Ok(finished)) => files = finished,
                _ => ended = Err(()),
            }
        }
        lock(&self.shared.maps).abandon();
        // All of them, also after an error: what is still being written could not be taken away.
        let (mut uploaded, mut failed) = (Uploaded::default(), None);
        for task in self.uploads {
            match task.await.unwrap_or_else(|error| Err(BackupError::Failed(error.to_string()))) {
                Ok(one) => {
                    uploaded.bytes += one.bytes;
                    uploaded.objects += one.objects;
                }
                Err(error) => _ = failed.get_or_insert(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(error) = lock(&self.shared.failed).take() {
            return Err(error);
        }
        if !whole || ended.is_err() || self.shared.stop.load(Ordering::Relaxed) {
            return Err(BackupError::Failed("a worker of the backup ended unexpectedly; the log says more".to_owned()));
        }
        let damaged = std::mem::take(&mut *lock(&self.shared.damaged));
        Ok(Packed { files, damaged, uploaded })
    }
}

/// A piece whose frame is not sealed yet.
struct Pending {
    file: Arc<FileJob>,
    window: usize,
    pages: u128,
    start: u32,
}

struct Worker {
    shared: Arc<Shared>,
    uploader: Uploader,
    builder: Option<ObjectBuilder>,
    pack: Option<ObjectId>,
    frame: Vec<u8>,
    pending: Vec<Pending>,
}

impl Worker {
    fn new(shared: Arc<Shared>, uploader: Uploader) -> Self {
        Self {
            shared,
            uploader,
            builder: None,
            pack: None,
            frame: Vec::with_capacity(FRAME_TARGET + WINDOW_SIZE),
            pending: Vec::new(),
        }
    }

    fn run(mut self, receiver: &Mutex<mpsc::Receiver<Job>>) {
        // Somebody may wait for the jobs of a worker that panics.
        let mut guard = StopUnlessDone { shared: self.shared.clone(), done: false };
        match self.work(receiver) {
            Ok(()) => guard.done = true,
            Err(WorkerEnd::Upload) => {}
            Err(WorkerEnd::Failed(error)) => {
                lock(&self.shared.failed).get_or_insert(error);
            }
        }
    }

    fn work(&mut self, receiver: &Mutex<mpsc::Receiver<Job>>) -> Result<(), WorkerEnd> {
        let mut buffer = vec![0; WINDOW_SIZE];
        loop {
            let job = lock(receiver).recv();
            let Ok(job) = job else {
                if self.shared.stop.load(Ordering::Relaxed) {
                    return Err(WorkerEnd::Upload);
                }
                break;
            };
            self.shared.progress.wait_while_paused();
            if self.shared.progress.cancelled.load(Ordering::Relaxed) {
                return Err(WorkerEnd::Failed(BackupError::Cancelled));
            }
            if self.shared.stop.load(Ordering::Relaxed) {
                return Err(WorkerEnd::Upload);
            }
            match &job.content {
                Content::Bytes(bytes) => self.window(&job.file, job.first, bytes, None)?,
                Content::Read(source, path, count) => {
                    for window in job.first..job.first + count {
                        let wanted = window_length(job.file.size, window);
                        let length = read_at(source, &mut buffer[..wanted], (window * WINDOW_SIZE) as u64)
                            .map_err(BackupError::io("read", path))
                            .map_err(WorkerEnd::Failed)?;
                        Progress::add(&self.shared.progress.read, length as u64);
                        self.window(&job.file, window, &buffer[..length], Some(source))?;
                    }
                }
            }
            self.shared.note_read();
        }
        self.close_frame()?;
        self.close_pack()
    }

    fn window(
        &mut self,
        file: &Arc<FileJob>,
        index: usize,
        bytes: &[u8],
        source: Option<&File>,
    ) -> Result<(), WorkerEnd> {
        if let Some(pacer) = &self.shared.pacer {
            pacer.wait();
        }
        let wanted = window_length(file.size, index);
        Progress::add(&self.shared.progress.done, wanted as u64);
        let fingerprints = self.shared.fingerprinter.window(bytes);
        let old = file.parent.as_ref().and_then(|map| map.windows.get(index));
        self.judge(file, index, bytes, source, (old, &fingerprints));
        let plan = plan_window(old, &fingerprints);
        {
            let mut state = lock(&file.state);
            let window = &mut state.map.windows[index];
            window.fingerprints = fingerprints;
            if plan.keep {
                window.pieces = old.map(|it| it.pieces.clone()).unwrap_or_default();
            }
            if bytes.len() < wanted {
                let end = (index * WINDOW_SIZE + bytes.len()) as u64;
                state.ends_at = Some(state.ends_at.map_or(end, |known| known.min(end)));
            }
        }
        if plan.write == 0 {
            return self.settle(file);
        }
        let size = plan.write.count_ones() as usize * PAGE_SIZE;
        if self.frame.len() + size > FRAME_TARGET && !self.frame.is_empty() {
            self.close_frame()?;
        }
        let start = u32::try_from(self.frame.len()).unwrap_or(u32::MAX);
        for (page, content) in bytes.chunks(PAGE_SIZE).enumerate() {
            if plan.write & (1 << page) != 0 {
                self.frame.extend_from_slice(content);
            }
        }
        Progress::add(&self.shared.progress.changed, self.frame.len() as u64 - u64::from(start));
        self.pending.push(Pending { file: file.clone(), window: index, pages: plan.write, start });
        // A short page may only be the last of a frame's piece, and pieces are found by their own start: no padding.
        if self.frame.len() >= FRAME_TARGET { self.close_frame() } else { Ok(()) }
    }

    /// Checksums, by the server's own rule. A page that does not fit is read once more: it may have been torn.
    fn judge(
        &self,
        file: &FileJob,
        index: usize,
        bytes: &[u8],
        source: Option<&File>,
        (old, fingerprints): (Option<&Window>, &[u64]),
    ) {
        let (Some(first), Some(before)) = (file.first_block, self.shared.check_before) else { return };
        let mut checked = 0;
        for (number, page) in bytes.as_chunks::<PAGE_SIZE>().0.iter().enumerate() {
            let in_file = index * WINDOW_PAGES + number;
            let same = old.is_some_and(|old| old.fingerprints.get(number) == fingerprints.get(number));
            if same
                && self.shared.judged.as_ref().is_some_and(|judged| {
                    page_lsn(page) < judged.before
                        && (judged.damaged.is_empty() || !judged.damaged.contains(&(file.path.clone(), in_file as u64)))
                })
            {
                continue;
            }
            let block = first.wrapping_add(u32::try_from(in_file).unwrap_or(u32::MAX));
            match check_page(page, block, before) {
                PageState::NotChecked => {}
                PageState::Good => checked += 1,
                PageState::Bad => {
                    checked += 1;
                    let mut again = [0; PAGE_SIZE];
                    let torn = source.is_some_and(|source| {
                        source.read_exact_at(&mut again, (in_file * PAGE_SIZE) as u64).is_ok()
                            && check_page(&again, block, before) != PageState::Bad
                    });
                    let mut damaged = lock(&self.shared.damaged);
                    if !torn && damaged.len() < DAMAGED_LIMIT {
                        damaged.push(DamagedPage { path: file.path.clone(), page: in_file as u64, suspected: false });
                    }
                }
            }
        }
        Progress::add(&self.shared.progress.checked_pages, checked);
    }

    fn close_frame(&mut self) -> Result<(), WorkerEnd> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let pack = match self.pack {
            Some(pack) => pack,
            None => {
                let pack = ObjectId::random();
                let (header, sealer) = self.shared.repository.new_object(pack, ObjectKind::Pack);
                match self.builder.as_mut() {
                    Some(builder) => builder.restart(sealer),
                    None => self.builder = Some(ObjectBuilder::new(sealer, self.shared.repository.level)),
                }
                self.uploader.begin(layout::pack(self.shared.system, self.shared.lineage, pack), &header.encode())?;
                self.pack = Some(pack);
                pack
            }
        };
        let Some(builder) = self.builder.as_mut() else { return Ok(()) };
        let (place, sealed) = builder.frame(&self.frame);
        self.uploader.push(&sealed)?;
        self.frame.clear();
        let full = builder.position() > PACK_TARGET;
        for pending in std::mem::take(&mut self.pending) {
            {
                let mut state = lock(&pending.file.state);
                let index = state.map.pack_index(pack);
                let window = &mut state.map.windows[pending.window];
                window.pieces.push(Piece { pack: index, frame: place, start: pending.start, pages: pending.pages });
                window.prune();
            }
            self.settle(&pending.file)?;
        }
        if full { self.close_pack() } else { Ok(()) }
    }

    fn close_pack(&mut self) -> Result<(), WorkerEnd> {
        if self.pack.take().is_some()
            && let Some(builder) = self.builder.as_mut()
        {
            let end = builder.finish();
            self.uploader.push(&end)?;
            self.uploader.end()?;
        }
        Ok(())
    }

    /// One window of the file is done; with the last one its map is written.
    fn settle(&self, file: &FileJob) -> Result<(), WorkerEnd> {
        let map = {
            let mut state = lock(&file.state);
            state.open -= 1;
            if state.open > 0 {
                return Ok(());
            }
            if let Some(end) = state.ends_at {
                let map = &mut state.map;
                map.size = end;
                map.windows.truncate(usize::try_from(end.div_ceil(WINDOW_SIZE as u64)).unwrap_or(0));
            }
            state.map.forget_unused_packs();
            std::mem::take(&mut state.map)
        };
        Ok(lock(&self.shared.maps).add(file.entry, &map)?)
    }
}

/// Bytes of window `index` of a file of `size` bytes.
pub(crate) fn window_length(size: u64, index: usize) -> usize {
    usize::try_from(size.saturating_sub((index * WINDOW_SIZE) as u64)).unwrap_or(WINDOW_SIZE).min(WINDOW_SIZE)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
