//! Plugins of the platform: found, looked at, added, changed, removed, many at once. The tenant comes from the identity;
//! whoever belongs to none names one by `tenant`.

use crate::http::{
    App, Asking,
    problem::{JsonBody, LargeJsonBody, Params, Problem},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use control::{
    BulkMode, BulkOperation, BulkRequest, Confirmation, NewDependency, NewPlugin, NewVersion, PluginChange, PluginQuery,
};
use domain::view::{
    BulkReport, BulkStatus, Facets, OperationRow, Plugin, PluginDependencies, PluginDetails, PluginsPage, TenantView,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Which tenant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
}

/// Conditions of a list; those of one name are alternatives, but for tags and keywords, of which all must be there.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by PluginQuery; this describes it")]
pub struct PluginConditions {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
    /// Words that begin like these; when nothing has them, similar names are found.
    q: Option<String>,
    /// Repeat it for alternatives.
    #[serde(default)]
    category: Vec<String>,
    /// active, inactive, installing, failed, deprecated.
    #[serde(default)]
    status: Vec<String>,
    /// production, staging, development.
    #[serde(default)]
    environment: Vec<String>,
    /// The team that looks after it.
    #[serde(default)]
    owner: Vec<String>,
    /// All of them must be there.
    #[serde(default)]
    tag: Vec<String>,
    /// All of them must be there.
    #[serde(default)]
    keyword: Vec<String>,
    /// 0 to 100.
    health_min: Option<i16>,
    /// 0 to 100.
    health_max: Option<i16>,
    /// Installed or not.
    installed: Option<bool>,
    /// Enabled or not.
    enabled: Option<bool>,
}

/// The page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by PluginQuery; this describes it")]
pub struct PluginPage {
    /// -health (the default), health, name, -updated or relevance.
    sort: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 200; 50 without it.
    limit: Option<u32>,
}

fn query(raw: RawQuery, ignored: &[&str]) -> Result<PluginQuery, Problem> {
    let text = raw.0.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
    Ok(PluginQuery::read(&pairs, ignored)?)
}

/// Plugins that the conditions let through, in pages that stay in order while rows change.
#[utoipa::path(get, path = "/api/v1/plugins", tag = "platform", params(PluginConditions, PluginPage), responses(
    (status = 200, description = "A page", body = PluginsPage),
    (status = 400, description = "A wrong parameter, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Another tenant's, or no right to choose", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The platform's schema is not installed or its database does not answer", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plugins(
    State(app): State<App>,
    Asking(actor): Asking,
    raw: RawQuery,
) -> Result<Json<PluginsPage>, Problem> {
    Ok(Json(app.control.plugins_list(&actor, &query(raw, &[])?).await?.as_ref().clone()))
}

/// How the plugins that the conditions let through divide: counts by category, status, environment, owner, tag, keyword.
#[utoipa::path(get, path = "/api/v1/plugins/facets", tag = "platform", params(PluginConditions), responses(
    (status = 200, description = "Counts", body = Facets),
    (status = 400, description = "A wrong parameter, or no tenant was chosen", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Another tenant's, or no right to choose", body = Problem, content_type = "application/problem+json"),
))]
pub async fn facets(State(app): State<App>, Asking(actor): Asking, raw: RawQuery) -> Result<Json<Facets>, Problem> {
    Ok(Json(app.control.plugins_facets(&actor, &query(raw, &[])?).await?.as_ref().clone()))
}

/// The tenants that one may choose from: at most fifty that begin like `q`; one's own alone for whoever belongs to one.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "platform", params(("q" = Option<String>, Query, description = "Beginning of the name")), responses(
    (status = 200, description = "Tenants", body = Vec<TenantView>),
    (status = 403, description = "No right to choose", body = Problem, content_type = "application/problem+json"),
))]
pub async fn tenants(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(begins): Params<Begins>,
) -> Result<Json<Vec<TenantView>>, Problem> {
    Ok(Json(app.control.tenants_list(&actor, begins.q.as_deref().unwrap_or_default()).await?))
}

/// Beginning of a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begins {
    q: Option<String>,
}

/// A version to be released.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionBody {
    /// A semantic version, never released before.
    version: String,
    /// What is new.
    #[serde(default)]
    changelog: String,
    /// What it needs.
    #[serde(default)]
    dependencies: Vec<DependencyBody>,
}

/// What a version needs.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DependencyBody {
    /// Id of the plugin.
    plugin: String,
    /// Which versions do, like `^1.2`; any without it.
    #[serde(default)]
    range: String,
    /// It works without, too.
    #[serde(default)]
    optional: bool,
}

