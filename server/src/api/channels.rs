//! Channels, and times in which nobody is told.

use crate::http::{
    App, Asking,
    problem::{JsonBody, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use control::alerts::NewBlackout;
use domain::{
    Timestamp,
    view::{BlackoutView, ChannelSpec, ChannelTest, ChannelView, DeliveryView},
};
use serde::{Deserialize, Serialize};

/// All blackouts, the newest first.
#[utoipa::path(get, path = "/api/v1/blackouts", tag = "alerts", responses(
    (status = 200, description = "The blackouts", body = Vec<BlackoutView>),
))]
pub async fn blackouts(State(app): State<App>, Asking(actor): Asking) -> Result<Json<Vec<BlackoutView>>, Problem> {
    Ok(Json(app.control.blackouts_list(&actor).await?))
}

/// A new blackout.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlackoutBody {
    /// Why.
    reason: String,
    /// Only this cluster; all without it.
    cluster: Option<String>,
    /// Only this rule; all without it.
    rule: Option<String>,
    /// From; now without it.
    starts_at: Option<Timestamp>,
    /// To; a recurring one ends here too.
    ends_at: Timestamp,
    /// Recurring: when each window begins, as five cron fields in UTC.
    cron: Option<String>,
    /// Recurring: how long each lasts.
    duration_seconds: Option<u32>,
}

/// Makes a blackout. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/blackouts", tag = "alerts", request_body = BlackoutBody, responses(
    (status = 201, description = "The blackout", body = BlackoutView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn blackout_create(
    State(app): State<App>,
    Asking(actor): Asking,
    JsonBody(body): JsonBody<BlackoutBody>,
) -> Result<(StatusCode, Json<BlackoutView>), Problem> {
    let new = NewBlackout {
        reason: body.reason,
        cluster: body.cluster,
        rule: body.rule,
        starts_at: body.starts_at.unwrap_or_else(control::now),
        ends_at: body.ends_at,
        cron: body.cron,
        duration_seconds: body.duration_seconds,
    };
    Ok((StatusCode::CREATED, Json(app.control.blackout_create(&actor, new).await?)))
}

/// Ends a blackout. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/blackouts/{id}", tag = "alerts",
    params(("id" = String, Path, description = "Id of the blackout")), responses(
    (status = 204, description = "Ended"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such blackout", body = Problem, content_type = "application/problem+json"),
))]
pub async fn blackout_end(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.control.blackout_end(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All channels by name, without their secrets.
#[utoipa::path(get, path = "/api/v1/channels", tag = "alerts", responses(
    (status = 200, description = "The channels", body = Vec<ChannelView>),
))]
pub async fn channels(State(app): State<App>, Asking(actor): Asking) -> Result<Json<Vec<ChannelView>>, Problem> {
    Ok(Json(app.control.channels_list(&actor).await?))
}

/// A channel with the key that was made for it, which is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CreatedChannel {
    /// The channel.
    channel: ChannelView,
    /// Webhooks: the key of the signature, when none was given.
    signing_key: Option<String>,
}

/// Makes a channel. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/channels", tag = "alerts", request_body = ChannelSpec, responses(
    (status = 201, description = "The channel", body = CreatedChannel),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
))]
pub async fn channel_create(
    State(app): State<App>,
    Asking(actor): Asking,
    JsonBody(spec): JsonBody<ChannelSpec>,
) -> Result<(StatusCode, Json<CreatedChannel>), Problem> {
    let (channel, signing_key) = app.control.channel_create(&actor, spec).await?;
    Ok((StatusCode::CREATED, Json(CreatedChannel { channel, signing_key })))
}

/// Changes a channel; a secret that is left out stays. Needs the role admin.
#[utoipa::path(put, path = "/api/v1/channels/{id}", tag = "alerts", request_body = ChannelSpec,
    params(("id" = String, Path, description = "Id of the channel")), responses(
    (status = 200, description = "The channel", body = ChannelView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such channel", body = Problem, content_type = "application/problem+json"),
))]
pub async fn channel_set(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    JsonBody(spec): JsonBody<ChannelSpec>,
) -> Result<Json<ChannelView>, Problem> {
    Ok(Json(app.control.channel_set(&actor, &id, spec).await?))
}

/// Removes a channel with its messages. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/channels/{id}", tag = "alerts",
    params(("id" = String, Path, description = "Id of the channel")), responses(
    (status = 204, description = "Removed"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such channel", body = Problem, content_type = "application/problem+json"),
))]
pub async fn channel_delete(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.control.channel_delete(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test message now and says in plain words how that went. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/channels/{id}/test", tag = "alerts",
    params(("id" = String, Path, description = "Id of the channel")), responses(
    (status = 200, description = "Whether it arrived, and why not", body = ChannelTest),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such channel", body = Problem, content_type = "application/problem+json"),
))]
pub async fn channel_test(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<ChannelTest>, Problem> {
    Ok(Json(app.control.channel_test(&actor, &id).await?))
}

/// How many messages are tried again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Retried {
    /// Messages.
    messages: u64,
}

/// Tries the messages that were given up again. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/channels/{id}/retry", tag = "alerts",
    params(("id" = String, Path, description = "Id of the channel")), responses(
    (status = 200, description = "How many", body = Retried),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such channel", body = Problem, content_type = "application/problem+json"),
))]
pub async fn channel_retry(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<Retried>, Problem> {
    Ok(Json(Retried { messages: app.control.channel_retry(&actor, &id).await? }))
}

/// The newest fifty messages of a channel, those given up among them.
#[utoipa::path(get, path = "/api/v1/channels/{id}/deliveries", tag = "alerts",
    params(("id" = String, Path, description = "Id of the channel")), responses(
    (status = 200, description = "The messages", body = Vec<DeliveryView>),
    (status = 404, description = "No such channel", body = Problem, content_type = "application/problem+json"),
))]
pub async fn deliveries(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<Vec<DeliveryView>>, Problem> {
    Ok(Json(app.control.deliveries_list(&actor, Some(&id)).await?))
}
