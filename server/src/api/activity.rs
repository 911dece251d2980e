//! Backends.

use super::{csv, indexes::Format};
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
use domain::view::ActivityPage;

/// Backends at the last look, literals in their statements masked.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/activity", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), Format), responses(
    (status = 200, description = "The backends; CSV by Accept: text/csv or format=csv", body = ActivityPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn activity(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<Format>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.activity_list(&actor, Some(&cluster))?;
    Ok(if as_csv { csv::answer("activity", csv::activity(&page)) } else { Json(page.as_ref()).into_response() })
}
