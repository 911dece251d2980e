//! Forms of backup and recovery, which work without JavaScript. Each answers with a redirect: to the job it started, or
//! back to its page with a sentence.

use super::{
    App,
    actor::{Asking, encode},
    forms::with,
    problem::Problem,
};
use crate::kit::{self, Found};
use axum::{
    Form,
    extract::State,
    http::header,
    response::{Html, IntoResponse, Redirect, Response},
};
use control::{BackupWanted, Confirmation, ControlError, RestoreAsk, RestoreTestParams, TargetAsk};
use domain::{
    ErrorKind,
    view::{JobView, Objectives},
};
use serde::Deserialize;

/// All fields that any of these forms has; what a form lacks is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fields {
    cluster: String,
    kind: String,
    id: String,
    value: String,
    backup: String,
    /// Ids with commas between them.
    backups: String,
    directory: String,
    start: String,
    exclusive: String,
    delta: String,
    label: String,
    rpo_seconds: String,
    rto_seconds: String,
    confirm: String,
    password: String,
}

impl Fields {
    fn cluster(&self) -> Option<&str> {
        Some(self.cluster.as_str()).filter(|id| !id.is_empty())
    }

    fn backup_id(&self) -> Option<String> {
        Some(self.id.clone()).filter(|id| !id.is_empty())
    }

    fn confirmation(&self) -> Confirmation {
        Confirmation { name: self.confirm.clone(), password: self.password.clone() }
    }

    /// The page's address with the cluster in it.
    fn page(&self, path: &str) -> String {
        let separator = if path.contains('?') { '&' } else { '?' };
        match self.cluster() {
            Some(id) => format!("{path}{separator}cluster={}", encode(id)),
            None => path.to_owned(),
        }
    }
}

/// To the job, or back with a sentence; a missing right is no sentence but a refusal.
pub(super) fn to_job(asked: Result<JobView, ControlError>, page: &str) -> Result<Response, Problem> {
    match asked {
        Ok(job) => Ok(Redirect::to(&format!("/jobs/{}?cluster={}", job.id, encode(&job.cluster))).into_response()),
        Err(error) => back(error, page),
    }
}

pub(super) fn back(error: ControlError, page: &str) -> Result<Response, Problem> {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Forbidden | ErrorKind::Unauthenticated => {
            Err(error.into())
        }
        _ => Ok(Redirect::to(&with(page, "error", &sentence(&error.to_string()))).into_response()),
    }
}

pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

/// `POST /backups/start`
pub async fn start(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let kind = if form.kind == "full" { BackupWanted::Full } else { BackupWanted::Incremental };
    to_job(app.control.backup_start(&actor, form.cluster(), kind).await, &form.page("/backups"))
}

/// `POST /backups/verify`
pub async fn verify(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let asked = app.control.backup_verify(&actor, form.cluster(), form.backup_id()).await;
    to_job(asked, &form.page("/backups"))
}

/// `POST /backups/test`: of one backup to its own end, or of the newest with all WAL there is.
pub async fn test(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let backup = form.backup_id();
    let params = RestoreTestParams { latest: backup.is_none(), backup };
    to_job(app.control.backup_test_restore(&actor, form.cluster(), params).await, &form.page("/backups"))
}

/// `POST /backups/expire`
pub async fn expire(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let shown = form.backups.split(',').map(str::to_owned).collect::<Vec<_>>();
    let asked = app.control.expire(&actor, form.cluster(), Some(&shown), &form.confirmation()).await;
    to_job(asked, &form.page("/backups/retention"))
}

/// `POST /backups/remove`
pub async fn remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let page = form.page(&format!("/backups/{}", encode(&form.id)));
    to_job(app.control.backup_remove(&actor, form.cluster(), &form.id, &form.confirmation()).await, &page)
}

/// `POST /recovery/restore`
pub async fn restore(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let ask = RestoreAsk {
        target: TargetAsk { kind: form.kind.clone(), value: form.value.clone() },
        exclusive: form.exclusive == "on",
        backup: Some(form.backup.clone()).filter(|id| !id.is_empty()),
        timeline: None,
        directory: form.directory.clone(),
        delta: form.delta == "on",
        start: form.start == "on",
    };
    // The plan as it was, so that a mistyped password costs no choice.
    let mut page = form.page("/recovery/restore?asked=1");
    for (name, text) in [
        ("kind", &form.kind),
        ("value", &form.value),
        ("backup", &form.backup),
        ("directory", &form.directory),
        ("start", &form.start),
        ("exclusive", &form.exclusive),
        ("delta", &form.delta),
    ] {
        if !text.is_empty() {
            page = with(&page, name, text);
        }
    }
    to_job(app.control.restore_start(&actor, form.cluster(), &ask, &form.confirmation()).await, &page)
}

