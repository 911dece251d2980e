//! Forms that work without JavaScript: signing in and out, the first administrator, one's own password, the theme.
//! Each answers with a redirect; what went wrong stands in the address of the page it came from.

use super::{
    App,
    actor::{Asking, encode},
    home_of,
    problem::Problem,
};
use auth::{SESSION_KEY, SignedIn};
use axum::{
    Form,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use control::{Actor, ControlError};
use domain::ErrorKind;
use serde::Deserialize;
use tower_sessions::Session;

#[derive(Debug, Deserialize)]
pub struct SignIn {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// `POST /login`
pub async fn sign_in(
    State(app): State<App>,
    Asking(actor): Asking,
    session: Session,
    Form(form): Form<SignIn>,
) -> Result<Response, Problem> {
    match app.control.session_sign_in(&actor, &form.name, &form.password).await {
        Ok(signed_in) => {
            begin(&session, signed_in.clone()).await?;
            let identity = app.control.session_identity(&signed_in).await?;
            let to = if form.next.is_empty() { home_of(&app, identity.as_ref()) } else { local(&form.next) };
            Ok(Redirect::to(to).into_response())
        }
        Err(error) => back(error, &format!("/login?next={}&name={}", encode(local(&form.next)), encode(&form.name))),
    }
}

/// `POST /logout`
pub async fn sign_out(State(app): State<App>, Asking(actor): Asking, session: Session) -> Result<Response, Problem> {
    app.control.session_sign_out(&actor).await?;
    session.flush().await.map_err(|error| lost(&error))?;
    Ok(Redirect::to("/login?done=signed_out").into_response())
}

#[derive(Debug, Deserialize)]
pub struct SetUp {
    #[serde(default)]
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
}

/// `POST /setup`
pub async fn set_up(
    State(app): State<App>,
    Asking(actor): Asking,
    session: Session,
    Form(form): Form<SetUp>,
) -> Result<Response, Problem> {
    match app.control.setup_complete(&actor, &form.token, &form.name, &form.password).await {
        Ok(signed_in) => {
            begin(&session, signed_in).await?;
            Ok(Redirect::to(home_of(&app, None)).into_response())
        }
        Err(error) => back(error, &format!("/setup?token={}&name={}", encode(&form.token), encode(&form.name))),
    }
}

#[derive(Debug, Deserialize)]
pub struct ChangePassword {
    #[serde(default)]
    current: String,
    #[serde(default)]
    password: String,
}

/// `POST /account/password`: all of the account's sessions end; this one begins anew.
pub async fn change_password(
    State(app): State<App>,
    Asking(actor): Asking,
    session: Session,
    Form(form): Form<ChangePassword>,
) -> Result<Response, Problem> {
    if let Err(error) = app.control.account_password_change(&actor, &form.current, &form.password).await {
        return back(error, "/account?");
    }
    let name = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
    let again = Actor { identity: None, ..actor };
    match app.control.session_sign_in(&again, &name, &form.password).await {
        Ok(signed_in) => {
            begin(&session, signed_in).await?;
            Ok(Redirect::to("/account?done=password").into_response())
        }
        Err(_) => Ok(Redirect::to("/login").into_response()),
    }
}

#[derive(Debug, Deserialize)]
pub struct Theme {
    #[serde(default)]
    theme: String,
}

/// `POST /theme`: light, dark, or as the system has it; kept in a cookie because it must be known before the first
/// paint and without an account.
pub async fn theme(headers: HeaderMap, Form(form): Form<Theme>) -> Response {
    let theme = match form.theme.as_str() {
        known @ ("light" | "dark") => known,
        _ => "system",
    };
    kept(&headers, &format!("theme={theme}"))
}

#[derive(Debug, Deserialize)]
pub struct Zone {
    #[serde(default)]
    zone: String,
}

/// `POST /zone`: UTC or the zone of this machine; that of a browser only its own script can name.
pub async fn zone(headers: HeaderMap, Form(form): Form<Zone>) -> Response {
    let zone = if form.zone == "server" { "server" } else { "utc" };
    kept(&headers, &format!("zone={zone}"))
}

/// `POST /columns`: which columns of a table are shown. What is not ticked is hidden, and from `extra` on, where columns
/// come hidden, what is ticked is shown; other tables stay as they are.
pub async fn columns(headers: HeaderMap, Form(fields): Form<Vec<(String, String)>>) -> Response {
    let get = |name: &str| fields.iter().find(|field| field.0 == name).map_or("", |field| field.1.as_str());
    let (table, last) = (get("table"), get("last").parse::<u8>().unwrap_or(1).min(20));
    let extra = get("extra").parse::<u8>().unwrap_or(u8::MAX);
    let shown = |column: u8| fields.iter().any(|(name, value)| name == "shown" && *value == column.to_string());
    let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let before = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("hide=")).unwrap_or_default();
    let others = app::read_hidden(before).into_iter().filter(|entry| !entry.starts_with(&format!("{table}-")));
    let hidden =
        (2..=last).filter(|column| shown(*column) == (*column >= extra)).map(|column| format!("{table}-{column}"));
    let text = app::read_hidden(&others.chain(hidden).collect::<Vec<_>>().join("."));
    kept(&headers, &format!("hide={}", text.join(".")))
}

/// Back to the page, with something that its browser keeps.
fn kept(headers: &HeaderMap, cookie: &str) -> Response {
    let from = headers
        .get(header::REFERER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| url::Url::parse(value).ok());
    let path = from.map_or_else(
        || "/".to_owned(),
        |url| format!("{}{}", url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default()),
    );
    let mut response = Redirect::to(local(&path)).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&format!("{cookie}; Path=/; Max-Age=31536000; SameSite=Lax")) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A new id for the session of somebody whose identity was just proved, so that one planted before is worth nothing.
async fn begin(session: &Session, signed_in: SignedIn) -> Result<(), Problem> {
    session.cycle_id().await.map_err(|error| lost(&error))?;
    session.insert(SESSION_KEY, signed_in).await.map_err(|error| lost(&error))
}

fn lost(error: &tower_sessions::session::Error) -> Problem {
    tracing::error!(%error, "a session cannot be kept");
    Problem::of(ErrorKind::Unavailable, "Holdfast's own store does not answer; check HOLDFAST_STORE_URL and the log")
}

/// Back to the form with a sentence; what no other input could mend is no sentence but a problem.
fn back(error: ControlError, form: &str) -> Result<Response, Problem> {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Forbidden => Err(error.into()),
        _ => {
            Ok(Redirect::to(&format!("{form}&error={}", encode(&error.to_string())).replace("?&", "?")).into_response())
        }
    }
}

