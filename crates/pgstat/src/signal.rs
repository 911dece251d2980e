//! Cancelling a statement and ending a session: the one thing that is done to a monitored server, and only when a
//! person asks for it. It has a connection of its own for the length of the act, so that it works when those that
//! are kept do not, and it never decides beforehand what the role may: the server is asked and its refusal explained.
use crate::{Cluster, PgstatError, collect::get, sql};
use domain::{
    ErrorKind,
    view::{SignalAction, SignalRequest},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgRow};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long the end of a statement or session is watched for.
const WATCHED: Duration = Duration::from_secs(3);
/// The whole act.
const DEADLINE: Duration = Duration::from_secs(12);

/// What became of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signalled {
    /// It was seen to end.
    pub ended: bool,
    /// Role of the session.
    pub user: Option<String>,
    /// Application of the session.
    pub application: String,
    /// Its statement, literals included.
    pub query: Option<String>,
}

/// Why no signal was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SignalError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What is wrong and what to do.
    pub message: String,
    /// The server's code, when it was the server who refused.
    pub sqlstate: Option<String>,
}

impl SignalError {
    fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), sqlstate: None }
    }
}

/// One backend as it was just before.
struct Seen {
    started_at: Option<i64>,
    backend_type: String,
    leader_pid: Option<i32>,
    user: Option<String>,
    application: String,
    state: Option<String>,
    query: Option<String>,
    query_started_at: Option<i64>,
    same_role: bool,
}

impl Cluster {
    /// Cancels a statement or ends a session. At most one at a time for each cluster.
    ///
    /// # Errors
    /// [`SignalError`] in words for the person who asked: the session is gone or another, must not be touched, or the
    /// server refused.
    pub async fn signal(&self, request: &SignalRequest) -> Result<Signalled, SignalError> {
        let Ok(_permit) = self.signals().acquire().await else {
            return Err(SignalError::of(ErrorKind::Unavailable, "Holdfast is being stopped"));
        };
        match timeout(DEADLINE, self.signal_now(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SignalError::of(
                ErrorKind::Unavailable,
                format!(
                    "{} did not answer within {} s; whether the signal was sent is not known: look again",
                    self.target().host(),
                    DEADLINE.as_secs()
                ),
            )),
        }
    }

    async fn signal_now(&self, request: &SignalRequest) -> Result<Signalled, SignalError> {
        let mut connection = self.connection().await.map_err(|error| unreachable(&error))?;
        let outcome = self.signal_over(&mut connection, request).await;
        let _ = timeout(Duration::from_secs(1), connection.close()).await;
        outcome
    }

    async fn signal_over(
        &self,
        connection: &mut PgConnection,
        request: &SignalRequest,
    ) -> Result<Signalled, SignalError> {
        let seen = look(connection, request.pid).await?.ok_or_else(|| gone(request))?;
        check(&seen, request)?;
        let function = match request.action {
            SignalAction::Cancel => "pg_cancel_backend",
            SignalAction::Terminate => "pg_terminate_backend",
        };
        let statement = sql::signal(function, request.pid, request.started_at.0);
        let rows = fetch(connection, &statement).await.map_err(|error| self.explained(request.action, error))?;
        let sent = match rows.first() {
            None => return Err(gone(request)),
            Some(row) => get::<bool>("signal", row, "sent").map_err(|error| failed(&error))?,
        };
        if !sent {
            return Err(SignalError::of(
                ErrorKind::Conflict,
                format!("the server could not signal process {}; it may just have ended: look again", request.pid),
            ));
        }
        let ended = self.watch(connection, request, &seen).await;
        Ok(Signalled { ended, user: seen.user, application: seen.application, query: seen.query })
    }

