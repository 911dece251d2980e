//! The shorter lists as CSV: the estate, databases, disks, replication, maintenance, advice, events, our own cost.

use analysis::csv::{Cell, write};
use domain::{
    Timestamp,
    reading::CollectorState,
    view::{AdvicePage, CostPage, EstateRow, Event, HostPage, MaintenancePage, ReplicationPage, TablesPage},
};

fn text(value: Option<&str>) -> Cell {
    Cell::Text(value.unwrap_or_default().to_owned())
}

fn time(at: Option<Timestamp>) -> Cell {
    Cell::Text(at.map(|at| at.to_rfc3339()).unwrap_or_default())
}

fn whole(number: Option<i64>) -> Cell {
    number.map_or(Cell::Number(None), Cell::Whole)
}

/// Clusters beside each other.
pub fn estate(rows: &[EstateRow]) -> String {
    let header = [
        "cluster",
        "name",
        "state",
        "reason",
        "role",
        "server_version",
        "score",
        "critical_alerts",
        "warning_alerts",
        "info_alerts",
        "connections_percent",
        "lag_seconds",
        "databases_bytes",
        "backed_up",
        "backup_age_seconds",
        "age_seconds",
        "group",
    ];
    write(
        &header,
        rows.iter().map(|row| {
            let cluster = &row.cluster;
            vec![
                cluster.id.as_str().into(),
                cluster.name.as_str().into(),
                cluster.state.as_str().into(),
                text(cluster.state.reason()),
                text(cluster.role.map(|role| role.as_str())),
                text(cluster.server_version.as_deref()),
                Cell::Number(row.score.map(f64::from)),
                Cell::Number(row.alerts.map(|alerts| f64::from(alerts.critical))),
                Cell::Number(row.alerts.map(|alerts| f64::from(alerts.warning))),
                Cell::Number(row.alerts.map(|alerts| f64::from(alerts.info))),
                Cell::Number(row.connections_percent),
                Cell::Number(row.lag_seconds),
                whole(row.databases_bytes),
                Cell::Text(row.is_protected.to_string()),
                Cell::Number(row.backup_age_seconds),
                Cell::Number(row.age_seconds),
                text(cluster.group.as_deref()),
            ]
        }),
    )
}

/// Counters of databases.
pub fn database_counters(page: &TablesPage) -> String {
    let header = [
        "database",
        "bytes",
        "backends",
        "transactions",
        "rollback_percent",
        "hit_percent",
        "temp_bytes",
        "deadlocks",
        "xid_age",
        "since",
    ];
    write(
        &header,
        page.databases.iter().map(|row| {
            vec![
                row.name.as_str().into(),
                whole(row.bytes),
                Cell::Whole(row.backends),
                Cell::Whole(row.transactions),
                Cell::Number(row.rollback_percent),
                Cell::Number(row.hit_percent),
                Cell::Whole(row.temp_bytes),
                Cell::Whole(row.deadlocks),
                whole(row.xid_age),
                time(row.since),
            ]
        }),
    )
}

/// File systems, and when each will be full.
pub fn disks(page: &HostPage) -> String {
    let header = [
        "place",
        "path",
        "total_bytes",
        "free_bytes",
        "used_percent",
        "percent_per_day",
        "full_in_days",
        "earliest_days",
        "latest_days",
        "history_days",
        "missing",
    ];
    let bytes = |bytes: Option<u64>| whole(bytes.and_then(|bytes| i64::try_from(bytes).ok()));
    write(
        &header,
        page.disks.iter().map(|row| {
            let full = row.full.as_ref();
            vec![
                row.place.as_str().into(),
                row.path.as_str().into(),
                bytes(row.total_bytes),
                bytes(row.free_bytes),
                Cell::Number(row.used_percent),
                Cell::Number(full.map(|it| it.percent_per_day)),
                Cell::Number(full.and_then(|it| it.days)),
                Cell::Number(full.and_then(|it| it.earliest_days)),
                Cell::Number(full.and_then(|it| it.latest_days)),
                Cell::Number(full.map(|it| it.history_days)),
                text(row.missing.as_deref().or(row.full_missing.as_deref())),
            ]
        }),
    )
}

