//! Alerts and their rules.

use super::csv;
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
use control::ControlError;
use domain::{
    Timestamp,
    alert::{RuleScope, RuleSettings},
    view::{AlertDetail, AlertView, AlertsPage, AlertsParams, RulePreview, RuleView},
};
use serde::Deserialize;

/// Which alerts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AlertsQuery {
    /// Only of this cluster.
    cluster: Option<String>,
    /// `open` (default), one of the states of open alerts (`pending`, `firing`, `acknowledged`, `silenced`, `suppressed`,
    /// `no_data`), or `resolved`.
    state: Option<String>,
    /// Only `info`, `warning` or `critical`.
    severity: Option<String>,
    /// Only of this rule, by its key.
    rule: Option<String>,
    /// Only with this text in title, object, value or detail, in capitals or not.
    q: Option<String>,
    /// json or csv.
    format: Option<String>,
    /// Rows, 1 to 500. Default: 100. Open ones are always all there.
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Open alerts, the worst first, pending ones last; or those that are over, the newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(AlertsQuery), responses(
    (status = 200, description = "The alerts; CSV by Accept: text/csv or format=csv", body = AlertsPage),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn alerts(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<AlertsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let params = AlertsParams::read(|name| match name {
        "cluster" => query.cluster.clone(),
        "state" => query.state.clone(),
        "severity" => query.severity.clone(),
        "rule" => query.rule.clone(),
        _ => query.q.clone(),
    });
    let params = params.map_err(|(field, message)| Problem::field(&field, message))?;
    let limit = query.limit.unwrap_or(100);
    let page = app.control.alerts_list(&actor, &params, query.cursor.as_deref(), limit).await?;
    Ok(if as_csv { csv::answer("alerts", csv::alerts(&page)) } else { Json(page).into_response() })
}

/// One alert with what happened to it and the messages about it.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the alert")), responses(
    (status = 200, description = "The alert", body = AlertDetail),
    (status = 404, description = "No such alert", body = Problem, content_type = "application/problem+json"),
))]
pub async fn alert(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<AlertDetail>, Problem> {
    Ok(Json(app.control.alert_get(&actor, &id).await?))
}

/// Taking an alert on.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// What there is to say.
    #[serde(default)]
    note: String,
    /// Until when it counts; without it until the alert is over.
    until: Option<Timestamp>,
}

/// Takes an alert on: nobody is told of it any more unless it gets worse. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts", request_body = Acknowledge,
    params(("id" = String, Path, description = "Id of the alert")), responses(
    (status = 200, description = "The alert", body = AlertView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such open alert", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
))]
pub async fn acknowledge(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<Acknowledge>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(app.control.alert_acknowledge(&actor, &id, &body.note, body.until).await?))
}

/// Gives an alert back. Needs the role operator.
#[utoipa::path(delete, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts",
    params(("id" = String, Path, description = "Id of the alert")), responses(
    (status = 200, description = "The alert", body = AlertView),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such open alert", body = Problem, content_type = "application/problem+json"),
))]
pub async fn unacknowledge(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(app.control.alert_unacknowledge(&actor, &id).await?))
}

/// Keeping an alert quiet.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceBody {
    /// For how long, at most 604800 (a week); 0 takes the silence back.
    seconds: u32,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Keeps an alert quiet for a while. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/silence", tag = "alerts", request_body = SilenceBody,
    params(("id" = String, Path, description = "Id of the alert")), responses(
    (status = 200, description = "The alert", body = AlertView),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such open alert", body = Problem, content_type = "application/problem+json"),
))]
pub async fn silence(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<SilenceBody>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(app.control.alert_silence(&actor, &id, &body.note, body.seconds).await?))
}

/// For which cluster.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfCluster {
    /// Id of the cluster; see the address for what is meant without it.
    cluster: Option<String>,
}

impl OfCluster {
    /// Its id, when one is named.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }
}

/// For which clusters a rule is set.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfScope {
    /// Id of the cluster. Without it and `group` all are meant.
    cluster: Option<String>,
    /// All clusters of this group instead.
    group: Option<String>,
}

impl OfScope {
    fn scope(self) -> Result<RuleScope, Problem> {
        let both = "a rule is set for a cluster or for a group: name one of them";
        Ok(RuleScope::of(self.cluster, self.group).ok_or_else(|| ControlError::field("group", both))?)
    }
}

/// All rules as they are in force for a cluster, the first without one.
#[utoipa::path(get, path = "/api/v1/alert-rules", tag = "alerts", params(OfCluster), responses(
    (status = 200, description = "The rules", body = Vec<RuleView>),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn rules(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(of): Params<OfCluster>,
) -> Result<Json<Vec<RuleView>>, Problem> {
    Ok(Json(app.control.alert_rules_list(&actor, of.cluster.as_deref()).await?))
}

/// Sets a rule for a cluster, for the clusters of a group, or for all; the narrowest setting of a cluster holds. Needs the role
/// admin.
#[utoipa::path(put, path = "/api/v1/alert-rules/{rule}", tag = "alerts", request_body = RuleSettings,
    params(("rule" = String, Path, description = "Key of the rule"), OfScope), responses(
    (status = 204, description = "Set"),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such rule, cluster or group", body = Problem, content_type = "application/problem+json"),
))]
pub async fn rule_set(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(rule): Path<String>,
    Params(of): Params<OfScope>,
    JsonBody(settings): JsonBody<RuleSettings>,
) -> Result<StatusCode, Problem> {
    app.control.alert_rule_set(&actor, &of.scope()?, &rule, settings).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a setting back. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/alert-rules/{rule}", tag = "alerts",
    params(("rule" = String, Path, description = "Key of the rule"), OfScope), responses(
    (status = 204, description = "Taken back"),
    (status = 400, description = "A cluster and a group", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such setting", body = Problem, content_type = "application/problem+json"),
))]
pub async fn rule_reset(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(rule): Path<String>,
    Params(of): Params<OfScope>,
) -> Result<StatusCode, Problem> {
    app.control.alert_rule_reset(&actor, &of.scope()?, &rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a rule would have done in the last seven days with these settings; nothing is changed.
#[utoipa::path(post, path = "/api/v1/alert-rules/{rule}/preview", tag = "alerts", request_body = RuleSettings,
    params(("rule" = String, Path, description = "Key of the rule"), OfCluster), responses(
    (status = 200, description = "How often, how long and when", body = RulePreview),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such rule or cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn rule_preview(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(rule): Path<String>,
    Params(of): Params<OfCluster>,
    JsonBody(settings): JsonBody<RuleSettings>,
) -> Result<Json<RulePreview>, Problem> {
    Ok(Json(app.control.alert_rule_preview(&actor, of.cluster.as_deref(), &rule, &settings).await?))
}
