//! Server functions: what pages ask for. Each asks `control` as whoever is signed in; rights are decided there.

mod alerts;
mod indexes;
mod locks;
mod overview;
mod panels;
mod tiles;

pub use alerts::{AlertsData, load_alerts};
pub use indexes::{IndexesData, load_indexes};
pub use locks::{LocksData, load_locks};
pub use overview::{OverviewData, load_overview};
#[cfg(feature = "ssr")]
pub use panels::layout::Ask;
pub use panels::load_panels;
pub use tiles::TileData;

use crate::{AppError, chart::ChartData};
use domain::{
    Timestamp,
    view::{ActivityPage, AlertCounts, ClusterSummary, QueriesPage, QueryRow, Whoami},
};
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// What the frame around every page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameData {
    /// Who is signed in.
    pub me: Whoami,
    /// All clusters.
    pub clusters: Vec<ClusterSummary>,
    /// Open alerts of all of them.
    pub alerts: AlertCounts,
}

/// The list of statements with its chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueriesData {
    /// The list.
    pub page: QueriesPage,
    /// Mean and percentiles over the range.
    pub latency: ChartData,
    /// Whose they are, and where those of now come from.
    pub note: String,
    /// Executions of all statements per second.
    pub calls: ChartData,
}

/// One statement with its charts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryData {
    /// Its figures over the range.
    pub row: QueryRow,
    /// The whole text, formatted.
    pub sql: String,
    /// First seen by us.
    pub first_seen_at: Timestamp,
    /// Last seen with calls.
    pub last_seen_at: Timestamp,
    /// How much of the range is covered by history.
    pub window_seconds: f64,
    /// 95th and 99th percentile are at most these.
    pub at_most_ms: (Option<f64>, Option<f64>),
    /// Mean and deviation.
    pub mean: ChartData,
    /// Calls per second, on the same axis of time.
    pub calls: ChartData,
    /// Share of all time.
    pub share: ChartData,
    /// The strip of tabs, as HTML of ours.
    pub tabs: String,
}

/// Backends now and over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityData {
    /// Backends.
    pub page: ActivityPage,
    /// The id of the statement of each, where it is known.
    pub statements: Vec<Option<String>>,
    /// Sessions by state.
    pub states: ChartData,
    /// Slots that ordinary roles can use.
    pub usable: Option<i64>,
    /// The reader may cancel and terminate.
    pub may_signal: bool,
    /// Where the API has it as CSV.
    pub csv: String,
    /// One database or all, as HTML of ours; empty where there is but one.
    pub databases: String,
}

/// Who is signed in and which clusters there are.
#[server(endpoint = "frame", input = GetUrl)]
pub async fn load_frame() -> Result<FrameData, AppError> {
    let (control, actor) = asking()?;
    let me = told(control.whoami(&actor))?;
    if me.tenant.is_some() {
        // Whoever belongs to a tenant has a frame too, and sees no cluster.
        return Ok(FrameData { me, clusters: Vec::new(), alerts: AlertCounts::default() });
    }
    Ok(FrameData {
        me,
        clusters: told(control.clusters_list(&actor))?,
        alerts: told(control.alerts_count(&actor, None))?,
    })
}

/// Statements by the page's own address.
#[server(endpoint = "queries", input = GetUrl)]
pub async fn load_queries(search: String) -> Result<QueriesData, AppError> {
    use crate::chart::build;
    use domain::view::{Metric, QueriesParams};
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let params = QueriesParams::read(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()))
        .map_err(|(field, message)| control::ControlError::field(&field, message));
    let params = told(params)?;
    let page = told(control.queries_top(&actor, &params).await)?;
    let id = params.cluster.as_deref();
    let history = async |metric| told(control.history_compared(&actor, id, metric, params.range, params.compare).await);
    let mut latency = history(Metric::MeanLatencyMs).await?;
    name(&mut latency, "Mean");
    for (metric, label) in [(Metric::LatencyP50Ms, "P50"), (Metric::LatencyP95Ms, "P95"), (Metric::LatencyP99Ms, "P99")]
    {
        let mut one = history(metric).await?;
        name(&mut one, label);
        latency.series.extend(one.series);
        latency.earlier.extend(one.earlier);
    }
    let mut calls = history(Metric::CallsPerSecond).await?;
    name(&mut calls, "Calls");
    let note = overview::of_all_statements(told(control.dashboard_get(&actor, id))?.latency.as_ref());
    Ok(QueriesData { page, latency: build::lines(&latency), note, calls: build::lines(&calls) })
}

