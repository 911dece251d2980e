//! Back-pressure: a backup waits while the monitor sees the database suffer.
use control::{ControlPlane, now};
use domain::view::{ClusterState, ReplicaState};

/// A snapshot older than this says nothing of now.
const FRESH_SECONDS: f64 = 120.0;

/// Why a backup should wait, when it should: the database answers, and is so ill that each read hurts.
pub(crate) fn suffering(control: &ControlPlane, cluster: &str) -> Option<String> {
    let (_, snapshot) = control.clusters().find(Some(cluster)).ok()?;
    let dashboard = &snapshot.dashboard;
    let fresh = dashboard.collected_at.is_some_and(|at| now().seconds_since(at) < FRESH_SECONDS);
    if !fresh || dashboard.cluster.state != ClusterState::Up {
        return None;
    }
    if let Some(connections) = dashboard.connections.as_ref().filter(|it| it.utilization_percent > 95.0) {
        return Some(format!("{:.0} % of the connection slots are used", connections.utilization_percent));
    }
    // Of one that is gone the lag grows for ever, whatever we do.
    let replicas = dashboard.replication.iter().filter(|it| it.state != ReplicaState::Disconnected);
    if let Some(lag) = replicas.filter_map(|it| it.lag_seconds).find(|lag| *lag > 60.0) {
        return Some(format!("a standby is {lag:.0} s behind"));
    }
    // Of all that the score counts only load is made worse by a backup.
    let active = dashboard.waits.iter().map(|wait| wait.average_active_sessions).sum::<f64>();
    let usable = dashboard.connections.as_ref().map_or(100.0, |it| it.usable as f64);
    (active > usable / 2.0).then(|| format!("{active:.0} sessions are active on average"))
}
