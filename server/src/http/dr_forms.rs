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

/// A longer plan does not go into an address.
const DRAFT_BYTES: usize = 3_000;

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

/// The page with what was typed, so that a mistyped password costs no plan. What looks like a secret stands in no address.
fn with_draft(page: &str, spec: &DrPlanSpec) -> String {
    let mut draft = spec.clone();
    for step in &mut draft.steps {
        let is_open = |text: &String| !text.to_lowercase().contains("password") && !text.contains('@');
        step.connection = step.connection.take().filter(is_open);
    }
    match serde_json::to_string(&draft) {
        Ok(text) if text.len() <= DRAFT_BYTES => with(page, "draft", &text),
        _ => page.to_owned(),
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
    let page = with_draft(&page, &spec);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_comes_back_without_what_looks_like_a_secret() {
        let mut spec = DrPlanSpec::standard();
        let connections = |spec: &DrPlanSpec| spec.steps.iter().filter(|step| step.connection.is_some()).count();
        let kept = |spec: &DrPlanSpec| {
            let page = with_draft("/recovery/plans?new=1", spec);
            let (_, query) = page.split_once('?').unwrap();
            let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect::<HashMap<_, _>>();
            pairs.get("draft").map(|text| serde_json::from_str::<DrPlanSpec>(text).unwrap())
        };
        assert_eq!(kept(&spec).as_ref(), Some(&spec));
        assert_eq!(connections(&spec), 1);
        for secret in ["host=db Password=x", "postgres://app:x@db/app"] {
            for step in spec.steps.iter_mut().filter(|step| step.connection.is_some()) {
                step.connection = Some(secret.to_owned());
            }
            assert_eq!(connections(&kept(&spec).unwrap()), 0, "{secret}");
        }
        spec.name = "x".repeat(DRAFT_BYTES);
        assert_eq!(kept(&spec), None);
    }
}
