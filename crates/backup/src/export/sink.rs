//! Where an export goes: tar archives, or a directory.
use super::{ExportFormat, ExportOptions};
use crate::{
    BackupError,
    format::manifest::{Entry, EntryKind, Summary},
    restore::owner,
    tar::{BLOCK, MemberKind, TarHeader, padding, write_header},
};
use nix::unistd::{Gid, Uid, chown};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{BufWriter, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

const ZEROS: [u8; BLOCK * 2] = [0; BLOCK * 2];

pub(super) struct Sink {
    to: PathBuf,
    owner: Option<(Uid, Gid)>,
    kind: Kind,
    /// Archives and directories that were written to.
    written: BTreeMap<PathBuf, ()>,
}

enum Kind {
    Tar {
        archives: HashMap<String, Archive>,
        /// The one that takes the current member, and its padding.
        current: Option<(String, usize)>,
        links: BTreeMap<u32, String>,
    },
    Plain {
        tablespaces: HashMap<u32, PathBuf>,
        current: Option<(PathBuf, File)>,
    },
}

struct Archive {
    path: PathBuf,
    out: BufWriter<File>,
}

fn new_file(path: &Path) -> Result<File, BackupError> {
    File::options().write(true).create_new(true).mode(0o600).open(path).map_err(BackupError::io("create", path))
}

impl Archive {
    fn new(path: PathBuf) -> Result<Self, BackupError> {
        let out = BufWriter::with_capacity(1 << 20, new_file(&path)?);
        Ok(Self { path, out })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.out.write_all(bytes).map_err(BackupError::io("write", &self.path))
    }

    fn finish(mut self) -> Result<(), BackupError> {
        self.write(&ZEROS)?;
        let file = self.out.into_inner().map_err(|error| BackupError::io("write", &self.path)(error.into_error()))?;
        file.sync_all().map_err(BackupError::io("flush", &self.path))
    }
}

/// An empty directory, made when it is not there.
fn empty_directory(path: &Path) -> Result<(), BackupError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(BackupError::io("create", path))?;
        }
        Err(error) => return Err(BackupError::io("list", path)(error)),
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(BackupError::Conflict(format!(
                    "{} is not empty; name an empty directory or one that is not there yet",
                    path.display()
                )));
            }
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(BackupError::io("set the mode of", path))
}

impl Sink {
    pub fn open(backup: &Summary, options: &ExportOptions) -> Result<Self, BackupError> {
        empty_directory(&options.to)?;
        let owner = owner(&options.to, None)?;
        let mut remap = options.tablespaces.clone();
        let mut places = HashMap::new();
        for one in &backup.tablespaces {
            let at = remap.iter().position(|(from, _)| *from == one.oid.to_string() || *from == one.location);
            if let Some(at) = at {
                places.insert(one.oid, remap.swap_remove(at).1);
            } else if options.format == ExportFormat::Plain {
                return Err(BackupError::Invalid(format!(
                    "the backup has a tablespace {} in {}; say where it goes by --tablespace {}=DIR, or export as tar",
                    one.oid, one.location, one.oid
                )));
            }
        }
        if let Some((from, _)) = remap.first() {
            return Err(BackupError::Invalid(format!(
                "the backup has no tablespace '{from}'; 'holdfast backup show' lists them"
            )));
        }
        let needed = backup.stats.bytes;
        let space = nix::sys::statvfs::statvfs(&options.to).map_err(|error| BackupError::Io {
            operation: "ask for the free space of",
            path: options.to.clone(),
            source: error.into(),
        })?;
        let free = space.blocks_available() * space.fragment_size();
        if free < needed && places.is_empty() {
            return Err(BackupError::Invalid(format!(
                "{} has {} MiB free; the backup needs {} MiB and its WAL more",
                options.to.display(),
                free >> 20,
                needed >> 20
            )));
        }
        let kind = match options.format {
            ExportFormat::Tar => Kind::Tar {
                archives: HashMap::new(),
                current: None,
                links: backup
                    .tablespaces
                    .iter()
                    .map(|one| {
                        let place = places.get(&one.oid).map(|it| it.display().to_string());
                        (one.oid, place.unwrap_or_else(|| one.location.clone()))
                    })
                    .collect(),
            },
            ExportFormat::Plain => {
                for place in places.values() {
                    if !place.is_absolute() {
                        return Err(BackupError::Invalid(format!(
                            "the tablespace's place {} must be an absolute path",
                            place.display()
                        )));
                    }
                    empty_directory(place)?;
                    give(owner, place)?;
                }
                give(owner, &options.to)?;
                Kind::Plain { tablespaces: places, current: None }
            }
        };
        let mut sink = Self { to: options.to.clone(), owner, kind, written: BTreeMap::new() };
        // Also when there is nothing in them: pg_verifybackup and tar expect them.
        if let Kind::Tar { links, .. } = &sink.kind {
            let names = links.keys().map(|oid| format!("{oid}.tar")).chain(["base.tar".to_owned()]).collect::<Vec<_>>();
            for name in names {
                sink.archive(&name)?;
            }
        }
        Ok(sink)
    }

