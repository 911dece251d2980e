//! Plans for disasters, their drills and executions, and the evidence.

use super::jobs::accepted;
use crate::{
    evidence,
    http::{
        App, Asking,
        problem::{JsonBody, Params, Problem},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use control::{Confirmation, TargetAsk};
use domain::view::{DrDryRun, DrKind, DrOverview, DrPlanSpec, DrPlanView, DrRunView, DrRunsPage, JobView};
use serde::Deserialize;

/// Plans, the history of drills and executions, and what can be chosen for plans.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/dr-plans", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "The plans", body = DrOverview),
    (status = 409, description = "The cluster is not backed up", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plans(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
) -> Result<Json<DrOverview>, Problem> {
    Ok(Json(app.control.dr_overview(&actor, Some(&cluster)).await?))
}

/// A plan, confirmed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// What it says.
    plan: DrPlanSpec,
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Writes a plan. Needs the role admin, the typed name and the password.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/dr-plans", tag = "recovery", request_body = PlanBody,
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 201, description = "The plan", body = DrPlanView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plan_create(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<PlanBody>,
) -> Result<Response, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    let plan = app.control.dr_plan_create(&actor, Some(&cluster), body.plan, &confirmation).await?;
    Ok((StatusCode::CREATED, Json(plan)).into_response())
}

/// One plan.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/dr-plans/{id}", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the plan")), responses(
    (status = 200, description = "The plan", body = DrPlanView),
    (status = 404, description = "No such plan", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plan(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Json<DrPlanView>, Problem> {
    Ok(Json(app.control.dr_plan_get(&actor, Some(&cluster), &id).await?))
}

/// Changes a plan. Needs the role admin, the typed name and the password.
#[utoipa::path(put, path = "/api/v1/clusters/{cluster}/dr-plans/{id}", tag = "recovery", request_body = PlanBody,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the plan")), responses(
    (status = 200, description = "The plan", body = DrPlanView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plan", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Another plan has that name", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plan_set(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(body): JsonBody<PlanBody>,
) -> Result<Json<DrPlanView>, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(Json(app.control.dr_plan_set(&actor, Some(&cluster), &id, body.plan, &confirmation).await?))
}

/// Takes a plan out of the offer; its runs stay. Needs the role admin, the typed name and the password.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/dr-plans/{id}/remove", tag = "recovery", request_body = super::recovery::Confirm,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the plan")), responses(
    (status = 204, description = "Removed"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plan", body = Problem, content_type = "application/problem+json"),
    (status = 400, description = "The name or the password is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plan_remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(confirm): JsonBody<super::recovery::Confirm>,
) -> Result<StatusCode, Problem> {
    app.control.dr_plan_remove(&actor, Some(&cluster), &id, &confirm.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Until where.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TargetQuery {
    /// `latest` (default), `immediate`, `time`, `lsn`, `xid` or `name`.
    kind: Option<String>,
    /// A time with offset, a position, a transaction or the name of a restore point.
    value: Option<String>,
}

/// What each step of a plan would do now. Nothing is changed.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/dr-plans/{id}/dry-run", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the plan"), TargetQuery), responses(
    (status = 200, description = "Step by step", body = DrDryRun),
    (status = 400, description = "The target cannot be reached", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plan", body = Problem, content_type = "application/problem+json"),
))]
pub async fn dry_run(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    Params(query): Params<TargetQuery>,
) -> Result<Json<DrDryRun>, Problem> {
    let target = TargetAsk { kind: query.kind.unwrap_or_default(), value: query.value.unwrap_or_default() };
    Ok(Json(app.control.dr_dry_run(&actor, Some(&cluster), &id, &target).await?))
}

/// Which drill.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum DrillKind {
    Test,
    FullTest,
}

/// A drill.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDrill {
    /// `test`: to the newest moment; `full_test`: to a random moment, from the recovery kit alone.
    kind: DrillKind,
}

/// Rehearses a plan on a private copy, which is thrown away. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/dr-plans/{id}/drills", tag = "recovery", request_body = NewDrill,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the plan"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plan", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "No backup, or no recovery kit", body = Problem, content_type = "application/problem+json"),
))]
pub async fn drill_start(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(new): JsonBody<NewDrill>,
) -> Result<Response, Problem> {
    let kind = match new.kind {
        DrillKind::Test => DrKind::Test,
        DrillKind::FullTest => DrKind::FullTest,
    };
    Ok(accepted(app.control.dr_drill_start(&actor, Some(&cluster), &id, kind).await?))
}

