//! Connections, tables, replication, settings, maintenance, our own cost.

use super::{
    csv, csv_lists,
    indexes::{Format, OfDatabase},
    range,
};
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
use domain::view::{
    ConnectionsPage, CostPage, HostPage, MaintenancePage, ReplicationPage, SettingsPage, TableDetail, TablesPage,
};
use serde::Deserialize;

/// Client sessions grouped by state, role, application, client and database.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/connections", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), OfDatabase), responses(
    (status = 200, description = "The groups; CSV by Accept: text/csv or format=csv", body = ConnectionsPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn connections(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<OfDatabase>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.connections_get(&actor, Some(&cluster), query.database.as_deref())?;
    Ok(if as_csv { csv::answer("connections", csv::connections(&page)) } else { Json(page.as_ref()).into_response() })
}

/// The machine of the server: its file systems, when each will be full, and its load. Where it cannot be seen, `availability`
/// says why.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/host", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), Format), responses(
    (status = 200, description = "File systems and load; the file systems as CSV by Accept: text/csv or format=csv", body = HostPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn host(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<Format>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.host_get(&actor, Some(&cluster)).await?;
    Ok(if as_csv { csv::answer("disks", csv_lists::disks(&page)) } else { Json(page).into_response() })
}

/// Of which database, and which list in which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfTables {
    /// Only of this database.
    pub database: Option<String>,
    /// Which list CSV has: tables (default) or databases.
    pub list: Option<String>,
    /// json or csv.
    pub format: Option<String>,
}

/// Tables with their sizes, use, and how vacuum keeps up. Bloat is an estimate.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/tables", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), OfTables), responses(
    (status = 200, description = "The tables and databases; a list of them as CSV by Accept: text/csv or format=csv", body = TablesPage),
    (status = 400, description = "No such list or format", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn tables(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<OfTables>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let list = choose(query.list.as_deref(), &["tables", "databases"])?;
    let page = app.control.tables_list(&actor, Some(&cluster), query.database.as_deref())?;
    Ok(match list {
        _ if !as_csv => Json(page.as_ref()).into_response(),
        "databases" => csv::answer(list, csv_lists::database_counters(&page)),
        _ => csv::answer(list, csv::tables(&page)),
    })
}

/// How far back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RangeQuery {
    /// How far back: 15m, 1h (default), 6h, 24h, 7d, 30d; `from` and `to` win over it.
    pub range: Option<String>,
    /// First moment, in RFC 3339 (without an offset it is UTC); together with `to`.
    pub from: Option<String>,
    /// Last moment, not later than now.
    pub to: Option<String>,
}

/// One table with its growth and a forecast for 30 days with its interval.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/tables/{table}", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("table" = String, Path, description = "database.schema.name"), RangeQuery), responses(
    (status = 200, description = "The table", body = TableDetail),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or table", body = Problem, content_type = "application/problem+json"),
))]
pub async fn table(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, table)): Path<(String, String)>,
    Params(query): Params<RangeQuery>,
) -> Result<Json<TableDetail>, Problem> {
    let range = range::read(&query.range, &query.from, &query.to)?;
    Ok(Json(app.control.table_get(&actor, Some(&cluster), &table, range).await?))
}

/// In which form, and of several lists which.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfLists {
    /// Which list CSV has: for replication standbys (default) or slots, for maintenance databases (default), horizon or io, for
    /// cost collectors (default) or history.
    pub list: Option<String>,
    /// json or csv.
    pub format: Option<String>,
}

/// The list that is asked for, the first unless said.
fn choose<'a>(asked: Option<&str>, lists: &[&'a str]) -> Result<&'a str, Problem> {
    match asked {
        None => Ok(lists.first().copied().unwrap_or_default()),
        Some(asked) => {
            lists.iter().copied().find(|list| *list == asked).ok_or_else(|| {
                Problem::field("list", format!("'{asked}' is not a list here; use {}", lists.join(" or ")))
            })
        }
    }
}

/// Standbys, slots, and on a standby its upstream and conflicts.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/replication", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), OfLists), responses(
    (status = 200, description = "Replication; a list of it as CSV by Accept: text/csv or format=csv", body = ReplicationPage),
    (status = 400, description = "No such list or format", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn replication(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<OfLists>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let list = choose(query.list.as_deref(), &["standbys", "slots"])?;
    let page = app.control.replication_get(&actor, Some(&cluster))?;
    Ok(match list {
        _ if !as_csv => Json(page.as_ref()).into_response(),
        "slots" => csv::answer(list, csv_lists::slots(&page)),
        _ => csv::answer(list, csv_lists::standbys(&page)),
    })
}

/// Which standby.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StandbyName {
    /// Its name as replication shows it.
    name: String,
}

/// Says that a standby which is gone will not come back: it is missed no longer, and its alert ends at the next look. Should
/// it stream again, it is a standby again. Needs the role operator; written into the audit log.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/standbys/forget", tag = "monitoring", request_body = StandbyName,
    params(("cluster" = String, Path, description = "Id of the cluster")), responses(
    (status = 202, description = "It is given up with the next look"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or standby", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is there", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nobody watches it here", body = Problem, content_type = "application/problem+json"),
))]
pub async fn standby_forget(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    JsonBody(body): JsonBody<StandbyName>,
) -> Result<StatusCode, Problem> {
    app.control.standby_forget(&actor, Some(&cluster), &body.name).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Settings with their source and default, and the changes that were seen.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/settings", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), Format), responses(
    (status = 200, description = "The settings; CSV by Accept: text/csv or format=csv", body = SettingsPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn settings(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<Format>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.settings_get(&actor, Some(&cluster)).await?;
    Ok(if as_csv { csv::answer("settings", csv::settings(&page)) } else { Json(page).into_response() })
}

/// Vacuum's horizon, transaction ids, progress, checkpoints, WAL, I/O and temporary files.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/maintenance", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), OfLists), responses(
    (status = 200, description = "Maintenance; a list of it as CSV by Accept: text/csv or format=csv", body = MaintenancePage),
    (status = 400, description = "No such list or format", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn maintenance(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<OfLists>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let list = choose(query.list.as_deref(), &["databases", "horizon", "io"])?;
    let page = app.control.maintenance_get(&actor, Some(&cluster))?;
    Ok(match list {
        _ if !as_csv => Json(page.as_ref()).into_response(),
        "horizon" => csv::answer(list, csv_lists::horizon(&page)),
        "io" => csv::answer(list, csv_lists::io(&page)),
        _ => csv::answer(list, csv_lists::databases(&page)),
    })
}

/// What Holdfast itself costs: this process, its store, and watching the cluster.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/cost", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), OfLists), responses(
    (status = 200, description = "The cost; a list of it as CSV by Accept: text/csv or format=csv", body = CostPage),
    (status = 400, description = "No such list or format", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn cost(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<OfLists>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let list = choose(query.list.as_deref(), &["collectors", "history"])?;
    let page = app.control.cost_get(&actor, Some(&cluster))?;
    Ok(match list {
        _ if !as_csv => Json(page).into_response(),
        "history" => csv::answer(list, csv_lists::kept(&page)),
        _ => csv::answer(list, csv_lists::collectors(&page)),
    })
}
