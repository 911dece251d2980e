//! Advice on indexes, and what was put aside.

use super::{csv, csv_lists, indexes::Format};
use crate::http::{
    App, Asking,
    problem::{JsonBody, Params, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use domain::{
    Timestamp,
    view::{AdvicePage, Dismissal},
};
use serde::Deserialize;

/// Indexes that would help the statements that run, from the last review, with how sure each is; findings about indexes
/// that are there; what was put aside. Nothing is asked of the monitored server, and nothing is ever made by Holdfast.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/index-advice", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), Format), responses(
    (status = 200, description = "The advice; CSV by Accept: text/csv or format=csv", body = AdvicePage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn index_advice(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<Format>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.index_advice_get(&actor, Some(&cluster)).await?;
    Ok(if as_csv { csv::answer("index-advice", csv_lists::advice(&page)) } else { Json(page).into_response() })
}

/// Has the indexes reviewed soon rather than within the hour: the statements that cost most are planned, and candidate
/// indexes tried where HypoPG is there. For operators; written into the audit log.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/index-advice/review", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 202, description = "It is begun; read the advice again"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "No right", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nobody watches it here", body = Problem, content_type = "application/problem+json"),
))]
pub async fn index_review(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
) -> Result<StatusCode, Problem> {
    app.control.index_review(&actor, Some(&cluster)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What is put aside.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDismissal {
    /// `key` of a suggestion or finding.
    key: String,
    /// Why, in at most 500 characters.
    reason: String,
    /// Until when; without it until it is taken back.
    until: Option<Timestamp>,
}

/// Puts a suggestion or a finding about an index or a setting aside. For operators; written into the audit log.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/advice-dismissals", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster")), request_body = NewDismissal, responses(
    (status = 201, description = "Put aside", body = Dismissal),
    (status = 400, description = "No reason, or a moment that is over", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "No right", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or advice", body = Problem, content_type = "application/problem+json"),
))]
pub async fn dismiss(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(new): JsonBody<NewDismissal>,
) -> Result<(StatusCode, Json<Dismissal>), Problem> {
    let done = app.control.advice_dismiss(&actor, Some(&cluster), &new.key, &new.reason, new.until).await?;
    Ok((StatusCode::CREATED, Json(done)))
}

/// Which dismissal.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DismissalKey {
    /// `key` of the suggestion or finding.
    key: Option<String>,
}

/// Takes a dismissal back. For operators; written into the audit log.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster}/advice-dismissals", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), DismissalKey), responses(
    (status = 204, description = "It counts again"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "No right", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or dismissal", body = Problem, content_type = "application/problem+json"),
))]
pub async fn restore(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<DismissalKey>,
) -> Result<StatusCode, Problem> {
    app.control.advice_restore(&actor, Some(&cluster), query.key.as_deref().unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT)
}
