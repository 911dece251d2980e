//! A backup over the replication protocol: the server sends its files as tar archives, and they go through the same
//! pipeline. Everything is read, only what changed is stored.
use super::{
    Entry, EntryKind, Run, SourceKind, Taken, add_bytes, local,
    packer::{Content, FileJob, Job, Packer, window_length},
    timeline_of,
};
use crate::{
    BackupError,
    format::{
        manifest::{DamagedPage, TablespaceFacts},
        map::WINDOW_SIZE,
    },
    maps::MapReader,
    tar::{BLOCK, MemberKind, TarHeader, padding, read_header},
};
use domain::Lsn;
use pgphysical::page::{PAGE_SIZE, PageState, check_page};
use pgphysical::replication::{BackupEvent, BaseBackupOptions, ConnInfo, ReplicationConnection};
use std::{collections::HashMap, sync::Arc};

/// A file whose bytes are coming.
struct Coming {
    job: Option<Arc<FileJob>>,
    window: usize,
    buffer: Vec<u8>,
    left: u64,
    padding: usize,
    /// Kept whole instead: the backup label.
    keep: Option<String>,
}

struct Unpacker<'a> {
    packer: Packer,
    before: HashMap<String, Entry>,
    maps: MapReader<'a>,
    entries: Vec<Entry>,
    /// `pg_tblspc/OID/` within a tablespace's archive.
    prefix: String,
    header: Vec<u8>,
    coming: Option<Coming>,
    label: Vec<u8>,
    map: Vec<u8>,
    read: u64,
}

impl Run<'_> {
    pub(super) async fn remote(
        &mut self,
        source: &ConnInfo,
        sql: &mut ReplicationConnection,
    ) -> Result<Taken, BackupError> {
        let connection = ReplicationConnection::connect(source).await?;
        let options = BaseBackupOptions {
            label: "holdfast".to_owned(),
            fast: self.options.fast,
            progress: true,
            manifest: false,
            max_rate_kib: None,
            tablespace_map: true,
            // By ourselves: the server fails the whole backup for one wrong page, and says of which file only in its log.
            verify_checksums: false,
            // The WAL is awaited by us, in the repository.
            wait: false,
        };
        let mut stream = self.progress.unless_stopped(connection.base_backup(&options)).await?;
        let (start, timeline) = stream.start();
        let total = stream.tablespaces().iter().filter_map(|it| u64::try_from(it.size_kib?).ok()).sum::<u64>() * 1_024;
        self.progress.total.store(total, std::sync::atomic::Ordering::Relaxed);
        let listed = stream.tablespaces().iter();
        let tablespaces =
            listed.filter_map(|it| Some(TablespaceFacts { oid: it.oid?, location: it.path.clone()? })).collect();
        let mut unpacker = Unpacker {
            packer: self.packer(Some(start))?,
            before: self.parent_entries(),
            maps: MapReader::new(self.repository, self.server.facts.system_identifier, self.lineage),
            entries: Vec::new(),
            prefix: String::new(),
            header: Vec::new(),
            coming: None,
            label: Vec::new(),
            map: Vec::new(),
            read: 0,
        };
        let stop = loop {
            let event = match self.progress.unless_stopped(stream.next()).await {
                Ok(event) => event,
                Err(error) => {
                    unpacker.packer.abandon().await;
                    return Err(error);
                }
            };
            match event {
                BackupEvent::Archive { name, .. } => {
                    let oid = name.strip_suffix(".tar").unwrap_or(&name);
                    unpacker.begin(oid.parse::<u32>().ok());
                }
                BackupEvent::Data(bytes) => {
                    super::Progress::add(&self.progress.read, bytes.len() as u64);
                    if !unpacker.take(&bytes).await? {
                        break None;
                    }
                }
                BackupEvent::Progress(_) | BackupEvent::Manifest => {}
                BackupEvent::End { stop, .. } => break Some(stop),
            }
        };
        let Unpacker { packer, mut entries, label, map, coming, .. } = unpacker;
        let Some(stop) = stop else {
            packer.finish().await?;
            return Err(BackupError::Failed("the backup's pipeline ended early".to_owned()));
        };
        if coming.is_some() {
            return Err(BackupError::Failed("the server's last archive ended within a file".to_owned()));
        }
        let timeline_in_label = timeline_of(&String::from_utf8_lossy(&label))?;
        if timeline_in_label != timeline {
            tracing::debug!(timeline, timeline_in_label, "the label's timeline counts");
        }
        add_bytes(&packer, &mut entries, "backup_label", label);
        if !map.is_empty() {
            add_bytes(&packer, &mut entries, "tablespace_map", map);
        }
        let mut packed = packer.finish().await?;
        packed.damaged = look_again(sql, packed.damaged, start).await;
        Ok(Taken {
            timeline: timeline_in_label,
            start,
            stop,
            source: SourceKind::Remote,
            tablespaces,
            entries,
            packed,
            unchanged_files: 0,
        })
    }
}