/// One statement.
#[server(endpoint = "query", input = GetUrl)]
pub async fn load_query(
    cluster: Option<String>,
    id: String,
    range: String,
    #[server(default)] compare: String,
) -> Result<QueryData, AppError> {
    use crate::chart::build;
    let (control, actor) = asking()?;
    let (range, compare) = (told(range_of(&range))?, told(compare_of(&compare))?);
    let detail = told(control.query_get(&actor, cluster.as_deref(), &id, range, compare).await)?;
    let mut kept = Vec::new();
    kept.extend(cluster.map(|cluster| ("cluster", cluster)));
    let live = if matches!(range, domain::view::Range::Between { .. }) { Default::default() } else { range };
    kept.extend(range.pairs(live));
    kept.extend((compare != domain::view::Compare::Off).then(|| ("compare", compare.to_string())));
    let tabs = crate::pages::statement_tab::strip(&id, "overview", &kept);
    Ok(QueryData {
        mean: build::aligned(&detail.mean),
        calls: build::aligned(&detail.calls),
        share: build::lines(&detail.share),
        row: detail.row,
        sql: detail.sql,
        first_seen_at: detail.first_seen_at,
        last_seen_at: detail.last_seen_at,
        window_seconds: detail.window_seconds,
        at_most_ms: (detail.p95_at_most_ms, detail.p99_at_most_ms),
        tabs,
    })
}

/// Backends, by the page's own address.
#[server(endpoint = "activity", input = GetUrl)]
pub async fn load_activity(search: String) -> Result<ActivityData, AppError> {
    use crate::chart::build;
    use domain::view::Metric;
    let (control, actor) = asking()?;
    let ask = told(Ask::read(control, actor, "activity", &search))?;
    let (control, actor, id) = (&ask.control, &ask.actor, ask.id());
    let page = told(control.activity_list(actor, id, ask.get("database")))?.as_ref().clone();
    let states = told(ask.history(Metric::ConnectionsByState).await)?;
    let usable = told(control.dashboard_get(actor, id))?.connections.map(|connections| connections.usable);
    let may_signal = actor.may(domain::Permission::BackendSignal);
    let sessions = page.rows.iter().map(|row| (row.query_id.as_deref(), row.database.as_deref(), row.user.as_deref()));
    let statements = told(control.statements_of_sessions(actor, id, &sessions.collect::<Vec<_>>()).await)?;
    Ok(ActivityData {
        csv: ask.csv_of_database(&page.cluster, "activity"),
        databases: panels::layout::chips("Database", told(ask.databases())?),
        page,
        statements,
        states: build::sessions(&states, usable),
        usable,
        may_signal,
    })
}

#[cfg(feature = "ssr")]
pub(crate) fn asking() -> Result<(control::ControlPlane, control::Actor), AppError> {
    let missing =
        || AppError { kind: domain::ErrorKind::Internal, message: "a page was rendered outside the server".to_owned() };
    let control = use_context::<control::ControlPlane>().ok_or_else(missing)?;
    let parts = use_context::<http::request::Parts>().ok_or_else(missing)?;
    let actor = parts.extensions.get::<control::Actor>().cloned().ok_or_else(missing)?;
    Ok((control, actor))
}

/// A failure gives the answer its status: a page about a cluster that does not exist is a 404.
#[cfg(feature = "ssr")]
pub(crate) fn told<T>(result: Result<T, control::ControlError>) -> Result<T, AppError> {
    result.map_err(|error| {
        let error = AppError::from(error);
        if let (Some(response), Ok(status)) =
            (use_context::<leptos_axum::ResponseOptions>(), http::StatusCode::from_u16(error.kind.status()))
        {
            response.set_status(status);
        }
        error
    })
}

#[cfg(feature = "ssr")]
fn range_of(text: &str) -> Result<domain::view::Range, control::ControlError> {
    text.parse().map_err(|message: String| control::ControlError::field("range", message))
}

#[cfg(feature = "ssr")]
fn compare_of(text: &str) -> Result<domain::view::Compare, control::ControlError> {
    // A page of an earlier version that is still open does not send it.
    if text.is_empty() {
        return Ok(domain::view::Compare::Off);
    }
    text.parse().map_err(|message: String| control::ControlError::field("compare", message))
}

#[cfg(feature = "ssr")]
fn name(series: &mut domain::view::TimeSeries, name: &str) {
    if series.series.is_empty() {
        let values = vec![None; series.times.len()];
        series.series.push(domain::view::TimeSeriesLine { name: name.to_owned(), values, gaps: Vec::new() });
    }
    for line in series.series.iter_mut().chain(&mut series.earlier) {
        line.name = name.to_owned();
    }
}

/// The pairs of a query string.
#[cfg(feature = "ssr")]
pub(crate) fn form(search: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(search.trim_start_matches('?').as_bytes()).into_owned().collect()
}

/// With a capital letter.
#[cfg(feature = "ssr")]
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
