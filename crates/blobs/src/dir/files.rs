//! Writing files so that they are whole and durable under their name, or not there.
use crate::{
    BlobError,
    error::SYNC,
    key::{TEMPORARY, is_valid},
};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// After so long without a write an unfinished file belongs to nobody.
const STALE: Duration = Duration::from_secs(24 * 3_600);
/// How unfinished files end.
const UNFINISHED: &str = ".part";
/// How often a directory is made again that somebody's delete has removed under us.
const TRIES: u32 = 32;
/// The first tries go on at once; then each waits a millisecond longer than the one before, so that writers and deletes
/// in step with each other fall out of it. All together half a second.
const AT_ONCE: u32 = 3;

/// What to do with an object of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    /// Fail.
    New,
    /// Replace it at once.
    Replace,
}

/// The directory of a store.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// Of the root as it was opened: an unmounted file system leaves another directory at the same path.
    inode: u64,
    /// Directories whose own entry is known to be durable.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Place {
    pub(super) fn create(root: &Path) -> Result<(), BlobError> {
        let denied = |operation| failure(operation, root, root);
        let missing = root.ancestors().take_while(|one| !one.exists()).map(Path::to_path_buf).collect::<Vec<_>>();
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(denied("create"))?;
        for made in missing {
            let parent = made.parent().filter(|one| !one.as_os_str().is_empty()).unwrap_or(Path::new("."));
            sync_directory(parent).map_err(denied(SYNC))?;
        }
        Ok(())
    }

    pub(super) fn open(root: &Path) -> Result<Self, BlobError> {
        let no = |why: String| BlobError::InvalidConfig {
            message: format!(
                "there is no store in {}: {why}; is the file system mounted, and is the path right?",
                root.display()
            ),
        };
        let root = match fs::canonicalize(root) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no("no such directory".into())),
            Err(error) => return Err(failure("open", root, root)(error)),
        };
        let metadata = fs::metadata(&root).map_err(failure("open", &root, &root))?;
        if !metadata.is_dir() {
            return Err(no("it is not a directory".into()));
        }
        Ok(Self { inode: metadata.ino(), durable: Mutex::new(HashSet::from([root.clone()])), root })
    }

    pub(super) fn describe(&self) -> String {
        format!("directory {}", self.root.display())
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Turns what the system said into what to tell.
    pub(super) fn failed(&self, operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
        failure(operation, &self.root, path)
    }

    /// That a file is missing is an answer only as long as the store itself is there.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`] when the root is gone or another directory has taken its place.
    pub(super) fn must_be_there(&self, operation: &'static str) -> Result<(), BlobError> {
        let gone = |reason: &str, source: Option<io::Error>| BlobError::Unavailable {
            operation,
            store: self.describe(),
            reason: reason.to_owned(),
            source: source.map(Into::into),
        };
        match fs::metadata(&self.root) {
            Ok(metadata) if metadata.ino() == self.inode => Ok(()),
            Ok(_) => Err(gone("another directory is in its place; was the file system unmounted?", None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(gone("it is gone; was the file system unmounted?", Some(error)))
            }
            Err(error) => Err(self.failed("look up", &self.root)(error)),
        }
    }

    /// Starts a file in `tmp/`.
    pub(super) fn temporary(&self) -> Result<Temporary, BlobError> {
        let directory = self.root.join(TEMPORARY);
        for _ in 0..TRIES {
            let path = directory.join(format!("{}-{:032x}{UNFINISHED}", std::process::id(), rand::random::<u128>()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(Temporary { file, path: Unlinked(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.must_be_there("write")?;
                    make_directory(&directory).map_err(self.failed("create", &directory))?;
                }
                Err(error) => return Err(self.failed("create", &path)(error)),
            }
        }
        Err(self.failed("create a file in", &directory)(io::ErrorKind::NotFound.into()))
    }

    /// Makes a written file durable under its name.
    pub(super) fn publish(&self, temporary: Temporary, key: &str, publish: Publish) -> Result<(), BlobError> {
        let from = &temporary.path.0;
        let to = self.path(key);
        let directory = to.parent().unwrap_or(&self.root);
        temporary.file.sync_all().map_err(self.failed(SYNC, from))?;
        for tried in 0..TRIES {
            if tried > AT_ONCE {
                std::thread::sleep(Duration::from_millis((tried - AT_ONCE).into()));
            }
            self.must_be_there("write")?;
            self.make_durable(directory)?;
            let done = match publish {
                Publish::New => link(from, &to),
                Publish::Replace => fs::rename(from, &to),
            };
            match done {
                Ok(()) => return sync_directory(directory).map_err(self.failed(SYNC, directory)),
                Err(error) if publish == Publish::New && error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(BlobError::Exists { key: key.to_owned() });
                }
                // The last object in it was deleted just now, and the directory with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget(directory),
                Err(error) => return Err(self.failed("write", &to)(error)),
            }
        }
        Err(self.failed("write", &to)(io::ErrorKind::NotFound.into()))
    }

    /// Makes a directory below the root and those above it, and syncs what is not known to be durable.
    fn make_durable(&self, directory: &Path) -> Result<(), BlobError> {
        if directory == self.root || (self.durable().contains(directory) && directory.is_dir()) {
            return Ok(());
        }
        let parent = directory.parent().unwrap_or(&self.root);
        self.make_durable(parent)?;
        match make_directory(directory) {
            // Removed with its last object between the two: the caller's link fails then and it tries again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(parent);
                return Ok(());
            }
            other => other.map_err(self.failed("create", directory))?,
        }
        // Also when another made it: its sync may not be done yet.
        match sync_directory(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(self.failed(SYNC, parent))?,
        }
        self.durable().insert(directory.to_path_buf());
        Ok(())
    }

    pub(super) fn forget(&self, directory: &Path) {
        self.durable().remove(directory);
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the unfinished files of writers that died. That it cannot is no reason not to open.
    pub(super) fn remove_stale(&self) {
        let directory = self.root.join(TEMPORARY);
        let Ok(entries) = fs::read_dir(&directory) else { return };
        let now = SystemTime::now();
        for entry in entries.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| is_valid(name) && name.ends_with(UNFINISHED));
            let stale = entry.metadata().is_ok_and(|it| {
                it.is_file() && it.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > STALE))
            });
            if ours && stale {
                match fs::remove_file(entry.path()) {
                    Ok(()) => tracing::info!(path = %entry.path().display(), "removed an unfinished object"),
                    Err(error) => {
                        tracing::warn!(path = %entry.path().display(), %error, "cannot remove an unfinished object");
                    }
                }
            }
        }
    }
}

