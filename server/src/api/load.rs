//! Database load.

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
use domain::view::{LoadBy, LoadPage};
use serde::Deserialize;

/// How far back, taken apart by what, in which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LoadQuery {
    /// How far back: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win over it.
    range: Option<String>,
    /// First moment, in RFC 3339 (without an offset it is UTC); together with `to`.
    from: Option<String>,
    /// Last moment, not later than now.
    to: Option<String>,
    /// wait (default), event, query, user, database, application, host.
    by: Option<String>,
    /// json or csv.
    format: Option<String>,
}

/// Average active sessions over time and the statements that make most of them, from samples taken each second.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/waits", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), LoadQuery), responses(
    (status = 200, description = "The load; CSV by Accept: text/csv or format=csv", body = LoadPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn waits(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<LoadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let range = range::read(&query.range, &query.from, &query.to)?;
    let by = query
        .by
        .as_deref()
        .map_or(Ok(LoadBy::default()), |text| text.parse().map_err(|message: String| Problem::field("by", message)))?;
    let page = app.control.load_get(&actor, Some(&cluster), by, range).await?;
    Ok(if as_csv { csv::answer("load", csv::load(&page.series)) } else { Json(page).into_response() })
}
