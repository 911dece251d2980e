//! `/healthz`: the process answers. `/readyz`: it can work.

use super::{App, problem::Problem};
use axum::{Json, extract::State, response::IntoResponse};

/// Always 200 while the process answers at all.
pub async fn healthz() -> impl IntoResponse {
    Json(serde_json::json!({ "status": "ok" }))
}

/// 200 when the store answers and is migrated, 503 with the reason otherwise. The monitored clusters do not count:
/// the day they are down is the day we must serve.
pub async fn readyz(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    app.control.ready().await.map_err(|error| Problem::of(domain::ErrorKind::Unavailable, error.to_string()))?;
    Ok(Json(serde_json::json!({ "status": "ready" })))
}
