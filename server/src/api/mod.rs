//! The JSON API: use cases in HTTP's terms. It decides nothing: rights, limits and texts come from `control`.

pub mod accounts;
pub mod activity;
pub mod advice;
pub mod alerts;
pub mod analytics;
pub mod audit;
pub mod backends;
pub mod channels;
pub mod clusters;
mod csv;
mod csv_lists;
pub mod dashboard;
pub mod dr;
pub mod estate;
pub mod events;
pub mod health;
pub mod history;
pub mod indexes;
pub mod jobs;
pub mod load;
pub mod locks;
pub mod plans;
pub mod plugins;
pub mod queries;
mod range;
pub mod recovery;
pub mod server_pages;

use axum::{
    http::header,
    response::{Html, IntoResponse},
};

/// `GET /api/openapi.json`
pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi::document_json())
}

/// `GET /api/docs`: the document as a page of ours, readable without a network and without script.
pub async fn docs() -> impl IntoResponse {
    static PAGE: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| crate::api::docs_page::page(&crate::openapi::api().1));
    // Its one style sheet is its own and inline; nothing else may load or run.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE.as_str()))
}

mod docs_page;
