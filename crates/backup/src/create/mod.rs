//! Taking a backup: the session that holds it open, the files, the WAL it needs, and last the commit.
mod local;
mod map_writer;
mod pace;
mod packer;
mod progress;
mod remote;
mod server;
mod upload;
mod window;

pub use progress::Progress;
pub use window::{WindowPlan, plan_window};

use crate::{
    BackupError,
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout,
        manifest::{BackupStats, BackupType, ClusterFacts, Entry, EntryKind, SourceKind, Summary, TablespaceFacts},
        map::{FileMap, WINDOW_SIZE},
    },
    lease::Lease,
    maps::MapReader,
    repo::{Catalogue, Manifest, Repository, now},
    wal,
};
use domain::Lsn;
use futures::future::BoxFuture;
use packer::{Content, FileJob, Job, Judged, Packed, Packer, PackerOptions, window_length};
use pgphysical::{
    control::{ControlFile, ControlFileError},
    replication::{ConnInfo, ReplicationConnection},
    wal::Timeline,
};
use server::{Server, cell, look_at_server, tablespaces};
use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};
use upload::Written;

/// Whether a backup may be committed still; asked once all of it is written.
#[derive(Clone)]
pub struct Confirm(Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>);

impl Confirm {
    /// `ask` may take its time; `false` ends the backup as [`BackupError::Cancelled`].
    pub fn new<F: Future<Output = bool> + Send + 'static>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(ask())))
    }
}

impl std::fmt::Debug for Confirm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Confirm")
    }
}

/// What a backup is to be like.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Full or incremental; an incremental without a backup to compare with becomes a full one.
    pub kind: BackupType,
    /// Read the data directory or ask the server; `None` takes the directory when it is readable here.
    pub source: Option<SourceKind>,
    /// Threads that read, compress and seal.
    pub workers: usize,
    /// Cores that this process may take meanwhile, also a fraction; `None` takes what the workers take.
    pub cpu: Option<f64>,
    /// Begin at once with a checkpoint, instead of waiting for one spread over minutes.
    pub fast: bool,
    /// How long to wait for the WAL that the backup needs.
    pub wal_timeout: Duration,
    /// For a writer that may have been replaced without knowing it, as after it was frozen for a while; nobody is asked
    /// when `None`.
    pub confirm: Option<Confirm>,
    /// What its commit names as the job that took it ([`Summary::job`]).
    pub job: Option<String>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            kind: BackupType::Incremental,
            source: None,
            workers: 2,
            cpu: None,
            fast: true,
            wal_timeout: Duration::from_secs(120),
            confirm: None,
            job: None,
        }
    }
}