impl VersionBody {
    fn read(self) -> Result<NewVersion, Problem> {
        let dependencies = self
            .dependencies
            .into_iter()
            .map(|need| {
                let plugin = number("dependencies", &need.plugin)?;
                Ok(NewDependency { plugin, range: need.range, optional: need.optional })
            })
            .collect::<Result<_, Problem>>()?;
        Ok(NewVersion { version: self.version, changelog: self.changelog, dependencies })
    }
}

fn number(field: &str, text: &str) -> Result<i64, Problem> {
    text.trim().parse().map_err(|_| Problem::field(field, format!("'{text}' is not the id of a plugin")))
}

/// A plugin to be added.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginBody {
    /// Unique within the tenant: lower-case letters, digits, `-`, `_`, `.`.
    name: String,
    /// For people; the name without it.
    #[serde(default)]
    display_name: String,
    /// What it does.
    #[serde(default)]
    description: String,
    /// What kind it is of.
    category: String,
    /// The team that looks after it.
    owner: String,
    /// production, staging or development.
    #[serde(default = "production")]
    environment: String,
    /// Words it is found by.
    #[serde(default)]
    keywords: Vec<String>,
    /// Labels.
    #[serde(default)]
    tags: Vec<String>,
    /// Its first version, so that it can be installed.
    version: Option<VersionBody>,
}

fn production() -> String {
    "production".to_owned()
}

/// Adds a plugin, not installed. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/plugins", tag = "platform", params(Whose), request_body = PluginBody, responses(
    (status = 201, description = "The plugin", body = PluginDetails),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator, or another tenant's", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(whose): Params<Whose>,
    JsonBody(body): JsonBody<PluginBody>,
) -> Result<Response, Problem> {
    let new = NewPlugin {
        name: body.name,
        display_name: body.display_name,
        description: body.description,
        category: body.category,
        owner: body.owner,
        environment: body.environment,
        keywords: body.keywords,
        tags: body.tags,
        version: body.version.map(VersionBody::read).transpose()?,
    };
    let made = app.control.plugin_create(&actor, whose.tenant.as_deref(), &new).await?;
    let place = format!("/api/v1/plugins/{}", made.plugin.id);
    Ok(with_tag((StatusCode::CREATED, [(header::LOCATION, place)], Json(&made)).into_response(), &made))
}

/// The moment of the last change is the tag: PATCH takes it back as If-Match.
fn with_tag(mut response: Response, details: &PluginDetails) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", details.plugin.updated_at.0)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Everything about one plugin: versions, the newest operations, what it needs, health and metrics.
#[utoipa::path(get, path = "/api/v1/plugins/{id}", tag = "platform", params(("id" = String, Path, description = "Id of the plugin"), Whose), responses(
    (status = 200, description = "The plugin; its ETag changes with it", body = PluginDetails),
    (status = 403, description = "Another tenant was named", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plugin, or another tenant's", body = Problem, content_type = "application/problem+json"),
))]
pub async fn plugin(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    Params(whose): Params<Whose>,
) -> Result<Response, Problem> {
    let details = app.control.plugin_get(&actor, whose.tenant.as_deref(), &id).await?;
    Ok(with_tag(Json(details.as_ref()).into_response(), &details))
}

/// What to change; what is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// For people.
    display_name: Option<String>,
    /// What it does.
    description: Option<String>,
    /// What kind it is of.
    category: Option<String>,
    /// The team that looks after it.
    owner: Option<String>,
    /// production, staging or development.
    environment: Option<String>,
    /// active, inactive, installing, failed or deprecated.
    status: Option<String>,
    /// Words it is found by.
    keywords: Option<Vec<String>>,
    /// Labels.
    tags: Option<Vec<String>>,
    /// A further version.
    version: Option<VersionBody>,
}

/// Changes a plugin; with If-Match only when nobody changed it since. Needs the role operator.
#[utoipa::path(patch, path = "/api/v1/plugins/{id}", tag = "platform", request_body = ChangeBody,
    params(("id" = String, Path, description = "Id of the plugin"), Whose, ("If-Match" = Option<String>, Header, description = "ETag of the plugin as it was read")), responses(
    (status = 200, description = "The plugin", body = PluginDetails),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator, or another tenant was named", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plugin, or another tenant's", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It was changed since, or the version is there already", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    Params(whose): Params<Whose>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<Response, Problem> {
    let unchanged_since_ms = match headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) {
        None | Some("*") => None,
        Some(tag) => Some(tag.trim().trim_matches('"').parse().map_err(|_| {
            Problem::field("If-Match", "take the ETag of the plugin, as GET /api/v1/plugins/{id} gave it")
        })?),
    };
    let change = PluginChange {
        display_name: body.display_name,
        description: body.description,
        category: body.category,
        owner: body.owner,
        environment: body.environment,
        status: body.status,
        keywords: body.keywords,
        tags: body.tags,
        version: body.version.map(VersionBody::read).transpose()?,
        unchanged_since_ms,
    };
    let details = app.control.plugin_change(&actor, whose.tenant.as_deref(), &id, &change).await?;
    Ok(with_tag(Json(&details).into_response(), &details))
}

