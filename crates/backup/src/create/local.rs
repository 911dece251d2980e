//! The files of a data directory: what belongs to a backup, after `src/backend/backup/basebackup.c`.
use crate::{
    BackupError,
    format::manifest::{Stamp, TablespaceFacts},
};
use pgphysical::page::PAGE_SIZE;
use std::{
    collections::HashSet,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Directories kept empty.
const EMPTIED: [&str; 8] =
    ["pg_wal", "pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans"];
/// Logs are no part of the cluster's state.
const LOGS: [&str; 2] = ["log", "pg_log"];
const LEFT_OUT: [&str; 8] = [
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
    "current_logfiles",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "backup_manifest",
    "postmaster.pid",
];
/// Pages of a relation segment of 1 GiB.
pub(crate) const SEGMENT_BLOCKS: u32 = 131_072;
/// A file changed within this of the look at it may change again without a new time stamp.
const RACY_NS: i64 = 2_000_000_000;

/// Something found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// From the data directory; tablespaces as `pg_tblspc/OID/…`.
    pub path: String,
    /// Where it is.
    pub place: PathBuf,
    pub directory: bool,
    pub size: u64,
    pub mode: u32,
    pub modified: i64,
    pub stamp: Option<Stamp>,
    /// First block of the segment, for files of pages.
    pub first_block: Option<u32>,
}

/// Whether a file of that path belongs to a backup; `name` is its last part.
pub(crate) fn is_left_out(name: &str, at_top: bool) -> bool {
    (at_top && LEFT_OUT.contains(&name))
        || name == "postmaster.opts"
        || name.starts_with("pg_internal.init")
        || name.starts_with("pgsql_tmp")
        || name.starts_with("backup_label.")
        || name.starts_with("tablespace_map.")
        || is_temporary_relation(name)
}

/// `t<backend>_<relation>[_fork][.segment]`.
fn is_temporary_relation(name: &str) -> bool {
    let Some((backend, rest)) = name.strip_prefix('t').and_then(|rest| rest.split_once('_')) else { return false };
    !backend.is_empty() && backend.bytes().all(|b| b.is_ascii_digit()) && relation(rest).is_some()
}

