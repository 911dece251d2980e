//! The keys of a repository's objects. Only this file knows them.
use super::ObjectId;
use domain::Lsn;
use pgphysical::wal::Timeline;

/// What the repository is; clear text.
pub const REPO: &str = "repo.json";
/// The same once more.
pub const REPO_COPY: &str = "repo-copy.json";
/// Wrapped keys, one a slot.
pub const KEYS: &str = "keys/";
/// Data keys, one an epoch, wrapped by the repository key.
pub const EPOCHS: &str = "epochs/";
/// Backups being made.
pub const LEASES: &str = "leases/";
/// Leases of those who read backups of a cluster.
pub fn readers(system: u64) -> String {
    format!("{LEASES}read-{system}-")
}
/// All clusters.
pub const CLUSTERS: &str = "clusters/";

/// Everything of one cluster.
pub fn cluster(system: u64) -> String {
    format!("{CLUSTERS}{system}/")
}
/// All backups of a cluster.
pub fn backups(system: u64) -> String {
    format!("{}backups/", cluster(system))
}
/// The list of files of a backup.
pub fn manifest(system: u64, backup: &str) -> String {
    format!("{}{backup}/manifest", backups(system))
}
/// A backup exists when this object does.
pub fn commit(system: u64, backup: &str) -> String {
    format!("{}{backup}/commit", backups(system))
}
/// Everything of one lineage.
pub fn lineage(system: u64, lineage: ObjectId) -> String {
    format!("{}lineages/{lineage}/", cluster(system))
}
/// A pack of a lineage.
pub fn pack(system: u64, of: ObjectId, pack: ObjectId) -> String {
    format!("{}packs/{pack}", lineage(system, of))
}
/// A map object of a lineage.
pub fn map(system: u64, of: ObjectId, map: ObjectId) -> String {
    format!("{}maps/{map}", lineage(system, of))
}
/// All holds of a cluster.
pub fn holds(system: u64) -> String {
    format!("{}holds/", cluster(system))
}
/// A hold on a backup.
pub fn hold(system: u64, backup: &str, id: ObjectId) -> String {
    format!("{}{backup}-{id}", holds(system))
}
/// What was shown of the backups of a cluster.
pub fn records(system: u64) -> String {
    format!("{}records/", cluster(system))
}
/// What was shown of one backup once.
pub fn record(system: u64, backup: &str, id: ObjectId) -> String {
    format!("{}{backup}-{id}", records(system))
}
/// All tombstones of a cluster.
pub fn tombstones(system: u64) -> String {
    format!("{}expired/", cluster(system))
}
/// What is left of an expired backup until its grace time is over.
pub fn tombstone(system: u64, backup: &str, id: ObjectId) -> String {
    format!("{}{backup}-{id}", tombstones(system))
}
/// All WAL of a cluster.
pub fn wal(system: u64) -> String {
    format!("{}wal/", cluster(system))
}
/// All WAL of one timeline.
pub fn wal_timeline(system: u64, timeline: Timeline) -> String {
    format!("{}{timeline:08X}/", wal(system))
}
/// A piece of WAL from `start` to `end`.
pub fn wal_piece(system: u64, timeline: Timeline, start: Lsn, end: Lsn, id: ObjectId) -> String {
    format!("{}{:016X}-{:016X}-{id}", wal_timeline(system, timeline), start.0, end.0)
}
/// All history files of a cluster.
pub fn histories(system: u64) -> String {
    format!("{}history/", cluster(system))
}
/// A history file.
pub fn history(system: u64, timeline: Timeline, id: ObjectId) -> String {
    format!("{}{timeline:08X}-{id}", histories(system))
}

/// All archives of one database of the platform. `home` is the name that the database gave itself.
pub fn archives(home: &str) -> String {
    format!("archives/{home}/")
}
/// Everything of one archived month: `kind` is events or metrics, `month` like 2026-07.
pub fn archived_month(home: &str, kind: &str, month: &str) -> String {
    format!("{}{kind}/{month}/", archives(home))
}
/// Rows of an archived month.
pub fn archive_data(home: &str, kind: &str, month: &str, id: ObjectId) -> String {
    format!("{}data-{id}", archived_month(home, kind, month))
}
/// What begins the name of every manifest of an archived month.
pub const ARCHIVE_MANIFEST: &str = "manifest-";
/// A month is archived when this object exists; of several the newest counts.
pub fn archive_manifest(home: &str, kind: &str, month: &str, id: ObjectId) -> String {
    format!("{}{ARCHIVE_MANIFEST}{id}", archived_month(home, kind, month))
}

/// What the name of a piece of WAL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalPieceName {
    /// Timeline.
    pub timeline: Timeline,
    /// Its first byte.
    pub start: Lsn,
    /// The byte after its last.
    pub end: Lsn,
    /// Its id.
    pub id: ObjectId,
}

/// Reads the key of a piece of WAL.
pub fn parse_wal_piece(key: &str) -> Option<WalPieceName> {
    let (rest, name) = key.rsplit_once('/')?;
    let timeline = u32::from_str_radix(rest.rsplit_once('/')?.1, 16).ok()?;
    let mut parts = name.splitn(3, '-');
    let mut lsn = || parts.next().and_then(|text| u64::from_str_radix(text, 16).ok()).map(Lsn);
    let (start, end) = (lsn()?, lsn()?);
    let id = parts.next()?.parse().ok()?;
    (start < end).then_some(WalPieceName { timeline, start, end, id })
}