/// Confirms a removal.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveBody {
    /// Name of the plugin, typed.
    confirm: String,
    /// Password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

/// Removes a plugin that no other one needs. Needs the role operator, the typed name, and the password again (a token: the
/// scope `restore`).
#[utoipa::path(delete, path = "/api/v1/plugins/{id}", tag = "platform", params(("id" = String, Path, description = "Id of the plugin"), Whose), request_body = RemoveBody, responses(
    (status = 200, description = "What it was", body = Plugin),
    (status = 400, description = "Not confirmed, or the password is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator, or another tenant was named", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plugin, or another tenant's", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Another one needs it", body = Problem, content_type = "application/problem+json"),
))]
pub async fn remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    Params(whose): Params<Whose>,
    body: Bytes,
) -> Result<Json<Plugin>, Problem> {
    // Whoever may not, or names what is not there, is told that first: what is not confirmed is confirmed by nothing.
    let body = if body.is_empty() {
        RemoveBody::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| Problem::field("body", error.to_string()))?
    };
    let confirmation = Confirmation { name: body.confirm, password: body.password };
    Ok(Json(app.control.plugin_delete(&actor, whose.tenant.as_deref(), &id, &confirmation).await?))
}

/// Which version to plan for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
    /// Versions that do for the plan, like `^2`; the newest that fits everything without it.
    range: Option<String>,
}

/// Everything that it needs, everything that needs it, circles by name, and what installing or upgrading it would change,
/// or why that is not possible.
#[utoipa::path(get, path = "/api/v1/plugins/{id}/dependencies", tag = "platform", params(("id" = String, Path, description = "Id of the plugin"), Planned), responses(
    (status = 200, description = "Both graphs and the plan", body = PluginDependencies),
    (status = 400, description = "A wrong range", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plugin, or another tenant's", body = Problem, content_type = "application/problem+json"),
))]
pub async fn dependencies(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    Params(planned): Params<Planned>,
) -> Result<Json<PluginDependencies>, Problem> {
    let found =
        app.control.plugin_dependencies(&actor, planned.tenant.as_deref(), &id, planned.range.as_deref()).await?;
    Ok(Json(found))
}

/// The page of operations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OperationsPage {
    /// Name or id of the tenant; only for whoever belongs to none.
    tenant: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 200; 50 without it.
    limit: Option<u32>,
}

/// What was done with a plugin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Operations {
    /// The newest first.
    operations: Vec<OperationRow>,
    /// Where the next page begins; `null` at the end.
    next_cursor: Option<String>,
}

/// What was done with a plugin, the newest first.
#[utoipa::path(get, path = "/api/v1/plugins/{id}/operations", tag = "platform", params(("id" = String, Path, description = "Id of the plugin"), OperationsPage), responses(
    (status = 200, description = "A page", body = Operations),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such plugin, or another tenant's", body = Problem, content_type = "application/problem+json"),
))]
pub async fn operations(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(id): Path<String>,
    Params(page): Params<OperationsPage>,
) -> Result<Json<Operations>, Problem> {
    let limit = page.limit.unwrap_or(50);
    let (operations, next_cursor) =
        app.control.plugin_operations(&actor, page.tenant.as_deref(), &id, page.cursor.as_deref(), limit).await?;
    Ok(Json(Operations { operations, next_cursor }))
}

/// An operation on many plugins.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkBody {
    /// install, enable, disable, upgrade, tag or delete.
    operation: String,
    /// atomic (all or none) or each (item by item; the default).
    mode: Option<String>,
    /// Ids of the plugins, at most 100,000.
    plugins: Vec<String>,
    /// Tags to add, for the operation tag.
    #[serde(default)]
    add_tags: Vec<String>,
    /// Tags to remove, for the operation tag.
    #[serde(default)]
    remove_tags: Vec<String>,
    /// For the operation install: versions by id of the plugin, as a plan has them; the newest of those that are not named.
    /// An installed plugin goes to the version that is named.
    #[serde(default)]
    versions: BTreeMap<String, String>,
    /// Only say what it would do; nothing is changed, and no key is used.
    #[serde(default)]
    plan: bool,
    /// For the operation delete: the number of the plugins, typed.
    #[serde(default)]
    confirm: String,
    /// For the operation delete: the password of the account; a token needs the scope `restore` instead.
    #[serde(default)]
    password: String,
}

