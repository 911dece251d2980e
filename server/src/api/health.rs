//! How the health score is weighed.

use super::alerts::OfCluster;
use crate::http::{
    App, Asking,
    problem::{JsonBody, Params, Problem},
};
use axum::{Json, extract::State, http::StatusCode};
use domain::view::{HealthWeights, HealthWeightsView};

/// The score of a cluster (the first without one) line by line, and the most points that each of its components can cost.
#[utoipa::path(get, path = "/api/v1/health-weights", tag = "monitoring", params(OfCluster), responses(
    (status = 200, description = "Score and weights", body = HealthWeightsView),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn weights(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(of): Params<OfCluster>,
) -> Result<Json<HealthWeightsView>, Problem> {
    Ok(Json(app.control.health_weights_get(&actor, of.cluster()).await?))
}

/// Sets the weights for a cluster; without one for all that have none of their own. They must add up to 100, and none is
/// above 40. Needs the role admin.
#[utoipa::path(put, path = "/api/v1/health-weights", tag = "monitoring", request_body = HealthWeights, params(OfCluster), responses(
    (status = 204, description = "Set; the next score is made with them"),
    (status = 400, description = "They do not add up, or one is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn weights_set(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(of): Params<OfCluster>,
    JsonBody(weights): JsonBody<HealthWeights>,
) -> Result<StatusCode, Problem> {
    app.control.health_weights_set(&actor, of.cluster(), weights).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the weights of a cluster back; without one those for all. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/health-weights", tag = "monitoring", params(OfCluster), responses(
    (status = 204, description = "Taken back"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There are none", body = Problem, content_type = "application/problem+json"),
))]
pub async fn weights_reset(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(of): Params<OfCluster>,
) -> Result<StatusCode, Problem> {
    app.control.health_weights_reset(&actor, of.cluster()).await?;
    Ok(StatusCode::NO_CONTENT)
}