/// The parts of a relation's file name: its number, its fork and its segment.
pub(crate) fn relation(name: &str) -> Option<(&str, &str, u32)> {
    let (stem, segment) = match name.split_once('.') {
        Some((stem, segment)) => (stem, segment.parse().ok()?),
        None => (name, 0),
    };
    let (number, fork) = stem.split_once('_').unwrap_or((stem, "main"));
    let known = matches!(fork, "main" | "fsm" | "vm" | "init");
    (known && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some((number, fork, segment))
}

/// Whether relation files are in this directory.
fn holds_relations(directory: &str) -> bool {
    let parts = directory.split('/').collect::<Vec<_>>();
    match parts.as_slice() {
        ["global"] | ["base", _] => true,
        ["pg_tblspc", _, version, _] => version.starts_with("PG_"),
        _ => false,
    }
}

/// First block of the segment at `path`, when it is a file of pages whose checksums can be judged.
pub(crate) fn first_block(path: &str, size: u64) -> Option<u32> {
    let (directory, name) = path.rsplit_once('/')?;
    let (_, _, segment) = relation(name).filter(|_| holds_relations(directory))?;
    size.is_multiple_of(PAGE_SIZE as u64).then(|| segment.wrapping_mul(SEGMENT_BLOCKS))
}

/// Lists everything that belongs to a backup, sorted by path. What vanishes meanwhile was dropped and is not missed.
pub(crate) fn list(root: &Path, tablespaces: &[TablespaceFacts], now_ns: i64) -> Result<Vec<Found>, BackupError> {
    let mut found = Vec::new();
    walk(root, "", now_ns, &mut found)?;
    for tablespace in tablespaces {
        let place = PathBuf::from(&tablespace.location);
        let path = format!("pg_tblspc/{}", tablespace.oid);
        add_directory(&place, &path, &mut found)?;
        walk(&place, &path, now_ns, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn add_directory(place: &Path, path: &str, found: &mut Vec<Found>) -> Result<(), BackupError> {
    let metadata = match fs::metadata(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(BackupError::io("look at", place))?,
    };
    found.push(Found {
        path: path.to_owned(),
        place: place.to_owned(),
        directory: true,
        size: 0,
        mode: metadata.mode() & 0o7777,
        modified: metadata.mtime(),
        stamp: None,
        first_block: None,
    });
    Ok(())
}

fn walk(place: &Path, prefix: &str, now_ns: i64, found: &mut Vec<Found>) -> Result<(), BackupError> {
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(BackupError::io("list", place))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(BackupError::io("list", place))?;
        let name = entry.file_name().into_string().map_err(|name| {
            BackupError::Invalid(format!(
                "{} holds a file whose name is not UTF-8 ({}); it is none of PostgreSQL's: move it away",
                place.display(),
                name.to_string_lossy()
            ))
        })?;
        names.push(name);
    }
    // Of an unlogged relation only the initial fork counts: the server makes the rest from it.
    let unlogged = if holds_relations(prefix) {
        names.iter().filter_map(|name| name.strip_suffix("_init")).map(str::to_owned).collect::<HashSet<_>>()
    } else {
        HashSet::new()
    };
    for name in names {
        if is_left_out(&name, prefix.is_empty()) {
            continue;
        }
        if relation(&name).is_some_and(|(number, fork, _)| fork != "init" && unlogged.contains(number)) {
            continue;
        }
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let here = place.join(&name);
        // Links are followed: a configuration file or pg_wal may be elsewhere. Tablespaces are walked on their own.
        let metadata = match fs::metadata(&here) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(BackupError::io("look at", &here))?,
        };
        if metadata.is_dir() {
            if prefix == "pg_tblspc" {
                continue;
            }
            add_directory(&here, &path, found)?;
            if prefix.is_empty() && (EMPTIED.contains(&name.as_str()) || LOGS.contains(&name.as_str())) {
                if name == "pg_wal" {
                    for inner in ["archive_status", "summaries"] {
                        if here.join(inner).is_dir() {
                            add_directory(&here.join(inner), &format!("pg_wal/{inner}"), found)?;
                        }
                    }
                }
                continue;
            }
            walk(&here, &path, now_ns, found)?;
        } else if metadata.is_file() {
            let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
            let stamp = Stamp {
                inode: metadata.ino(),
                mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            };
            // Also when the clock went back: a time in the future proves nothing.
            let settled = stamp.mtime_ns.max(stamp.ctime_ns) < now_ns - RACY_NS;
            found.push(Found {
                first_block: first_block(&path, metadata.len()),
                path,
                place: here,
                directory: false,
                size: metadata.len(),
                mode: metadata.mode() & 0o7777,
                modified: metadata.mtime(),
                stamp: settled.then_some(stamp),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_and_private_files_are_left_out() {
        for name in ["t3_16384", "t12_16384_fsm", "t3_16384.1", "pgsql_tmp12.0", "pg_internal.init.55"] {
            assert!(is_left_out(name, false), "{name}");
        }
        assert!(is_left_out("postmaster.pid", true));
        for name in ["16384", "16384_init", "16384.2", "pg_filenode.map", "PG_VERSION", "t_16384", "tx_1"] {
            assert!(!is_left_out(name, true), "{name}");
        }
    }

    #[test]
    fn only_relations_have_blocks() {
        assert_eq!(first_block("base/5/16384.2", 8_192), Some(262_144));
        assert_eq!(first_block("base/5/16384_fsm", 24_576), Some(0));
        assert_eq!(first_block("pg_tblspc/16400/PG_15_202209061/5/16384", 8_192), Some(0));
        assert_eq!(first_block("pg_xact/0000", 8_192), None);
        assert_eq!(first_block("base/5/PG_VERSION", 3), None);
        assert_eq!(first_block("base/5/16384", 8_193), None);
    }
}