/// `POST /recovery/objectives`
pub async fn objectives(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let page = form.page("/recovery");
    // What is no number is out of range, which is what the person is told.
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or(0.0);
    let to = Objectives { rpo_seconds: number(&form.rpo_seconds), rto_seconds: number(&form.rto_seconds) };
    match app.control.objectives_set(&actor, form.cluster(), to, &form.confirmation()).await {
        Ok(_) => Ok(Redirect::to(&with(&page, "done", "The objectives are changed.")).into_response()),
        Err(error) => back(error, &page),
    }
}

/// `POST /backups/keys/rotate`
pub async fn key_rotate(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let page = form.page("/backups");
    match app.control.repository_key_rotate(&actor, form.cluster(), &form.confirmation()).await {
        Ok(number) => {
            let done = format!("New objects are sealed with data key {number}; what is there stays readable.");
            Ok(Redirect::to(&with(&page, "done", &done)).into_response())
        }
        Err(error) => back(error, &page),
    }
}

/// `POST /backups/keys/remove`
pub async fn key_remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let page = form.page("/backups");
    match app.control.repository_key_remove(&actor, form.cluster(), &form.id, &form.confirmation()).await {
        Ok(()) => Ok(Redirect::to(&with(&page, "done", "The key is removed.")).into_response()),
        Err(error) => back(error, &page),
    }
}

/// `POST /jobs/cancel`
pub async fn cancel(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    to_job(app.control.job_cancel(&actor, &form.id).await, "/recovery")
}

/// `POST /jobs/copy/remove`
pub async fn copy_remove(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let page = format!("/jobs/{}", encode(&form.id));
    to_job(app.control.copy_remove(&actor, &form.id, &form.confirmation()).await, &page)
}

/// `POST /backups/kit`: a new recovery code on a page to print. It is shown this once and stands in no address.
pub async fn print_kit(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let page = form.page("/backups");
    let code = app.control.repository_key_add(&actor, form.cluster(), &form.label, &form.confirmation()).await;
    let code = match code {
        Ok(code) => code,
        Err(error) => return back(error, &page),
    };
    let overview = app.control.recovery_overview(&actor, form.cluster()).await?;
    let repository = overview.repository;
    let slot = app.control.recovery().slot(&overview.cluster);
    let found = Found {
        variables: slot.map(|slot| slot.config.disaster.found_by.as_slice()).unwrap_or_default(),
        place: &repository.place,
        system: slot.and_then(|slot| slot.catalogue.load().system),
    };
    let steps = escape(&kit::steps(&found, &code).join("\n"));
    let place = escape(&repository.place);
    let id = escape(repository.id.as_deref().unwrap_or_default());
    let made = control::now().to_human();
    let label = escape(&form.label);
    let page = escape(&page);
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Recovery kit</title>\
         <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}}dt{{color:#555;margin-top:.8rem}}dd{{margin:0}}code,pre{{font:14px/1.5 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}}.code{{font-size:17px;border:2px solid #111;padding:.8rem;border-radius:6px}}@media print{{a{{display:none}}}}</style>\
         <h1>Recovery kit</h1><p>Print this and keep it away from the repository. The code is shown this once. With it and the repository alone everything can be restored; without any key nobody can read the backups.</p>\
         <dl><dt>Cluster</dt><dd>{} ({})</dd><dt>Repository</dt><dd><code>{place}</code></dd><dt>Repository id</dt><dd><code>{id}</code></dd><dt>Format</dt><dd>1, as written in docs/repository-format.md</dd><dt>For</dt><dd>{label}</dd><dt>Made</dt><dd>{made}</dd><dt>Recovery code</dt><dd class=\"code\"><code>{code}</code></dd></dl>\
         <h2>On an empty machine</h2><p>{}:</p><pre>{steps}</pre><p><a href=\"{page}\">Back to the backups</a></p></html>",
        escape(&overview.cluster_name),
        escape(&overview.cluster),
        kit::WHO,
    );
    // Its one style sheet is its own and inline; nothing else may load or run, and no cache keeps it.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    Ok(([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(text)).into_response())
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