/// Only a path of ours is gone to: `//elsewhere` and `https://elsewhere` would be a lure.
pub(super) fn local(path: &str) -> &str {
    let ours = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t']);
    let no_loop = !path.starts_with("/login") && !path.starts_with("/logout");
    if ours && no_loop { path } else { "/database" }
}

/// The address of a page with one more value, before its `#`.
pub(super) fn with(path: &str, name: &str, text: &str) -> String {
    let (address, hash) = path.split_once('#').map_or((path, None), |(address, hash)| (address, Some(hash)));
    let sign = if address.contains('?') { '&' } else { '?' };
    let hash = hash.map_or_else(String::new, |hash| format!("#{hash}"));
    format!("{address}{sign}{name}={}{hash}", encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(response: &Response) -> &str {
        response.headers()[header::SET_COOKIE].to_str().unwrap_or_default()
    }

    #[tokio::test]
    async fn columns_of_one_table_are_hidden_and_those_of_others_stay() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("theme=dark; hide=queries-4.tables-3.nonsense-1"));
        headers.insert(header::REFERER, HeaderValue::from_static("http://here/database/performance?range=6h"));
        let fields = [("table", "queries"), ("last", "4"), ("shown", "2"), ("shown", "4")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let response = columns(headers, Form(fields)).await;
        assert!(cookie(&response).starts_with("hide=tables-3.queries-3; Path=/"), "{}", cookie(&response));
        assert_eq!(response.headers()[header::LOCATION], "/database/performance?range=6h");
        // One that comes hidden is kept when it is shown.
        let fields = [("table", "queries"), ("last", "4"), ("extra", "3"), ("shown", "2"), ("shown", "4")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let response = columns(HeaderMap::new(), Form(fields)).await;
        assert!(cookie(&response).starts_with("hide=queries-4; Path=/"), "{}", cookie(&response));
        // A table that is none hides nothing.
        let fields = [("table", "x\r\ny"), ("last", "9")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let response = columns(HeaderMap::new(), Form(fields.to_vec())).await;
        assert!(cookie(&response).starts_with("hide=; "), "{}", cookie(&response));
    }

    #[tokio::test]
    async fn a_zone_is_one_that_can_be_chosen_without_a_script() {
        for (sent, kept) in [("server", "zone=server;"), ("utc", "zone=utc;"), ("browser.Europe/Berlin", "zone=utc;")] {
            let response = zone(HeaderMap::new(), Form(Zone { zone: sent.to_owned() })).await;
            assert!(cookie(&response).starts_with(kept), "{sent}: {}", cookie(&response));
        }
    }

    #[test]
    fn nobody_is_led_to_another_site() {
        for lure in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "",
            "/login",
            "/\t/evil.example",
        ] {
            assert_eq!(local(lure), "/database", "{lure}");
        }
        assert_eq!(local("/queries/1.2.3?range=6h"), "/queries/1.2.3?range=6h");
    }
}
