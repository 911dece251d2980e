//! Statements.

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
use domain::view::{Compare, QueriesPage, QueriesParams, QueryDetail, Range, TimeSeries};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which statements. The page's address takes the same parameters.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents the parameters; QueriesParams::read reads them")]
pub struct QueriesQuery {
    /// How far back: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win over it.
    range: Option<String>,
    /// First moment, in RFC 3339 (without an offset it is UTC); together with `to`.
    from: Option<String>,
    /// Last moment, not later than now.
    to: Option<String>,
    /// An earlier time beside it: off (default), previous, 7d; then each row has `mean_change_percent`.
    compare: Option<String>,
    /// Column: total, calls, mean, stddev, max, rows, hit, temp, wal, database, user, query; a leading '-' is descending. Default: -total.
    sort: Option<String>,
    /// Words that text, database, user or id must contain.
    q: Option<String>,
    /// select, dml, ddl or utility.
    kind: Option<String>,
    /// Only this database.
    database: Option<String>,
    /// Only this role.
    user: Option<String>,
    /// Only those with so many executions in the range.
    min_calls: Option<u32>,
    /// 1: only those over the threshold.
    slow: Option<String>,
    /// 1: also Holdfast's own statements.
    monitoring: Option<String>,
    /// Rows, 1 to 500. Default: 50.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// json or csv.
    format: Option<String>,
}

/// Statements by range, sort and filter, from the history in the store.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/queries", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), QueriesQuery), responses(
    (status = 200, description = "The statements; CSV by Accept: text/csv or format=csv", body = QueriesPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn queries(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(mut query): Params<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = query.remove("format");
    let as_csv = csv::wanted(&headers, format.as_deref())?;
    let known = |name: &str| name != "cluster" && QueriesParams::NAMES.contains(&name);
    if let Some(unknown) = query.keys().find(|name| !known(name)) {
        return Err(Problem::field(
            unknown,
            format!("unknown parameter '{unknown}'; known are {}, format", QueriesParams::NAMES[1..].join(", ")),
        ));
    }
    if as_csv {
        query.entry("limit".to_owned()).or_insert_with(|| "500".to_owned());
    }
    let mut params = QueriesParams::read(|name| query.get(name).cloned())
        .map_err(|(field, message)| Problem::field(&field, message))?;
    params.cluster = Some(cluster);
    let page = app.control.queries_top(&actor, &params).await?;
    Ok(if as_csv { csv::answer("queries", csv::queries(&page)) } else { Json(page).into_response() })
}

/// How far back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RangeQuery {
    /// How far back: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win over it.
    range: Option<String>,
    /// First moment, in RFC 3339 (without an offset it is UTC); together with `to`.
    from: Option<String>,
    /// Last moment, not later than now.
    to: Option<String>,
    /// An earlier time beside it: off (default), previous, 7d.
    compare: Option<String>,
}

impl RangeQuery {
    fn read(&self) -> Result<(Range, Compare), Problem> {
        let range = range::read(&self.range, &self.from, &self.to)?;
        Ok((range, range::compare(&self.compare)?))
    }
}

/// One statement in full: its text, figures and history.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/queries/{id}", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "`id` from the list"), RangeQuery), responses(
    (status = 200, description = "The statement", body = QueryDetail),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster, or not run in this range", body = Problem, content_type = "application/problem+json"),
))]
pub async fn query(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    Params(query): Params<RangeQuery>,
) -> Result<Json<QueryDetail>, Problem> {
    let (range, compare) = query.read()?;
    Ok(Json(app.control.query_get(&actor, Some(&cluster), &id, range, compare).await?))
}

/// The three charts of a statement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct QueryHistory {
    /// Calls per second.
    calls: TimeSeries,
    /// Mean time.
    mean: TimeSeries,
    /// Share of all statements' time.
    share: TimeSeries,
}

/// One statement over time.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/queries/{id}/history", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "`id` from the list"), RangeQuery), responses(
    (status = 200, description = "Calls, mean time and share", body = QueryHistory),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster, or not run in this range", body = Problem, content_type = "application/problem+json"),
))]
pub async fn query_history(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    Params(query): Params<RangeQuery>,
) -> Result<Json<QueryHistory>, Problem> {
    let (range, compare) = query.read()?;
    let detail = app.control.query_get(&actor, Some(&cluster), &id, range, compare).await?;
    Ok(Json(QueryHistory { calls: detail.calls, mean: detail.mean, share: detail.share }))
}
