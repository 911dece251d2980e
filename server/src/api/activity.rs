//! Backends.

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
use domain::{
    Timestamp,
    view::{ActivityMoment, ActivityPage},
};
use serde::Deserialize;

/// Of which database, in which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ActivityQuery {
    /// Only backends of this database; those of none, as background processes, are left out then.
    database: Option<String>,
    /// json or csv.
    format: Option<String>,
}

/// Backends at the last look, literals in their statements masked.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/activity", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ActivityQuery), responses(
    (status = 200, description = "The backends; CSV by Accept: text/csv or format=csv", body = ActivityPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn activity(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<ActivityQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.activity_list(&actor, Some(&cluster), query.database.as_deref())?;
    Ok(if as_csv { csv::answer("activity", csv::activity(&page)) } else { Json(page.as_ref()).into_response() })
}

/// Which moment, of which database, in which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MomentQuery {
    /// The moment, in RFC 3339 (without an offset it is UTC); without it the last that was sampled.
    at: Option<String>,
    /// Only sessions of this database.
    database: Option<String>,
    /// Where the busiest minutes and kept graphs are looked for: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win
    /// over it.
    range: Option<String>,
    /// First moment of that, in RFC 3339 (without an offset it is UTC); together with `to`.
    from: Option<String>,
    /// Last moment of that, not later than now.
    to: Option<String>,
    /// json or csv.
    format: Option<String>,
}

/// Sessions that were active at a moment that is over, from samples taken each second: who ran what and waited for what, in
/// the minute that holds the moment (in the hour, once that is old), with the graph of locks where one was kept.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/activity/samples", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), MomentQuery), responses(
    (status = 200, description = "The sessions; CSV by Accept: text/csv or format=csv", body = ActivityMoment),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn samples(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<MomentQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let range = range::read(&query.range, &query.from, &query.to)?;
    let at = query.at.as_deref().map(moment).transpose()?;
    let page = app.control.activity_at(&actor, Some(&cluster), at, query.database.as_deref(), range).await?;
    Ok(if as_csv { csv::answer("activity-samples", csv::moment(&page)) } else { Json(page).into_response() })
}

fn moment(text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse_moment(text)
        .ok_or_else(|| Problem::field("at", format!("'{text}' is not a moment; write it as in 2026-11-24T03:00:00Z")))
}
