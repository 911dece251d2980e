//! `/jobs/{id}`: what long work is doing, step by step, and what came of it.

use super::{
    named::with_moments,
    plans::{Decide, DrFacts},
};
use crate::{
    components::{Confirm, Failed, FormOutcome, Icon, Panel, Skeleton},
    recovery_fns::{JobData, load_job},
    scope::Scope,
    zone::Local as _,
};
use domain::{
    format,
    view::{JobCopy, JobKind, JobProgress, JobResult, JobState, ProofView},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

/// Steps, rate, remaining time, log, report.
#[component]
pub fn JobPage() -> impl IntoView {
    let scope = Scope::get();
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).unwrap_or_default());
    let data = Resource::new(move || id.get(), load_job);
    view! {
        <Title text="Job" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data scope /> }.into_any(),
                    Err(error) => view! {
                        <div class="title"><a class="back" href=move || scope.link("/jobs")>"Jobs"</a><h1>"Job"</h1></div>
                        <Failed error />
                    }.into_any(),
                }
            })}
        </Transition>
    }
}

/// Badge class of a state.
pub(super) const fn class(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "badge",
        JobState::Running => "badge accent",
        JobState::Succeeded => "badge good",
        JobState::Failed => "badge critical",
        JobState::Cancelled => "badge attention",
    }
}

#[component]
fn Loaded(data: JobData, scope: Scope) -> impl IntoView {
    let JobData { job, may_cancel, may_approve, may_remove, now } = data;
    let since = job.started_at.map(|at| job.finished_at.unwrap_or(now).seconds_since(at).max(0.0));
    let state = match since {
        Some(seconds) if job.state == JobState::Running => format!("running, {}", format::age_s(seconds)),
        Some(seconds) => format!("{}, took {}", job.state.as_str(), format::duration_s(seconds)),
        None => job.state.as_str().to_owned(),
    };
    let id = job.id.clone();
    let title = format!("{} {}", job.kind.label(), job.id);
    let over = job.state.is_over();
    let stopping = (job.cancel_requested && !over).then(|| view! { <span class="badge attention">"stopping"</span> });
    let lines = job.log.iter().map(|line| view! { <li><time datetime=line.at.to_rfc3339() title=line.at.local()>{line.at.local_clock()}</time><span>{line.line.clone()}</span></li> }).collect_view();
    let error = job.error.clone();
    let paused = job.progress.paused.clone();
    let (cluster, requested_by, requested_at, attempt) =
        (job.cluster.clone(), job.requested_by.clone(), job.requested_at, job.attempt);
    let is_run = over && matches!(job.kind, JobKind::Drill | JobKind::Execution);
    let run_path = format!("/recovery/plans?run={}", job.id);
    let (job_title, progress, job_state) = (with_moments(&job.title), job.progress, job.state);
    let waiting = progress.waiting.clone().filter(|_| !over);
    let decide = waiting.map(|waiting| {
        let (job, cluster) = (id.clone(), cluster.clone());
        if may_approve {
            view! { <Decide job cluster step=waiting.step what=waiting.what /> }.into_any()
        } else {
            view! { <p class="banner attention c12"><Icon name="warn" /><span>{format!("Waits for an administrator's approval: {}", waiting.what)}</span></p> }.into_any()
        }
    });
    let remove = may_remove.then(|| {
        let (job, named) = (id.clone(), cluster.clone());
        view! {
            <form class="stack spaced" method="post" action="/jobs/copy/remove">
                <p class="muted">"The copy's server is stopped and its directory is deleted: what was written to it is lost."</p>
                <input type="hidden" name="id" value=job />
                <Confirm name=named /><div><button class="btn danger">"Stop and remove the copy"</button></div>
            </form>
        }
    });
    // What is marked as live is put in its place by `job.js` at each event of the job. Without JavaScript the whole page
    // comes anew, unless it has a form: that is not taken away under anybody's hands.
    let reload = (!over && (decide.is_none() || !may_approve))
        .then(|| view! { <noscript><meta http-equiv="refresh" content="2" /></noscript> });
    let followed = (!over).then(|| id.clone());
    view! {
        <div class="title" data-job=followed>
            <a class="back" href=move || scope.link("/recovery")>"Recovery"</a>
            <h1>{title}</h1>
            <span class="part" data-live="state"><span class=class(job_state) data-job-state=job_state.as_str()>{state}</span>{stopping}</span>
            <span class="grow"></span>
            <span class="part" data-live="cancel">
                {may_cancel.then(|| view! { <form method="post" action="/jobs/cancel"><input type="hidden" name="id" value=id /><button class="btn"><Icon name="cross" />"Stop it"</button></form> })}
            </span>
            {reload}
        </div>
        <FormOutcome />
        <div class="part" data-live="told">
            {error.map(|error| view! { <p class="banner critical c12" role="alert"><Icon name="warn" /><span>{error}</span></p> })}
            {paused.map(|reason| view! { <p class="banner attention c12"><Icon name="warn" /><span>{format!("Waits for the database: {reason}")}</span></p> })}
        </div>
        <div class="part" data-live="decide">{decide}</div>
        <Panel title=job_title span="c7"><div data-live="steps"><Steps progress state=job_state /></div></Panel>
        <Panel title="Facts" span="c5"><div data-live="facts">
            <dl class="facts">
                <dt>"Cluster"</dt><dd>{cluster}</dd>
                <dt>"Asked for by"</dt><dd>{requested_by}</dd>
                <dt>"Asked for"</dt><dd>{requested_at.local()}</dd>
                <dt>"Try"</dt><dd>{attempt.to_string()}</dd>
            </dl>
            <Report result=job.result copy=job.copy />
            {remove}
            {is_run.then(|| view! { <p class="actions"><a class="btn" href=move || scope.link(&run_path)>"Evidence"</a></p> })}
        </div></Panel>
        <Panel title="Log" flush=true><ul class="events log" aria-live="polite" data-live="log">{lines}</ul></Panel>
    }
}

