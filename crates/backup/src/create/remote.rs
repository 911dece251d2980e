//! A backup over the replication protocol: the server sends its files as tar archives, and they go through the same
//! pipeline. Everything is read, only what changed is stored.
use super::{
    Entry, EntryKind, Run, SourceKind, Taken, add_bytes, local,
    packer::{Content, FileJob, Job, Packer, window_length},
    timeline_of,
};
use crate::{BackupError, format::map::WINDOW_SIZE, maps::MapReader};
use pgphysical::replication::{BackupEvent, BaseBackupOptions, ConnInfo, ReplicationConnection};
use std::{collections::HashMap, sync::Arc};

const BLOCK: usize = 512;

/// The header of a file in an archive (ustar, as PostgreSQL writes it).
#[derive(Debug, PartialEq, Eq)]
struct TarHeader {
    name: String,
    size: u64,
    mode: u32,
    modified: i64,
    kind: u8,
}

/// Reads a header block; `None` for the zeros at an archive's end.
fn tar_header(block: &[u8; BLOCK]) -> Result<Option<TarHeader>, BackupError> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bad = |what: &str| BackupError::Failed(format!("the server sent a tar header with {what}"));
    let sum: u32 =
        block.iter().enumerate().map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
    let number = |from: usize, to: usize| -> Option<u64> {
        let field = &block[from..to];
        // Large values are binary, with the highest bit of the first byte set.
        if field[0] & 0x80 != 0 {
            return field
                .iter()
                .skip(1)
                .try_fold(0_u64, |all, byte| all.checked_mul(256)?.checked_add(u64::from(*byte)));
        }
        let text = field.iter().take_while(|byte| **byte != 0).map(|byte| *byte as char).collect::<String>();
        let text = text.trim();
        if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
    };
    if number(148, 156) != Some(u64::from(sum)) {
        return Err(bad("a wrong checksum"));
    }
    let text = |from: usize, to: usize| {
        let field = block[from..to].split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(field.to_vec()).map_err(|_| bad("a name that is not UTF-8"))
    };
    let (name, prefix) = (text(0, 100)?, text(345, 500)?);
    Ok(Some(TarHeader {
        name: if prefix.is_empty() { name } else { format!("{prefix}/{name}") },
        mode: number(100, 108)
            .and_then(|mode| u32::try_from(mode).ok())
            .ok_or_else(|| bad("a mode that is no number"))?,
        size: number(124, 136).ok_or_else(|| bad("a size that is no number"))?,
        modified: number(136, 148)
            .and_then(|at| i64::try_from(at).ok())
            .ok_or_else(|| bad("a time that is no number"))?,
        kind: block[156],
    }))
}

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
    pub(super) async fn remote(&mut self, source: &ConnInfo) -> Result<Taken, BackupError> {
        let connection = ReplicationConnection::connect(source).await?;
        let options = BaseBackupOptions {
            label: "holdfast".to_owned(),
            fast: self.options.fast,
            progress: true,
            manifest: false,
            max_rate_kib: None,
            tablespace_map: true,
            // By the server, which can read a torn page again; we could not tell it from a damaged one.
            verify_checksums: true,
            // The WAL is awaited by us, in the repository.
            wait: false,
        };
        let mut stream = connection.base_backup(&options).await?;
        let (start, timeline) = stream.start();
        let total = stream.tablespaces().iter().filter_map(|it| u64::try_from(it.size_kib?).ok()).sum::<u64>() * 1_024;
        self.progress.total.store(total, std::sync::atomic::Ordering::Relaxed);
        let mut unpacker = Unpacker {
            packer: self.packer(None)?,
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
            match stream.next().await? {
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
        let packed = packer.finish().await?;
        Ok(Taken {
            timeline: timeline_in_label,
            start,
            stop,
            source: SourceKind::Remote,
            entries,
            packed,
            unchanged_files: 0,
        })
    }
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
                let header = tar_header(block)?;
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
            b'5' => self.entries.push(directory(&path, header.mode & 0o7777, header.modified)),
            // Links are those of tablespaces, which come as archives of their own.
            b'2' => {}
            b'0' | 0 => {
                let padding = (BLOCK - (header.size % BLOCK as u64) as usize) % BLOCK;
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
            other => {
                return Err(BackupError::Failed(format!(
                    "the server sent '{path}' as a tar member of type {other}, which is not known"
                )));
            }
        }
        Ok(())
    }
}

fn directory(path: &str, mode: u32, modified: i64) -> Entry {
    Entry { path: path.to_owned(), kind: EntryKind::Directory, mode, size: 0, modified, stamp: None, map: None }
}
