//! Connections, replication, settings, maintenance: what one cluster's further pages show.
use super::{Availability, Event, GuideSetting, SettingFinding};
use crate::{
    Lsn, Timestamp,
    reading::{Conflicts, HorizonHolder, Progress, ServerRole, TempFiles},
    view::ReplicaState,
};
use serde::{Deserialize, Serialize};

/// Sessions that have something in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionRow {
    /// What they have in common.
    pub name: String,
    /// How many.
    pub total: i64,
    /// Of those active.
    pub active: i64,
    /// Idle in a transaction.
    pub idle_in_transaction: i64,
    /// Idle.
    pub idle: i64,
    /// Waiting for a lock.
    pub waiting: i64,
    /// The longest that one of them is idle in a transaction.
    pub longest_idle_in_transaction_seconds: Option<f64>,
    /// The oldest session.
    pub oldest_started_at: Option<Timestamp>,
}

/// Sessions grouped one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionGroup {
    /// `state`, `user`, `application`, `host`, `database`.
    pub by: String,
    /// The most first.
    pub rows: Vec<ConnectionRow>,
}

/// Who holds the connection slots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionsPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Client backends.
    pub used: i64,
    /// Slots that ordinary roles can use.
    pub usable: Option<i64>,
    /// `max_connections`.
    pub max_connections: Option<i64>,
    /// Grouped five ways.
    pub groups: Vec<ConnectionGroup>,
}

/// One standby, seen from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StandbyRow {
    /// `application_name`.
    pub name: String,
    /// Its address.
    pub address: Option<String>,
    /// Its state: idle, streaming, catching up, disconnected or unknown.
    pub state: ReplicaState,
    /// `sync_state`.
    pub sync_state: String,
    /// A subscriber or another reader of decoded changes, and no standby: its slot tells when it is gone.
    #[serde(default)]
    pub logical: bool,
    /// When it was last seen, while it is disconnected. It is missed until it is back or a person says that it is gone
    /// for good.
    pub gone_since: Option<Timestamp>,
    /// Time behind; a lower bound when disconnected; `None` when unknown.
    pub lag_seconds: Option<f64>,
    /// WAL not yet replayed.
    pub lag_bytes: Option<i64>,
    /// Of that not yet sent.
    pub send_bytes: Option<i64>,
    /// Sent and not yet written there.
    pub write_bytes: Option<i64>,
    /// Written and not yet flushed.
    pub flush_bytes: Option<i64>,
    /// Flushed and not yet replayed.
    pub replay_bytes: Option<i64>,
}

/// Where a standby receives from, seen by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpstreamView {
    /// `streaming`, …; `None`: the receiver does not run.
    pub status: Option<String>,
    /// From which host.
    pub sender_host: Option<String>,
    /// Received up to.
    pub receive_lsn: Option<Lsn>,
    /// Replayed up to.
    pub replay_lsn: Option<Lsn>,
    /// Received and not yet replayed.
    pub replay_bytes: Option<i64>,
    /// Since the sender was last heard of.
    pub heard_seconds: Option<f64>,
    /// Replay is paused.
    pub paused: bool,
    /// Queries that replay cancelled.
    pub conflicts: Option<Conflicts>,
}

/// One replication slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotRow {
    /// Name.
    pub name: String,
    /// `physical` or `logical`.
    pub slot_type: String,
    /// In use now.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Bytes until it is in danger; `None` without a limit.
    pub safe_wal_bytes: Option<i64>,
    /// WAL kept for it.
    pub retained_bytes: Option<i64>,
    /// Since when it is not in use (17+).
    pub inactive_since: Option<Timestamp>,
    /// Why it was invalidated (17+).
    pub invalidation_reason: Option<String>,
}

/// Replication of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplicationPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When it was read.
    pub collected_at: Option<Timestamp>,
    /// Whether it can be read.
    pub availability: Availability,
    /// Primary or standby.
    pub role: Option<ServerRole>,
    /// Timeline of the last checkpoint.
    pub timeline: Option<i64>,
    /// Newest position here.
    pub current_lsn: Option<Lsn>,
    /// Standbys that stream from here, those seen before included.
    pub standbys: Vec<StandbyRow>,
    /// Set on a standby.
    pub upstream: Option<UpstreamView>,
    /// Slots here.
    pub slots: Vec<SlotRow>,
}

/// One setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingRow {
    /// Name.
    pub name: String,
    /// Value in use.
    pub value: String,
    /// Value built in.
    pub default: Option<String>,
    /// Unit of both.
    pub unit: Option<String>,
    /// Where the value is from.
    pub source: String,
    /// A changed file takes effect at the next restart only.
    pub pending_restart: bool,
    /// It differs from the value built in.
    pub changed: bool,
}