/// A file in `tmp/`, removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: Unlinked,
}

#[derive(Debug)]
struct Unlinked(PathBuf);

impl Drop for Unlinked {
    fn drop(&mut self) {
        // After a link it is a second name, after a rename it is gone, otherwise nobody wants it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Temporary {
    /// Adds bytes at the end.
    pub(super) fn write(&mut self, place: &Place, data: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(data).map_err(place.failed("write", &self.path.0))
    }
}

fn failure(operation: &'static str, root: &Path, path: &Path) -> impl FnOnce(io::Error) -> BlobError + use<> {
    let store = format!("directory {}", root.display());
    let path = path.to_path_buf();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::NoSpace { store },
        io::ErrorKind::ReadOnlyFilesystem => BlobError::Denied {
            operation,
            store,
            reason: "the file system is read-only; see the kernel's log for why, and remount it".into(),
        },
        io::ErrorKind::PermissionDenied => BlobError::Denied {
            operation,
            store,
            reason: format!("{}: {source}; give the directory to the user that runs this program", path.display()),
        },
        _ => BlobError::Io { operation, path, source },
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Gives the file its name unless that is taken. Some file systems have no links; those can rename without replacing.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if has_no_links(&error) => rename_new(from, to),
        other => other,
    }
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EPERM | nix::libc::EOPNOTSUPP | nix::libc::ENOSYS | nix::libc::EMLINK)
    )
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE).map_err(io::Error::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_links_a_rename_does_not_replace_either() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two, to) = (directory.path().join("1"), directory.path().join("2"), directory.path().join("to"));
        fs::write(&one, "one").unwrap();
        fs::write(&two, "two").unwrap();
        rename_new(&one, &to).unwrap();
        assert_eq!(rename_new(&two, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"one");
    }

    #[test]
    fn the_systems_words_become_ours() {
        let of = |number| failure("write", Path::new("/b"), Path::new("/b/x"))(io::Error::from_raw_os_error(number));
        assert!(matches!(of(nix::libc::ENOSPC), BlobError::NoSpace { .. }));
        assert!(matches!(of(nix::libc::EDQUOT), BlobError::NoSpace { .. }));
        assert!(matches!(of(nix::libc::EROFS), BlobError::Denied { .. }));
        assert!(matches!(of(nix::libc::EACCES), BlobError::Denied { .. }));
        assert!(matches!(of(nix::libc::EIO), BlobError::Io { .. }) && !of(nix::libc::EIO).is_retryable());
    }
}
