//! Figures over time.

use super::{csv, range};
use crate::http::{
    App, Asking,
    problem::{Params, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use domain::view::{Metric, TimeSeries};
use serde::Deserialize;

/// How far back, in which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// How far back: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win over it.
    range: Option<String>,
    /// First moment, in RFC 3339 (without an offset it is UTC); together with `to`.
    from: Option<String>,
    /// Last moment, not later than now.
    to: Option<String>,
    /// An earlier time beside it: off (default), previous, 7d.
    compare: Option<String>,
    /// json or csv.
    format: Option<String>,
}

/// One metric over time; gaps are `null`, restarts and the like are events. Once history is rolled up, `gaps` of a line are
/// the places in `times` whose value is made of less than all samples, and `resets` those in which counters began anew; CSV
/// has both as columns.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/history/{metric}", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("metric" = String, Path, description = "connections_used, active_sessions, latency_p95_ms, …; a wrong one is answered with the list"), HistoryQuery), responses(
    (status = 200, description = "The metric; CSV by Accept: text/csv or format=csv", body = TimeSeries),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn history(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, metric)): Path<(String, String)>,
    Params(query): Params<HistoryQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let metric = metric.parse::<Metric>().map_err(|message| Problem::field("metric", message))?;
    let range = range::read(&query.range, &query.from, &query.to)?;
    let compare = range::compare(&query.compare)?;
    let series = app.control.history_compared(&actor, Some(&cluster), metric, range, compare).await?;
    Ok(if as_csv { csv::answer(metric.as_str(), csv::history(&series)) } else { Json(series).into_response() })
}
