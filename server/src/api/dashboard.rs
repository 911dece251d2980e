//! `GET /api/database/dashboard`

use crate::http::{
    App, Asking,
    problem::{Params, Problem},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::view::Dashboard;
use serde::Deserialize;

/// Which cluster.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Id of the cluster; the first one without it.
    cluster: Option<String>,
}

/// The whole picture of one cluster, served from the last snapshot: no query reaches the monitored server.
#[utoipa::path(get, path = "/api/database/dashboard", tag = "monitoring", params(Which), responses(
    (status = 200, description = "The picture; its ETag changes with the snapshot", body = Dashboard),
    (status = 304, description = "Not changed since If-None-Match"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn dashboard(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let dashboard = app.control.dashboard_get(&actor, which.cluster.as_deref())?;
    // Weak: the ages in it grow while the snapshot stays the same.
    let tag = format!("W/\"{}-{}-{}\"", dashboard.cluster.id, dashboard.sequence, app.control.alerts().generation());
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|one| one.trim() == tag));
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { Json(dashboard).into_response() };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    Ok(response)
}