/// Standbys.
pub fn standbys(page: &ReplicationPage) -> String {
    let header = [
        "name",
        "address",
        "state",
        "sync_state",
        "logical",
        "gone_since",
        "lag_seconds",
        "lag_bytes",
        "send_bytes",
        "write_bytes",
        "flush_bytes",
        "replay_bytes",
    ];
    write(
        &header,
        page.standbys.iter().map(|row| {
            vec![
                row.name.as_str().into(),
                text(row.address.as_deref()),
                row.state.as_str().into(),
                row.sync_state.as_str().into(),
                if row.logical { "true" } else { "false" }.into(),
                time(row.gone_since),
                Cell::Number(row.lag_seconds),
                whole(row.lag_bytes),
                whole(row.send_bytes),
                whole(row.write_bytes),
                whole(row.flush_bytes),
                whole(row.replay_bytes),
            ]
        }),
    )
}

/// Slots.
pub fn slots(page: &ReplicationPage) -> String {
    let header = [
        "name",
        "slot_type",
        "active",
        "wal_status",
        "retained_bytes",
        "safe_wal_bytes",
        "inactive_since",
        "invalidation_reason",
    ];
    write(
        &header,
        page.slots.iter().map(|row| {
            vec![
                row.name.as_str().into(),
                row.slot_type.as_str().into(),
                Cell::Text(row.active.to_string()),
                text(row.wal_status.as_deref()),
                whole(row.retained_bytes),
                whole(row.safe_wal_bytes),
                time(row.inactive_since),
                text(row.invalidation_reason.as_deref()),
            ]
        }),
    )
}

/// Ages of transaction ids.
pub fn databases(page: &MaintenancePage) -> String {
    write(
        &["database", "age", "freeze_percent", "wraparound_percent"],
        page.databases.iter().map(|row| {
            vec![
                row.database.as_str().into(),
                Cell::Whole(row.age),
                Cell::Number(row.freeze_percent),
                Cell::Number(Some(row.wraparound_percent)),
            ]
        }),
    )
}

/// Who holds back vacuum.
pub fn horizon(page: &MaintenancePage) -> String {
    write(
        &["source", "id", "detail", "age", "seconds"],
        page.horizon.iter().map(|row| {
            vec![
                row.source.as_str().into(),
                row.id.as_str().into(),
                row.detail.as_str().into(),
                Cell::Whole(row.age),
                Cell::Number(row.seconds),
            ]
        }),
    )
}

/// I/O by kind of process, per second.
pub fn io(page: &MaintenancePage) -> String {
    let header = [
        "backend_type",
        "object",
        "context",
        "read_bytes_per_second",
        "write_bytes_per_second",
        "extend_bytes_per_second",
        "hits_per_second",
        "evictions_per_second",
        "fsyncs_per_second",
        "read_ms_per_second",
        "write_ms_per_second",
    ];
    write(
        &header,
        page.io.iter().map(|row| {
            vec![
                row.backend_type.as_str().into(),
                row.object.as_str().into(),
                row.context.as_str().into(),
                Cell::Number(row.read_bytes_per_second),
                Cell::Number(row.write_bytes_per_second),
                Cell::Number(row.extend_bytes_per_second),
                Cell::Number(row.hits_per_second),
                Cell::Number(row.evictions_per_second),
                Cell::Number(row.fsyncs_per_second),
                Cell::Number(row.read_ms_per_second),
                Cell::Number(row.write_ms_per_second),
            ]
        }),
    )
}

