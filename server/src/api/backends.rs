//! Cancelling statements and ending sessions.

use crate::http::{
    App, Asking,
    problem::{JsonBody, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
};
use domain::{
    Timestamp,
    view::{SignalAction, SignalRequest, SignalResult},
};
use serde::Deserialize;

/// Which session is meant.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// `started_at` of the session as it was shown: another may have got the pid since.
    started_at: Timestamp,
    /// The pid once more, as text, to end a session.
    #[serde(default)]
    confirm: Option<String>,
    /// Say true to act on an autovacuum worker.
    #[serde(default)]
    autovacuum: bool,
}

/// Cancels the statement of a backend. Needs the role operator; audited with its outcome.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/backends/{pid}/cancel", tag = "monitoring", request_body = Which,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("pid" = i32, Path, description = "Process id")), responses(
    (status = 200, description = "The signal was sent; `ended` says whether the statement was seen to end", body = SignalResult),
    (status = 403, description = "Not an operator, or the server refused our role", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster, or the session is gone", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It must not be signalled, or runs no statement", body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, pid)): Path<(String, i32)>,
    JsonBody(which): JsonBody<Which>,
) -> Result<Json<SignalResult>, Problem> {
    signal(&app, &actor, &cluster, pid, SignalAction::Cancel, which).await
}

/// Ends the session of a backend; its transaction is rolled back. Needs the role operator; audited with its outcome.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/backends/{pid}/terminate", tag = "monitoring", request_body = Which,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("pid" = i32, Path, description = "Process id")), responses(
    (status = 200, description = "The signal was sent; `ended` says whether the session was seen to end", body = SignalResult),
    (status = 400, description = "`confirm` is not the pid", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator, or the server refused our role", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster, or the session is gone", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It must not be signalled", body = Problem, content_type = "application/problem+json"),
))]
pub async fn terminate(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, pid)): Path<(String, i32)>,
    JsonBody(which): JsonBody<Which>,
) -> Result<Json<SignalResult>, Problem> {
    signal(&app, &actor, &cluster, pid, SignalAction::Terminate, which).await
}

async fn signal(
    app: &App,
    actor: &control::Actor,
    cluster: &str,
    pid: i32,
    action: SignalAction,
    which: Which,
) -> Result<Json<SignalResult>, Problem> {
    let request = SignalRequest { action, pid, started_at: which.started_at, autovacuum: which.autovacuum };
    Ok(Json(app.control.backend_signal(actor, Some(cluster), &request, which.confirm.as_deref()).await?))
}
