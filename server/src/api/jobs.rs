//! Long work: list, one with its log, its events, stopping it.

use super::recovery::Confirm;
use crate::http::{
    App, Asking,
    problem::{JsonBody, Params, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use domain::view::{JobKind, JobState, JobView, JobsPage};
use futures::stream;
use serde::Deserialize;
use std::{convert::Infallible, time::Duration};

/// How often the store is asked for a job that somebody watches.
const LOOK: Duration = Duration::from_millis(700);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which jobs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// Only of this cluster.
    cluster: Option<String>,
    /// Only of this kind: backup, verify, restore_test, restore, expire, drill, execution.
    kind: Option<String>,
    /// Only in this state: queued, running, succeeded, failed, cancelled.
    state: Option<String>,
    /// Rows, 1 to 200. Default: 50.
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Jobs, the newest first, without their logs.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "recovery", params(JobsQuery), responses(
    (status = 200, description = "A page of jobs", body = JobsPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
))]
pub async fn jobs(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<JobsQuery>,
) -> Result<Json<JobsPage>, Problem> {
    let kind = query.kind.map(|text| text.parse::<JobKind>()).transpose();
    let kind = kind.map_err(|message| Problem::field("kind", message))?;
    let state = query.state.map(|text| text.parse::<JobState>()).transpose();
    let state = state.map_err(|message| Problem::field("state", message))?;
    let (cluster, cursor) = (query.cluster.as_deref(), query.cursor.as_deref());
    Ok(Json(app.control.jobs_list(&actor, cluster, kind, state, cursor, query.limit.unwrap_or(50)).await?))
}

/// One job with its log.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "recovery",
    params(("id" = String, Path, description = "Id of the job")), responses(
    (status = 200, description = "The job", body = JobView),
    (status = 404, description = "No such job", body = Problem, content_type = "application/problem+json"),
))]
pub async fn job(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Problem> {
    Ok(Json(app.control.job_get(&actor, &id).await?))
}

/// Stops a job: a waiting one at once, a running one soon. Whoever may start it may stop it.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "recovery",
    params(("id" = String, Path, description = "Id of the job")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 403, description = "Not allowed", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such job", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(accepted(app.control.job_cancel(&actor, &id).await?))
}

/// Stops the copy that a restore started and removes its directory, on the host that is asked. Needs the role admin, the
/// typed name and the password.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/copy/remove", tag = "recovery", request_body = Confirm,
    params(("id" = String, Path, description = "Id of the job")), responses(
    (status = 200, description = "The job", body = JobView),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such job", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "There is no copy here", body = Problem, content_type = "application/problem+json"),
))]
pub async fn copy_remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    JsonBody(confirm): JsonBody<Confirm>,
) -> Result<Json<JobView>, Problem> {
    Ok(Json(app.control.copy_remove(&actor, &id, &confirm.into()).await?))
}

/// 202 with the job and where to ask for it.
pub fn accepted(job: JobView) -> Response {
    let location = HeaderValue::from_str(&format!("/api/v1/jobs/{}", job.id));
    let mut response = (StatusCode::ACCEPTED, Json(job)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A server-sent `job` event at each change, whose data is the job, until the job is over.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/stream", tag = "recovery",
    params(("id" = String, Path, description = "Id of the job")), responses(
    (status = 200, description = "Events `job`, each with the whole job as JSON", body = JobView, content_type = "text/event-stream"),
    (status = 404, description = "No such job", body = Problem, content_type = "application/problem+json"),
))]
pub async fn events(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let first = app.control.job_get(&actor, &id).await?;
    let (control, stop) = (app.control.clone(), app.stop.clone());
    let events = stream::unfold((Some(first), None::<String>), move |(next, told)| {
        let (control, actor, id, stop) = (control.clone(), actor.clone(), id.clone(), stop.clone());
        async move {
            let mut job = next?;
            loop {
                let text = serde_json::to_string(&job).unwrap_or_default();
                if told.as_ref() != Some(&text) {
                    let over = job.state.is_over();
                    let event = Event::default().event("job").data(text.clone());
                    // After the last there is nothing to tell; the browser need not ask again.
                    return Some((Ok::<_, Infallible>(event), ((!over).then_some(job), Some(text))));
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = stop.cancelled() => return None,
                }
                // Rights may have ended meanwhile; then so does the stream.
                job = control.job_get(&actor, &id).await.ok()?;
            }
        }
    });
    Ok(([("x-accel-buffering", "no")], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}
