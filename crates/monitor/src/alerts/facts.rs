//! One cluster's tick, seen by the alert rules.
use super::AlertWriter;
use crate::state::State;
use analysis::{
    alerts::{Facts, observe::observe},
    locks,
};
use control::{
    ClusterSnapshot, ControlPlane,
    alerts::{Notice, Scope},
};
use domain::{
    Timestamp,
    alert::{AlertState, Severity},
    view::{Event, EventKind},
};
use std::time::Duration;

/// What a tick made of the alerts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looked {
    /// Critical ones that are open: rule and sentence. Taken on or not, they are there.
    pub(crate) critical: Vec<(String, String)>,
    /// What rules without a recorded figure saw.
    pub(crate) values: Vec<(&'static str, f64)>,
}

/// Judges the tick that a snapshot was made of. `expected` is the time to the next look.
pub(crate) fn look(
    control: &ControlPlane,
    writer: &AlertWriter,
    state: &State,
    snapshot: &ClusterSnapshot,
    events: &[Event],
    expected: Duration,
    at: Timestamp,
) -> Looked {
    let book = control.alerts();
    let dashboard = &snapshot.dashboard;
    let cluster = dashboard.cluster.id.as_str();
    for event in events {
        let rule = match event.kind {
            EventKind::Restart => "restarted",
            EventKind::RoleChange => "role_changed",
            _ => continue,
        };
        book.notice(cluster, Notice::new(rule, event.at.to_human(), event.title.clone()));
    }
    control.pools_tell(cluster);
    let readings = observe(&facts(state, snapshot, &book.alerting().scope));
    let interval_ms = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
    let changes = book.step(cluster, &readings, at, dashboard.sequence, interval_ms);
    writer.push(changes);
    let critical = book
        .open(Some(cluster), at)
        .into_iter()
        .filter(|alert| alert.severity == Severity::Critical && alert.state != AlertState::Pending)
        .map(|alert| {
            let object = if alert.object.is_empty() { String::new() } else { format!(" ({})", alert.object) };
            (alert.rule, format!("{}{object}", alert.title))
        })
        .collect();
    Looked { critical, values: book.worst(cluster, &readings) }
}

fn facts<'a>(state: &'a State, snapshot: &'a ClusterSnapshot, scope: &'a Scope) -> Facts<'a> {
    let dashboard = &snapshot.dashboard;
    let window = state.database_window.sum();
    Facts {
        connection: &dashboard.cluster.state,
        collectors: &dashboard.collectors,
        scope,
        clock: state.server.as_ref().map(|server| server.clock),
        connections_percent: dashboard.connections.as_ref().map(|it| it.utilization_percent),
        connections: dashboard.connections.as_ref().map(|it| (it.used, it.usable)),
        activity: state.activity.as_ref().map(|(_, reading)| reading),
        longest_lock_wait_seconds: locks::longest(&state.locks),
        replicas: &dashboard.replication,
        replication: state.replication.as_ref(),
        database: state.database.as_ref().map(|(_, reading)| reading),
        sequences: state.tables.as_ref().map(|it| it.sequences.as_slice()),
        horizon: state.vacuum.as_ref().map(|it| it.horizon.as_slice()),
        deadlocks: (window.seconds > 0.0).then_some(window.deadlocks),
        cache_hit_percent: state.database_window.hit_percent(),
        // Before a second reading it is not known whether attempts fail now.
        archiver_failing: state.archiver_failing,
        evictions_per_hour: snapshot.evictions_per_hour,
        disks: Some(snapshot.host.disks.as_slice()).filter(|disks| !disks.is_empty()),
    }
}