    /// Looks until the statement or session is over, for a few seconds.
    async fn watch(&self, connection: &mut PgConnection, request: &SignalRequest, seen: &Seen) -> bool {
        let began = Instant::now();
        loop {
            match look(connection, request.pid).await {
                Ok(None) => return true,
                Ok(Some(now)) if now.started_at != seen.started_at => return true,
                Ok(Some(now))
                    if request.action == SignalAction::Cancel
                        && (now.state.as_deref() != Some("active")
                            || now.query_started_at != seen.query_started_at) =>
                {
                    return true;
                }
                Ok(Some(_)) => {}
                Err(_) => return false,
            }
            if began.elapsed() >= WATCHED {
                return false;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The server's refusal in words, by its SQLSTATE.
    fn explained(&self, action: SignalAction, error: sqlx::Error) -> SignalError {
        let code = error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned);
        let said = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
        let role = self.target().role();
        let detail = detail_of(&error);
        let (kind, message) = match code.as_deref() {
            // insufficient_privilege
            Some("42501") if format!("{said} {detail}").to_lowercase().contains("superuser") => (
                ErrorKind::Forbidden,
                format!(
                    "the session is a superuser's, and only a superuser may {} it: the role \"{role}\" is none. Do it as a superuser on the server",
                    action.as_str()
                ),
            ),
            Some("42501") => (
                ErrorKind::Forbidden,
                format!(
                    "the role \"{role}\" may not {} other roles' sessions; GRANT pg_signal_backend TO \"{role}\"; (the server says: {said})",
                    action.as_str()
                ),
            ),
            // query_canceled, lock_not_available
            Some("57014" | "55P03") => (ErrorKind::Unavailable, format!("the server took too long: {said}; try again")),
            // admin_shutdown, crash_shutdown, cannot_connect_now
            Some("57P01" | "57P02" | "57P03") => {
                (ErrorKind::Unavailable, format!("the server is going down or starting: {said}"))
            }
            Some(code) => (ErrorKind::Conflict, format!("the server refused with {code}: {said}")),
            None => (
                ErrorKind::Unavailable,
                format!("the connection was lost: {error}; whether the signal was sent is not known: look again"),
            ),
        };
        SignalError { kind, message, sqlstate: code }
    }
}

/// PostgreSQL 16 and later say in the detail which role is missing.
fn detail_of(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>())
        .and_then(|error| error.detail())
        .unwrap_or_default()
        .to_owned()
}

async fn fetch(connection: &mut PgConnection, statement: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    sqlx::query(AssertSqlSafe(crate::link::tagged(statement))).persistent(false).fetch_all(connection).await
}

async fn look(connection: &mut PgConnection, pid: i32) -> Result<Option<Seen>, SignalError> {
    const NAME: &str = "backend";
    let rows = fetch(connection, &sql::backend(pid)).await.map_err(|error| {
        SignalError::of(ErrorKind::Unavailable, format!("the session could not be looked at: {error}"))
    })?;
    let Some(row) = rows.first() else { return Ok(None) };
    let seen = || {
        Ok::<_, PgstatError>(Seen {
            started_at: get(NAME, row, "started_at")?,
            backend_type: get(NAME, row, "backend_type")?,
            leader_pid: get(NAME, row, "leader_pid")?,
            user: get(NAME, row, "user")?,
            application: get(NAME, row, "application")?,
            state: get(NAME, row, "state")?,
            query: get(NAME, row, "query")?,
            query_started_at: get(NAME, row, "query_started_at")?,
            same_role: get::<Option<bool>>(NAME, row, "same_role")?.unwrap_or(false),
        })
    };
    seen().map(Some).map_err(|error| failed(&error))
}

/// What must not be touched, whatever the role may.
fn check(seen: &Seen, request: &SignalRequest) -> Result<(), SignalError> {
    if seen.started_at != Some(request.started_at.0) {
        return Err(gone(request));
    }
    let refuse = |message: &str| Err(SignalError::of(ErrorKind::Conflict, message.to_owned()));
    if seen.same_role && seen.application == "holdfast" {
        return refuse("that is Holdfast's own session: ending it would only stop the watching");
    }
    match seen.backend_type.as_str() {
        "client backend" => {}
        "autovacuum worker" if request.autovacuum => {}
        "autovacuum worker" => {
            return refuse(
                "that is an autovacuum worker: it gives way by itself unless it prevents a wraparound, and ended it begins anew. Confirm that you mean it",
            );
        }
        "walsender" => {
            return refuse(
                "that is a walsender: a standby, a backup or a subscription hangs on it. End it at the receiving side",
            );
        }
        "parallel worker" => {
            let leader = seen.leader_pid.map_or_else(String::new, |pid| format!(" with pid {pid}"));
            return Err(SignalError::of(
                ErrorKind::Conflict,
                format!("that is a parallel worker: signal its leader{leader}, and its workers end with it"),
            ));
        }
        other => {
            return Err(SignalError::of(
                ErrorKind::Conflict,
                format!("that is the server's own process '{other}', which is never signalled from here"),
            ));
        }
    }
    if request.action == SignalAction::Cancel && seen.state.as_deref().is_some_and(|state| state != "active") {
        return refuse(
            "the session runs no statement now, so there is none to cancel; terminate would end the session",
        );
    }
    Ok(())
}

fn gone(request: &SignalRequest) -> SignalError {
    SignalError::of(
        ErrorKind::NotFound,
        format!(
            "the session with pid {} that you saw is gone; whatever has the pid now is another and was left alone",
            request.pid
        ),
    )
}

fn failed(error: &PgstatError) -> SignalError {
    SignalError::of(ErrorKind::Internal, error.to_string())
}

fn unreachable(error: &PgstatError) -> SignalError {
    SignalError::of(ErrorKind::Unavailable, format!("no connection for it: {error}"))
}
