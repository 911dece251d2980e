//! Backups, what can be restored, restores, keys and objectives of one cluster.

use super::jobs::accepted;
use crate::http::{
    App, Asking,
    problem::{JsonBody, Params, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use control::{BackupWanted, Confirmation, RestoreAsk, RestoreTestParams, TargetAsk};
use domain::view::{
    BackupRow, BackupsPage, ExpirePlanView, JobView, Objectives, RecoveryOverview, RecoveryWindow, RemovalPlanView,
    RestorePlanView,
};
use serde::{Deserialize, Serialize};

/// Everything about backup and recovery of a cluster, as its page shows it.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/recovery", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "The picture", body = RecoveryOverview),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn overview(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
) -> Result<Json<RecoveryOverview>, Problem> {
    Ok(Json(app.control.recovery_overview(&actor, Some(&cluster)).await?))
}

/// Continuous intervals, declared gaps, proven restores.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/recovery-window", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "What can be restored", body = RecoveryWindow),
    (status = 409, description = "The cluster is not backed up", body = Problem, content_type = "application/problem+json"),
))]
pub async fn window(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
) -> Result<Json<RecoveryWindow>, Problem> {
    Ok(Json(app.control.recovery_window(&actor, Some(&cluster)).await?))
}

/// Which backups.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BackupsQuery {
    /// Rows, 1 to 200. Default: 50.
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Backups, the newest first.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/backups", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), BackupsQuery), responses(
    (status = 200, description = "A page of backups", body = BackupsPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The cluster is not backed up", body = Problem, content_type = "application/problem+json"),
))]
pub async fn backups(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<BackupsQuery>,
) -> Result<Json<BackupsPage>, Problem> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit.unwrap_or(50));
    Ok(Json(app.control.backups_list(&actor, Some(&cluster), cursor, limit).await?))
}

/// One backup.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/backups/{id}", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the backup")), responses(
    (status = 200, description = "The backup", body = BackupRow),
    (status = 404, description = "No such backup", body = Problem, content_type = "application/problem+json"),
))]
pub async fn backup(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Json<BackupRow>, Problem> {
    Ok(Json(app.control.backup_show(&actor, Some(&cluster), &id).await?))
}

/// What the removal of a backup would take with it, and why it would be refused. Nothing is changed.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/backups/{id}/removal-plan", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the backup")), responses(
    (status = 200, description = "The plan", body = RemovalPlanView),
    (status = 404, description = "No such backup", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It cannot be planned now", body = Problem, content_type = "application/problem+json"),
))]
pub async fn removal_plan(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Json<RemovalPlanView>, Problem> {
    Ok(Json(app.control.backup_removal_plan(&actor, Some(&cluster), &id).await?))
}

/// Takes a backup away, whatever the rules of retention say of it. It can be recalled until its grace time is over; then
/// its objects go. Needs the role admin, the typed name and the password.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster}/backups/{id}", tag = "recovery", request_body = Confirm,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the backup"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 400, description = "Name or password is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin, or a token without the scope", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such backup", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It must stay: it is held, is being read, or is one of the last without damage", body = Problem, content_type = "application/problem+json"),
))]
pub async fn backup_remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(confirm): JsonBody<Confirm>,
) -> Result<Response, Problem> {
    Ok(accepted(app.control.backup_remove(&actor, Some(&cluster), &id, &confirm.into()).await?))
}

/// Full or incremental.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Full,
    Incremental,
}

/// A backup to be taken.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// `full` or `incremental`.
    kind: Kind,
}

/// Takes a backup. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/backups", tag = "recovery", request_body = NewBackup,
    params(("cluster" = String, Path, description = "Id of the cluster"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The cluster is not backed up, or its repository cannot be read", body = Problem, content_type = "application/problem+json"),
))]
pub async fn backup_start(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(new): JsonBody<NewBackup>,
) -> Result<Response, Problem> {
    let kind = match new.kind {
        Kind::Full => BackupWanted::Full,
        Kind::Incremental => BackupWanted::Incremental,
    };
    Ok(accepted(app.control.backup_start(&actor, Some(&cluster), kind).await?))
}

