//! Every parser of bytes from outside, each under one name: for the fuzz targets in `fuzz/` and for the test that mutates real
//! samples. None may panic, and none may take more memory than its input justifies.
use crate::{
    control::ControlFile,
    page::{PAGE_SIZE, check_page},
    replication::{ConnInfo, fuzzing as replication},
    scan_wal,
    wal::{TimelineHistory, WalFileName, WalSegment, check_segment_start, segment_identity},
};
use domain::Lsn;

/// Name and entry.
pub type Target = (&'static str, fn(&[u8]));

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("control_file", control_file),
    ("wal_name", wal_name),
    ("wal_header", wal_header),
    ("wal_records", wal_records),
    ("history", history),
    ("page", page),
    ("replication_message", replication_message),
    ("conninfo", conninfo),
];

/// `pg_control`.
pub fn control_file(bytes: &[u8]) {
    let _ = ControlFile::parse(bytes);
    let _ = ControlFile::without_checkpoint(bytes);
}

/// Names of files in `pg_wal`.
pub fn wal_name(bytes: &[u8]) {
    if let Ok(name) = std::str::from_utf8(bytes) {
        for size in [1 << 20, 16 << 20, 1 << 30] {
            if let Some(WalFileName::Segment(segment)) = WalFileName::parse(name, size) {
                let _ = segment.file_name(size);
            }
        }
        let _ = name.parse::<Lsn>();
    }
}

/// The long header of a segment.
pub fn wal_header(bytes: &[u8]) {
    let _ = segment_identity(bytes);
    let _ = check_segment_start(bytes, WalSegment { timeline: 1, number: 1 }, 16 << 20, 1);
}

/// Pages and records of WAL; the place is that of the first page.
pub fn wal_records(bytes: &[u8]) {
    let start = bytes.get(8..16).and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes);
    let _ = scan_wal(bytes, Lsn(start), 16 << 20);
}

/// A timeline's history file.
pub fn history(bytes: &[u8]) {
    if let Some(history) = TimelineHistory::parse(9, &String::from_utf8_lossy(bytes)) {
        let _ = (history.contains(1, Lsn(7)), history.timeline_at(Lsn(7)));
    }
}

/// Pages of a relation.
pub fn page(bytes: &[u8]) {
    for page in bytes.as_chunks::<PAGE_SIZE>().0 {
        let _ = check_page(page, u32::MAX, Lsn(u64::MAX));
    }
}

/// What a server may send.
pub fn replication_message(bytes: &[u8]) {
    replication::parse_all(bytes);
}

/// A connection URL, and a line of a password file.
pub fn conninfo(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ConnInfo::parse(text);
        replication::password_file(text);
    }
}
