//! Forms of plans and advice, which work without JavaScript. Each answers with a redirect back to its page.

use super::{
    App,
    actor::Asking,
    forms::{local, with},
    problem::Problem,
};
use axum::{Form, extract::State, response::Redirect};
use control::ControlError;
use domain::ErrorKind;
use serde::Deserialize;

/// All fields that any of these forms has; what a form lacks is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fields {
    cluster: String,
    id: String,
    key: String,
    reason: String,
    days: String,
    next: String,
}

impl Fields {
    fn cluster(&self) -> Option<&str> {
        Some(self.cluster.as_str()).filter(|id| !id.is_empty())
    }
}

/// `POST /database/queries/explain`
pub async fn explain(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Redirect, Problem> {
    let done = app.control.query_explain(&actor, form.cluster(), &form.id).await;
    back(
        &form.next,
        done.map(|plan| {
            format!("Planned: cost {}, {}.", domain::format::count(plan.summary.total_cost), plan.summary.shape)
        }),
    )
}

/// `POST /database/advice/dismiss`
pub async fn dismiss(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Redirect, Problem> {
    let outcome = async {
        let until = match form.days.as_str() {
            "" | "0" => None,
            days => {
                let days = days.parse::<i64>().ok().filter(|days| (1..=3_650).contains(days));
                let days = days.ok_or_else(|| ControlError::field("days", "a number of days, 1 to 3650, or none"))?;
                Some(control::now().plus_ms(days * 86_400_000))
            }
        };
        app.control.advice_dismiss(&actor, form.cluster(), &form.key, &form.reason, until).await
    };
    back(&form.next, outcome.await.map(|_| "Put aside.".to_owned()))
}

/// `POST /database/advice/restore`
pub async fn restore(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Redirect, Problem> {
    let outcome = app.control.advice_restore(&actor, form.cluster(), &form.key).await;
    back(&form.next, outcome.map(|()| "Taken back: it counts again.".to_owned()))
}

/// `POST /database/advice/review`
pub async fn review(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Redirect, Problem> {
    let outcome = app.control.index_review(&actor, form.cluster()).await;
    back(&form.next, outcome.map(|()| "The indexes are being reviewed: load the page again in a moment.".to_owned()))
}

/// Back to the page with a sentence; a missing right is no sentence but a refusal.
fn back(next: &str, outcome: Result<String, ControlError>) -> Result<Redirect, Problem> {
    let next = local(next);
    match outcome {
        Ok(done) => Ok(Redirect::to(&with(next, "done", &done))),
        Err(error @ ControlError::Cluster { .. }) => Ok(Redirect::to(&with(next, "error", &error.to_string()))),
        Err(error) => match error.kind() {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict => {
                Ok(Redirect::to(&with(next, "error", &error.to_string())))
            }
            _ => Err(error.into()),
        },
    }
}
