//! `GET /api/v1/clusters`

use crate::http::{App, Asking, problem::Problem};
use axum::{Json, extract::State};
use domain::view::ClusterSummary;

/// All monitored clusters, the default first.
#[utoipa::path(get, path = "/api/v1/clusters", tag = "monitoring", responses(
    (status = 200, description = "The clusters", body = Vec<ClusterSummary>),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
))]
pub async fn clusters(State(app): State<App>, Asking(actor): Asking) -> Result<Json<Vec<ClusterSummary>>, Problem> {
    Ok(Json(app.control.clusters_list(&actor)?))
}
