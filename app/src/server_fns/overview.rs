//! What the overview asks for.
use super::tiles::TileData;
#[cfg(feature = "ssr")]
use super::{asking, compare_of, name, panels::layout, range_of, told};
use crate::{AppError, chart::ChartData, panels::PanelData};
use domain::view::{Dashboard, Event, LoadBy, LoadRow};
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// The overview.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverviewData {
    /// The picture.
    pub dashboard: Dashboard,
    /// Average active sessions.
    pub load: ChartData,
    /// What the load is taken apart by.
    pub by: LoadBy,
    /// The statements that make most of the load.
    pub top: Vec<LoadRow>,
    /// Of how many samples.
    pub samples: (i64, i64),
    /// Processors of the machine, where they are known.
    pub cpus: Option<u32>,
    /// The score over the last 24 hours, whatever the range.
    pub health: Vec<Option<f64>>,
    /// Figures.
    pub tiles: Vec<TileData>,
    /// Latency, transactions, cache, temporary files.
    pub charts: Vec<PanelData>,
    /// What happened in the range, the newest first.
    pub events: Vec<Event>,
    /// The load as CSV: a button, as HTML of ours.
    pub load_csv: String,
    /// The events as CSV.
    pub events_csv: String,
}

/// The note of a chart of percentiles: whose they are, and where those of now come from.
#[cfg(feature = "ssr")]
pub(super) fn of_all_statements(latency: Option<&domain::view::LatencyView>) -> String {
    let source = latency.map(|it| format!("; percentiles are now {}", it.source.phrase()));
    format!("of all statements{}", source.unwrap_or_default())
}

/// The overview of a cluster.
#[server(endpoint = "overview", input = GetUrl)]
pub async fn load_overview(
    cluster: Option<String>,
    range: String,
    #[server(default)] compare: String,
    by: String,
) -> Result<OverviewData, AppError> {
    use super::tiles::{Histories, tiles};
    use crate::chart::build;
    use domain::view::{Metric, Range};
    let (control, actor) = asking()?;
    let servers = told(control.setup_list(&actor))?;
    if servers.is_empty() {
        leptos_axum::redirect("/start");
        let message = "no cluster is configured yet".to_owned();
        return Err(AppError { kind: domain::ErrorKind::NotFound, message });
    }
    let range = told(range_of(&range))?;
    let compare = told(compare_of(&compare))?;
    let id = cluster.as_deref();
    let mut dashboard = told(control.dashboard_get(&actor, id))?;
    if dashboard.collected_at.is_none() {
        // Nothing was read yet: what needs attention is what the server lacks to be read.
        let own = servers.into_iter().find(|server| server.0.id == dashboard.cluster.id);
        dashboard.attention = own.map(|server| server.1).unwrap_or_default();
    }
    let history = async |metric| told(control.history_compared(&actor, id, metric, range, compare).await);
    let lately = async |metric, range| told(control.history_get(&actor, id, metric, range).await);
    let by = if by.is_empty() {
        LoadBy::default()
    } else {
        told(by.parse().map_err(|message: String| control::ControlError::field("by", message)))?
    };
    let mut histories = Histories::new(compare);
    let mut load = told(control.load_get(&actor, id, by, range).await)?;
    let active = history(Metric::ActiveSessions).await?;
    histories.add(Metric::ActiveSessions, &active);
    if by == LoadBy::Wait {
        load.series.earlier = active.earlier;
    }
    let mut latency = history(Metric::LatencyP95Ms).await?;
    histories.add(Metric::LatencyP95Ms, &latency);
    name(&mut latency, "P95");
    for (metric, label) in [(Metric::LatencyP50Ms, "P50"), (Metric::LatencyP99Ms, "P99")] {
        let mut other = history(metric).await?;
        name(&mut other, label);
        latency.series.extend(other.series);
        latency.earlier.extend(other.earlier);
    }
    latency.series.sort_by(|a, b| a.name.cmp(&b.name));
    let mut throughput = history(Metric::TransactionsPerSecond).await?;
    histories.add(Metric::TransactionsPerSecond, &throughput);
    name(&mut throughput, "Transactions");
    let mut rollbacks = history(Metric::RollbacksPerSecond).await?;
    name(&mut rollbacks, "Rollbacks");
    throughput.series.extend(rollbacks.series);
    throughput.earlier.extend(rollbacks.earlier);
    let mut cache = history(Metric::CacheHitPercent).await?;
    histories.add(Metric::CacheHitPercent, &cache);
    name(&mut cache, "Cache hit");
    let mut temp = history(Metric::TempBytesPerSecond).await?;
    name(&mut temp, "Temporary files");
    for metric in [
        Metric::ConnectionsUsed,
        Metric::LongestQuerySeconds,
        Metric::BlockedSessions,
        Metric::ReplicationLagSeconds,
        Metric::WalBytesPerSecond,
    ] {
        histories.add(metric, &history(metric).await?);
    }
    let sizes = lately(Metric::DatabaseBytes, Range::Days7).await?;
    let health = lately(Metric::HealthScore, Range::Hours24).await?;
    let health = health.series.into_iter().next().map(|line| line.values).unwrap_or_default();
    let mut events = load.series.events.clone();
    events.reverse();
    let latency_note = of_all_statements(dashboard.latency.as_ref());
    let chart = |title, note, source, series| layout::chart(title, note, source, 6, build::lines(series), false);
    let charts = vec![
        chart(
            "Latency",
            latency_note.as_str(),
            "durations in the server's log where it has them; otherwise estimated from pg_stat_statements: a log-normal mixture from mean and deviation",
            &latency,
        ),
        chart("Transactions", "per second", "pg_stat_database", &throughput),
        chart("Cache hit", "blocks found in shared buffers", "pg_stat_database", &cache),
        chart(
            "Temporary files",
            "written per second, when sorts and hashes do not fit work_mem",
            "pg_stat_database",
            &temp,
        ),
    ];
    let host = told(control.host_get(&actor, id).await)?;
    let disk = host.fullest().and_then(|row| {
        let days = row.full.as_ref().and_then(|forecast| forecast.days);
        let full = days.map(|days| format!(", full in {days:.0} days"));
        Some((row.used_percent?, full.unwrap_or_default()))
    });
    let of_cluster = |what: &str| format!("/api/v1/clusters/{}/{what}", dashboard.cluster.id);
    let kept = range.pairs(if matches!(range, Range::Between { .. }) { Range::default() } else { range });
    let events_csv = layout::csv_button(&of_cluster("events"), &kept, "events.csv");
    let taken_apart = (by != LoadBy::default()).then(|| ("by", by.to_string()));
    let kept = kept.into_iter().chain(taken_apart).collect::<Vec<_>>();
    let load_csv = layout::csv_button(&of_cluster("waits"), &kept, "load.csv");
    Ok(OverviewData {
        load_csv,
        events_csv,
        tiles: tiles(&dashboard, load.cpus, &histories, &sizes, disk, control::now()),
        dashboard,
        cpus: load.cpus,
        load: build::load(&load.series, load.cpus),
        by,
        top: load.top,
        samples: (load.samples, load.skipped),
        health,
        charts,
        events,
    })
}
