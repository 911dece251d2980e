//! Replication, seen from the sender and from the standby.
use crate::{Lsn, Timestamp};
use serde::{Deserialize, Serialize};

/// One row of `pg_stat_replication`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// `application_name` of the standby.
    pub name: String,
    /// Its address.
    pub client_address: Option<String>,
    /// `streaming`, `catchup`, `backup`, …
    pub state: String,
    /// `async`, `sync`, `quorum`, `potential`.
    pub sync_state: String,
    /// It holds a logical slot: a subscriber or another reader of decoded changes, and no standby.
    #[serde(default)]
    pub logical: bool,
    /// Sent.
    pub sent_lsn: Option<Lsn>,
    /// Written by the standby.
    pub write_lsn: Option<Lsn>,
    /// Flushed by the standby.
    pub flush_lsn: Option<Lsn>,
    /// Replayed by the standby.
    pub replay_lsn: Option<Lsn>,
    /// `replay_lag`; NULL when idle.
    pub replay_lag_seconds: Option<f64>,
}

/// `pg_stat_wal_receiver` on a standby.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WalReceiver {
    /// `streaming`, `waiting`, …
    pub status: String,
    /// Host it receives from.
    pub sender_host: Option<String>,
    /// Flushed so far.
    pub flushed_lsn: Option<Lsn>,
    /// Newest position the sender told.
    pub latest_end_lsn: Option<Lsn>,
    /// Seconds since the sender last told it, by the standby's clock.
    pub latest_end_age_seconds: Option<f64>,
}

/// A standby's own view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StandbyState {
    /// `pg_last_wal_receive_lsn()`.
    pub receive_lsn: Option<Lsn>,
    /// `pg_last_wal_replay_lsn()`.
    pub replay_lsn: Option<Lsn>,
    /// Seconds since the last replayed transaction was committed: grows while the primary idles, so it is only a hint.
    pub last_replay_seconds: Option<f64>,
    /// Replay is paused.
    pub paused: bool,
    /// The WAL receiver; `None` means that it does not run.
    pub receiver: Option<WalReceiver>,
}

/// One replication slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slot {
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

/// Queries that replay cancelled on a standby, by cause, since the counters began (`pg_stat_database_conflicts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conflicts {
    /// A dropped tablespace.
    pub tablespace: i64,
    /// A lock.
    pub lock: i64,
    /// Row versions that vacuum removed.
    pub snapshot: i64,
    /// A pinned buffer.
    pub buffer_pin: i64,
    /// A deadlock with replay.
    pub deadlock: i64,
}

/// Replication at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicationReading {
    /// Queries a standby cancelled; `None` on a primary.
    pub conflicts: Option<Conflicts>,
    /// Newest position here.
    pub current_lsn: Option<Lsn>,
    /// Standbys that stream from here.
    pub senders: Vec<Sender>,
    /// Set on a standby.
    pub standby: Option<StandbyState>,
    /// Slots here.
    pub slots: Vec<Slot>,
}

/// A standby that a primary has had: while it is not there it is missed, also after a restart of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownStandby {
    /// As it is shown.
    pub name: String,
    /// Last seen.
    pub seen_at: Timestamp,
    /// What it had replayed by then.
    pub replayed: Option<Lsn>,
    /// Several had its name: its address stands behind it.
    pub by_address: bool,
}
