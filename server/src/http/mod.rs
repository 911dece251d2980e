//! The web server: what every request passes through, and where it ends.

mod actor;
mod advice_forms;
mod alert_forms;
mod assets;
mod backends;
mod dr_forms;
pub mod events;
mod forms;
mod headers;
mod health;
mod health_forms;
mod metrics;
mod pages;
mod plugin_forms;
pub mod problem;
mod problem_page;
mod recovery_forms;
#[cfg(test)]
mod routes_test;

pub use actor::{Asking, encode};

use auth::StoreSessions;
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, State},
    middleware,
    response::{IntoResponse as _, Redirect},
    routing::{self, MethodRouter},
};
use control::ControlPlane;
use leptos::config::LeptosOptions;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, csrf::CsrfLayer, limit::RequestBodyLimitLayer,
};
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};

/// The largest body of nearly all requests.
const BODY_LIMIT_BYTES: usize = 1 << 20;
/// The largest body of a request that names very many things: a hundred thousand plugins, each with its version.
const LARGE_BODY_LIMIT_BYTES: usize = 8 << 20;
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
        let leptos = LeptosOptions::builder()
            .output_name("holdfast")
            .site_pkg_dir(format!("{}/pkg", assets.base().trim_start_matches('/')))
            .build();
        Self { control, leptos, assets, https, loopback, stop }
    }
}

impl FromRef<App> for LeptosOptions {
    fn from_ref(app: &App) -> Self {
        app.leptos.clone()
    }
}

/// Where a route stands among the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind the question who asks.
    Known,
    /// For anybody, without a session being looked up.
    Open,
    /// As `Known`, and without a time limit.
    Stream,
}

/// A route that is neither a page, nor a server function, nor part of the documented API.
struct Plain {
    #[cfg_attr(not(test), expect(dead_code, reason = "the test of all routes reads it"))]
    method: &'static str,
    path: &'static str,
    place: Place,
    handler: MethodRouter<App>,
}

/// All of them. The test of all routes reads this list too: a route that is not in it is not served.
fn plain() -> Vec<Plain> {
    let get = |path, place, handler| Plain { method: "GET", path, place, handler };
    let post = |path, handler| Plain { method: "POST", path, place: Place::Known, handler };
    vec![
        get("/", Place::Known, routing::get(home)),
        post("/login", routing::post(forms::sign_in)),
        post("/logout", routing::post(forms::sign_out)),
        post("/setup", routing::post(forms::set_up)),
        post("/account/password", routing::post(forms::change_password)),
        post("/theme", routing::post(forms::theme)),
        post("/zone", routing::post(forms::zone)),
        post("/columns", routing::post(forms::columns)),
        post("/database/backends/cancel", routing::post(backends::cancel)),
        post("/database/backends/terminate", routing::post(backends::terminate)),
        post("/database/standbys/forget", routing::post(backends::forget_standby)),
        post("/database/queries/explain", routing::post(advice_forms::explain)),
        post("/database/advice/dismiss", routing::post(advice_forms::dismiss)),
        post("/database/advice/restore", routing::post(advice_forms::restore)),
        post("/database/advice/review", routing::post(advice_forms::review)),
        post("/alerts/acknowledge", routing::post(alert_forms::acknowledge)),
        post("/alerts/unacknowledge", routing::post(alert_forms::unacknowledge)),
        post("/alerts/silence", routing::post(alert_forms::silence)),
        post("/alerts/rule", routing::post(alert_forms::rule_set)),
        post("/alerts/rule/reset", routing::post(alert_forms::rule_reset)),
        post("/database/score", routing::post(health_forms::set)),
        post("/database/score/reset", routing::post(health_forms::reset)),
        post("/alerts/blackout", routing::post(alert_forms::blackout_create)),
        post("/alerts/blackout/end", routing::post(alert_forms::blackout_end)),
        post("/alerts/channel", routing::post(alert_forms::channel_create)),
        post("/alerts/channel/enable", routing::post(alert_forms::channel_enable)),
        post("/alerts/channel/delete", routing::post(alert_forms::channel_delete)),
        post("/alerts/channel/test", routing::post(alert_forms::channel_test)),
        post("/alerts/channel/retry", routing::post(alert_forms::channel_retry)),
        post("/backups/start", routing::post(recovery_forms::start)),
        post("/backups/verify", routing::post(recovery_forms::verify)),
        post("/backups/test", routing::post(recovery_forms::test)),
        post("/backups/expire", routing::post(recovery_forms::expire)),
        post("/backups/remove", routing::post(recovery_forms::remove)),
        post("/backups/kit", routing::post(recovery_forms::print_kit)),
        post("/backups/keys/rotate", routing::post(recovery_forms::key_rotate)),
        post("/backups/keys/remove", routing::post(recovery_forms::key_remove)),
        post("/plugins/bulk", routing::post(plugin_forms::bulk)),
        post("/plugins/bulk/cancel", routing::post(plugin_forms::cancel)),
        post("/recovery/restore", routing::post(recovery_forms::restore)),
        post("/recovery/objectives", routing::post(recovery_forms::objectives)),
        post("/recovery/plans/drill", routing::post(dr_forms::drill)),
        post("/recovery/plans/execute", routing::post(dr_forms::execute)),
        post("/recovery/plans/save", routing::post(dr_forms::save)),
        post("/recovery/plans/remove", routing::post(dr_forms::remove)),
        post("/jobs/cancel", routing::post(recovery_forms::cancel)),
        post("/jobs/copy/remove", routing::post(recovery_forms::copy_remove)),
        post("/jobs/decide", routing::post(dr_forms::decide)),
        get("/api/docs", Place::Known, routing::get(crate::api::docs)),
        get("/api/openapi.json", Place::Known, routing::get(crate::api::openapi)),
        get("/metrics", Place::Known, routing::get(metrics::metrics)),
        get("/api/database/stream", Place::Stream, routing::get(events::stream)),
        get("/api/v1/jobs/{id}/stream", Place::Stream, routing::get(crate::api::jobs::events)),
        get("/healthz", Place::Open, routing::get(health::healthz)),
        get("/readyz", Place::Open, routing::get(health::readyz)),
        get("/favicon.ico", Place::Open, routing::get(assets::favicon)),
        get("/assets/{*path}", Place::Open, routing::get(assets::serve)),
    ]
}

