//! `holdfast health`: one look at each cluster, now: the score, what it is made of, the open alerts. Exits 1 when
//! something is critical, so that it can stand in a script.

use super::{Failure, print, serve};
use crate::config::Config;
use clap::Args;
use control::{Actor, Clusters, ControlPlane};
use domain::{
    alert::{AlertState, Severity},
    format,
    reading::{CollectorState, ServerRole},
    view::{AlertView, Band, ClusterState, Dashboard, HealthComponent, HealthWeights},
};
use monitor::{Monitor, first_snapshot};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use store::{AlertPhase, AlertRepo, HealthWeightsRepo, HealthWeightsRow, KnownStandbyRepo, Store};
use tokio_util::sync::CancellationToken;

/// Which clusters.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Only this cluster.
    #[arg(long)]
    cluster: Option<String>,
}

/// Rates need two readings; they are taken this far apart.
const INTERVAL: Duration = Duration::from_secs(1);
/// A server that has not shown everything by then is judged by what it has shown.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
struct Report {
    dashboard: Dashboard,
    alerts: Vec<AlertView>,
    critical: bool,
    /// Most points of each part of the score.
    weights: HealthWeights,
}

impl Report {
    /// Whether backups were judged, or need not be: a standby's are its primary's, and without weight nobody asks.
    fn knows_backups(&self) -> bool {
        self.dashboard.backup.is_some()
            || self.dashboard.cluster.role == Some(ServerRole::Standby)
            || self.weights.of(HealthComponent::Backups) == 0
    }
}