/// Indexes to make, and findings about those that are there, with their scripts.
pub fn advice(page: &AdvicePage) -> String {
    let header =
        ["key", "kind", "name", "place", "bytes", "benefit_percent", "evidence", "sql", "undo_sql", "put_aside"];
    let suggestions = page.advice.suggestions.iter().map(|it| {
        vec![
            it.key.as_str().into(),
            "index".into(),
            Cell::Text(it.columns.join(", ")),
            Cell::Text(format!("{}.{}.{}", it.database, it.schema, it.table)),
            Cell::Whole(it.size_bytes),
            Cell::Number(Some(it.benefit_percent)),
            it.evidence.as_str().into(),
            it.create_sql.as_str().into(),
            it.undo_sql.as_str().into(),
            text(it.dismissal.as_ref().map(|it| it.reason.as_str())),
        ]
    });
    let findings = page.findings.iter().map(|it| {
        vec![
            it.key.as_str().into(),
            it.kind.as_str().into(),
            it.name.as_str().into(),
            it.place.as_str().into(),
            Cell::Whole(it.bytes),
            Cell::Number(None),
            it.evidence.as_str().into(),
            it.sql.as_str().into(),
            text(it.undo_sql.as_deref()),
            text(it.dismissal.as_ref().map(|it| it.reason.as_str())),
        ]
    });
    write(&header, suggestions.chain(findings))
}

/// What happened, the oldest first.
pub fn events(events: &[Event]) -> String {
    let row = |event: &Event| {
        vec![
            time(Some(event.at)),
            event.kind.as_str().into(),
            event.title.as_str().into(),
            text(event.statement.as_deref()),
        ]
    };
    write(&["at", "kind", "title", "statement"], events.iter().map(row))
}

/// Collectors with what each of them takes.
pub fn collectors(page: &CostPage) -> String {
    let header =
        ["collector", "state", "reason", "collected_at", "duration_ms", "interval_seconds", "share_of_time_percent"];
    write(
        &header,
        page.collectors.iter().map(|status| {
            let reason = match &status.state {
                CollectorState::Failed { reason }
                | CollectorState::Unsupported { reason, .. }
                | CollectorState::NoPermission { reason, .. } => Some(reason.as_str()),
                CollectorState::Pending | CollectorState::Fresh | CollectorState::Stale => None,
            };
            vec![
                status.name.as_str().into(),
                status.state.as_str().into(),
                text(reason),
                time(status.collected_at),
                Cell::Number(status.duration_ms),
                Cell::Number(Some(status.interval_seconds)),
                Cell::Number(status.share_percent()),
            ]
        }),
    )
}

/// What is kept of each kind of history.
pub fn kept(page: &CostPage) -> String {
    write(
        &["history", "rows", "oldest", "kept_for_seconds", "would_be_kept_for_seconds"],
        page.process.store.tiers.iter().map(|tier| {
            vec![
                tier.name.as_str().into(),
                Cell::Whole(tier.rows),
                time(tier.from),
                Cell::Number(Some(tier.keep_seconds)),
                Cell::Number(Some(tier.wanted_seconds)),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::{ReplicaState, SlotRow, StandbyRow};

    #[test]
    fn what_is_not_known_is_an_empty_cell_and_no_zero() {
        let standby = StandbyRow {
            name: "replica, west".to_owned(),
            address: None,
            state: ReplicaState::Unknown,
            sync_state: "async".to_owned(),
            logical: false,
            gone_since: None,
            lag_seconds: None,
            lag_bytes: Some(0),
            send_bytes: None,
            write_bytes: None,
            flush_bytes: None,
            replay_bytes: None,
        };
        let slot = SlotRow { name: "replica".to_owned(), slot_type: "physical".to_owned(), ..SlotRow::default() };
        let page = ReplicationPage { standbys: vec![standby], slots: vec![slot], ..ReplicationPage::default() };
        assert_eq!(standbys(&page).lines().nth(1), Some("\"replica, west\",,unknown,async,false,,,0,,,,"));
        assert_eq!(slots(&page).lines().nth(1), Some("replica,physical,false,,,,,"));
        assert_eq!(horizon(&MaintenancePage::default()).lines().count(), 1, "the header alone");
    }
}
