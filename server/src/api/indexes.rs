//! Indexes.

use super::{csv, range, server_pages::RangeQuery};
use crate::http::{
    App, Asking,
    problem::{Params, Problem},
};
use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use domain::view::{IndexDetail, IndexesPage};
use serde::Deserialize;

/// In which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// json or csv.
    pub format: Option<String>,
}

/// Of which database, in which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfDatabase {
    /// Only of this database.
    pub database: Option<String>,
    /// json or csv.
    pub format: Option<String>,
}

/// All indexes with what was found about them, and foreign keys without one.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/indexes", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), OfDatabase), responses(
    (status = 200, description = "The indexes; CSV by Accept: text/csv or format=csv", body = IndexesPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn indexes(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<OfDatabase>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.indexes_list(&actor, Some(&cluster), query.database.as_deref()).await?;
    Ok(if as_csv { csv::answer("indexes", csv::indexes(&page)) } else { Json(page).into_response() })
}

/// One index: definition, columns, size and scans over time on all nodes, what covers it, what was found about it.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/indexes/{index}", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("index" = String, Path, description = "database.schema.name"), RangeQuery), responses(
    (status = 200, description = "The index", body = IndexDetail),
    (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or index", body = Problem, content_type = "application/problem+json"),
))]
pub async fn index(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, index)): Path<(String, String)>,
    Params(query): Params<RangeQuery>,
) -> Result<Json<IndexDetail>, Problem> {
    let range = range::read(&query.range, &query.from, &query.to)?;
    Ok(Json(app.control.index_get(&actor, Some(&cluster), &index, range).await?))
}