/// Looks, tells, and fails when something is critical.
pub async fn run(args: HealthArgs, json: bool) -> Result<(), Failure> {
    serve::log("error,sqlx=error");
    let config = Config::load()?;
    // The weights that serve scores by, and the standbys that it has seen; a store that is older than them has none.
    let (kept, weights, standbys) = match kept_store(&config).await {
        Ok(Some(store)) => (
            kept_alerts(&store).await,
            HealthWeightsRepo(store.db()).list().await.unwrap_or_default(),
            KnownStandbyRepo(store.db()).all().await.unwrap_or_default(),
        ),
        Ok(None) => (Ok(Vec::new()), Vec::new(), HashMap::new()),
        Err(reason) => (Err(reason), Vec::new(), HashMap::new()),
    };
    let mut sources = config.clusters;
    if let Some(id) = &args.cluster {
        sources.retain(|source| source.watched.config.id == *id);
    }
    if sources.is_empty() {
        return Err(Failure::usage(match &args.cluster {
            Some(id) => format!("no cluster '{id}' is configured; 'holdfast config' lists them"),
            None => "no cluster is configured: set DATABASE_URL, or add a [[cluster]] to holdfast.toml".to_owned(),
        }));
    }
    let look = Scratch::make()?;
    let store = Store::connect(&look.url()).await?;
    store.migrate().await?;
    for row in &weights {
        HealthWeightsRepo(store.db()).set(row).await?;
    }
    // One that is gone is missed by this look too.
    for (cluster, known) in &standbys {
        KnownStandbyRepo(store.db()).change(cluster, None, known).await?;
    }
    let configs = sources.iter().map(|source| source.watched.config.clone()).collect();
    let clusters = Clusters::new(configs, |config| first_snapshot(config, INTERVAL));
    let control = ControlPlane::new(store, clusters, config.slow_threshold_ms).await?;
    let stop = CancellationToken::new();
    let watched = sources.into_iter().map(|source| source.watched).collect();
    let monitor = Monitor::start(&control, watched, INTERVAL, &stop);
    let dashboards = settled(&control).await?;
    stop.cancel();
    monitor.join().await;
    let (kept, trouble) = match kept {
        Ok(kept) => (kept, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let reports = dashboards.into_iter().map(|dashboard| report(dashboard, &kept, &weights)).collect::<Vec<_>>();
    if json {
        print(&serde_json::to_string_pretty(&reports).unwrap_or_default());
    } else {
        print(&reports.iter().map(text).collect::<Vec<_>>().join("\n\n"));
        if let Some(reason) = trouble {
            print(&format!("\nalerts that 'holdfast serve' keeps are not known: {reason}"));
        }
    }
    let critical = reports.iter().filter(|report| report.critical).map(|report| report.dashboard.cluster.id.as_str());
    let critical = critical.collect::<Vec<_>>();
    if critical.is_empty() { Ok(()) } else { Err(Failure::failed(format!("critical: {}", critical.join(", ")))) }
}

/// Waits until each cluster has shown what it will, or is known not to answer.
async fn settled(control: &ControlPlane) -> Result<Vec<Dashboard>, Failure> {
    let begun = Instant::now();
    loop {
        let mut dashboards = Vec::new();
        for cluster in control.clusters_list(&Actor::cli())? {
            dashboards.push(control.dashboard_get(&Actor::cli(), Some(&cluster.id))?);
        }
        let done = |it: &Dashboard| match it.cluster.state {
            ClusterState::Connecting => false,
            ClusterState::Unreachable { .. } | ClusterState::Refused { .. } => true,
            ClusterState::Up => {
                it.cache.is_some() && it.collectors.iter().all(|one| one.state != CollectorState::Pending)
            }
        };
        if dashboards.iter().all(done) || begun.elapsed() > DEADLINE {
            return Ok(dashboards);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The store of the running Holdfast. One that is not there is not made.
pub async fn kept_store(config: &Config) -> Result<Option<Store>, String> {
    let url = config.store_url.expose_secret();
    if let Some(rest) = url.strip_prefix("sqlite:") {
        let file = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
        if !std::path::Path::new(file).exists() {
            return Ok(None);
        }
    }
    Store::connect(url).await.map(Some).map_err(|error| error.to_string())
}

/// Open alerts of the running Holdfast.
async fn kept_alerts(store: &Store) -> Result<Vec<AlertView>, String> {
    let rows = AlertRepo(store.db()).open().await.map_err(|error| error.to_string())?;
    let at = control::now();
    Ok(rows.iter().filter(|row| row.phase == AlertPhase::Firing).map(|row| control::alerts::view(row, at)).collect())
}

fn report(mut dashboard: Dashboard, kept: &[AlertView], weights: &[HealthWeightsRow]) -> Report {
    let mut alerts = kept.iter().filter(|it| it.cluster == dashboard.cluster.id).cloned().collect::<Vec<_>>();
    // What this look raised by itself, unless it is kept already.
    for alert in dashboard.alerts.take().unwrap_or_default() {
        let known = alerts.iter().any(|it| it.rule == alert.rule && it.object == alert.object);
        if alert.state != AlertState::Pending && !known {
            alerts.push(alert);
        }
    }
    alerts.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.since.cmp(&b.since)));
    let critical = dashboard.health.band == Band::Critical
        || alerts.iter().any(|alert| alert.severity == Severity::Critical)
        || dashboard.cluster.state != ClusterState::Up;
    let of = |id: Option<&str>| weights.iter().find(|row| row.cluster_id.as_deref() == id).map(|row| row.weights);
    let weights = of(Some(&dashboard.cluster.id)).or_else(|| of(None)).unwrap_or_default();
    Report { dashboard, alerts, critical, weights }
}

fn text(report: &Report) -> String {
    let Dashboard { cluster, health, .. } = &report.dashboard;
    let server = match (&cluster.server_version, cluster.role) {
        (Some(version), Some(role)) => format!(", PostgreSQL {version} {}", role.as_str()),
        _ => String::new(),
    };
    let mut lines = vec![format!(
        "{}: score {} of 100, {}{server}, coverage {:.0} %",
        cluster.id,
        health.score,
        health.band.as_str(),
        health.coverage_percent
    )];
    let no_backups = !report.knows_backups();
    let parts = HealthWeights::COMPONENTS.map(|component| {
        if component == HealthComponent::Backups && no_backups {
            return format!("{} not known", component.label());
        }
        let lost = health.lines.iter().filter(|line| line.component == component).map(|line| u32::from(line.points));
        format!("{} -{}/{}", component.label(), lost.sum::<u32>(), report.weights.of(component))
    });
    lines.push(format!("  {}", parts.join(", ")));
    for line in &health.lines {
        lines.push(format!(
            "  -{:<3} {:<13} {}: {} (threshold {})",
            line.points,
            line.component.label(),
            line.title,
            line.measured,
            line.threshold
        ));
    }
    if no_backups {
        lines.push(
            "  no backups known: this look judges none; where Holdfast makes them 'holdfast backup list' has them"
                .to_owned(),
        );
    }
    if report.alerts.is_empty() {
        lines.push("  no open alert".to_owned());
    }
    for alert in &report.alerts {
        let object = if alert.object.is_empty() { String::new() } else { format!(" {}", alert.object) };
        let since = format::age_s(control::now().seconds_since(alert.since));
        lines.push(format!(
            "  {:<8} {}{object}: {} {}, for {since}, {}",
            alert.severity,
            alert.title,
            alert.measured,
            alert.threshold,
            alert.state.label()
        ));
    }
    lines.join("\n")
}

/// A store of this look's own, gone with it: a look from outside must not write into the history.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path =
            std::env::temp_dir().join(format!("holdfast-health-{}-{:08x}", std::process::id(), rand::random::<u32>()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::failed(format!("{} cannot be made: {error}; set TMPDIR", path.display())))?;
        Ok(Self(path))
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.join("look.db").display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::ClusterConfig;

    #[test]
    fn backups_that_nobody_looked_at_are_not_called_well() {
        let config = ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None };
        let mut dashboard = first_snapshot(&config, INTERVAL).dashboard;
        let told = text(&report(dashboard.clone(), &[], &[]));
        assert!(told.contains("Backups not known") && told.contains("\n  no backups known"), "{told}");
        assert!(!told.contains("Backups -0"), "{told}");
        dashboard.cluster.role = Some(ServerRole::Standby);
        assert!(text(&report(dashboard, &[], &[])).contains("Backups -0/8"), "a standby's are its primary's");
    }
}
