//! Forms of the page of the health score. They work without JavaScript; each answers with a redirect to the page, with what
//! was done or what is wrong in the address.

use super::{
    App,
    actor::{Asking, encode},
    problem::Problem,
};
use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use control::ControlError;
use domain::{ErrorKind, view::HealthWeights};
use std::collections::HashMap;

/// `cluster`, `scope` (`cluster` or `all`), and the components by their names.
type Fields = HashMap<String, String>;

fn field<'a>(form: &'a Fields, name: &str) -> &'a str {
    form.get(name).map(String::as_str).unwrap_or_default()
}

fn of(form: &Fields) -> Option<&str> {
    Some(field(form, "cluster")).filter(|cluster| field(form, "scope") != "all" && !cluster.is_empty())
}

fn back(outcome: Result<(), ControlError>, form: &Fields, done: &str) -> Result<Response, Problem> {
    let mut address = format!("/database/score?cluster={}", encode(field(form, "cluster")));
    match outcome {
        Ok(()) => address.push_str(&format!("&done={}", encode(done))),
        Err(error) => match error.kind() {
            ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Forbidden => return Err(error.into()),
            _ => address.push_str(&format!("&error={}", encode(&error.to_string()))),
        },
    }
    Ok(Redirect::to(&address).into_response())
}

/// `POST /database/score`
pub async fn set(State(app): State<App>, Asking(actor): Asking, Form(form): Form<Fields>) -> Result<Response, Problem> {
    let outcome = match HealthWeights::read(|name| form.get(name).cloned()) {
        Ok(weights) => app.control.health_weights_set(&actor, of(&form), weights).await,
        // Who may not change them is told that, whatever was written.
        Err((name, message)) if actor.may(domain::Permission::AlertManage) => Err(ControlError::field(&name, message)),
        Err(_) => app.control.health_weights_set(&actor, of(&form), HealthWeights::default()).await,
    };
    back(outcome, &form, "The weights are set; the next score is made with them.")
}

/// `POST /database/score/reset`
pub async fn reset(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let outcome = app.control.health_weights_reset(&actor, of(&form)).await;
    back(outcome, &form, "The weights are taken back.")
}