/// All settings and how they changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingsPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When they were read.
    pub collected_at: Option<Timestamp>,
    /// Whether they can be read.
    pub availability: Availability,
    /// By name.
    pub rows: Vec<SettingRow>,
    /// Changes that we saw, the newest first.
    pub changes: Vec<Event>,
    /// Settings that should be others, the worst first.
    pub findings: Vec<SettingFinding>,
    /// The guide's `postgresql.conf` beside what is in use, in its order.
    pub guide: Vec<GuideSetting>,
    /// Memory of the server's machine, where it is this one.
    pub memory_bytes: Option<i64>,
}

/// Age of transaction ids of one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct XidRow {
    /// Database.
    pub database: String,
    /// Age of its oldest.
    pub age: i64,
    /// Of what would stop the server (about 2,147 million).
    pub wraparound_percent: f64,
    /// Of `autovacuum_freeze_max_age`: over 100 vacuum comes by force.
    pub freeze_percent: Option<f64>,
}

/// Checkpoints between two readings some minutes apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckpointsView {
    /// By the clock, since the counters began.
    pub timed: i64,
    /// Asked for, by WAL or by hand, since the counters began.
    pub requested: i64,
    /// Asked for, of all; `None` with fewer than ten.
    pub requested_percent: Option<f64>,
    /// Writing, per checkpoint.
    pub write_ms_each: Option<f64>,
    /// Syncing, per checkpoint.
    pub sync_ms_each: Option<f64>,
    /// When the counters began.
    pub since: Option<Timestamp>,
}

/// WAL per second between the last two readings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WalView {
    /// Bytes.
    pub bytes_per_second: Option<f64>,
    /// Records (14+).
    pub records_per_second: Option<f64>,
    /// Whole pages after a checkpoint (14+).
    pub full_page_images_per_second: Option<f64>,
    /// Waits for a buffer (14+): more than none asks for a larger `wal_buffers`.
    pub buffers_full_per_second: Option<f64>,
    /// Segments the archiver took.
    pub archived: Option<i64>,
    /// Attempts that failed.
    pub archive_failures: Option<i64>,
    /// Last segment taken.
    pub last_archived_at: Option<Timestamp>,
    /// Archiving is on.
    pub archiving: Option<bool>,
}

/// One kind of process and of I/O per second between the last two readings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IoRow {
    /// Kind of process.
    pub backend_type: String,
    /// Of what.
    pub object: String,
    /// In which context.
    pub context: String,
    /// Read.
    pub read_bytes_per_second: Option<f64>,
    /// Written.
    pub write_bytes_per_second: Option<f64>,
    /// Extended by.
    pub extend_bytes_per_second: Option<f64>,
    /// Found in shared buffers.
    pub hits_per_second: Option<f64>,
    /// Pushed out of shared buffers.
    pub evictions_per_second: Option<f64>,
    /// Synced.
    pub fsyncs_per_second: Option<f64>,
    /// Milliseconds of reading in a second; `None` unless `track_io_timing`.
    pub read_ms_per_second: Option<f64>,
    /// Milliseconds of writing in a second; `None` unless `track_io_timing`.
    pub write_ms_per_second: Option<f64>,
}

/// Vacuum's horizon, checkpoints, WAL, I/O, temporary files, progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MaintenancePage {
    /// Id of the cluster.
    pub cluster: String,
    /// Number of the snapshot.
    pub sequence: u64,
    /// When the horizon was read.
    pub collected_at: Option<Timestamp>,
    /// Whether the horizon can be read.
    pub availability: Availability,
    /// Databases by age, the oldest first.
    pub databases: Vec<XidRow>,
    /// `autovacuum_freeze_max_age`.
    pub freeze_max_age: Option<i64>,
    /// Oldest multixact.
    pub multixact_age: Option<i64>,
    /// `autovacuum_multixact_freeze_max_age`.
    pub multixact_freeze_max_age: Option<i64>,
    /// Who holds back vacuum, the oldest first.
    pub horizon: Vec<HorizonHolder>,
    /// Commands with progress.
    pub progress: Vec<Progress>,
    /// Temporary files now; `None` without the right.
    pub temp: Option<TempFiles>,
    /// Checkpoints.
    pub checkpoints: Option<CheckpointsView>,
    /// WAL.
    pub wal: Option<WalView>,
    /// Whether I/O can be read.
    pub io_availability: Availability,
    /// When it was read.
    pub io_collected_at: Option<Timestamp>,
    /// I/O, the most first.
    pub io: Vec<IoRow>,
}