impl BulkBody {
    fn read(self) -> Result<BulkRequest, Problem> {
        let wrong = |field: &str, error: &dyn std::fmt::Display| Problem::field(field, error.to_string());
        let operation = self.operation.parse::<BulkOperation>().map_err(|error| wrong("operation", &error))?;
        let mode = self.mode.as_deref().unwrap_or("each");
        let mode = mode.parse::<BulkMode>().map_err(|error| wrong("mode", &error))?;
        let plugins = self.plugins.iter().map(|id| number("plugins", id)).collect::<Result<BTreeSet<_>, _>>()?;
        let versions = self.versions.into_iter().map(|(id, version)| Ok((number("versions", &id)?, version)));
        let versions = versions.collect::<Result<BTreeMap<_, _>, Problem>>()?;
        Ok(BulkRequest { operation, mode, plugins, add_tags: self.add_tags, remove_tags: self.remove_tags, versions })
    }
}

/// Plans an operation on many plugins (`plan`), or begins it and answers at once. `Idempotency-Key` makes it one and the same
/// however often it is sent: after a lost answer, a restart or a kill the same request with the same key goes on with what is
/// left. Keys are kept for 90 days after the end. Without the header a key is made; it is in the answer. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/plugins/bulk", tag = "platform", request_body = BulkBody,
    params(Whose, ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 bytes; one for each request")), responses(
    (status = 200, description = "The plan", body = BulkReport),
    (status = 202, description = "Begun; Location is where it is followed", body = BulkStatus),
    (status = 400, description = "A wrong field", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator, or another tenant was named", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The key was used for another request", body = Problem, content_type = "application/problem+json"),
))]
pub async fn bulk(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(whose): Params<Whose>,
    headers: HeaderMap,
    LargeJsonBody(body): LargeJsonBody<BulkBody>,
) -> Result<Response, Problem> {
    let tenant = whose.tenant.as_deref();
    let plan = body.plan;
    let confirmation = Confirmation { name: body.confirm.clone(), password: body.password.clone() };
    let request = body.read()?;
    if plan {
        return Ok(Json(app.control.plugin_bulk_plan(&actor, tenant, &request).await?).into_response());
    }
    let key = match headers.get("idempotency-key") {
        Some(value) => value
            .to_str()
            .map_err(|_| Problem::field("Idempotency-Key", "an idempotency key has 1 to 200 bytes of ASCII"))?
            .to_owned(),
        None => auth::new_secret().map_err(|error| {
            tracing::error!(%error, "no idempotency key could be made");
            Problem::field("Idempotency-Key", "send a key of your own")
        })?,
    };
    let status = app.control.plugin_bulk_start(&actor, tenant, &key, request, &confirmation).await?;
    // A space is no plus in a path.
    let mut place = format!("/api/v1/plugins/bulk/{}", crate::http::encode(&key).replace('+', "%20"));
    if let Some(tenant) = tenant {
        place = format!("{place}?tenant={}", crate::http::encode(tenant));
    }
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(status)).into_response())
}

/// How an operation on many plugins stands.
#[utoipa::path(get, path = "/api/v1/plugins/bulk/{key}", tag = "platform", params(("key" = String, Path, description = "Its idempotency key"), Whose), responses(
    (status = 200, description = "State, progress, and in the end the report", body = BulkStatus),
    (status = 404, description = "The tenant has not used that key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn bulk_status(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(key): Path<String>,
    Params(whose): Params<Whose>,
) -> Result<Json<BulkStatus>, Problem> {
    Ok(Json(app.control.plugin_bulk_get(&actor, whose.tenant.as_deref(), &key).await?))
}

/// Cancels an operation on many plugins, on whichever server it runs. Item by item it ends between two parts, and what was
/// done stays done; of all or none nothing is done. Ask for the status until it is `cancelled`.
#[utoipa::path(post, path = "/api/v1/plugins/bulk/{key}/cancel", tag = "platform", params(("key" = String, Path, description = "Its idempotency key"), Whose), responses(
    (status = 202, description = "It was told; the status as it is now", body = BulkStatus),
    (status = 403, description = "Not an operator, or another tenant was named", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The tenant has not used that key", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
))]
pub async fn bulk_cancel(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(key): Path<String>,
    Params(whose): Params<Whose>,
) -> Result<Response, Problem> {
    let status = app.control.plugin_bulk_cancel(&actor, whose.tenant.as_deref(), &key).await?;
    Ok((StatusCode::ACCEPTED, Json(status)).into_response())
}

/// Whether the platform's data can be worked with, and every figure of its pools.
#[utoipa::path(get, path = "/api/v1/platform", tag = "platform", responses(
    (status = 200, description = "State, pools, routing, remembered answers", body = domain::view::PoolsPage),
    (status = 403, description = "Whoever belongs to a tenant does not see the estate", body = Problem, content_type = "application/problem+json"),
))]
pub async fn platform(State(app): State<App>, Asking(actor): Asking) -> Result<Json<domain::view::PoolsPage>, Problem> {
    Ok(Json(app.control.pools_get(&actor)?))
}
