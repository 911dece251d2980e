//! Plans of statements.

use crate::http::{
    App, Asking,
    problem::{Params, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
};
use domain::view::{PlanView, QueryPlanPage};
use serde::Deserialize;

/// Which of the kept plans.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PlanQuery {
    /// Id of a kept plan from `history`; the newest without it.
    plan: Option<String>,
    /// Id of another one to compare it with.
    against: Option<String>,
}

/// The plan of a statement that is kept, with its findings, its history, the tables and sessions of the statement, and
/// samples of its calls from the server's log.
/// Literals are masked. Nothing is asked of the monitored server.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/queries/{id}/plan", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "`id` from the list"), PlanQuery), responses(
    (status = 200, description = "The plan; `plan` is null when none is kept", body = QueryPlanPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster, statement or plan", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plan(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    Params(query): Params<PlanQuery>,
) -> Result<Json<QueryPlanPage>, Problem> {
    let (plan, against) = (query.plan.as_deref(), query.against.as_deref());
    Ok(Json(app.control.query_plan_get(&actor, Some(&cluster), &id, plan, against).await?))
}

/// Has the server plan a statement, in a read-only transaction that is rolled back. Nothing is run: there is no ANALYZE.
/// For operators; written into the audit log.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/queries/{id}/explain", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "`id` from the list")), responses(
    (status = 200, description = "The plan, which is kept", body = PlanView),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "No right here, or none on the server: the GRANT is in `detail`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or statement", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The statement has no plan, or the server refuses it", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The server does not answer, or nobody watches it here", body = Problem, content_type = "application/problem+json"),
))]
pub async fn explain(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Json<PlanView>, Problem> {
    Ok(Json(app.control.query_explain(&actor, Some(&cluster), &id).await?))
}