#[component]
fn Steps(progress: JobProgress, state: JobState) -> impl IntoView {
    let present = progress.steps.iter().position(|step| step.seconds.is_none());
    if progress.steps.is_empty() {
        let text = match state {
            JobState::Queued => "It waits for its turn: one job writes to a repository at a time.",
            JobState::Running => "It is taken up; its first step is about to begin.",
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => "It ended before it began.",
        };
        return view! { <p class="muted">{text}</p> }.into_any();
    }
    let rows = progress.steps.iter().enumerate().map(|(index, step)| {
        let now = present == Some(index) && !state.is_over();
        let failed = present == Some(index) && matches!(state, JobState::Failed | JobState::Cancelled);
        let class = if step.seconds.is_some() { "step done" } else if now { "step now" } else if failed { "step failed" } else { "step todo" };
        let sign = if step.seconds.is_some() { "✓".to_owned() } else if failed { "✕".to_owned() } else { (index + 1).to_string() };
        let bar = progress.done_bytes.zip(progress.total_bytes).filter(|_| now).map(|(done, total)| {
            let rate = progress.bytes_per_second.unwrap_or(0.0);
            let left = progress.remaining_seconds.map_or_else(String::new, |left| format!(", about {} left", format::age_s(left)));
            let text = format!("{} of {}, {}/s{left}", format::bytes(done as f64), format::bytes(total as f64), format::bytes(rate));
            view! { <progress max=total.to_string() value=done.to_string() aria-label=step.name.clone()></progress><small>{text}</small> }
        });
        view! {
            <li class=class aria-current=now.then_some("step")>
                <span class="st" aria-hidden="true">{sign}</span>
                <span><span>{step.name.clone()}</span><small>{step.detail.clone()}</small>{bar}</span>
                <span class="num muted" title=step.started_at.map(|at| format!("began {}", at.local()))>{step.seconds.map(format::duration_s)}</span>
            </li>
        }
    });
    view! { <ol class="steps">{rows.collect_view()}</ol> }.into_any()
}

/// The figures of a restore test.
#[component]
pub(super) fn Proof(proof: ProofView) -> impl IntoView {
    let rpo = proof.rpo_seconds.map_or_else(|| "—".to_owned(), format::lag_s);
    let (class, verdict) = match proof.measured_rto() {
        None => ("badge critical", "not restored"),
        Some(_) if proof.ok => ("badge good", "sound"),
        Some(_) => ("badge critical", "not sound"),
    };
    // What it did not come to took no time that could be told.
    let took = |seconds: f64, of: Option<String>| match of {
        _ if seconds <= 0.0 => "—".to_owned(),
        Some(of) => format!("{} ({of})", format::duration_s(seconds)),
        None => format::duration_s(seconds),
    };
    view! {
        <dl class="facts report">
            <dt>"Verdict"</dt><dd><span class=class>{verdict}</span></dd>
            <dt title="Plan, restore and recovery">"Measured RTO"</dt><dd>{took(proof.rto_seconds, None)}</dd>
            <dt title="Looking up in the repository what is restored">"Planned in"</dt><dd>{took(proof.plan_seconds, None)}</dd>
            <dt>"Files written in"</dt><dd>{took(proof.restore_seconds, Some(format::bytes(proof.bytes as f64)))}</dd>
            <dt>"Recovered in"</dt><dd>{took(proof.recovery_seconds, Some(format!("{} of WAL", format::bytes(proof.wal_bytes as f64))))}</dd>
            <dt>"Checked in"</dt><dd>{took(proof.check_seconds, None)}</dd>
            <dt title="Age of the newest transaction in the copy when the test began, and no more than the stream had still to bring">"Measured RPO"</dt><dd>{rpo}</dd>
        </dl>
        <Checks checks=proof.checks unproved=proof.unproved problems=proof.problems />
    }
}

