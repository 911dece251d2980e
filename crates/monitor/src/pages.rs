//! The further pages of a cluster, made with each snapshot from what is known.
use crate::{snapshot::availability, state::State};
use analysis::{connections, maintenance};
use domain::{
    reading::{CollectorKind, ServerRole},
    view::{
        ConnectionsPage, DatabaseRow, MaintenancePage, ReplicaState, ReplicationPage, SettingRow, SettingsPage,
        SlotRow, StandbyRow, TablesPage, UpstreamView,
    },
};
use std::sync::Arc;

/// All of them.
pub(crate) struct Pages {
    pub(crate) connections: Arc<ConnectionsPage>,
    pub(crate) tables: Arc<TablesPage>,
    pub(crate) replication: Arc<ReplicationPage>,
    pub(crate) settings: Arc<SettingsPage>,
    pub(crate) maintenance: Arc<MaintenancePage>,
}

pub(crate) fn make(state: &State, cluster: &str) -> Pages {
    let (cluster, sequence) = (cluster.to_owned(), state.sequence);
    let connections =
        state.activity.as_ref().map(|(at, reading)| connections::page(reading, state.server.as_ref(), *at));
    Pages {
        connections: Arc::new(ConnectionsPage {
            cluster: cluster.clone(),
            sequence,
            ..connections.unwrap_or_default()
        }),
        tables: Arc::new(TablesPage {
            cluster: cluster.clone(),
            sequence,
            availability: availability(state, CollectorKind::Tables),
            databases: databases(state),
            ..TablesPage::clone(&state.tables_page)
        }),
        replication: Arc::new(ReplicationPage { cluster: cluster.clone(), sequence, ..replication(state) }),
        settings: Arc::new(SettingsPage { cluster: cluster.clone(), sequence, ..settings(state) }),
        maintenance: Arc::new(MaintenancePage { cluster, sequence, ..maintenance(state) }),
    }
}

