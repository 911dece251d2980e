//! `holdfast backup test`: what a backup and its stream need, asked for one after the other.

use super::{Source, SourceArgs};
use crate::{
    cli::{Failure, print},
    repository::RepositoryArgs,
};
use backup::wal::{SlotState, slot_state};
use domain::format;
use pgphysical::replication::ReplicationConnection;
use serde::Serialize;

/// The slot of the stream, and what is left for it. What is not known is `None`.
#[derive(Serialize)]
struct Slot {
    name: String,
    /// Whether 'holdfast serve' streams WAL through it.
    streams: bool,
    exists: bool,
    /// Whether somebody streams from it now.
    active: Option<bool>,
    #[serde(flatten)]
    state: SlotState,
    /// Of `max_replication_slots`.
    free_slots: i64,
    /// Of `max_wal_senders`.
    free_wal_senders: i64,
}

/// Runs `holdfast backup test`.
pub async fn run(args: &RepositoryArgs, source: &SourceArgs, json: bool) -> Result<(), Failure> {
    let repository = args.open().await?;
    let mut done = vec![("repository and key", repository.store().describe())];
    let key = format!("leases/test-{}", backup::format::ObjectId::random());
    let store = repository.store();
    store.put_new(&key, blobs::Bytes::from_static(b"test")).await?;
    let same = store.get(&key).await?.as_ref() == b"test";
    store.delete(&key).await?;
    if !same {
        return Err(Failure::failed("the store gave back other bytes than were written; do not use it"));
    }
    done.push(("write, read, delete", "good".to_owned()));
    let source = source.source()?;
    let info = &source.info;
    let mut sql = ReplicationConnection::connect_sql(info, &info.database).await?;
    let rights = sql
        .query("SELECT coalesce(bool_and(has_function_privilege(p.oid, 'execute')), false), (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), current_setting('wal_level') FROM pg_proc p WHERE p.proname IN ('pg_backup_start', 'pg_backup_stop', 'pg_start_backup') AND p.pronargs > 0")
        .await?;
    let cell = |at: usize| rights.first().and_then(|row| row.get(at)?.as_deref()).unwrap_or_default();
    done.push(("server", format!("{}, version {}", info.describe(), sql.server_version())));
    if cell(0) != "t" {
        return Err(Failure::failed(
            "the role may not start a backup: GRANT EXECUTE ON FUNCTION pg_backup_start, pg_backup_stop TO it, or use --source remote",
        ));
    }
    if cell(1) != "t" {
        return Err(Failure::failed("the role has no REPLICATION: WAL cannot be streamed; ALTER ROLE … REPLICATION"));
    }
    if cell(2) == "minimal" {
        return Err(Failure::failed("wal_level is minimal: set it to replica and restart the server"));
    }
    done.push(("rights", "may back up and replicate".to_owned()));
    let slot = slot(&mut sql, &source).await?;
    done.push(("slot", slot.describe()));
    let mut connection = ReplicationConnection::connect(info).await?;
    let identity = connection.identify_system().await?;
    done.push((
        "replication",
        format!("system {}, timeline {}, WAL at {}", identity.system_identifier, identity.timeline, identity.flush),
    ));
    if json {
        let mut said = serde_json::Value::from_iter(done.iter().map(|(name, value)| (*name, value.as_str())));
        if let Some(fields) = said.as_object_mut() {
            fields.insert("slot".to_owned(), serde_json::to_value(&slot).map_err(Failure::failed)?);
        }
        print(&said.to_string());
    } else {
        print(&done.iter().map(|(name, value)| format!("{name:<22} {value}")).collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

/// Looks at the slot.
///
/// # Errors
/// When the stream could not use it, or could not make it.
async fn slot(sql: &mut ReplicationConnection, source: &Source) -> Result<Slot, Failure> {
    let (name, streams) = (&source.slot, source.streams);
    let rows = sql
        .query(&format!(
            "SELECT s.slot_type, s.active, current_setting('max_replication_slots'), (SELECT count(*) FROM pg_replication_slots), \
             current_setting('max_wal_senders'), (SELECT count(*) FROM pg_stat_replication) \
             FROM (SELECT 1) AS one LEFT JOIN pg_replication_slots s ON s.slot_name = '{}'",
            name.replace('\'', "''")
        ))
        .await?;
    let cell = |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref());
    let number = |at: usize| cell(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let (kind, active) = (cell(0), cell(1).map(|it| it == "t"));
    let (most_slots, used_slots, most_senders, used_senders) = (number(2), number(3), number(4), number(5));
    let state = slot_state(sql, name).await?;
    if streams && kind == Some("logical") {
        return Err(Failure::failed(format!(
            "slot '{name}' is a logical one: WAL is streamed through a physical slot; name another by slot = \"…\" in [backup]"
        )));
    }
    if streams && state.as_ref().is_some_and(|it| it.wal_status.as_deref() == Some("lost")) {
        return Err(Failure::failed(format!(
            "slot '{name}' is lost: it held back more than max_slot_wal_keep_size, and the server removed WAL that was not streamed; SELECT pg_drop_replication_slot('{name}'), let the stream make it anew and take a backup"
        )));
    }
    let free_slots = most_slots - used_slots;
    if streams && kind.is_none() && free_slots < 1 {
        return Err(Failure::failed(format!(
            "no replication slot is free for '{name}': {used_slots} of {most_slots} are in use; drop one that nobody needs (SELECT slot_name, active FROM pg_replication_slots), or raise max_replication_slots and restart the server"
        )));
    }
    // A stream that runs has its own already; a backup that the server sends takes another.
    let needed = if streams && active != Some(true) { 2 } else { 1 };
    let free_wal_senders = most_senders - used_senders;
    if free_wal_senders < needed {
        return Err(Failure::failed(format!(
            "{used_senders} of {most_senders} WAL senders are in use, and {needed} must be free for backup and stream: raise max_wal_senders and restart the server, or end a connection of pg_stat_replication"
        )));
    }
    Ok(Slot {
        name: name.clone(),
        streams,
        exists: kind.is_some(),
        active,
        state: state.unwrap_or_default(),
        free_slots,
        free_wal_senders,
    })
}

impl Slot {
    fn describe(&self) -> String {
        let name = &self.name;
        let kept = self.state.kept_bytes.map_or_else(
            || "keeps no WAL yet".to_owned(),
            |bytes| format!("keeps {} of WAL on the server", format::bytes(bytes as f64)),
        );
        let status = self.state.wal_status.as_deref().map(|it| format!("{it}, ")).unwrap_or_default();
        let safe = self
            .state
            .safe_bytes
            .map(|bytes| format!(", lost after {} more", format::bytes(bytes as f64)))
            .unwrap_or_default();
        match (self.exists, self.active, self.streams) {
            (false, _, false) => format!("{name} is not there and not needed: WAL is not streamed (stream = false)"),
            (false, _, true) => {
                format!("{name} is not there yet, the stream makes it: {} slots are free", self.free_slots)
            }
            (true, Some(true), _) => format!("{name} is in use, {status}{kept}{safe}"),
            (true, _, true) => format!("{name} is there, nobody streams from it now: {status}{kept}{safe}"),
            (true, _, false) => format!(
                "{name} is there although WAL is not streamed (stream = false): {status}{kept} until SELECT pg_drop_replication_slot('{name}')"
            ),
        }
    }
}
