//! What goes beside a stream, on a connection of its own: heartbeats, so that a quiet database has a commit with a time, and
//! a look at the slot, which keeps WAL on the server while the repository cannot take it.
use super::stream::{DROPPED, DROPPING, KEPT, StreamOptions, StreamStatus};
use crate::repo::now;
use domain::Timestamp;
use pgphysical::replication::{ConnInfo, ReplicationConnection, ReplicationError};
use serde::Serialize;
use std::{
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// When the slot is given up, so that the server's disk does not fill. Without a limit it never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotLimits {
    /// It keeps more WAL than this, bytes.
    pub most_kept: Option<u64>,
    /// The file system of `pg_wal` has less room than this, bytes; known only beside the server.
    pub least_free: Option<u64>,
}

/// The slot as the server shows it; what is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotState {
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// WAL that it keeps, bytes.
    pub kept_bytes: Option<u64>,
    /// So much more can be written before it is lost; `None` without `max_slot_wal_keep_size`.
    pub safe_bytes: Option<u64>,
    /// `max_slot_wal_keep_size`; `None` without a limit.
    pub limit_bytes: Option<u64>,
    /// Room in the file system of `pg_wal`.
    pub free_bytes: Option<u64>,
}

/// Between two looks at the slot.
const LOOK: Duration = Duration::from_secs(5);
const RECONNECT: Duration = Duration::from_secs(5);
/// Longest time that the slot's last connection is waited for.
const DROP_PATIENCE: Duration = Duration::from_secs(30);