    fn archive(&mut self, name: &str) -> Result<&mut Archive, BackupError> {
        let Kind::Tar { archives, .. } = &mut self.kind else {
            return Err(BackupError::Failed("an archive of a plain export".to_owned()));
        };
        match archives.entry(name.to_owned()) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(free) => {
                let path = self.to.join(name);
                self.written.insert(path.clone(), ());
                Ok(free.insert(Archive::new(path)?))
            }
        }
    }

    fn member(&mut self, archive: &str, header: &TarHeader) -> Result<(), BackupError> {
        let block = write_header(header)?;
        self.archive(archive)?.write(&block)
    }

    fn header(&self, name: &str, entry: &Entry, kind: MemberKind) -> TarHeader {
        let (user, group) = self.owner.unwrap_or_else(|| (Uid::effective(), Gid::effective()));
        TarHeader {
            name: name.to_owned(),
            kind,
            size: if kind == MemberKind::File { entry.size } else { 0 },
            mode: match (entry.mode, kind) {
                (0, MemberKind::Directory) => 0o700,
                (0, _) => 0o600,
                (mode, _) => mode,
            },
            modified: entry.modified.max(0),
            user: user.as_raw(),
            group: group.as_raw(),
            target: String::new(),
        }
    }

    pub fn directory(&mut self, entry: &Entry) -> Result<(), BackupError> {
        match &self.kind {
            Kind::Tar { links, .. } => {
                let (archive, name) = in_archive(&entry.path);
                if name.is_empty() {
                    // The tablespace itself: a link in the main archive, as the server has it.
                    let target = archive.trim_end_matches(".tar").parse().ok().and_then(|oid: u32| links.get(&oid));
                    let mut header = self.header(&entry.path, entry, MemberKind::Link);
                    header.target = target.cloned().unwrap_or_default();
                    return self.member("base.tar", &header);
                }
                self.member(&archive, &self.header(&name, entry, MemberKind::Directory))
            }
            Kind::Plain { tablespaces, .. } => {
                if let Some((oid, target)) = entry
                    .path
                    .strip_prefix("pg_tblspc/")
                    .and_then(|oid| oid.parse::<u32>().ok())
                    .and_then(|oid| Some((oid, tablespaces.get(&oid)?)))
                {
                    let link = self.to.join("pg_tblspc").join(oid.to_string());
                    return std::os::unix::fs::symlink(target, &link).map_err(BackupError::io("link", &link));
                }
                let path = self.resolve(&entry.path);
                fs::create_dir_all(&path).map_err(BackupError::io("create", &path))?;
                let mode = if entry.mode == 0 { 0o700 } else { entry.mode };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(BackupError::io("set the mode of", &path))?;
                give(self.owner, &path)
            }
        }
    }

    /// Where a path goes in the plain format: through the links of tablespaces.
    fn resolve(&self, path: &str) -> PathBuf {
        self.to.join(path)
    }

    pub fn begin(&mut self, entry: &Entry) -> Result<(), BackupError> {
        if matches!(self.kind, Kind::Tar { .. }) {
            let (archive, name) = in_archive(&entry.path);
            let header = self.header(&name, entry, MemberKind::File);
            self.member(&archive, &header)?;
            if let Kind::Tar { current, .. } = &mut self.kind {
                *current = Some((archive, padding(entry.size)));
            }
            return Ok(());
        }
        let path = self.resolve(&entry.path);
        let file = new_file(&path)?;
        let mode = if entry.mode == 0 { 0o600 } else { entry.mode };
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(BackupError::io("set the mode of", &path))?;
        give(self.owner, &path)?;
        if let Kind::Plain { current, .. } = &mut self.kind {
            *current = Some((path, file));
        }
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        match &mut self.kind {
            Kind::Tar { archives, current, .. } => {
                match current.as_ref().and_then(|(name, _)| archives.get_mut(name)) {
                    Some(archive) => archive.write(bytes),
                    None => Err(BackupError::Failed("bytes without a file".to_owned())),
                }
            }
            Kind::Plain { current, .. } => match current {
                Some((path, file)) => file.write_all(bytes).map_err(BackupError::io("write", path.as_path())),
                None => Err(BackupError::Failed("bytes without a file".to_owned())),
            },
        }
    }

    pub fn end(&mut self) -> Result<(), BackupError> {
        match &mut self.kind {
            Kind::Tar { archives, current, .. } => match current.take() {
                Some((name, padding)) => match archives.get_mut(&name) {
                    Some(archive) => archive.write(&ZEROS[..padding]),
                    None => Ok(()),
                },
                None => Ok(()),
            },
            Kind::Plain { current, .. } => {
                *current = None;
                Ok(())
            }
        }
    }

    /// A file of `pg_wal`.
    pub fn wal(&mut self, name: &str, content: &[u8], backup: &Summary) -> Result<(), BackupError> {
        let entry = Entry {
            path: format!("pg_wal/{name}"),
            kind: EntryKind::File,
            mode: 0o600,
            size: content.len() as u64,
            modified: backup.stopped_at.0 / 1_000,
            stamp: None,
            map: None,
        };
        if matches!(self.kind, Kind::Tar { .. }) {
            let header = self.header(name, &entry, MemberKind::File);
            self.member("pg_wal.tar", &header)?;
            let archive = self.archive("pg_wal.tar")?;
            archive.write(content)?;
            return archive.write(&ZEROS[..padding(entry.size)]);
        }
        self.begin(&entry)?;
        self.write(content)?;
        self.end()
    }

    /// Ends the archives and writes the manifest, last of all.
    pub fn finish(mut self, manifest: &str) -> Result<(), BackupError> {
        if let Kind::Tar { archives, .. } = &mut self.kind {
            for (_, archive) in archives.drain() {
                archive.finish()?;
            }
        }
        let mut directories = vec![self.to.clone()];
        if let Kind::Plain { tablespaces, .. } = &self.kind {
            directories.extend(tablespaces.values().cloned());
        }
        for directory in &directories {
            let file = File::open(directory).map_err(BackupError::io("open", directory))?;
            nix::unistd::syncfs(&file).map_err(|error| BackupError::Io {
                operation: "flush the file system of",
                path: directory.clone(),
                source: error.into(),
            })?;
        }
        let path = self.to.join("backup_manifest");
        let mut file = new_file(&path)?;
        file.write_all(manifest.as_bytes()).map_err(BackupError::io("write", &path))?;
        file.sync_all().map_err(BackupError::io("flush", &path))?;
        for path in self.written.keys().chain([&path]) {
            give(self.owner, path)?;
        }
        give(self.owner, &self.to)?;
        File::open(&self.to).and_then(|it| it.sync_all()).map_err(BackupError::io("flush", &self.to))
    }
}

fn give(owner: Option<(Uid, Gid)>, path: &Path) -> Result<(), BackupError> {
    match owner {
        Some((user, group)) => chown(path, Some(user), Some(group)).map_err(|error| BackupError::Io {
            operation: "give away",
            path: path.to_owned(),
            source: error.into(),
        }),
        None => Ok(()),
    }
}

/// The archive of a path and its name there; an empty name is the tablespace itself.
fn in_archive(path: &str) -> (String, String) {
    if let Some((oid, rest)) = path.strip_prefix("pg_tblspc/").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        && oid.parse::<u32>().is_ok()
    {
        return (format!("{oid}.tar"), rest.to_owned());
    }
    ("base.tar".to_owned(), path.to_owned())
}