/// What was found good, what proves neither, and what is wrong.
#[component]
pub(super) fn Checks(checks: Vec<String>, unproved: Vec<String>, problems: Vec<String>) -> impl IntoView {
    view! {
        <ul class="checks">
            {checks.into_iter().map(|check| view! { <li><Icon name="check" />{check}</li> }).collect_view()}
            {unproved.into_iter().map(|text| view! { <li class="unproved"><Icon name="warn" />{format!("not proved: {text}")}</li> }).collect_view()}
            {problems.into_iter().map(|problem| view! { <li class="bad"><Icon name="warn" />{problem}</li> }).collect_view()}
        </ul>
    }
}

#[component]
fn Report(result: Option<JobResult>, copy: Option<JobCopy>) -> impl IntoView {
    let scope = Scope::get();
    let runs = copy.as_ref().is_some_and(|copy| copy.runs);
    match result {
        None => ().into_any(),
        Some(JobResult::Backup { id, kind, stored_bytes, damaged_pages }) => {
            let path = format!("/backups/{id}");
            view! {
                <dl class="facts report">
                    <dt>"Backup"</dt><dd><a class="link" href=move || scope.link(&path)>{id}</a></dd>
                    <dt>"Kind"</dt><dd>{kind}</dd>
                    <dt>"Stored"</dt><dd>{format::bytes(stored_bytes as f64)}</dd>
                    <dt>"Damaged pages in the source"</dt><dd>{damaged_pages.to_string()}</dd>
                </dl>
            }
            .into_any()
        }
        Some(JobResult::Verify { id, checked_bytes, pages, problems }) => {
            let path = format!("/backups/{id}");
            view! {
                <dl class="facts report">
                    <dt>"Backup"</dt><dd><a class="link" href=move || scope.link(&path)>{id}</a></dd>
                    <dt>"Checked"</dt><dd>{format!("{}, {}", format::bytes(checked_bytes as f64), format::counted(pages, "page", "pages"))}</dd>
                </dl>
                <ul class="checks">{problems.into_iter().map(|problem| view! { <li class="bad"><Icon name="warn" />{problem}</li> }).collect_view()}</ul>
            }
            .into_any()
        }
        Some(JobResult::RestoreTest(proof)) => view! { <Proof proof /> }.into_any(),
        Some(JobResult::DrRun(report)) => view! { <DrFacts report=*report /> }.into_any(),
        Some(JobResult::Restore {
            directory,
            port,
            backup,
            target,
            files_seconds,
            rto_seconds,
            rpo_seconds,
            last_commit_at,
            written_bytes,
            kept_bytes,
            next,
            checks,
            unproved,
            problems,
        }) => {
            let path = format!("/backups/{backup}");
            // Files that nobody has started yet prove no recovery time.
            let (hint, name, seconds) = if port.is_some() {
                ("From the begin of the job until it could be used", "Measured RTO", rto_seconds)
            } else {
                let hint =
                    "From the begin of the job until all files were there; WAL is replayed when somebody starts it";
                (hint, "Files there after", files_seconds.or(rto_seconds))
            };
            let seconds = seconds.map_or_else(|| "—".to_owned(), format::duration_s);
            let took = view! { <dt title=hint>{name}</dt><dd>{seconds}</dd> };
            // No restore writes nothing: then a try before this one did.
            let written = match (written_bytes, kept_bytes) {
                (0, 0) => "by the try before".to_owned(),
                (new, 0) => format::bytes(new as f64),
                (new, kept) => format!("{}, {} were there", format::bytes(new as f64), format::bytes(kept as f64)),
            };
            view! {
            <dl class="facts report">
                <dt>"Restored to"</dt><dd>{target}</dd>
                <dt>"Last transaction"</dt><dd>{last_commit_at.map_or_else(|| "—".to_owned(), |at| at.local())}</dd>
                <dt>"From backup"</dt><dd><a class="link" href=move || scope.link(&path)>{backup}</a></dd>
                {took}
                <dt title="What was lost when it began; a restore to a chosen moment leaves out on purpose what came after it">"Measured RPO"</dt><dd>{rpo_seconds.map_or_else(|| "—".to_owned(), format::lag_s)}</dd>
                <dt>"Written"</dt><dd>{written}</dd>
                <dt>"Directory"</dt><dd><code>{directory}</code></dd>
                {port.map(|port| match (runs, copy.is_some()) {
                    (true, _) => view! { <dt>"Port on 127.0.0.1"</dt><dd data-port=port.to_string()>{port.to_string()}</dd> }.into_any(),
                    (false, true) => view! { <dt>"Copy"</dt><dd>"does not run any more; its directory is here"</dd> }.into_any(),
                    (false, false) => view! { <dt>"Copy"</dt><dd>"is not on this host, or was removed"</dd> }.into_any(),
                })}
                {(port.is_none() || runs).then(|| view! { <dt>"Next"</dt><dd><code>{next}</code></dd> })}
            </dl>
            <Checks checks unproved problems />
            }
            .into_any()
        }
        Some(JobResult::Expire { removed, objects, bytes }) => view! {
            <dl class="facts report">
                <dt>"Backups removed"</dt><dd>{removed.len().to_string()}</dd>
                <dt>"Objects removed"</dt><dd>{format!("{objects}, {}", format::bytes(bytes as f64))}</dd>
            </dl>
        }
        .into_any(),
    }
}
