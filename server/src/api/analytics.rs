//! How the plugins of a tenant are used, and what is held on a person. The tenant comes from the identity; whoever
//! belongs to none names one by `tenant`.

use crate::http::{
    App, Asking,
    problem::{JsonBody, Params, Problem},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use control::{
    Confirmation,
    analytics::{Batch, Measure, SeriesFilter, SeriesQuestion, TopBy},
};
use domain::{
    Timestamp,
    view::{
        AnalyticsGeography, AnalyticsMeasure, AnalyticsSeries, AnalyticsTop, Bucket, ErasureReport, IngestReport,
        SubjectPlan, UsagePatterns,
    },
};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// An erasure is waited for for so long; a request is ended after half a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A question about a span of time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SpanQuery {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
    /// First moment, included, RFC 3339. 30 days before `to` without it.
    from: Option<String>,
    /// Last moment, excluded, RFC 3339. Now without it.
    to: Option<String>,
    /// Only of this plugin, by its id.
    plugin: Option<String>,
    /// Only of plugins of this environment, as they are now: production, staging or development.
    environment: Option<String>,
    /// Only events of this type; users are those of all types.
    event_type: Option<String>,
    /// Only events from this country.
    country: Option<String>,
    /// Whose hours of the week, like Europe/Berlin. UTC without it; days of users are always those of UTC.
    time_zone: Option<String>,
}

fn filter(
    plugin: Option<String>,
    environment: Option<String>,
    event_type: Option<String>,
    country: Option<String>,
) -> Result<SeriesFilter, Problem> {
    let plugin = plugin
        .map(|text| text.parse().map_err(|_| Problem::field("plugin", format!("'{text}' is not the id of a plugin"))))
        .transpose()?;
    Ok(SeriesFilter { plugin, environment, event_type, country })
}

fn span(from: Option<&str>, to: Option<&str>) -> Result<(Timestamp, Timestamp), Problem> {
    let read = |name: &'static str, text: &str| {
        Timestamp::parse_rfc3339(text)
            .ok_or_else(|| Problem::field(name, format!("'{text}' is not a moment like 2026-11-24T02:00:00Z")))
    };
    let to = to.map(|text| read("to", text)).transpose()?.unwrap_or_else(control::now);
    let from = from.map(|text| read("from", text)).transpose()?.unwrap_or(Timestamp(to.0 - 30 * DAY_MS));
    Ok((from, to))
}

/// Which time series.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SeriesQuery {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
    /// First moment, included, RFC 3339. 30 days before `to` without it.
    from: Option<String>,
    /// Last moment, excluded, RFC 3339. Now without it.
    to: Option<String>,
    /// events, users or metric. Default: events.
    #[serde(default = "events")]
    measure: AnalyticsMeasure,
    /// Name of the metric, for that measure.
    metric: Option<String>,
    /// minute, hour, day, week or month. Chosen by the range without it; users go by day and longer.
    bucket: Option<Bucket>,
    /// Whose hours, days, weeks and months, like Europe/Berlin. UTC without it; users are kept by days of UTC only.
    time_zone: Option<String>,
    /// Only of this plugin, by its id.
    plugin: Option<String>,
    /// Only of plugins of this environment, as they are now: production, staging or development.
    environment: Option<String>,
    /// Only events of this type.
    event_type: Option<String>,
    /// Only events from this country.
    country: Option<String>,
}

const fn events() -> AnalyticsMeasure {
    AnalyticsMeasure::Events
}

/// A time series, exact up to now: read from the coarsest roll-up that is, and from the rows where none is.
#[utoipa::path(get, path = "/api/v1/analytics/timeseries", tag = "analytics", params(SeriesQuery), responses(
    (status = 200, description = "The series", body = AnalyticsSeries),
    (status = 400, description = "A wrong parameter, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Another tenant's, or no right to choose", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The platform's schema is not installed or its database does not answer", body = Problem, content_type = "application/problem+json"),
))]
pub async fn timeseries(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<SeriesQuery>,
) -> Result<Json<AnalyticsSeries>, Problem> {
    let (from, to) = span(query.from.as_deref(), query.to.as_deref())?;
    let measure = match (query.measure, query.metric) {
        (AnalyticsMeasure::Events, None) => Measure::Events,
        (AnalyticsMeasure::Users, None) => Measure::Users,
        (AnalyticsMeasure::Metric, Some(name)) => Measure::Metric(name),
        (AnalyticsMeasure::Metric, None) => return Err(Problem::field("metric", "name the metric, like cpu_usage")),
        (_, Some(_)) => return Err(Problem::field("metric", "only with measure=metric")),
    };
    let filter = filter(query.plugin, query.environment, query.event_type, query.country)?;
    let question = SeriesQuestion { measure, filter, from, to, bucket: query.bucket, time_zone: query.time_zone };
    Ok(Json(app.control.analytics_series(&actor, query.tenant.as_deref(), &question).await?))
}

