//! Who asks: by API token or by session. What needs an identity does not get past here without one.

use super::{
    App,
    problem::{Problem, RequestId},
};
use auth::{SESSION_KEY, SignedIn};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use control::{Actor, ControlError, Source};
use domain::ErrorKind;
use std::net::SocketAddr;
use tower_sessions::Session;

/// A session's idle time is counted from its last save; saving at every request would be a write for each.
const SEEN_EVERY_MS: i64 = 60_000;
const SEEN_KEY: &str = "seen_ms";

/// Puts the [`Actor`] into the request, or ends it: 401 for programs, the sign-in page for people.
pub async fn identify(State(app): State<App>, session: Session, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let source = if path.starts_with("/api/") || path == "/metrics" { Source::Api } else { Source::Page };
    let address =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_string());
    let request_id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
    let idempotency_key = match idempotency_key(request.headers()) {
        Ok(key) => key.filter(|_| source == Source::Api),
        Err(problem) => return problem.into_response(),
    };
    let anonymous = Actor { idempotency_key, ..Actor::anonymous(source, address.clone(), request_id) };

    let identity = match bearer(request.headers()) {
        Some(token) => match app.control.token_authenticate(token, address.as_deref()).await {
            Ok(identity) => Some(identity),
            Err(ControlError::Unauthenticated) => {
                app.control
                    .audit_refusal(&anonymous, "token_authenticate", &path, "unknown, ended or revoked token")
                    .await;
                return Problem::from(ControlError::Unauthenticated).into_response();
            }
            Err(error) => return Problem::from(error).into_response(),
        },
        None => match signed_in(&app, &session).await {
            Ok(identity) => identity,
            Err(problem) => return problem.into_response(),
        },
    };
    let actor = match identity {
        Some(identity) => Actor { identity: Some(identity), ..anonymous },
        None => anonymous,
    };
    if actor.is_anonymous() && !is_public(&app, &path) {
        if source == Source::Api || path.starts_with("/fn/") {
            return Problem::from(ControlError::Unauthenticated).into_response();
        }
        let wanted = request.uri().path_and_query().map_or("/", |wanted| wanted.as_str());
        let next = if request.method() == axum::http::Method::GET && wanted != "/" {
            format!("/login?next={}", encode(wanted))
        } else {
            "/login".to_owned()
        };
        return Redirect::to(&next).into_response();
    }
    request.extensions_mut().insert(actor);
    let mut response = next.run(request).await;
    // What one person may see is kept by no cache between.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(axum::http::HeaderValue::from_static("no-store"));
    response
}

/// What the client calls its request: a repeated one begins no second job. Bulk operations and batches read their own.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=200).contains(&key.len()));
    let wrong = || Problem::field("Idempotency-Key", "an idempotency key has 1 to 200 bytes of visible ASCII");
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

/// What may be seen without an identity.
fn is_public(app: &App, path: &str) -> bool {
    matches!(path, "/login" | "/setup" | "/logout" | "/theme") || (path == "/metrics" && app.loopback)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn signed_in(app: &App, session: &Session) -> Result<Option<auth::Identity>, Problem> {
    let store = |error: tower_sessions::session::Error| {
        tracing::error!(%error, "a session cannot be read");
        Problem::of(
            ErrorKind::Unavailable,
            "Holdfast's own store does not answer; check HOLDFAST_STORE_URL and the log",
        )
    };
    let Some(signed_in) = session.get::<SignedIn>(SESSION_KEY).await.map_err(store)? else { return Ok(None) };
    let Some(identity) = app.control.session_identity(&signed_in).await? else {
        // Its password, role or state was changed since.
        session.flush().await.map_err(store)?;
        return Ok(None);
    };
    let now = control::now().0;
    let seen = session.get::<i64>(SEEN_KEY).await.map_err(store)?.unwrap_or(0);
    if now - seen >= SEEN_EVERY_MS {
        session.insert(SEEN_KEY, now).await.map_err(store)?;
    }
    Ok(Some(identity))
}

/// Percent-encodes an address so that it can stand in a query.
pub fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The [`Actor`] that [`identify`] put there.
#[derive(Debug)]
pub struct Asking(pub Actor);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Asking {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, _state: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Actor>()
            .cloned()
            .map(Self)
            .ok_or_else(|| Problem::of(ErrorKind::Internal, "the request has no actor"))
    }
}