/// Attends to a stream until `stop`. Its own failures are told and never end the stream.
pub(super) async fn attend(
    source: &ConnInfo,
    options: &StreamOptions,
    status: &StreamStatus,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let visited = tokio::select! {
            visited = visit(source, options, status) => visited,
            () = stop.cancelled() => return,
        };
        if let Err(error) = visited {
            tracing::debug!(%error, "the slot cannot be looked at");
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn visit(source: &ConnInfo, options: &StreamOptions, status: &StreamStatus) -> Result<(), ReplicationError> {
    let mut sql = ReplicationConnection::connect_sql(source, &source.database).await?;
    // A synchronous standby that is away must not hold a heartbeat back.
    sql.query("SET synchronous_commit = local").await?;
    sql.query("SET statement_timeout = '20s'").await?;
    let mut warned = Instant::now().checked_sub(Duration::from_secs(3_600));
    let mut can_write = true;
    let (mut next_beat, mut next_look) = (Instant::now(), Instant::now());
    loop {
        if let Some(every) = options.heartbeat.filter(|_| can_write)
            && Instant::now() >= next_beat
        {
            next_beat = Instant::now() + every;
            match sql
                .query("SELECT pg_logical_emit_message(true, 'holdfast', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')), floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .await
            {
                // Before its commit, by the same clock: a restored copy whose newest commit is older does not have it.
                Ok(rows) => {
                    let at = rows.first().and_then(|row| row.get(1)?.as_deref()?.parse::<i64>().ok());
                    status.set_heartbeat(at.map_or_else(now, Timestamp));
                }
                // On a standby: its primary's commits come through.
                Err(ReplicationError::Server { code, message, .. }) if code != "57P01" => {
                    tracing::warn!(message, "no heartbeats: the server takes no writes, or the role may not emit messages");
                    can_write = false;
                }
                Err(error) => return Err(error),
            }
        }
        if Instant::now() >= next_look {
            next_look = Instant::now() + LOOK;
            if let Some(state) = slot_state(&mut sql, &options.slot).await? {
                judge(&mut sql, options, status, &state, &mut warned).await?;
                status.set_slot(Some(state));
            } else {
                status.set_slot(None);
            }
        }
        let wake = if options.heartbeat.is_some() && can_write { next_beat.min(next_look) } else { next_look };
        tokio::time::sleep_until(wake.into()).await;
    }
}

/// A slot as the server shows it now; `None` when there is none of that name. `sql` is a plain connection.
///
/// # Errors
/// See [`ReplicationError`].
pub async fn slot_state(sql: &mut ReplicationConnection, slot: &str) -> Result<Option<SlotState>, ReplicationError> {
    let slot = slot.replace('\'', "''");
    let rows = sql
        .query(&format!(
            "SELECT s.wal_status, s.safe_wal_size, (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END - s.restart_lsn)::bigint, \
             m.setting::bigint * 1048576, d.setting FROM pg_replication_slots s \
             LEFT JOIN pg_settings m ON m.name = 'max_slot_wal_keep_size' LEFT JOIN pg_settings d ON d.name = 'data_directory' WHERE s.slot_name = '{slot}'"
        ))
        .await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let text = |at: usize| row.get(at).and_then(Option::as_deref);
    // Below zero: no limit, or behind it already.
    let bytes = |at: usize| text(at)?.parse::<i64>().ok();
    let free = text(4).and_then(|directory| {
        let space = nix::sys::statvfs::statvfs(&PathBuf::from(directory).join("pg_wal")).ok()?;
        Some(space.blocks_available() * space.fragment_size())
    });
    Ok(Some(SlotState {
        wal_status: text(0).map(str::to_owned),
        kept_bytes: bytes(2).and_then(|it| u64::try_from(it).ok()),
        safe_bytes: bytes(1).map(|it| u64::try_from(it).unwrap_or(0)),
        limit_bytes: bytes(3).and_then(|it| u64::try_from(it).ok()),
        free_bytes: free,
    }))
}

/// Warns before WAL is lost, and gives the slot up where the limits say so.
async fn judge(
    sql: &mut ReplicationConnection,
    options: &StreamOptions,
    status: &StreamStatus,
    state: &SlotState,
    warned: &mut Option<Instant>,
) -> Result<(), ReplicationError> {
    let mib = |bytes: u64| bytes >> 20;
    let kept = state.kept_bytes.unwrap_or(0);
    let too_much = options
        .limits
        .most_kept
        .filter(|limit| kept > *limit)
        .map(|limit| format!("it keeps {} MiB of WAL, more than the limit of {} MiB", mib(kept), mib(limit)));
    let too_full = options
        .limits
        .least_free
        .zip(state.free_bytes)
        .filter(|(limit, free)| free < limit)
        .map(|(limit, free)| format!("the server's disk has {} MiB free, less than {} MiB", mib(free), mib(limit)));
    if let Some(reason) = too_much.or(too_full) {
        // Until the repository takes writes again no new slot is made, or it would fill the disk anew.
        status.slot_given_up.store(DROPPING, Ordering::SeqCst);
        tracing::error!(
            slot = options.slot,
            reason,
            "the slot is dropped; WAL that the server removes now is lost, and a new backup will be needed"
        );
        let dropped = drop_slot(sql, &options.slot).await;
        status.slot_given_up.store(if dropped.is_ok() { DROPPED } else { KEPT }, Ordering::SeqCst);
        if dropped.is_ok() {
            status.note_given_up(reason);
        }
        return dropped;
    }
    let near = match (state.safe_bytes, state.limit_bytes) {
        (Some(safe), Some(limit)) => safe < limit / 5,
        _ => false,
    };
    let lost = matches!(state.wal_status.as_deref(), Some("unreserved" | "lost"));
    if (near || lost) && warned.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
        *warned = Some(Instant::now());
        tracing::warn!(
            slot = options.slot,
            wal_status = state.wal_status,
            kept_mib = mib(kept),
            safe_mib = state.safe_bytes.map(mib),
            "the server will soon remove WAL that is not in the repository; mend the repository, or raise max_slot_wal_keep_size"
        );
    }
    Ok(())
}

async fn drop_slot(sql: &mut ReplicationConnection, slot: &str) -> Result<(), ReplicationError> {
    let slot = slot.replace('\'', "''");
    let begun = Instant::now();
    loop {
        // Our own stream holds it; it finds out what happened.
        sql.query(&format!(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
        ))
        .await?;
        match sql
            .query(&format!(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'"
            ))
            .await
        {
            Err(ReplicationError::Server { code, .. }) if code == "55006" && begun.elapsed() < DROP_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => return other.map(drop),
        }
    }
}

impl StreamStatus {
    fn set_heartbeat(&self, at: Timestamp) {
        *self.heartbeat_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(at);
    }

    fn set_slot(&self, state: Option<SlotState>) {
        *self.slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
    }

    fn note_given_up(&self, reason: String) {
        *self.given_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(reason);
    }
}