/// What the server has in the place of a page now.
enum Again {
    Page(Box<[u8; PAGE_SIZE]>),
    /// Dropped or cut off meanwhile; the WAL says so too.
    Gone,
    /// The role may not read files.
    Unknown,
}

/// A page whose checksum does not fit may have been torn: sent while the server wrote it. It is read again, when the role
/// may read files; what cannot be read again stays under suspicion.
async fn look_again(sql: &mut ReplicationConnection, found: Vec<DamagedPage>, start: Lsn) -> Vec<DamagedPage> {
    let mut damaged = Vec::with_capacity(found.len());
    for mut one in found {
        match read_page(sql, &one).await {
            Again::Page(page) => {
                let block = local::first_block(&one.path, PAGE_SIZE as u64).unwrap_or(0);
                let block = block.wrapping_add(u32::try_from(one.page).unwrap_or(u32::MAX));
                if check_page(&page, block, start) == PageState::Bad {
                    damaged.push(one);
                }
            }
            Again::Gone => {}
            Again::Unknown => {
                one.suspected = true;
                damaged.push(one);
            }
        }
    }
    damaged
}

async fn read_page(sql: &mut ReplicationConnection, page: &DamagedPage) -> Again {
    let path = page.path.replace('\\', "\\\\").replace('\'', "''");
    let at = page.page.saturating_mul(PAGE_SIZE as u64);
    let asked =
        sql.query(&format!("SELECT encode(pg_read_binary_file(E'{path}', {at}, {PAGE_SIZE}, true), 'hex')")).await;
    let rows = match asked {
        Ok(rows) => rows,
        Err(error) => {
            tracing::debug!(%error, path = page.path, "a page cannot be read again");
            return Again::Unknown;
        }
    };
    let Some(text) = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()) else {
        return Again::Gone;
    };
    let pairs = text.as_bytes().as_chunks::<2>().0;
    if pairs.len() != PAGE_SIZE {
        return Again::Gone;
    }
    let mut out = Box::new([0; PAGE_SIZE]);
    for (byte, pair) in out.iter_mut().zip(pairs) {
        match std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => *byte = value,
            None => return Again::Unknown,
        }
    }
    Again::Page(out)
}

