//! `GET /api/v1/estate`

use super::{csv, csv_lists, indexes::Format};
use crate::http::{
    App, Asking,
    problem::{Params, Problem},
};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use domain::view::EstateRow;

/// All clusters beside each other, the worst first: state, score, open alerts, connections, lag, size, last backup.
#[utoipa::path(get, path = "/api/v1/estate", tag = "monitoring", params(Format), responses(
    (status = 200, description = "The clusters; CSV by Accept: text/csv or format=csv", body = Vec<EstateRow>),
    (status = 400, description = "No such format", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
))]
pub async fn estate(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<Format>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let rows = app.control.estate_list(&actor).await?;
    Ok(if as_csv { csv::answer("estate", csv_lists::estate(&rows)) } else { Json(rows).into_response() })
}