pub(crate) fn read_control(path: &Path) -> Result<(Vec<u8>, ControlFile), BackupError> {
    // It is written in place: a read between may see half of it.
    let mut tries = 0;
    loop {
        let bytes = std::fs::read(path).map_err(BackupError::io("read", path))?;
        match ControlFile::parse(&bytes) {
            Ok(control) => return Ok((bytes, control)),
            Err(ControlFileError::Checksum) if tries < 50 => tries += 1,
            Err(source) => return Err(BackupError::Control { path: path.to_owned(), source }),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Takes a backup and commits it.
///
/// It is a task of its own, since handing over what was read may block: whoever waits here can do other things meanwhile, such
/// as end a pause. Dropped before its end, it is cancelled and takes away what it wrote.
///
/// # Errors
/// See [`BackupError`]. Nothing is listed as a backup then; what was written is swept by `expire`.
pub async fn create(
    repository: &Repository,
    source: &ConnInfo,
    database: &str,
    options: &CreateOptions,
    progress: &Arc<Progress>,
) -> Result<Summary, BackupError> {
    let waited_for = progress.cancel_on_drop();
    let (repository, source, database) = (repository.clone(), source.clone(), database.to_owned());
    let (options, progress) = (options.clone(), progress.clone());
    let task = tokio::spawn(async move { create_here(&repository, &source, &database, &options, &progress).await });
    let done = task.await.unwrap_or_else(|error| Err(BackupError::Failed(error.to_string())));
    waited_for.ended();
    done
}

async fn create_here(
    repository: &Repository,
    source: &ConnInfo,
    database: &str,
    options: &CreateOptions,
    progress: &Arc<Progress>,
) -> Result<Summary, BackupError> {
    let begun = (Instant::now(), pace::process_time());
    let mut sql = ReplicationConnection::connect_sql(source, database).await?;
    let server = look_at_server(&mut sql).await?;
    let lease = Lease::take(repository, &format!("backup-{}", server.facts.system_identifier)).await?;
    // Another process may have made a new data key; with an old one the backup is as good.
    if let Err(error) = repository.reread_keys().await {
        tracing::warn!(%error, "the data keys could not be looked at; those that were read before are used");
    }
    let mut done = take(repository, source, sql, &server, options, options.kind, progress, begun).await;
    if let Err(error) = &done
        && error.is_loss()
        && options.kind == BackupType::Incremental
    {
        // What it would build on is damaged; a full backup depends on nothing.
        tracing::error!(%error, "the backups that an incremental would build on are damaged: a full backup is taken instead. Run 'holdfast backup verify --all'");
        progress.start_again();
        done = match ReplicationConnection::connect_sql(source, database).await {
            Ok(sql) => take(repository, source, sql, &server, options, BackupType::Full, progress, begun).await,
            Err(error) => Err(error.into()),
        };
    }
    lease.release().await;
    if done.is_ok() {
        crate::expire::keep_reserve(repository).await;
    }
    done
}

#[expect(clippy::too_many_arguments, reason = "one step of `create`, done twice at most")]
async fn take(
    repository: &Repository,
    source: &ConnInfo,
    sql: ReplicationConnection,
    server: &Server,
    options: &CreateOptions,
    wanted: BackupType,
    progress: &Arc<Progress>,
    begun: (Instant, Duration),
) -> Result<Summary, BackupError> {
    let parent = parent_of(repository, &server.facts, wanted).await?;
    let kind = if parent.is_some() { BackupType::Incremental } else { BackupType::Full };
    let lineage = parent.as_ref().map_or_else(ObjectId::random, |parent| parent.summary.lineage);
    let local = match (options.source, &server.data_directory) {
        (Some(SourceKind::Remote), _) | (None, None) => None,
        (_, Some(directory)) => Some(directory.clone()),
        (Some(SourceKind::Local), None) => {
            return Err(BackupError::Invalid(
                "the server's data directory cannot be read here; run as its owner on its machine, or use --source remote".to_owned(),
            ));
        }
    };
    let mut run =
        Run { repository, server, lineage, parent, options, progress, started_at: now(), written: Written::default() };
    let done = run.until_commit(source, sql, local, kind, begun).await;
    if done.is_err() {
        run.take_away().await;
    }
    done
}

impl Run<'_> {
    async fn until_commit(
        &mut self,
        source: &ConnInfo,
        mut sql: ReplicationConnection,
        local: Option<PathBuf>,
        kind: BackupType,
        begun: (Instant, Duration),
    ) -> Result<Summary, BackupError> {
        // Keeps the WAL from the start position until it is in the repository. Without the right to replicate, or a free
        // slot, the archive must bring it.
        let keeper = match ReplicationConnection::connect(source).await {
            Ok(mut connection) => {
                let name = format!("holdfast_backup_{}", rand::random::<u32>());
                connection.create_physical_slot(&name, true, true).await.map(|_| connection)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &keeper {
            tracing::warn!(%error, "no replication slot for the time of the backup: the WAL must come from the archive");
        }
        let taken = match local {
            Some(directory) => self.local(&mut sql, &directory).await,
            None => self.remote(source, &mut sql).await,
        }?;
        let facts = &self.server.facts;
        // All is read, and yet it may be stopped: the wait for the WAL may be long.
        tokio::select! {
            done = wal::complete(self.repository, source, keeper.ok(), facts, &taken, self.options.wal_timeout) => done?,
            () = self.progress.until_cancelled() => {}
        }
        if self.progress.cancelled.load(Ordering::Relaxed) {
            return Err(BackupError::Cancelled);
        }
        self.commit(kind, taken, begun).await
    }

    /// Of a try that failed: a full store needs the room now, not when an expiry takes it for garbage. What cannot be
    /// deleted now is garbage.
    async fn take_away(&self) {
        let keys = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        for key in keys {
            if let Err(error) = self.repository.store().delete(&key).await {
                tracing::warn!(%error, key, "what a failed backup wrote was not removed whole; the next expiry does it");
                return;
            }
        }
    }
}

/// The newest backup of the cluster that an incremental may be compared with.
async fn parent_of(
    repository: &Repository,
    facts: &ClusterFacts,
    kind: BackupType,
) -> Result<Option<Manifest>, BackupError> {
    if kind == BackupType::Full {
        return Ok(None);
    }
    let Catalogue { backups, damaged } = repository.catalogue(facts.system_identifier).await?;
    for error in damaged {
        tracing::error!(%error, "a backup in the repository cannot be used");
    }
    let newest = backups
        .into_iter()
        .rfind(|one| one.cluster.catalog_version == facts.catalog_version && one.cluster.checksums == facts.checksums);
    match newest {
        Some(summary) => Ok(Some(repository.manifest(&summary).await?)),
        None => Ok(None),
    }
}

/// What was read from the source.
#[derive(Debug)]
pub(crate) struct Taken {
    pub timeline: Timeline,
    pub start: Lsn,
    pub stop: Lsn,
    pub source: SourceKind,
    pub tablespaces: Vec<TablespaceFacts>,
    pub entries: Vec<Entry>,
    pub packed: Packed,
    pub unchanged_files: u64,
}

struct Run<'a> {
    repository: &'a Repository,
    server: &'a Server,
    lineage: ObjectId,
    parent: Option<Manifest>,
    options: &'a CreateOptions,
    progress: &'a Arc<Progress>,
    started_at: domain::Timestamp,
    /// Until the commit is written nobody names them.
    written: Written,
}

impl Run<'_> {
    fn packer(&self, check_before: Option<Lsn>) -> Result<Packer, BackupError> {
        Packer::start(
            self.repository,
            PackerOptions {
                system: self.server.facts.system_identifier,
                lineage: self.lineage,
                workers: self.options.workers,
                cpu: self.options.cpu,
                check_before: check_before.filter(|_| self.server.facts.checksums),
                judged: self.parent.as_ref().map(|parent| &parent.summary).filter(|it| it.cluster.checksums).map(
                    |parent| Judged {
                        before: parent.start_lsn,
                        damaged: parent.damaged.iter().map(|it| (it.path.clone(), it.page)).collect(),
                    },
                ),
                progress: self.progress.clone(),
                written: self.written.clone(),
            },
        )
    }

    fn parent_entries(&self) -> HashMap<String, Entry> {
        let entries = self.parent.iter().flat_map(|parent| &parent.entries);
        entries.map(|entry| (entry.path.clone(), entry.clone())).collect()
    }

    async fn local(&mut self, sql: &mut ReplicationConnection, directory: &Path) -> Result<Taken, BackupError> {
        let fifteen = self.server.facts.major() >= 15;
        let fast = self.options.fast;
        let ask = if fifteen {
            format!("SELECT pg_backup_start('holdfast', {fast})")
        } else {
            format!("SELECT pg_start_backup('holdfast', {fast}, false)")
        };
        let start = self.progress.unless_stopped(sql.query(&ask)).await?;
        let start: Lsn = parse_lsn(cell(&start))?;
        let listed_at = i64::try_from(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos(),
        )
        .unwrap_or(i64::MAX);
        let tablespaces = tablespaces(sql).await?;
        let (root, spaces) = (directory.to_owned(), tablespaces.clone());
        let found = tokio::task::spawn_blocking(move || local::list(&root, &spaces, listed_at))
            .await
            .map_err(|error| BackupError::Failed(error.to_string()))??;
        let total = found.iter().map(|one| one.size).sum();
        self.progress.total.store(total, Ordering::Relaxed);
        let packer = self.packer(Some(start))?;
        let before = self.parent_entries();
        let mut maps = MapReader::new(self.repository, self.server.facts.system_identifier, self.lineage);
        let mut entries = Vec::with_capacity(found.len() + 2);
        let mut unchanged_files = 0;
        // Their pages are not judged again: what was wrong with them still is.
        let mut inherited = Vec::new();
        let known_damage = self.parent.as_ref().map(|parent| parent.summary.damaged.as_slice()).unwrap_or_default();
        for one in found {
            if one.path == "global/pg_control" {
                // Last of all: on a standby it says where consistency is reached.
                continue;
            }
            let mut entry = Entry {
                path: one.path.clone(),
                kind: if one.directory { EntryKind::Directory } else { EntryKind::File },
                mode: one.mode,
                size: one.size,
                modified: one.modified,
                stamp: one.stamp,
                map: None,
            };
            if one.directory || one.size == 0 {
                entries.push(entry);
                continue;
            }
            let old = before.get(&one.path);
            if let Some(old) = old
                && one.stamp.is_some()
                && old.stamp == one.stamp
                && old.size == one.size
                && old.map.is_some()
            {
                inherited.extend(known_damage.iter().filter(|it| it.path == entry.path).cloned());
                entry.map = old.map;
                entries.push(entry);
                unchanged_files += 1;
                Progress::add(&self.progress.done, one.size);
                continue;
            }
            let file = match File::open(&one.place) {
                // Dropped since it was listed: the WAL says so too.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => Arc::new(other.map_err(BackupError::io("open", &one.place))?),
            };
            let parent = match old.and_then(|old| old.map) {
                Some(place) => Some(maps.read(place).await?),
                None => None,
            };
            let job = Arc::new(FileJob::new(entries.len(), one.path, one.size, one.first_block, parent));
            entries.push(entry);
            if !tokio::task::block_in_place(|| read_file(&packer, &job, &file, &one.place)) {
                break;
            }
        }
        // The workers may still be reading what they were given last.
        tokio::task::block_in_place(|| packer.wait_until_read());
        // Read before the end of the backup, as the server itself does.
        let control_path = directory.join("global/pg_control");
        let (control, facts) = read_control(&control_path)?;
        if facts.system_identifier != self.server.facts.system_identifier {
            return Err(BackupError::Failed(format!(
                "{} became another cluster's during the backup",
                directory.display()
            )));
        }
        let ask = if fifteen {
            "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)"
        } else {
            "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)"
        };
        let stop = match self.progress.unless_stopped(sql.query(ask)).await {
            Ok(stop) => stop,
            Err(error) => {
                packer.abandon().await;
                return Err(error);
            }
        };
        let row = stop.into_iter().next().unwrap_or_default();
        let mut row = row.into_iter();
        let stop = parse_lsn(row.next().flatten())?;
        let label = row.next().flatten().unwrap_or_default();
        let spaces = row.next().flatten().unwrap_or_default();
        let timeline = timeline_of(&label)?;
        add_bytes(&packer, &mut entries, "global/pg_control", control);
        add_bytes(&packer, &mut entries, "backup_label", label.into_bytes());
        if !spaces.is_empty() {
            add_bytes(&packer, &mut entries, "tablespace_map", spaces.into_bytes());
        }
        let mut packed = packer.finish().await?;
        packed.damaged.extend(inherited);
        Ok(Taken { timeline, start, stop, source: SourceKind::Local, tablespaces, entries, packed, unchanged_files })
    }

    async fn commit(
        &mut self,
        kind: BackupType,
        mut taken: Taken,
        begun: (Instant, Duration),
    ) -> Result<Summary, BackupError> {
        let system = self.server.facts.system_identifier;
        for file in &taken.packed.files {
            let entry = &mut taken.entries[file.entry];
            entry.size = file.size;
            entry.map = file.map;
        }
        taken.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let stopped_at = now();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let letter = if kind == BackupType::Full { 'F' } else { 'I' };
        let compact = stopped_at.to_rfc3339().chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>();
        let id = format!("{}Z-{letter}-{:08x}", &compact[..15.min(compact.len())], rand::random::<u32>());
        let mut summary = Summary {
            id,
            kind,
            lineage: self.lineage,
            parent: self.parent.as_ref().map(|parent| parent.summary.id.clone()),
            cluster: self.server.facts.clone(),
            source: taken.source,
            from_standby: self.server.in_recovery,
            started_at: self.started_at,
            stopped_at,
            timeline: taken.timeline,
            start_lsn: taken.start,
            stop_lsn: taken.stop,
            tablespaces: std::mem::take(&mut taken.tablespaces),
            captured: self.server.captured.clone(),
            damaged: taken.packed.damaged,
            stats: BackupStats {
                files: taken.entries.iter().filter(|entry| entry.kind == EntryKind::File).count() as u64,
                bytes: taken.entries.iter().map(|entry| entry.size).sum(),
                read_bytes: count(&self.progress.read),
                changed_bytes: count(&self.progress.changed),
                stored_bytes: taken.packed.uploaded.bytes,
                objects: taken.packed.uploaded.objects,
                unchanged_files: taken.unchanged_files,
                checked_pages: count(&self.progress.checked_pages),
                duration_ms: u64::try_from(begun.0.elapsed().as_millis()).unwrap_or(u64::MAX),
                cpu_ms: u64::try_from(pace::process_time().saturating_sub(begun.1).as_millis()).unwrap_or(u64::MAX),
            },
            job: self.options.job.clone(),
            manifest_hash: None,
        };
        let mut text = line(&summary)?;
        for entry in &taken.entries {
            text.extend(line(entry)?);
        }
        let key = layout::manifest(system, &summary.id);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
        let (hash, size) = self.repository.write(&key, ObjectId::random(), ObjectKind::Manifest, &text).await?;
        summary.stats.stored_bytes += size;
        summary.manifest_hash = Some(hash.to_hex().to_string());
        self.parent_must_be_there().await?;
        if let Some(Confirm(may)) = &self.options.confirm
            && !may().await
        {
            return Err(BackupError::Cancelled);
        }
        let key = layout::commit(system, &summary.id);
        // From here on they may be named: an answer that is lost says nothing of the commit.
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.repository.write(&key, ObjectId::random(), ObjectKind::Commit, &line(&summary)?).await?;
        // Whoever expires takes the commits away first and then looks for new ones; we write ours first and then look for
        // the parent's. So at least one of the two sees the other, even when a lease was lost to a long sleep.
        if let Err(error) = self.parent_must_be_there().await {
            self.repository.store().delete(&key).await?;
            return Err(error);
        }
        Ok(summary)
    }

    /// The parent may have been expired meanwhile, and its lineage with it.
    async fn parent_must_be_there(&self) -> Result<(), BackupError> {
        let Some(parent) = &self.parent else { return Ok(()) };
        let key = layout::commit(self.server.facts.system_identifier, &parent.summary.id);
        match self.repository.store().head(&key).await? {
            Some(_) => Ok(()),
            None => Err(BackupError::Failed(format!(
                "backup {} was expired while an incremental of it was taken; take it again",
                parent.summary.id
            ))),
        }
    }
}

fn line<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, BackupError> {
    let mut text = serde_json::to_vec(value).map_err(|error| BackupError::Failed(error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// Hands a file over, a few windows at a time; `false` when the pipeline has failed.
fn read_file(packer: &Packer, job: &Arc<FileJob>, file: &Arc<File>, place: &Path) -> bool {
    const WINDOWS_A_JOB: usize = 8;
    let count = job.windows();
    (0..count).step_by(WINDOWS_A_JOB).all(|first| {
        let content = Content::Read(file.clone(), place.to_owned(), WINDOWS_A_JOB.min(count - first));
        packer.push(Job { file: job.clone(), first, content })
    })
}

/// Adds a file whose content is at hand.
pub(crate) fn add_bytes(packer: &Packer, entries: &mut Vec<Entry>, path: &str, bytes: Vec<u8>) {
    let size = bytes.len() as u64;
    let job = Arc::new(FileJob::new(entries.len(), path.to_owned(), size, None, None::<FileMap>));
    entries.push(Entry {
        path: path.to_owned(),
        kind: EntryKind::File,
        mode: 0o600,
        size,
        modified: now().0 / 1_000,
        stamp: None,
        map: None,
    });
    for window in 0..job.windows() {
        let at = window * WINDOW_SIZE;
        let content = Content::Bytes(bytes[at..at + window_length(size, window)].to_vec());
        tokio::task::block_in_place(|| packer.push(Job { file: job.clone(), first: window, content }));
    }
}

fn parse_lsn(text: Option<String>) -> Result<Lsn, BackupError> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| BackupError::Failed(format!("the server gave '{text}' where an LSN was expected")))
}

/// `START TIMELINE: 1` of a backup label.
fn timeline_of(label: &str) -> Result<Timeline, BackupError> {
    label
        .lines()
        .find_map(|line| line.strip_prefix("START TIMELINE: ")?.trim().parse().ok())
        .ok_or_else(|| BackupError::Failed("the server's backup label names no timeline".to_owned()))
}
