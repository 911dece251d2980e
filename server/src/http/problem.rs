//! Errors as `application/problem+json` (RFC 9457) for programs, and as a page's sentence for people.

use super::problem_page;
use axum::{
    Json,
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request, rejection::JsonRejection},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use control::ControlError;
use domain::ErrorKind;
use serde::{Serialize, de::DeserializeOwned};

/// A problem document.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable slug: `invalid`, `forbidden`, …
    #[serde(rename = "type")]
    pub slug: &'static str,
    /// What kind of problem, for people.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong and what to do next.
    pub detail: String,
    /// Id of the request, to be found in the log and the audit log.
    pub instance: Box<str>,
    /// Wrong fields by name.
    pub errors: Vec<FieldProblem>,
    #[serde(skip)]
    retry_after_seconds: Option<u64>,
}

/// A wrong field.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// Its name as it was sent.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Problem {
    /// By kind, with what to do.
    pub fn of(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            slug: kind.slug(),
            title: kind.title(),
            status: kind.status(),
            detail: detail.into(),
            instance: Box::default(),
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// One wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            errors: vec![FieldProblem { field: field.to_owned(), message: message.clone() }],
            ..Self::of(ErrorKind::Invalid, message)
        }
    }

    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    fn kind(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::Internal | ErrorKind::Unavailable) {
            tracing::error!(%error, cause = std::error::Error::source(&error).map(ToString::to_string), "a request failed");
        }
        let errors = match &error {
            ControlError::Invalid { fields, .. } => fields
                .iter()
                .map(|field| FieldProblem { field: field.field.clone(), message: field.message.clone() })
                .collect(),
            _ => Vec::new(),
        };
        let retry_after_seconds = match &error {
            ControlError::TooManyRequests { retry_after_seconds } => Some(*retry_after_seconds),
            _ => None,
        };
        Self { errors, retry_after_seconds, ..Self::of(kind, error.to_string()) }
    }
}

/// The document is written by [`render`], which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind().into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == 401 {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"holdfast\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The id of a request, in its answer's `X-Request-Id`, the log and the audit log.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Whether a browser asked for what it shows as it comes: a page, or the answer to a form.
fn is_for_a_person(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !request.uri().path().starts_with("/fn/") && accepts.contains("text/html")
}

/// Gives the request its id and writes problem documents. Any failure below `/api` and `/fn` becomes one, whoever
/// made it: the router's 404 and 405, a limit's 413, a layer's 403. A browser is shown what is wrong with a page or a form
/// as a page.
pub async fn render(mut request: Request, next: Next) -> Response {
    let id = format!("{:016x}", rand::random::<u64>());
    request.extensions_mut().insert(RequestId(id.clone()));
    let path = request.uri().path().to_owned();
    let for_programs = path.starts_with("/api/") || path.starts_with("/metrics") || path.starts_with("/readyz");
    let for_a_person = !for_programs && is_for_a_person(&request);
    let method = request.method().clone();
    let again = request.uri().path_and_query().filter(|_| method == Method::GET).map(ToString::to_string);
    let begun = std::time::Instant::now();
    let mut response = next.run(request).await;
    let status = response.status();
    tracing::debug!(%method, path, status = status.as_u16(), duration_ms = begun.elapsed().as_millis() as u64, request_id = id, "request");
    let found = response.extensions_mut().remove::<Problem>();
    let problem = found
        .or_else(|| (for_programs && (status.is_client_error() || status.is_server_error())).then(|| plain(status)));
    if let Some(mut problem) = problem {
        problem.instance = id.as_str().into();
        let mut headers = std::mem::take(response.headers_mut());
        headers.remove(header::CONTENT_LENGTH);
        let (kind, body) = if for_a_person {
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(problem_page::POLICY));
            ("text/html; charset=utf-8", problem_page::html(&problem, again.as_deref()).into_bytes())
        } else {
            ("application/problem+json", serde_json::to_vec(&problem).unwrap_or_default())
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response = (status, Body::from(body)).into_response();
        *response.headers_mut() = headers;
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

fn plain(status: StatusCode) -> Problem {
    let (kind, detail) = match status.as_u16() {
        400 => (ErrorKind::Invalid, "the request could not be read"),
        401 => (ErrorKind::Unauthenticated, "sign in, or send a valid API token as 'Authorization: Bearer hf_…'"),
        403 => {
            (ErrorKind::Forbidden, "a request from another site is not taken; use an API token instead of a session")
        }
        404 => (ErrorKind::NotFound, "there is nothing at this address; /api/docs lists what there is"),
        405 => (ErrorKind::Invalid, "this address does not take that method; see the Allow header and /api/docs"),
        413 => (ErrorKind::Invalid, "the body is larger than 1 MiB, or than 8 MiB at /api/v1/plugins/bulk"),
        415 => (ErrorKind::Invalid, "send the body as application/json"),
        503 => (ErrorKind::Unavailable, "try again in a moment"),
        _ if status.is_client_error() => (ErrorKind::Invalid, "the request is not valid"),
        _ => (ErrorKind::Internal, "this is our fault; the log has more under this request's id"),
    };
    Problem { title: status.canonical_reason().unwrap_or(kind.title()), ..Problem::of(kind, detail) }
        .with_status(status)
}

/// A panic in a handler is a 500 and a line in the log, never the end of the process.
pub fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let cause = cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    tracing::error!(cause, "a request panicked");
    Problem::of(ErrorKind::Internal, "this is our fault; the log has more under this request's id").into_response()
}

/// A JSON body; what is wrong with it is told by field.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(unreadable(&rejection)),
        }
    }
}

/// As [`JsonBody`], of a request that names very many things.
#[derive(Debug)]
pub struct LargeJsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for LargeJsonBody<T> {
    type Rejection = Problem;
    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        DefaultBodyLimit::max(super::LARGE_BODY_LIMIT_BYTES).apply(&mut request);
        JsonBody::from_request(request, state).await.map(|JsonBody(value)| Self(value))
    }
}

fn unreadable(rejection: &JsonRejection) -> Problem {
    let status = rejection.status();
    let text = rejection.body_text();
    let reason = text.rsplit("target type: ").next().unwrap_or(&text).to_owned();
    match status.as_u16() {
        413 | 415 => plain(status),
        // "name: invalid type …", "unknown field `x`, expected …", "missing field `name`".
        _ => {
            let quoted = reason.split('`').nth(1).filter(|_| reason.contains("field `"));
            let field =
                quoted.or_else(|| reason.split_once(": ").map(|(field, _)| field).filter(|field| !field.contains(' ')));
            match field {
                Some(field) => Problem::field(field, reason.clone()),
                None => Problem::of(ErrorKind::Invalid, reason),
            }
        }
    }
}

/// The query of an address; unknown and wrong parameters are told by name.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason).to_owned();
                let field = reason
                    .split('`')
                    .nth(1)
                    .filter(|_| reason.contains("field `"))
                    .or_else(|| reason.split_once(": ").map(|(field, _)| field));
                Err(Problem::field(field.unwrap_or("query"), reason.clone()))
            }
        }
    }
}
