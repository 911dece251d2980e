//! A backup: what it is (its commit) and its files (its manifest, JSON lines: one [`Summary`], then one [`Entry`] each).
use super::{ObjectId, object::FrameRef};
use domain::{Lsn, Timestamp};
use pgphysical::wal::Timeline;
use serde::{Deserialize, Serialize};

/// How a backup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    /// Every page written anew, under a lineage of its own.
    Full,
    /// Only pages that changed are written; as complete as a full one.
    Incremental,
}

impl std::fmt::Display for BackupType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// Where the files came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Read from the data directory.
    Local,
    /// Sent by the server over the replication protocol.
    Remote,
}

/// The cluster as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Unique to the cluster and its physical copies; text, because JSON readers round large numbers.
    #[serde(with = "as_text")]
    pub system_identifier: u64,
    /// `server_version_num`, for example 150008.
    pub version: u32,
    /// Version of the system catalogues.
    pub catalog_version: u32,
    /// Bytes of a WAL segment.
    pub wal_segment_size: u32,
    /// Page checksums were on.
    pub checksums: bool,
}

impl ClusterFacts {
    /// The major version.
    pub const fn major(&self) -> u32 {
        self.version / 10_000
    }
}

/// Counts of one backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStats {
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Bytes of pages that were new or changed.
    pub changed_bytes: u64,
    /// Bytes written to the repository, packs and maps.
    pub stored_bytes: u64,
    /// Objects written.
    pub objects: u64,
    /// Files not read because size, inode, modification and change time were those of the parent.
    pub unchanged_files: u64,
    /// Pages whose checksum was judged: all of a full backup, of an incremental those that are not byte for byte as its
    /// parent judged them.
    pub checked_pages: u64,
    /// Milliseconds from begin to commit.
    pub duration_ms: u64,
    /// Milliseconds of processor time that the process took meanwhile.
    #[serde(default)]
    pub cpu_ms: u64,
}

/// A page whose checksum did not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedPage {
    /// File, from the data directory.
    pub path: String,
    /// Page of that file.
    pub page: u64,
    /// It could not be read a second time, so it may have been torn instead; replay mends such a page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspected: bool,
}

/// A tablespace outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablespaceFacts {
    /// Its oid, the name of its link in `pg_tblspc`.
    pub oid: u32,
    /// Where it was.
    pub location: String,
}

/// A configuration file that was outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFile {
    /// Where it was.
    pub path: String,
    /// What was in it.
    pub content: String,
}

/// Everything of a backup but its files; the first line of the manifest, and the whole commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name: time, type, random.
    pub id: String,
    /// How it was made.
    #[serde(rename = "type")]
    pub kind: BackupType,
    /// Which packs and maps it may name.
    pub lineage: ObjectId,
    /// The backup that an incremental was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The cluster.
    pub cluster: ClusterFacts,
    /// Where the files came from.
    pub source: SourceKind,
    /// The source was a standby.
    pub from_standby: bool,
    /// Begin.
    pub started_at: Timestamp,
    /// When the server ended the backup: the first moment that can be restored.
    pub stopped_at: Timestamp,
    /// Timeline.
    pub timeline: Timeline,
    /// Replay begins here.
    pub start_lsn: Lsn,
    /// Consistent from here.
    pub stop_lsn: Lsn,
    /// Tablespaces outside the data directory.
    pub tablespaces: Vec<TablespaceFacts>,
    /// Configuration files from outside the data directory.
    #[serde(default)]
    pub captured: Vec<CapturedFile>,
    /// Pages whose checksum did not fit; the backup has them as they are. At most 1000 are named.
    #[serde(default)]
    pub damaged: Vec<DamagedPage>,
    /// Counts.
    pub stats: BackupStats,
    /// The job that took it, as the service names it to itself: by this it knows its own again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// BLAKE3 of the manifest object, in the commit: ties the two together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A file.
    #[serde(rename = "f")]
    File,
    /// A directory.
    #[serde(rename = "d")]
    Directory,
}

/// Where a file's map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MapRef {
    /// Map object.
    #[serde(rename = "o")]
    pub object: ObjectId,
    /// Its frame.
    #[serde(rename = "f")]
    pub frame: FrameRef,
    /// First byte in the frame's plain content.
    #[serde(rename = "s")]
    pub start: u32,
    /// Bytes.
    #[serde(rename = "l")]
    pub length: u32,
}

/// What tells that a file was not touched: all of it equal, and not too fresh to be sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Inode.
    #[serde(rename = "i")]
    pub inode: u64,
    /// Modification time, nanoseconds.
    #[serde(rename = "m")]
    pub mtime_ns: i64,
    /// Change time, nanoseconds.
    #[serde(rename = "c")]
    pub ctime_ns: i64,
}

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From the data directory, `/` between parts. Bytes that are not UTF-8 do not occur in a data directory.
    #[serde(rename = "p")]
    pub path: String,
    /// File or directory.
    #[serde(rename = "k")]
    pub kind: EntryKind,
    /// Permission bits.
    #[serde(rename = "a")]
    pub mode: u32,
    /// Bytes stored.
    #[serde(rename = "n", default)]
    pub size: u64,
    /// Modification time, seconds since 1970.
    #[serde(rename = "t", default)]
    pub modified: i64,
    /// For the next incremental; absent when it cannot be trusted.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// Where its pages are; absent for directories and empty files.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapRef>,
}

mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