/// Reads and checks every byte of a backup. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/backups/{id}/verify", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the backup"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such backup", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The cluster is not backed up, or its repository cannot be read", body = Problem, content_type = "application/problem+json"),
))]
pub async fn backup_verify(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    Ok(accepted(app.control.backup_verify(&actor, Some(&cluster), Some(id)).await?))
}

/// How a restore test is done.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRestore {
    /// Replay all WAL there is, instead of only what the backup needs.
    #[serde(default)]
    latest: bool,
}

/// Restores a backup to a private copy, starts and checks it, throws it away. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/backups/{id}/test-restore", tag = "recovery", request_body = TestRestore,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the backup"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such backup", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The cluster is not backed up, or its repository cannot be read", body = Problem, content_type = "application/problem+json"),
))]
pub async fn backup_test_restore(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(how): JsonBody<TestRestore>,
) -> Result<Response, Problem> {
    let params = RestoreTestParams { backup: Some(id), latest: how.latest };
    Ok(accepted(app.control.backup_test_restore(&actor, Some(&cluster), params).await?))
}

/// What retention would remove. Nothing is changed.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/expire-plan", tag = "recovery",
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "The plan", body = ExpirePlanView),
    (status = 409, description = "It cannot be planned now", body = Problem, content_type = "application/problem+json"),
))]
pub async fn expire_plan(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
) -> Result<Json<ExpirePlanView>, Problem> {
    Ok(Json(app.control.expire_plan(&actor, Some(&cluster)).await?))
}

/// The typed name and the password again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

impl From<Confirm> for Confirmation {
    fn from(confirm: Confirm) -> Self {
        Self { name: confirm.confirm, password: confirm.password }
    }
}

/// Retention, confirmed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireBody {
    /// Ids of the backups that the plan showed as going: none but these go. Without them what a plan shows now.
    backups: Option<Vec<String>>,
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Removes what the plan shows. Needs the role admin, the typed name and the password.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/expire", tag = "recovery", request_body = ExpireBody,
    params(("cluster" = String, Path, description = "Id of the cluster"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 400, description = "Name or password is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "More would go than was shown", body = Problem, content_type = "application/problem+json"),
))]
pub async fn expire(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<ExpireBody>,
) -> Result<Response, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(accepted(app.control.expire(&actor, Some(&cluster), body.backups.as_deref(), &confirmation).await?))
}

/// Until where.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `latest`, `immediate`, `time`, `lsn`, `xid` or `name`.
    kind: String,
    /// A time with offset, a position, a transaction or the name of a restore point.
    #[serde(default)]
    value: String,
}

/// A restore.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestorePlanBody {
    /// Until where; the end of the WAL without it.
    #[serde(default)]
    target: Option<Target>,
    /// Stop before the target instead of behind it.
    #[serde(default)]
    exclusive: bool,
    /// The backup; the best for the target without it.
    backup: Option<String>,
    /// The timeline; the newest without it.
    timeline: Option<u32>,
    /// A new directory below the configured one; named by itself without it. With `delta` a stopped cluster of
    /// `restore_over`.
    #[serde(default)]
    directory: String,
    /// Bring a stopped cluster to the wanted state: only pages that differ are fetched.
    #[serde(default)]
    delta: bool,
    /// Start it beside the original, tamed, on a free port of the loopback. Refused with `delta`: whoever runs a cluster
    /// that is restored over starts it.
    #[serde(default)]
    start: bool,
}

impl From<Target> for TargetAsk {
    fn from(target: Target) -> Self {
        Self { kind: target.kind, value: target.value }
    }
}

impl From<RestorePlanBody> for RestoreAsk {
    fn from(body: RestorePlanBody) -> Self {
        Self {
            target: body.target.unwrap_or_default().into(),
            exclusive: body.exclusive,
            backup: body.backup,
            timeline: body.timeline,
            directory: body.directory,
            delta: body.delta,
            start: body.start,
        }
    }
}

