//! The audit log.

use crate::http::{
    App, Asking,
    problem::{Params, Problem},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use domain::view::{AuditPage, AuditVerdict};
use futures::stream;
use serde::Deserialize;

/// Which rows.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only by this actor.
    actor: Option<String>,
    /// Only this action.
    action: Option<String>,
    /// Only with this outcome: `ok`, `refused`, `failed`.
    outcome: Option<String>,
    /// Only on this object: its kind, its id, or both as `kind/id`.
    object: Option<String>,
    /// Only from this moment on, in RFC 3339.
    since: Option<String>,
    /// Only before this moment, in RFC 3339.
    until: Option<String>,
    /// Rows, 1 to 500. Default: 100.
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The newest rows first. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditQuery), responses(
    (status = 200, description = "A page of rows", body = AuditPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let filter = control::audit_filter(|name| match name {
        "actor" => query.actor.clone(),
        "action" => query.action.clone(),
        "outcome" => query.outcome.clone(),
        "object" => query.object.clone(),
        "since" => query.since.clone(),
        "until" => query.until.clone(),
        _ => None,
    })?;
    Ok(Json(app.control.audit_list(&actor, filter, query.cursor.as_deref(), query.limit.unwrap_or(100)).await?))
}

/// Walks the chain of hashes. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit", responses(
    (status = 200, description = "Whether the chain holds, and where it breaks", body = AuditVerdict),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn verify(State(app): State<App>, Asking(actor): Asking) -> Result<Json<AuditVerdict>, Problem> {
    Ok(Json(app.control.audit_verify(&actor).await?))
}

/// All rows as JSON lines, the oldest first. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", responses(
    (status = 200, description = "JSON lines", body = String, content_type = "application/x-ndjson"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn export(State(app): State<App>, Asking(actor): Asking) -> Result<Response, Problem> {
    // The first page is read before the answer begins, so that a refusal is a status and not a torn stream.
    let (first, last) = app.control.audit_export(&actor, 0).await?;
    let control = app.control.clone();
    let rows = stream::unfold((first, last), move |(lines, last)| {
        let (control, actor) = (control.clone(), actor.clone());
        async move {
            if lines.is_empty() {
                return None;
            }
            let text = lines.into_iter().map(|line| line + "\n").collect::<String>();
            match control.audit_export(&actor, last).await {
                Ok(next) => Some((Ok(text), next)),
                Err(error) => Some((Err(std::io::Error::other(error.to_string())), (Vec::new(), last))),
            }
        }
    });
    let disposition = "attachment; filename=\"audit.jsonl\"";
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CONTENT_DISPOSITION, disposition)],
        Body::from_stream(rows),
    )
        .into_response())
}
