//! Standbys, the WAL receiver, slots.
use super::{get, lsn, time};
use crate::{Cluster, PgstatError, sql};
use domain::reading::{Conflicts, ReplicationReading, Sender, Slot, StandbyState, WalReceiver};
use sqlx::postgres::PgRow;

impl Cluster {
    /// Replication as this server sees it.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn replication(&self) -> Result<ReplicationReading, PgstatError> {
        const NAME: &str = "replication";
        let senders = self.fetch(NAME, sql::SENDERS).await?;
        let missing = || PgstatError::Query { name: NAME, source: sqlx::Error::RowNotFound };
        let current = senders.first().ok_or_else(missing)?;
        let slots = self.fetch("slots", &sql::slots(&*self.probe().await?)).await?;
        let standby = if get::<bool>(NAME, current, "in_recovery")? {
            let receiver = self.fetch("receiver", &sql::receiver(&*self.probe().await?)).await?;
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
        let is_sender = |row: &&PgRow| get::<Option<i32>>(NAME, row, "sender").is_ok_and(|pid| pid.is_some());
        let sender = |row| {
            Ok(Sender {
                name: get::<Option<String>>(NAME, row, "name")?.unwrap_or_default(),
                client_address: get(NAME, row, "client_address")?,
                state: get::<Option<String>>(NAME, row, "state")?.unwrap_or_else(|| "hidden".to_owned()),
                sync_state: get::<Option<String>>(NAME, row, "sync_state")?.unwrap_or_default(),
                sent_lsn: lsn(NAME, row, "sent_lsn")?,
                write_lsn: lsn(NAME, row, "write_lsn")?,
                flush_lsn: lsn(NAME, row, "flush_lsn")?,
                replay_lsn: lsn(NAME, row, "replay_lsn")?,
                replay_lag_seconds: get(NAME, row, "replay_lag_seconds")?,
            })
        };
        let slot = |row| {
            Ok(Slot {
                name: get(NAME, row, "name")?,
                slot_type: get(NAME, row, "slot_type")?,
                active: get(NAME, row, "active")?,
                wal_status: get(NAME, row, "wal_status")?,
                safe_wal_bytes: get(NAME, row, "safe_wal_bytes")?,
                retained_bytes: get(NAME, row, "retained_bytes")?,
                inactive_since: time(NAME, row, "inactive_since")?,
                invalidation_reason: get(NAME, row, "invalidation_reason")?,
            })
        };
        Ok(ReplicationReading {
            conflicts,
            current_lsn: lsn(NAME, current, "lsn")?,
            senders: senders.iter().filter(is_sender).map(sender).collect::<Result<_, PgstatError>>()?,
            standby,
            slots: slots.iter().map(slot).collect::<Result<_, PgstatError>>()?,
        })
    }
}