fn databases(state: &State) -> Vec<DatabaseRow> {
    let share = |part: i64, all: i64| (all > 0).then(|| 100.0 * part as f64 / all as f64);
    let rows = state.database.as_ref().map(|(_, reading)| reading.rows.as_slice()).unwrap_or_default();
    let mut rows = rows
        .iter()
        .map(|row| DatabaseRow {
            name: row.name.clone(),
            bytes: state.database_sizes.get(&row.oid).copied(),
            backends: row.backends,
            transactions: row.xact_commit + row.xact_rollback,
            rollback_percent: share(row.xact_rollback, row.xact_commit + row.xact_rollback),
            hit_percent: share(row.blks_hit, row.blks_hit + row.blks_read),
            temp_bytes: row.temp_bytes,
            deadlocks: row.deadlocks,
            xid_age: row.oldest_id_age(),
            since: row.stats_reset,
        })
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn replication(state: &State) -> ReplicationPage {
    let reading = state.replication.as_ref();
    let current = reading.and_then(|reading| reading.current_lsn);
    let standby = |view: &domain::view::ReplicaView| {
        let sender = reading.and_then(|reading| reading.senders.iter().find(|sender| sender.name == view.name));
        let part = |from: Option<domain::Lsn>, to: Option<domain::Lsn>| {
            sender.and_then(|_| from.zip(to).map(|(from, to)| from.bytes_since(to).max(0)))
        };
        StandbyRow {
            name: view.name.clone(),
            address: sender.and_then(|sender| sender.client_address.clone()),
            state: view.state,
            sync_state: sender.map(|sender| sender.sync_state.clone()).unwrap_or_default(),
            logical: sender.is_some_and(|sender| sender.logical),
            gone_since: state.replicas.gone_since(&view.name),
            lag_seconds: view.lag_seconds,
            lag_bytes: view.lag_bytes,
            send_bytes: part(current, sender.and_then(|it| it.sent_lsn)),
            write_bytes: part(sender.and_then(|it| it.sent_lsn), sender.and_then(|it| it.write_lsn)),
            flush_bytes: part(sender.and_then(|it| it.write_lsn), sender.and_then(|it| it.flush_lsn)),
            replay_bytes: part(sender.and_then(|it| it.flush_lsn), sender.and_then(|it| it.replay_lsn)),
        }
    };
    let upstream = reading.and_then(|reading| {
        let own = reading.standby.as_ref()?;
        let receiver = own.receiver.as_ref();
        Some(UpstreamView {
            status: receiver.map(|receiver| receiver.status.clone()),
            sender_host: receiver.and_then(|receiver| receiver.sender_host.clone()),
            receive_lsn: own.receive_lsn,
            replay_lsn: own.replay_lsn,
            replay_bytes: own.receive_lsn.zip(own.replay_lsn).map(|(from, to)| from.bytes_since(to).max(0)),
            heard_seconds: receiver.and_then(|receiver| receiver.latest_end_age_seconds),
            paused: own.paused,
            conflicts: reading.conflicts,
        })
    });
    let slots = reading.map(|reading| &reading.slots[..]).unwrap_or_default().iter().map(|slot| SlotRow {
        name: slot.name.clone(),
        slot_type: slot.slot_type.clone(),
        active: slot.active,
        wal_status: slot.wal_status.clone(),
        safe_wal_bytes: slot.safe_wal_bytes,
        retained_bytes: slot.retained_bytes,
        inactive_since: slot.inactive_since,
        invalidation_reason: slot.invalidation_reason.clone(),
    });
    let mut standbys = state.replicas.views().iter().map(standby).collect::<Vec<_>>();
    // What needs eyes comes first.
    standbys.sort_by_key(|row| (row.state != ReplicaState::Disconnected, row.name.clone()));
    ReplicationPage {
        collected_at: state.collectors.collected_at(CollectorKind::Replication),
        availability: availability(state, CollectorKind::Replication),
        role: state.server.as_ref().map(|server| server.role),
        timeline: state.server.as_ref().and_then(|server| server.timeline),
        current_lsn: current,
        standbys,
        upstream: upstream.filter(|_| state.server.as_ref().is_some_and(|server| server.role == ServerRole::Standby)),
        slots: slots.collect(),
        ..ReplicationPage::default()
    }
}

fn settings(state: &State) -> SettingsPage {
    let rows = state.settings.as_ref().map(|reading| &reading.rows[..]).unwrap_or_default();
    // What only this session has says nothing about the server.
    let rows = rows.iter().filter(|row| row.source != "session" && row.source != "client").map(|row| SettingRow {
        name: row.name.clone(),
        value: row.setting.clone(),
        default: row.boot_value.clone(),
        unit: row.unit.clone(),
        source: row.source.clone(),
        pending_restart: row.pending_restart,
        changed: row.source != "default"
            && row.source != "override"
            && row.boot_value.as_deref() != Some(row.setting.as_str()),
    });
    SettingsPage {
        collected_at: state.collectors.collected_at(CollectorKind::Settings),
        availability: availability(state, CollectorKind::Settings),
        rows: rows.collect(),
        ..SettingsPage::default()
    }
}

fn maintenance(state: &State) -> MaintenancePage {
    let vacuum = state.vacuum.as_ref();
    let freeze_max_age = vacuum.map(|it| it.freeze_max_age);
    MaintenancePage {
        collected_at: state.collectors.collected_at(CollectorKind::Vacuum),
        availability: availability(state, CollectorKind::Vacuum),
        databases: state.database.as_ref().map(|(_, it)| maintenance::ages(it, freeze_max_age)).unwrap_or_default(),
        freeze_max_age,
        multixact_age: vacuum.map(|it| it.multixact_age),
        multixact_freeze_max_age: vacuum.map(|it| it.multixact_freeze_max_age),
        horizon: vacuum.map(|it| it.horizon.clone()).unwrap_or_default(),
        progress: vacuum.map(|it| it.progress.clone()).unwrap_or_default(),
        temp: vacuum.and_then(|it| it.temp),
        checkpoints: state.wal.as_ref().and_then(|(_, it)| it.checkpoints.as_ref()).map(maintenance::checkpoints),
        wal: state.wal_view.clone(),
        io_availability: availability(state, CollectorKind::Io),
        io_collected_at: state.collectors.collected_at(CollectorKind::Io),
        io: state.io_rows.clone(),
        ..MaintenancePage::default()
    }
}