/// What a restore would do and why it would be refused. Nothing is changed.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/restores/plan", tag = "recovery", request_body = RestorePlanBody,
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "The plan", body = RestorePlanView),
    (status = 400, description = "The target cannot be reached", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The cluster is not backed up, or its repository cannot be read", body = Problem, content_type = "application/problem+json"),
))]
pub async fn restore_plan(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<RestorePlanBody>,
) -> Result<Json<RestorePlanView>, Problem> {
    Ok(Json(app.control.restore_plan(&actor, Some(&cluster), &body.into()).await?))
}

/// A restore, confirmed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreBody {
    /// What to restore.
    restore: RestorePlanBody,
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Restores. Needs the role admin, the typed name, and the password again (a token: the scope `restore`).
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/restores", tag = "recovery", request_body = RestoreBody,
    params(("cluster" = String, Path, description = "Id of the cluster"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it answers with the job that it made")), responses(
    (status = 202, description = "The job", body = JobView),
    (status = 400, description = "Name, password or target is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin, or a token without the scope", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The plan is refused", body = Problem, content_type = "application/problem+json"),
))]
pub async fn restore_start(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<RestoreBody>,
) -> Result<Response, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(accepted(app.control.restore_start(&actor, Some(&cluster), &body.restore.into(), &confirmation).await?))
}

/// Recovery objectives, confirmed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectivesBody {
    /// Most seconds of work that may be lost.
    rpo_seconds: f64,
    /// Most seconds a restore may take.
    rto_seconds: f64,
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Changes the recovery objectives. Needs the role admin, the typed name and the password.
#[utoipa::path(put, path = "/api/v1/clusters/{cluster}/objectives", tag = "recovery", request_body = ObjectivesBody,
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "The objectives", body = Objectives),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
))]
pub async fn objectives(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<ObjectivesBody>,
) -> Result<Json<Objectives>, Problem> {
    let to = Objectives { rpo_seconds: body.rpo_seconds, rto_seconds: body.rto_seconds };
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(Json(app.control.objectives_set(&actor, Some(&cluster), to, &confirmation).await?))
}

/// A new recovery code.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it is for.
    #[serde(default)]
    label: String,
    /// Id of the cluster, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// It is told this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CreatedKey {
    /// `HFR1-…`
    recovery_code: String,
}

/// Adds a recovery code that opens the repository. Needs the role admin, the typed name and the password.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/repository-keys", tag = "recovery", request_body = NewKey,
    params(("cluster" = String, Path, description = "Id of the cluster"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request: sent again, it makes no second code and answers 409, since a code is shown once")), responses(
    (status = 200, description = "The code", body = CreatedKey),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The code of this request was made and shown, or the repository cannot be opened", body = Problem, content_type = "application/problem+json"),
    (status = 400, description = "The name or the password is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn key_add(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<NewKey>,
) -> Result<Json<CreatedKey>, Problem> {
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    let recovery_code = app.control.repository_key_add(&actor, Some(&cluster), &body.label, &confirmation).await?;
    Ok(Json(CreatedKey { recovery_code }))
}

/// A new data key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RotatedKey {
    /// Its number.
    data_key: u32,
}

/// Gives new objects a new data key. Needs the role admin, the typed name and the password.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/repository-keys/rotate", tag = "recovery", request_body = Confirm,
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 200, description = "The number of the data key", body = RotatedKey),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 400, description = "The name or the password is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn key_rotate(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(confirm): JsonBody<Confirm>,
) -> Result<Json<RotatedKey>, Problem> {
    let data_key = app.control.repository_key_rotate(&actor, Some(&cluster), &confirm.into()).await?;
    Ok(Json(RotatedKey { data_key }))
}

/// Removes a key; the last one stays. Needs the role admin, the typed name and the password.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/repository-keys/{id}/remove", tag = "recovery", request_body = Confirm,
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id of the key")), responses(
    (status = 204, description = "It is removed"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is the last one", body = Problem, content_type = "application/problem+json"),
    (status = 400, description = "The name or the password is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn key_remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
    JsonBody(confirm): JsonBody<Confirm>,
) -> Result<axum::http::StatusCode, Problem> {
    app.control.repository_key_remove(&actor, Some(&cluster), &id, &confirm.into()).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}
