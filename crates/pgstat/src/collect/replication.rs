//! Standbys, the WAL receiver, slots.
use super::{get, lsn, time};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{Conflicts, ReplicationReading, Sender, Slot, StandbyState, WalReceiver};
use sqlx::postgres::PgRow;
use std::collections::HashSet;

const NAME: &str = "replication";

impl Cluster {
    /// Replication as this server sees it.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn replication(&self) -> Result<ReplicationReading, PgstatError> {
        let probe = self.probe().await?;
        let rows = self.fetch(NAME, &sql::replication(&probe)).await?;
        let missing = || PgstatError::Query { name: NAME, source: sqlx::Error::RowNotFound };
        let current = rows.first().ok_or_else(missing)?;
        let standby = if get::<bool>(NAME, current, "in_recovery")? {
            let receiver = self.fetch("receiver", &sql::receiver(&probe)).await?;
            let receiver = receiver
                .first()
                .map(|row| {
                    Ok::<_, PgstatError>(WalReceiver {
                        // Without pg_monitor all columns but the pid are NULL.
                        status: get::<Option<String>>(NAME, row, "status")?.unwrap_or_else(|| "hidden".to_owned()),
                        sender_host: get(NAME, row, "sender_host")?,
                        flushed_lsn: lsn(NAME, row, "flushed_lsn")?,
                        latest_end_lsn: lsn(NAME, row, "latest_end_lsn")?,
                        latest_end_age_seconds: get(NAME, row, "latest_end_age_seconds")?,
                    })
                })
                .transpose()?;
            Some(StandbyState {
                receive_lsn: lsn(NAME, current, "received_here")?,
                replay_lsn: lsn(NAME, current, "replayed_here")?,
                last_replay_seconds: get(NAME, current, "last_replay_seconds")?,
                paused: get(NAME, current, "paused")?,
                receiver,
            })
        } else {
            None
        };
        let conflicts = match &standby {
            Some(_) => {
                let row = self.fetch_one("conflicts", sql::CONFLICTS).await?;
                let number = |column| Ok::<_, PgstatError>(get::<Option<i64>>(NAME, &row, column)?.unwrap_or(0));
                Some(Conflicts {
                    tablespace: number("tablespace")?,
                    lock: number("lock")?,
                    snapshot: number("snapshot")?,
                    buffer_pin: number("buffer_pin")?,
                    deadlock: number("deadlock")?,
                })
            }
            None => None,
        };
        let mut senders = Vec::new();
        let mut slots = Vec::new();
        let mut pids = HashSet::new();
        for row in &rows {
            // A sender that holds a temporary slot besides the one it streams from has a row for each.
            if get::<Option<i32>>(NAME, row, "sender")?.is_some_and(|pid| pids.insert(pid)) {
                senders.push(sender(row)?);
            }
            if let Some(name) = get::<Option<String>>(NAME, row, "slot_name")? {
                slots.push(slot(row, name)?);
            }
        }
        slots.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(ReplicationReading { conflicts, current_lsn: lsn(NAME, current, "lsn")?, senders, standby, slots })
    }
}

fn sender(row: &PgRow) -> Result<Sender, PgstatError> {
    Ok(Sender {
        name: get::<Option<String>>(NAME, row, "name")?.unwrap_or_default(),
        client_address: get(NAME, row, "client_address")?,
        state: get::<Option<String>>(NAME, row, "state")?.unwrap_or_else(|| "hidden".to_owned()),
        sync_state: get::<Option<String>>(NAME, row, "sync_state")?.unwrap_or_default(),
        // What is decoded goes through a slot; who sends blocks as they are may have none.
        logical: get::<Option<String>>(NAME, row, "slot_type")?.is_some_and(|kind| kind == "logical"),
        sent_lsn: lsn(NAME, row, "sent_lsn")?,
        write_lsn: lsn(NAME, row, "write_lsn")?,
        flush_lsn: lsn(NAME, row, "flush_lsn")?,
        replay_lsn: lsn(NAME, row, "replay_lsn")?,
        replay_lag_seconds: get(NAME, row, "replay_lag_seconds")?,
    })
}

fn slot(row: &PgRow, name: String) -> Result<Slot, PgstatError> {
    Ok(Slot {
        name,
        slot_type: get(NAME, row, "slot_type")?,
        active: get(NAME, row, "active")?,
        wal_status: get(NAME, row, "wal_status")?,
        safe_wal_bytes: get(NAME, row, "safe_wal_bytes")?,
        retained_bytes: get(NAME, row, "retained_bytes")?,
        inactive_since: time(NAME, row, "inactive_since")?,
        invalidation_reason: get(NAME, row, "invalidation_reason")?,
    })
}