/// Where a person begins: with the estate, or with their tenant's plugins.
async fn home(State(app): State<App>, Asking(actor): Asking) -> Redirect {
    Redirect::to(home_of(&app, actor.identity.as_ref()))
}

/// The address of the first page for somebody: with several clusters it is that on which the worst stands first.
fn home_of(app: &App, identity: Option<&auth::Identity>) -> &'static str {
    if identity.is_some_and(|identity| identity.tenant.is_some()) {
        return "/plugins";
    }
    match app.control.clusters().all().count() {
        0 => "/start",
        1 => "/database",
        _ => "/estate",
    }
}

/// Everything that is served. Layers, outermost first: request id, panics, security headers, size and time limits,
/// cross-site requests, session, who asks.
pub fn router(app: App) -> Router {
    let (api, _) = crate::openapi::api();
    // What takes more says so itself: `problem::LargeJsonBody`.
    let api = api.layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES));
    let sessions = sessions(&app);
    let [known, open, streams] = [Place::Known, Place::Open, Place::Stream].map(|place| {
        plain()
            .into_iter()
            .filter(|route| route.place == place)
            .fold(Router::new(), |router, route| router.route(route.path, route.handler))
    });
    let pages = pages::router(&app).merge(known).layer(RequestBodyLimitLayer::new(BODY_LIMIT_BYTES));
    let timed = Router::new().merge(api).merge(pages).layer(middleware::from_fn(time_limit));
    let known =
        timed.merge(streams).layer(middleware::from_fn_with_state(app.clone(), actor::identify)).layer(sessions);
    Router::new()
        .merge(known)
        .merge(open)
        .layer(CsrfLayer::new())
        .layer(RequestBodyLimitLayer::new(LARGE_BODY_LIMIT_BYTES))
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
        Err(_) => problem::Problem::of(
            domain::ErrorKind::Unavailable,
            "the answer took too long; try again, and look into the log when it happens again",
        )
        .into_response(),
    }
}