/// Which top list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TopQuery {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
    /// First moment, included, RFC 3339. 30 days before `to` without it.
    from: Option<String>,
    /// Last moment, excluded, RFC 3339. Now without it.
    to: Option<String>,
    /// plugins, event_types or countries. Default: plugins.
    by: Option<String>,
    /// Rows, 1 to 100. Default: 10.
    limit: Option<usize>,
    /// Only of this plugin, by its id.
    plugin: Option<String>,
    /// Only of plugins of this environment, as they are now: production, staging or development.
    environment: Option<String>,
    /// Only events of this type; users are those of all types.
    event_type: Option<String>,
    /// Only events from this country.
    country: Option<String>,
}

/// What is used most, beside the equally long range before.
#[utoipa::path(get, path = "/api/v1/analytics/top", tag = "analytics", params(TopQuery), responses(
    (status = 200, description = "The list", body = AnalyticsTop),
    (status = 400, description = "A wrong parameter, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Another tenant's, or no right to choose", body = Problem, content_type = "application/problem+json"),
))]
pub async fn top(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<TopQuery>,
) -> Result<Json<AnalyticsTop>, Problem> {
    let span = span(query.from.as_deref(), query.to.as_deref())?;
    let by = query.by.as_deref().unwrap_or("plugins").parse::<TopBy>();
    let by = by.map_err(|message| Problem::field("by", message))?;
    let limit = query.limit.unwrap_or(10);
    let filter = filter(query.plugin, query.environment, query.event_type, query.country)?;
    Ok(Json(app.control.analytics_top(&actor, query.tenant.as_deref(), (by, &filter), span, limit).await?))
}

/// Events and users by country.
#[utoipa::path(get, path = "/api/v1/analytics/geography", tag = "analytics", params(SpanQuery), responses(
    (status = 200, description = "Every country", body = AnalyticsGeography),
    (status = 400, description = "A wrong parameter, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Another tenant's, or no right to choose", body = Problem, content_type = "application/problem+json"),
))]
pub async fn geography(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<SpanQuery>,
) -> Result<Json<AnalyticsGeography>, Problem> {
    let span = span(query.from.as_deref(), query.to.as_deref())?;
    if query.time_zone.is_some() {
        return Err(Problem::field("time_zone", "countries are not told by the hour; leave the time zone out"));
    }
    let filter = filter(query.plugin, query.environment, query.event_type, query.country)?;
    Ok(Json(app.control.analytics_geography(&actor, query.tenant.as_deref(), &filter, span).await?))
}

/// Hours of the week, active users, cohorts that come again, plugins used together; by whole days (UTC).
#[utoipa::path(get, path = "/api/v1/analytics/usage-patterns", tag = "analytics", params(SpanQuery), responses(
    (status = 200, description = "The patterns", body = UsagePatterns),
    (status = 400, description = "A wrong parameter, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Another tenant's, or no right to choose", body = Problem, content_type = "application/problem+json"),
))]
pub async fn usage_patterns(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(query): Params<SpanQuery>,
) -> Result<Json<UsagePatterns>, Problem> {
    let span = span(query.from.as_deref(), query.to.as_deref())?;
    let (tenant, zone) = (query.tenant.as_deref(), query.time_zone.as_deref());
    let filter = filter(query.plugin, query.environment, query.event_type, query.country)?;
    Ok(Json(app.control.analytics_usage_patterns(&actor, tenant, &filter, span, zone).await?))
}

/// Which tenant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfTenant {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
}

/// An event: somebody did something with a plugin.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "items are read one by one, so that a wrong one is named; this describes them")]
pub struct EventItem {
    /// Names the event: sent again, it counts once. Known within the calendar month (UTC) of `at`.
    id: Option<String>,
    /// Id of the plugin.
    plugin_id: String,
    /// What happened: 1 to 64 of a-z, 0-9, _ . : -
    r#type: String,
    /// When, RFC 3339; not older than what is kept and at most ten minutes ahead.
    #[schema(format = DateTime)]
    at: String,
    /// Who.
    user: Option<String>,
    /// Where: two capital letters of ISO 3166.
    country: Option<String>,
    /// Whatever else; at most 8 KiB.
    properties: Option<Value>,
}

/// A sample of a plugin's metric.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "items are read one by one, so that a wrong one is named; this describes them")]
pub struct MetricItem {
    /// Id of the plugin.
    plugin_id: String,
    /// Name of the metric: 1 to 64 of a-z, 0-9, _ . : -
    name: String,
    /// Its value.
    value: f64,
    /// When, RFC 3339.
    #[schema(format = DateTime)]
    at: String,
}

/// What is sent at once: 1 to 10,000 items together, and at most 1 MiB.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// Events.
    #[serde(default)]
    #[schema(value_type = Vec<EventItem>)]
    events: Vec<Value>,
    /// Samples of metrics.
    #[serde(default)]
    #[schema(value_type = Vec<MetricItem>)]
    metrics: Vec<Value>,
}

