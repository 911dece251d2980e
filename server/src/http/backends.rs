//! The forms that cancel a statement, end a session or give up a standby; what became of it stands in the address of the page.

use super::{
    App,
    actor::Asking,
    forms::{local, with},
    problem::Problem,
};
use axum::{Form, extract::State, response::Redirect};
use control::ControlError;
use domain::{
    ErrorKind, Timestamp,
    view::{SignalAction, SignalRequest},
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Signal {
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    pid: String,
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    autovacuum: Option<String>,
    #[serde(default)]
    confirm: Option<String>,
    #[serde(default)]
    next: String,
}

/// `POST /database/backends/cancel`
pub async fn cancel(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Signal>,
) -> Result<Redirect, Problem> {
    signal(&app, &actor, SignalAction::Cancel, form).await
}

/// `POST /database/backends/terminate`
pub async fn terminate(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Signal>,
) -> Result<Redirect, Problem> {
    signal(&app, &actor, SignalAction::Terminate, form).await
}

#[derive(Debug, Deserialize)]
pub struct Standby {
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    next: String,
}

/// `POST /database/standbys/forget`
pub async fn forget_standby(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Standby>,
) -> Result<Redirect, Problem> {
    let outcome = app.control.standby_forget(&actor, form.cluster.as_deref(), &form.name).await;
    let done = outcome.map(|()| format!("{} is missed no longer, from the next look on.", form.name));
    back(local(&form.next), done)
}

async fn signal(app: &App, actor: &control::Actor, action: SignalAction, form: Signal) -> Result<Redirect, Problem> {
    let next = local(&form.next).to_owned();
    let outcome = async {
        let pid = form.pid.trim().parse().map_err(|_| ControlError::field("pid", "a process id is a number"))?;
        let started_at = Timestamp::parse_rfc3339(&form.started_at)
            .ok_or_else(|| ControlError::field("started_at", "send back the session's start as it was shown"))?;
        let autovacuum = form.autovacuum.as_deref() == Some("1");
        let request = SignalRequest { action, pid, started_at, autovacuum };
        app.control.backend_signal(actor, form.cluster.as_deref(), &request, form.confirm.as_deref()).await
    };
    back(&next, outcome.await.map(|done| done.message))
}

/// Back to the page with what was done, or why not.
fn back(next: &str, outcome: Result<String, ControlError>) -> Result<Redirect, Problem> {
    match outcome {
        Ok(done) => Ok(Redirect::to(&with(next, "done", &done))),
        // A refusal of the server is a sentence on the page, one of ours an answer of its own.
        Err(error @ ControlError::Cluster { .. }) => Ok(Redirect::to(&with(next, "error", &error.to_string()))),
        Err(error) => match error.kind() {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict => {
                Ok(Redirect::to(&with(next, "error", &error.to_string())))
            }
            _ => Err(error.into()),
        },
    }
}
