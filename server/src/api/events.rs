//! What happened to a cluster, and telling of it.

use super::{csv, csv_lists, range};
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
use domain::{Timestamp, view::Event};
use serde::Deserialize;

/// How far back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// How far back: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win over it.
    range: Option<String>,
    /// First moment, in RFC 3339 (without an offset it is UTC); together with `to`.
    from: Option<String>,
    /// Last moment, not later than now.
    to: Option<String>,
    /// json or csv.
    format: Option<String>,
}

/// A change to be marked.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// What changed, in 1 to 200 characters: `shop 4.2.0`.
    title: String,
    /// When, in RFC 3339; now unless said, at most 30 days ago.
    #[serde(default)]
    at: Option<Timestamp>,
}

/// Restarts, failovers, changed settings and plans, alerts, full backups, deploys: the oldest first, the newest 200 when
/// there are more.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/events", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), EventsQuery), responses(
    (status = 200, description = "The events; CSV by Accept: text/csv or format=csv", body = [Event]),
    (status = 400, description = "A wrong range or format", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn events(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let range = range::read(&query.range, &query.from, &query.to)?;
    let events = app.control.events_list(&actor, Some(&cluster), range).await?;
    Ok(if as_csv { csv::answer("events", csv_lists::events(&events)) } else { Json(events).into_response() })
}

/// Marks a deploy or another change on every chart of the cluster. Needs the role operator; audited.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/events", tag = "monitoring", request_body = NewEvent,
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 201, description = "It is marked", body = Event),
    (status = 400, description = "No title, or a moment that is not of the last 30 days", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn event_note(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(new): JsonBody<NewEvent>,
) -> Result<(StatusCode, Json<Event>), Problem> {
    let event = app.control.event_note(&actor, Some(&cluster), &new.title, new.at).await?;
    Ok((StatusCode::CREATED, Json(event)))
}