/// Stores events and metrics. Items that are wrong are named in the answer and the others are stored. With
/// `Idempotency-Key` the batch is taken once, however often it is sent; events with an id count once in any case.
#[utoipa::path(post, path = "/api/v1/analytics/events", tag = "analytics",
    params(OfTenant, ("Idempotency-Key" = Option<String>, Header, description = "Names the batch")),
    request_body = BatchBody, responses(
    (status = 200, description = "What became of it", body = IngestReport),
    (status = 400, description = "An empty or too large batch, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not allowed", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The key named another batch before", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "More than 1 MiB", body = Problem, content_type = "application/problem+json"),
))]
pub async fn ingest(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(of): Params<OfTenant>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<BatchBody>,
) -> Result<Json<IngestReport>, Problem> {
    let key = match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => None,
        Some(Ok(text)) => Some(text.to_owned()),
        Some(Err(_)) => {
            return Err(Problem::field("Idempotency-Key", "Idempotency-Key has only visible ASCII characters"));
        }
    };
    let batch = Batch { key, events: body.events, metrics: body.metrics };
    Ok(Json(app.control.analytics_ingest(&actor, of.tenant.as_deref(), &batch).await?))
}

/// How many rows hold a subject. Whoever belongs to no tenant asks about all of them, unless `tenant` names one.
#[utoipa::path(get, path = "/api/v1/subjects/{subject}", tag = "subjects",
    params(("subject" = String, Path, description = "Id of the user, as in the events"), OfTenant), responses(
    (status = 200, description = "Counts; nothing was changed", body = SubjectPlan),
    (status = 403, description = "Not allowed", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The platform's schema is not installed or its database does not answer", body = Problem, content_type = "application/problem+json"),
))]
pub async fn subject(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(subject): Path<String>,
    Params(of): Params<OfTenant>,
) -> Result<Json<SubjectPlan>, Problem> {
    Ok(Json(app.control.subject_plan(&actor, of.tenant.as_deref(), &subject).await?))
}

/// Work that goes on after its answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GoesOn {
    /// Always `running`.
    state: &'static str,
    /// What to do.
    message: &'static str,
}

/// 202, and where to look.
fn goes_on(place: &str, tenant: Option<&str>, message: &'static str) -> Response {
    let place = tenant.map_or_else(|| place.to_owned(), |it| format!("{place}?tenant={}", crate::http::encode(it)));
    (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(GoesOn { state: "running", message })).into_response()
}

/// Everything that is held on a subject: live tables, roll-ups, the platform's audit log, the archive. The document is sent while
/// it is read; its last member is `"complete": true`, and one that ends without it was cut off.
#[utoipa::path(get, path = "/api/v1/subjects/{subject}/export", tag = "subjects",
    params(("subject" = String, Path, description = "Id of the user, as in the events"), OfTenant), responses(
    (status = 200, description = "One document", body = Value),
    (status = 403, description = "Not allowed", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The platform's schema is not installed or its database does not answer", body = Problem, content_type = "application/problem+json"),
))]
pub async fn subject_export(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(subject): Path<String>,
    Params(of): Params<OfTenant>,
) -> Result<Response, Problem> {
    let mut pieces = app.control.subject_export(&actor, of.tenant.as_deref(), &subject).await?;
    // What fails before the first piece has a status of its own.
    let first = pieces.recv().await.transpose()?;
    let rest = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece.map_err(|error| std::io::Error::other(error.to_string())), pieces))
    });
    let document = stream::iter(first.map(Ok)).chain(rest);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(document)).into_response())
}

/// Confirms an erasure.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseBody {
    /// The subject's id once more.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Erases a subject. The answer is the certificate; `pending` while the archive still holds the subject. When that takes
/// longer than 20 seconds it goes on to its end, and the list of erasures has the certificate.
#[utoipa::path(post, path = "/api/v1/subjects/{subject}/erase", tag = "subjects",
    params(("subject" = String, Path, description = "Id of the user, as in the events"), OfTenant),
    request_body = EraseBody, responses(
    (status = 200, description = "What was done", body = ErasureReport),
    (status = 202, description = "It goes on; Location has the certificates", body = GoesOn),
    (status = 400, description = "Not confirmed, or the password is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not allowed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn subject_erase(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(subject): Path<String>,
    Params(of): Params<OfTenant>,
    JsonBody(body): JsonBody<EraseBody>,
) -> Result<Response, Problem> {
    let tenant = of.tenant.as_deref();
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(match app.control.subject_erase(&actor, tenant, &subject, &confirmation, ANSWER_WITHIN).await? {
        Some(report) => Json(report).into_response(),
        None => goes_on("/api/v1/erasures", tenant, "the erasure goes on to its end; the list has its certificate"),
    })
}

/// The hundred newest erasures with their certificates.
#[utoipa::path(get, path = "/api/v1/erasures", tag = "subjects", params(OfTenant), responses(
    (status = 200, description = "The newest first", body = Vec<ErasureReport>),
    (status = 403, description = "Not allowed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn erasures(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(of): Params<OfTenant>,
) -> Result<Json<Vec<ErasureReport>>, Problem> {
    Ok(Json(app.control.erasures_list(&actor, of.tenant.as_deref()).await?))
}
