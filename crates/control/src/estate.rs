//! All clusters beside each other, the worst first.
use crate::{Actor, ControlError, ControlPlane, now};
use domain::{
    Permission, Timestamp,
    view::{Attention, ClusterState, ClusterSummary, Dashboard, EstateRow, Metric, Range},
};
use std::cmp::Reverse;

impl ControlPlane {
    /// Each cluster in a line, the worst first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn estate_list(&self, actor: &Actor) -> Result<Vec<EstateRow>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let at = now();
        let mut rows = Vec::new();
        for (config, _) in self.inner.clusters.all() {
            let dashboard = self.dashboard_get(actor, Some(&config.id))?;
            let gap = self.gap_seconds(&config.id);
            let scores = self.series(&config.id, Metric::HealthScore, Range::Hours24, gap).await?.series;
            let mut row = row(dashboard, at);
            row.scores = scores.into_iter().next().map(|line| line.values).unwrap_or_default();
            row.is_protected = self.inner.recovery.slot(&config.id).is_some();
            row.alerts = self.alerts().has_looked(&config.id).then(|| self.alerts().counts(Some(&config.id), at));
            rows.push(row);
        }
        rows.sort_by_cached_key(rank);
        Ok(rows)
    }

    /// What each server needs to be watched, and how far it is.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn setup_list(&self, actor: &Actor) -> Result<Vec<(ClusterSummary, Vec<Attention>)>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let all = self.inner.clusters.all();
        Ok(all.map(|(_, snapshot)| (snapshot.dashboard.cluster.clone(), snapshot.setup.clone())).collect())
    }
}

fn row(dashboard: Dashboard, at: Timestamp) -> EstateRow {
    let backup = dashboard.backup.as_ref().and_then(|backup| backup.last_full_at.max(backup.last_incremental_at));
    EstateRow {
        // Of a cluster that was never read, only that it cannot be reached is known.
        score: (dashboard.collected_at.is_some() || dashboard.cluster.state.reason().is_some())
            .then_some(dashboard.health.score),
        scores: Vec::new(),
        alerts: None,
        connections_percent: dashboard.connections.as_ref().map(|it| it.utilization_percent),
        lag_seconds: dashboard.replication.iter().filter_map(|one| one.lag_seconds).reduce(f64::max),
        databases_bytes: dashboard.databases_bytes,
        is_protected: false,
        backup_age_seconds: backup.map(|backup| at.seconds_since(backup).max(0.0)),
        age_seconds: dashboard.age_seconds,
        cluster: dashboard.cluster,
    }
}

/// What is lost comes first, then the lowest score, then the most and worst alerts, then the name.
fn rank(row: &EstateRow) -> (bool, u8, Reverse<(u32, u32)>, String) {
    let is_lost = matches!(row.cluster.state, ClusterState::Unreachable { .. } | ClusterState::Refused { .. });
    let alerts = row.alerts.unwrap_or_default();
    (!is_lost, row.score.unwrap_or(u8::MAX), Reverse((alerts.critical, alerts.warning)), row.cluster.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::{AlertCounts, ClusterSummary};

    fn line(name: &str, state: ClusterState, score: Option<u8>, critical: u32) -> EstateRow {
        EstateRow {
            cluster: ClusterSummary {
                id: name.to_owned(),
                name: name.to_owned(),
                group: None,
                role: None,
                server_version: None,
                state,
                started_at: None,
            },
            score,
            scores: Vec::new(),
            alerts: Some(AlertCounts { critical, ..AlertCounts::default() }),
            connections_percent: None,
            lag_seconds: None,
            databases_bytes: None,
            is_protected: false,
            backup_age_seconds: None,
            age_seconds: None,
        }
    }

    #[test]
    fn the_worst_comes_first_and_what_is_not_known_last() {
        let lost = ClusterState::Unreachable { reason: "no answer".to_owned(), since: Timestamp(0) };
        let mut rows = [
            line("new", ClusterState::Connecting, None, 0),
            line("fine", ClusterState::Up, Some(100), 0),
            line("alarmed", ClusterState::Up, Some(100), 1),
            line("ill", ClusterState::Up, Some(55), 0),
            line("lost", lost, Some(60), 0),
        ];
        rows.sort_by_cached_key(rank);
        let names = rows.iter().map(|row| row.cluster.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["lost", "ill", "alarmed", "fine", "new"]);
    }
}
