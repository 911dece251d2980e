//! Forms of plans and drills, which work without JavaScript. Each answers with a redirect: to the job it started, or back
//! to its page with a sentence.

use super::{
    App,
    actor::{Asking, encode},
    forms::with,
    problem::Problem,
    recovery_forms::{back, to_job},
};
use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use control::{Confirmation, ControlError, TargetAsk};
use domain::view::{DrKind, DrPlanSpec, DrStep};
use std::collections::HashMap;

/// Steps that a form may have.
const STEPS_AT_MOST: usize = 40;

/// All fields, by name; what a form lacks is empty.
#[derive(Debug)]
pub struct Fields(HashMap<String, String>);

impl Fields {
    fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |text| text.trim())
    }

    fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name).to_owned()).filter(|text| !text.is_empty())
    }

    fn confirmation(&self) -> Confirmation {
        // A password is taken as it was typed.
        let password = self.0.get("password").cloned().unwrap_or_default();
        Confirmation { name: self.get("confirm").to_owned(), password }
    }

    /// `/recovery/plans` with the cluster and, when there is one, the plan.
    fn page(&self) -> String {
        let mut page = format!("/recovery/plans?cluster={}", encode(self.get("cluster")));
        if let Some(plan) = self.some("plan") {
            page = with(&page, "plan", &plan);
        }
        page
    }

    fn spec(&self) -> Result<DrPlanSpec, ControlError> {
        let mut steps = Vec::new();
        for index in 0..STEPS_AT_MOST {
            let name = |field: &str| format!("step{index}.{field}");
            let Some(action) = self.some(&name("action")) else { continue };
            steps.push(DrStep {
                action: action.parse().map_err(|message: String| ControlError::field("steps", message))?,
                approval: !self.get(&name("approval")).is_empty(),
                hook: self.some(&name("hook")),
                connection: self.some(&name("connection")),
                message: self.some(&name("message")),
                rollback: self.get(&name("rollback")).to_owned(),
            });
        }
        Ok(DrPlanSpec {
            name: self.get("name").to_owned(),
            steps,
            test: self.some("test"),
            full_test: self.some("full_test"),
        })
    }
}

type Pairs = Form<Vec<(String, String)>>;

/// `POST /recovery/plans/drill`
pub async fn drill(State(app): State<App>, Asking(actor): Asking, Form(pairs): Pairs) -> Result<Response, Problem> {
    let form = Fields::of(pairs);
    let kind = if form.get("kind") == DrKind::FullTest.as_str() { DrKind::FullTest } else { DrKind::Test };
    let cluster = form.some("cluster");
    let asked = app.control.dr_drill_start(&actor, cluster.as_deref(), form.get("plan"), kind).await;
    to_job(asked, &form.page())
}

/// `POST /recovery/plans/execute`
pub async fn execute(State(app): State<App>, Asking(actor): Asking, Form(pairs): Pairs) -> Result<Response, Problem> {
    let form = Fields::of(pairs);
    let target = TargetAsk { kind: form.get("kind").to_owned(), value: form.get("value").to_owned() };
    let cluster = form.some("cluster");
    let asked =
        app.control.dr_execute(&actor, cluster.as_deref(), form.get("plan"), &target, &form.confirmation()).await;
    to_job(asked, &form.page())
}

/// `POST /recovery/plans/save`: a new plan, or a changed one.
pub async fn save(State(app): State<App>, Asking(actor): Asking, Form(pairs): Pairs) -> Result<Response, Problem> {
    let form = Fields::of(pairs);
    let cluster = form.some("cluster");
    let page = match form.some("plan") {
        Some(_) => form.page(),
        None => with(&form.page(), "new", "1"),
    };
    let spec = match form.spec() {
        Ok(spec) => spec,
        Err(error) => return back(error, &page),
    };
    let saved = match form.some("plan") {
        Some(id) => app.control.dr_plan_set(&actor, cluster.as_deref(), &id, spec, &form.confirmation()).await,
        None => app.control.dr_plan_create(&actor, cluster.as_deref(), spec, &form.confirmation()).await,
    };
    match saved {
        Ok(plan) => {
            let page = with(&format!("/recovery/plans?cluster={}", encode(&plan.cluster)), "plan", &plan.id);
            Ok(Redirect::to(&with(&page, "done", "The plan is saved. Rehearse it.")).into_response())
        }
        Err(error) => back(error, &page),
    }
}

/// `POST /recovery/plans/remove`
pub async fn remove(State(app): State<App>, Asking(actor): Asking, Form(pairs): Pairs) -> Result<Response, Problem> {
    let form = Fields::of(pairs);
    let cluster = form.some("cluster");
    match app.control.dr_plan_remove(&actor, cluster.as_deref(), form.get("plan"), &form.confirmation()).await {
        Ok(()) => {
            let page = format!("/recovery/plans?cluster={}", encode(form.get("cluster")));
            Ok(Redirect::to(&with(&page, "done", "The plan is removed; its runs stay.")).into_response())
        }
        Err(error) => back(error, &form.page()),
    }
}

/// `POST /jobs/decide`: approves the step that an execution waits at, or aborts it.
pub async fn decide(State(app): State<App>, Asking(actor): Asking, Form(pairs): Pairs) -> Result<Response, Problem> {
    let form = Fields::of(pairs);
    let job = form.get("id").to_owned();
    // What is no number is no step that it waits at, which is what the person is told.
    let step = form.get("step").parse().unwrap_or(usize::MAX - 1);
    let approve = form.get("kind") == "approve";
    let decided = app.control.dr_decide(&actor, &job, step, approve, form.get("note"), &form.confirmation()).await;
    to_job(decided, &format!("/jobs/{}", encode(&job)))
}
