//! The web server: what every request passes through, and where it ends.

mod actor;
mod assets;
mod events;
mod forms;
mod headers;
mod health;
mod metrics;
mod pages;
pub mod problem;

pub use actor::Asking;

use auth::StoreSessions;
use axum::{Router, extract::FromRef, middleware, routing};
use control::ControlPlane;
use leptos::config::LeptosOptions;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, csrf::CsrfLayer, limit::RequestBodyLimitLayer};
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};

/// The largest body any request may have.
const BODY_LIMIT_BYTES: usize = 1 << 20;
/// How long a request other than an event stream may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What handlers need.
#[derive(Clone, Debug)]
pub struct App {
    pub control: ControlPlane,
    pub leptos: LeptosOptions,
    pub assets: Arc<assets::Assets>,
    /// Browsers reach us by HTTPS only.
    pub https: bool,
    /// We listen on the loopback only.
    pub loopback: bool,
    pub stop: CancellationToken,
}

impl App {
    pub fn new(control: ControlPlane, https: bool, loopback: bool, stop: CancellationToken) -> Self {
        let assets = Arc::new(assets::Assets::load());
        let leptos = LeptosOptions::builder().output_name("holdfast").site_pkg_dir(format!("{}/pkg", assets.base().trim_start_matches('/'))).build();
        Self { control, leptos, assets, https, loopback, stop }
    }
}

impl FromRef<App> for LeptosOptions {
    fn from_ref(app: &App) -> Self {
        app.leptos.clone()
    }
}

/// Everything that is served. Layers, outermost first: request id, panics, security headers, size and time limits,
/// cross-site requests, session, who asks.
pub fn router(app: App) -> Router {
    let (api, _) = crate::openapi::api();
    let sessions = sessions(&app);
    let timed = Router::new()
        .merge(Router::from(api))
        .merge(pages::router(&app))
        .route("/login", routing::post(forms::sign_in))
        .route("/logout", routing::post(forms::sign_out))
        .route("/setup", routing::post(forms::set_up))
        .route("/account/password", routing::post(forms::change_password))
        .route("/theme", routing::post(forms::theme))
        .route("/api/docs", routing::get(crate::api::docs))
        .route("/api/openapi.json", routing::get(crate::api::openapi))
        .route("/metrics", routing::get(metrics::metrics))
        .layer(middleware::from_fn(time_limit));
    let known = timed
        .route("/api/database/stream", routing::get(events::stream))
        .layer(middleware::from_fn_with_state(app.clone(), actor::identify))
        .layer(sessions);
    Router::new()
        .merge(known)
        .route("/healthz", routing::get(health::healthz))
        .route("/readyz", routing::get(health::readyz))
        .route("/favicon.ico", routing::get(assets::favicon))
        .route("/assets/{*path}", routing::get(assets::serve))
        .layer(CsrfLayer::new())
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT_BYTES))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn(problem::render))
        .layer(middleware::from_fn_with_state(app.clone(), headers::secure))
        .with_state(app)
}

fn sessions(app: &App) -> SessionManagerLayer<StoreSessions> {
    let idle = time::Duration::try_from(auth::IDLE_LIMIT).unwrap_or(time::Duration::minutes(30));
    SessionManagerLayer::new(StoreSessions(app.control.store().clone()))
        // The prefix binds the cookie to HTTPS and this host; browsers refuse it without Secure.
        .with_name(if app.https { "__Host-holdfast" } else { "holdfast" })
        .with_secure(app.https)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(idle))
}

/// Ends a request that takes too long with 503, so that a slow store holds no connection for ever.
async fn time_limit(request: axum::extract::Request, next: middleware::Next) -> axum::response::Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem::Problem::of(domain::ErrorKind::Unavailable, "the answer took too long; try again, and look into the log when it happens again").into_response(),
    }
}

use axum::response::IntoResponse as _;
