//! Who waits for whom.

use super::{csv, indexes::Format};
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
use domain::view::{LockSnapshot, LocksPage};

/// Sessions that wait for locks, as trees, and the kept graphs. Literals in statements are masked.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/locks", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), Format), responses(
    (status = 200, description = "The trees; CSV by Accept: text/csv or format=csv", body = LocksPage),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn locks(
    State(app): State<App>,
    Asking(actor): Asking,
    Path(cluster): Path<String>,
    Params(query): Params<Format>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let as_csv = csv::wanted(&headers, query.format.as_deref())?;
    let page = app.control.locks_get(&actor, Some(&cluster)).await?;
    Ok(if as_csv { csv::answer("locks", csv::locks(&page.nodes)) } else { Json(page).into_response() })
}

/// A kept graph: the worst moment of a time of waiting. Id 0 is that of the waiting that goes on now.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/locks/{id}", tag = "monitoring",
    params(("cluster" = String, Path, description = "Id of the cluster"), ("id" = String, Path, description = "Id from the list")), responses(
    (status = 200, description = "The graph", body = LockSnapshot),
    (status = 401, description = "No identity", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such cluster or graph", body = Problem, content_type = "application/problem+json"),
))]
pub async fn snapshot(
    State(app): State<App>,
    Asking(actor): Asking,
    Path((cluster, id)): Path<(String, String)>,
) -> Result<Json<LockSnapshot>, Problem> {
    Ok(Json(app.control.lock_snapshot_get(&actor, Some(&cluster), &id).await?))
}