/// An execution, confirmed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExecution {
    /// Until where; the end of the WAL without it.
    #[serde(default)]
    target: Option<super::recovery::Target>,
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Carries a plan out. Needs the role admin, the typed name, and the password again (a token: the scope `restore`).
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/dr-plans/{id}/executions", tag = "recovery", request_body = NewExecution,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the plan"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 400, description = "Name, password or target is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin, or a token without the scope", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is refused", body = Problem, content_type = "application/problem+json"),
))]
pub async fn execute(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(body): JsonBody<NewExecution>,
) -> Result<Response, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    let target = body.target.map(TargetAsk::from).unwrap_or_default();
    Ok(accepted(app.control.dr_execute(&actor, Some(&cluster), &id, &target, &confirmation).await?))
}

/// Approval or abort of the step that an execution waits at.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Position of the step, from 0, as `progress.waiting.step` of the job tells it.
    step: usize,
    /// `true` approves, `false` aborts.
    approve: bool,
    /// Why; it stands in the evidence.
    #[serde(default)]
    note: String,
    /// Id of the cluster, typed; only to approve.
    #[serde(default)]
    confirm: String,
    /// Password of the account, only to approve; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Approves the step that an execution waits at, or aborts the execution. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/decision", tag = "recovery", request_body = Decision,
    params(("id" = String, Path, description = "Id of the job")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 403, description = "Not an admin, or a token without the scope", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such job", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It does not wait at that step", body = Problem, content_type = "application/problem+json"),
    (status = 400, description = "The step is not a step of the plan, or the name or the password is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn decide(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<Decision>,
) -> Result<Response, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(accepted(app.control.dr_decide(&actor, &id, body.step, body.approve, &body.note, &confirmation).await?))
}

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DrillsQuery {
    /// Rows, 1 to 200. Default: 50.
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Drills and executions that are over, the newest first.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/drills", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), DrillsQuery), responses(
    (status = 200, description = "A page of runs", body = DrRunsPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The cluster is not backed up", body = Problem, content_type = "application/problem+json"),
))]
pub async fn drills(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<DrillsQuery>,
) -> Result<Json<DrRunsPage>, Problem> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit.unwrap_or(50));
    Ok(Json(app.control.dr_runs_list(&actor, Some(&cluster), cursor, limit).await?))
}

/// A drill or an execution: its job while it is under way, its figures and evidence when it is over.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/drills/{id}", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the run: of its job")), responses(
    (status = 200, description = "The run", body = DrRunView),
    (status = 404, description = "No such run", body = Problem, content_type = "application/problem+json"),
))]
pub async fn drill(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Json<DrRunView>, Problem> {
    Ok(Json(app.control.dr_run_get(&actor, Some(&cluster), &id).await?))
}

/// How the evidence is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EvidenceQuery {
    /// `json` (default), byte by byte as its hash was taken, or `html`.
    format: Option<String>,
}

/// The evidence of a run, to be kept: with the hashes of the plan, of the backup's objects and of the audit log's head.
/// `X-Content-SHA256` is the hash of the JSON, which stands in the audit log too.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/drills/{id}/evidence", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the run"), EvidenceQuery), responses(
    (status = 200, description = "The evidence", body = domain::view::DrReport),
    (status = 400, description = "A wrong format", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such run", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is under way", body = Problem, content_type = "application/problem+json"),
))]
pub async fn evidence(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    Params(query): Params<EvidenceQuery>,
) -> Result<Response, Problem> {
    let html = match query.format.as_deref() {
        None | Some("json") => false,
        Some("html") => true,
        Some(other) => return Err(Problem::field("format", format!("'{other}' is not a format; use json or html"))),
    };
    let (text, sha256) = app.control.dr_evidence(&actor, Some(&cluster), &id).await?;
    let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let file = |ending: &str| format!("attachment; filename=\"holdfast-evidence-{name}.{ending}\"");
    if !html {
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_DISPOSITION, file("json")),
            (header::HeaderName::from_static("x-content-sha256"), sha256),
        ];
        return Ok((headers, text).into_response());
    }
    let report = serde_json::from_str(&text).map_err(|_| {
        control::ControlError::Conflict("a newer version wrote this evidence; take it as JSON".to_owned())
    })?;
    // Its one style sheet is its own and inline; nothing else may load or run.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'".to_owned();
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, file("html")),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::HeaderName::from_static("x-content-sha256"), sha256.clone()),
    ];
    Ok((headers, evidence::html(&report, &sha256)).into_response())
}
