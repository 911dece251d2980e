//! What the browser loads: compiled into a release binary, read from the site directory in a debug one. All of it
//! lies under a path that holds the hash of the whole, so that a browser may keep it for ever.

use super::App;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

#[derive(RustEmbed)]
#[folder = "$HOLDFAST_SITE_DIR"]
#[allow_missing = true]
struct Site;

/// The base path of all files.
#[derive(Debug)]
pub struct Assets {
    base: String,
}

impl Assets {
    /// Hashes what there is.
    pub fn load() -> Self {
        let mut names = Site::iter().collect::<Vec<_>>();
        names.sort();
        let mut hash = Sha256::new();
        for name in &names {
            hash.update(name.as_bytes());
            if let Some(file) = Site::get(name) {
                hash.update(file.metadata.sha256_hash());
            }
        }
        if names.is_empty() {
            tracing::warn!("the site is not built: run script/build; pages work without style and script only");
        }
        let digest = hash.finalize();
        let hex = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { base: format!("/assets/{hex}") }
    }

    /// `/assets/…`, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// One file, in the encoding the browser takes best.
pub async fn serve(State(app): State<App>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some((hash, name)) = path.split_once('/') else { return StatusCode::NOT_FOUND.into_response() };
    // A page of a process before this one may still ask by the old hash: it gets the file, but may not keep it.
    let current = app.assets.base().ends_with(hash);
    file(name, &headers, current)
}

/// Browsers ask for it unasked, also before the site is built.
pub async fn favicon() -> impl IntoResponse {
    const ICON: &str = include_str!("../../../public/favicon.svg");
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")], ICON)
}

fn file(name: &str, headers: &HeaderMap, immutable: bool) -> Response {
    let brotli = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|one| one.trim().starts_with("br")));
    let compressed = brotli.then(|| Site::get(&format!("{name}.br"))).flatten();
    let encoded = compressed.is_some();
    let Some(found) = compressed.or_else(|| Site::get(name)) else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = found.data.into_response();
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    set.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if encoded {
        set.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    set.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if immutable { "public, max-age=31536000, immutable" } else { "no-cache" }),
    );
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "png" => "image/png",
        _ => "text/plain; charset=utf-8",
    }
}