impl Unpacker<'_> {
    fn begin(&mut self, tablespace: Option<u32>) {
        self.prefix = tablespace.map(|oid| format!("pg_tblspc/{oid}/")).unwrap_or_default();
        if let Some(oid) = tablespace {
            self.entries.push(directory(&format!("pg_tblspc/{oid}"), 0o700, 0));
        }
        self.header.clear();
        self.coming = None;
    }

    /// Takes the next bytes of the archive; `false` when the pipeline has failed.
    async fn take(&mut self, mut bytes: &[u8]) -> Result<bool, BackupError> {
        while !bytes.is_empty() {
            if let Some(coming) = self.coming.as_mut() {
                if coming.left > 0 {
                    let room = WINDOW_SIZE - coming.buffer.len();
                    let length = bytes.len().min(room).min(usize::try_from(coming.left).unwrap_or(usize::MAX));
                    coming.buffer.extend_from_slice(&bytes[..length]);
                    coming.left -= length as u64;
                    bytes = &bytes[length..];
                    if (coming.buffer.len() == WINDOW_SIZE || coming.left == 0) && !self.flush() {
                        return Ok(false);
                    }
                } else {
                    let length = coming.padding.min(bytes.len());
                    coming.padding -= length;
                    bytes = &bytes[length..];
                }
                if self.coming.as_ref().is_some_and(|it| it.left == 0 && it.padding == 0) {
                    self.coming = None;
                }
                continue;
            }
            let length = (BLOCK - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            if let Ok(block) = <&[u8; BLOCK]>::try_from(self.header.as_slice()) {
                let header = read_header(block)?;
                self.header.clear();
                if let Some(header) = header {
                    self.member(header).await?;
                }
            }
        }
        Ok(true)
    }

    /// A window, or the rest of a kept file, is whole.
    fn flush(&mut self) -> bool {
        let Some(coming) = self.coming.as_mut() else { return true };
        let buffer = std::mem::replace(&mut coming.buffer, Vec::with_capacity(WINDOW_SIZE));
        self.read += buffer.len() as u64;
        match (&coming.keep, &coming.job) {
            (Some(name), _) if name == "backup_label" => self.label.extend(buffer),
            (Some(_), _) => self.map.extend(buffer),
            (None, Some(job)) => {
                let content = Content::Bytes(buffer);
                let pushed = tokio::task::block_in_place(|| {
                    self.packer.push(Job { file: job.clone(), first: coming.window, content })
                });
                coming.window += 1;
                return pushed;
            }
            (None, None) => {}
        }
        true
    }

    async fn member(&mut self, header: TarHeader) -> Result<(), BackupError> {
        let name = header.name.trim_start_matches("./").trim_end_matches('/');
        if name.is_empty() {
            return Ok(());
        }
        let path = format!("{}{name}", self.prefix);
        if !crate::repo::is_safe_path(&path) {
            return Err(BackupError::Failed(format!("the server sent a file '{path}' that leads elsewhere")));
        }
        match header.kind {
            MemberKind::Directory => self.entries.push(directory(&path, header.mode & 0o7777, header.modified)),
            // Links are those of tablespaces, which come as archives of their own.
            MemberKind::Link => {}
            MemberKind::File => {
                let padding = padding(header.size);
                let keep = matches!(path.as_str(), "backup_label" | "tablespace_map").then(|| path.clone());
                let mut job = None;
                if keep.is_none() {
                    self.entries.push(Entry {
                        path: path.clone(),
                        kind: EntryKind::File,
                        mode: header.mode & 0o7777,
                        size: header.size,
                        modified: header.modified,
                        stamp: None,
                        map: None,
                    });
                    if header.size > 0 {
                        let parent = match self.before.get(&path).and_then(|old| old.map) {
                            Some(place) => Some(self.maps.read(place).await?),
                            None => None,
                        };
                        let first_block = local::first_block(&path, header.size);
                        job = Some(Arc::new(FileJob::new(
                            self.entries.len() - 1,
                            path,
                            header.size,
                            first_block,
                            parent,
                        )));
                    }
                }
                if header.size > 0 {
                    let room = window_length(header.size, 0);
                    let buffer = Vec::with_capacity(room);
                    self.coming = Some(Coming { job, window: 0, buffer, left: header.size, padding, keep });
                }
            }
        }
        Ok(())
    }
}

fn directory(path: &str, mode: u32, modified: i64) -> Entry {
    Entry { path: path.to_owned(), kind: EntryKind::Directory, mode, size: 0, modified, stamp: None, map: None }
}
