//! Reading, listing and deleting files.
use super::files::{Place, sync_directory};
use crate::{BlobError, BlobInfo, key::is_valid};
use bytes::Bytes;
use domain::Timestamp;
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::SystemTime,
};

/// So often a directory is read again that changed under the reading: what was written in the place of an object that
/// vanished, as a segment of WAL for its pieces, may have come behind it, and neither would be listed.
///
/// One that never stands still, as under a backup, has what any of the readings had: what is left out was replaced anew
/// during each of them. What is listed may be gone, as in any listing by the time it is used. An error instead would let
/// nobody list while others write.
const READ_AGAIN: usize = 3;

/// What a directory has.
#[derive(Debug, Default)]
struct Listed {
    files: Vec<BlobInfo>,
    directories: Vec<String>,
    /// There was more a moment ago, or there may have been.
    changed: bool,
}

impl Listed {
    /// Adds what an earlier reading had besides.
    fn add(&mut self, earlier: Self) {
        self.files.extend(earlier.files);
        // Stable: of two of a name the newer one stays.
        self.files.sort_by(|a, b| a.key.cmp(&b.key));
        self.files.dedup_by(|a, b| a.key == b.key);
        self.directories.extend(earlier.directories);
        self.directories.sort_unstable();
        self.directories.dedup();
    }
}

impl Place {
    /// The whole object, or so many bytes of it from an offset on.
    pub(super) fn read(&self, key: &str, range: Option<(u64, u64)>) -> Result<Bytes, BlobError> {
        let path = self.path(key);
        let Some((file, size)) = open(&path).map_err(self.failed("read", &path))? else {
            self.must_be_there("read")?;
            return Err(BlobError::NotFound { key: key.to_owned() });
        };
        let (offset, wanted) = range.unwrap_or((0, size));
        let cut = |got| BlobError::Truncated { key: key.to_owned(), wanted, got };
        // Before any memory is asked for: what is wanted may be nonsense.
        let there = size.saturating_sub(offset);
        let length = usize::try_from(wanted).ok().filter(|_| wanted <= there).ok_or_else(|| cut(there.min(wanted)))?;
        let mut data = vec![0; length];
        let mut got = 0;
        while got < length {
            match file.read_at(&mut data[got..], offset + got as u64) {
                Ok(0) => return Err(cut(got as u64)),
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("read", &path)(error)),
            }
        }
        Ok(data.into())
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<BlobInfo>, BlobError> {
        let path = self.path(key);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(info(key.to_owned(), &metadata))),
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => self.must_be_there("look up").map(|()| None),
            Err(error) => Err(self.failed("look up", &path)(error)),
        }
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError> {
        let mut found = Vec::new();
        let above = prefix.rsplit_once('/').map_or("", |(above, _)| above);
        let mut todo = vec![above.to_owned()];
        while let Some(parent) = todo.pop() {
            let mut here = self.read_directory(&parent, prefix)?;
            for _ in 0..READ_AGAIN {
                if !here.changed {
                    break;
                }
                let earlier = here;
                here = self.read_directory(&parent, prefix)?;
                if here.changed {
                    here.add(earlier);
                }
            }
            found.append(&mut here.files);
            todo.append(&mut here.directories);
        }
        self.must_be_there("list")?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn read_directory(&self, parent: &str, prefix: &str) -> Result<Listed, BlobError> {
        let mut listed = Listed::default();
        let path = self.path(parent);
        let last_change = || fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        let before = last_change();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(listed),
            Err(error) => return Err(self.failed("list", &path)(error)),
        };
        // All names first, each file after: a large directory is read in parts, and what is replaced between two of them
        // would be missing without a trace. Whatever goes later is seen to be gone.
        let entries = entries.collect::<io::Result<Vec<_>>>().map_err(self.failed("list", &path))?;
        listed.changed = last_change() != before;
        for entry in entries {
            let name = entry.file_name();
            let Some(key) = name.to_str().map(|name| join(parent, name)).filter(|key| is_valid(key)) else {
                continue;
            };
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                // Where a directory does not say of what kind its entries are, each is asked.
                Err(error) if is_missing(&error) => {
                    listed.changed = true;
                    continue;
                }
                Err(error) => return Err(self.failed("list", &entry.path())(error)),
            };
            if kind.is_dir() && (key.starts_with(prefix) || prefix.starts_with(&key)) {
                listed.directories.push(key);
            } else if kind.is_file() && key.starts_with(prefix) {
                match entry.metadata() {
                    Ok(metadata) => listed.files.push(info(key, &metadata)),
                    // Deleted since.
                    Err(error) if is_missing(&error) => listed.changed = true,
                    Err(error) => return Err(self.failed("list", &entry.path())(error)),
                }
            }
        }
        Ok(listed)
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if is_missing(&error) || path.is_dir() => return self.must_be_there("delete"),
            Err(error) => return Err(self.failed("delete", &path)(error)),
        }
        let mut directory = path.parent();
        while let Some(empty) = directory.filter(|one| *one != self.root) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            self.forget(empty);
            directory = empty.parent();
        }
        // What is deleted must not come back with the power: others rely on the order of deletes.
        let remaining = directory.unwrap_or(&self.root);
        match sync_directory(remaining) {
            Err(error) if is_missing(&error) => Ok(()),
            other => other.map_err(self.failed(crate::error::SYNC, remaining)),
        }
    }
}

/// The file, when there is one, and its size.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            Ok(metadata.is_file().then_some((file, metadata.len())))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Also when a part of the path is a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

fn info(key: String, metadata: &Metadata) -> BlobInfo {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .and_then(|age| i64::try_from(age.as_millis()).ok())
        .unwrap_or_default();
    BlobInfo { key, size: metadata.len(), modified: Timestamp(modified) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(key: &str, size: u64) -> BlobInfo {
        BlobInfo { key: key.to_owned(), size, modified: Timestamp(0) }
    }

    #[test]
    fn what_one_of_two_readings_had_is_listed_once_and_as_it_was_last() {
        let mut newer = Listed {
            files: vec![file("c", 3), file("a", 9)],
            directories: vec!["y".to_owned(), "x".to_owned()],
            changed: true,
        };
        newer.add(Listed {
            files: vec![file("a", 1), file("b", 2)],
            directories: vec!["x".to_owned(), "z".to_owned()],
            changed: true,
        });
        assert_eq!(newer.files, [file("a", 9), file("b", 2), file("c", 3)]);
        assert_eq!(newer.directories, ["x", "y", "z"]);
    }
}
