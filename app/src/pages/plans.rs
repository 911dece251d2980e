//! `/recovery/plans`: plans for disasters, what one would do now, drills and what they showed.

use super::job::Checks;
use crate::{
    components::{Confirm, Failed, FormOutcome, Icon, Panel, Skeleton},
    recovery_fns::{DrData, May, load_dr},
    scope::Scope,
    zone::Local as _,
};
use domain::{
    Timestamp, format,
    view::{DrAction, DrDryRun, DrKind, DrOverview, DrPlanSpec, DrPlanView, DrReport, DrRunRow, DrRunView, DrStep},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;

/// Empty rows behind the steps of a plan that is edited.
const MORE_STEPS: usize = 2;

/// The list, one plan (`?plan=`), or one run (`?run=`).
#[component]
pub fn Plans() -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    let data = Resource::new(
        move || (scope.cluster.get(), location.search.get()),
        |(cluster, search)| load_dr(cluster, search),
    );
    view! {
        <Title text="Recovery plans" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data /> }.into_any(),
                    Err(error) => view! {
                        <div class="title"><a class="back" href=move || scope.link("/recovery/plans")>"Recovery plans"</a><h1>"Recovery plans"</h1></div>
                        <Failed error />
                    }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Loaded(data: DrData) -> impl IntoView {
    let DrData { overview, dry, run, new, draft, may } = data;
    // Who may not save one is not asked to write it.
    let new = new && may.manage;
    let scope = Scope::get();
    let (back, name) = match (&dry, &run, new) {
        (None, None, false) => ("/recovery", "Recovery plans".to_owned()),
        (Some((plan, _)), ..) => ("/recovery/plans", format!("Plan '{}'", plan.plan.name)),
        (_, Some(run), _) => ("/recovery/plans", title_of(run)),
        (.., true) => ("/recovery/plans", "New plan".to_owned()),
    };
    let back_name = if back == "/recovery" { "Recovery" } else { "Recovery plans" };
    let body = match (dry, run, new) {
        (Some((plan, dry)), ..) => view! { <PlanPanels plan draft dry overview may /> }.into_any(),
        (_, Some(run), _) => view! { <RunPanels run cluster=overview.cluster.clone() /> }.into_any(),
        (.., true) => {
            let spec = draft.unwrap_or_else(|| DrPlanSpec { name: String::new(), ..DrPlanSpec::standard() });
            view! { <Panel title="What it says" span="c12"><Editor id=None spec overview /></Panel> }.into_any()
        }
        _ => view! { <List overview may /> }.into_any(),
    };
    view! {
        <div class="title"><a class="back" href=move || scope.link(back)>{back_name}</a><h1>{name}</h1></div>
        <FormOutcome />
        {body}
    }
}

fn title_of(run: &DrRunView) -> String {
    match (&run.run, &run.job) {
        (Some(row), _) => format!("{} {}", row.kind.label(), row.id),
        (None, Some(job)) => format!("{} {}", job.kind.label(), job.id),
        (None, None) => "Run".to_owned(),
    }
}

fn age(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", format::age_s(now.seconds_since(at).max(0.0)))
}

/// Whether an objective was kept, beside the figure.
fn kept(measured: Option<f64>, limit: Option<f64>) -> AnyView {
    match (measured, limit) {
        (None, _) => view! { "—" }.into_any(),
        (Some(value), Some(limit)) if value > limit => {
            view! { <span class="bad" title=format!("limit {}", format::limit_s(limit))>{format::lag_s(value)}" over"</span> }.into_any()
        }
        (Some(value), Some(limit)) => {
            view! { <span title=format!("limit {}", format::limit_s(limit))>{format::lag_s(value)}</span> }.into_any()
        }
        (Some(value), None) => view! { {format::lag_s(value)} }.into_any(),
    }
}

#[component]
fn List(overview: DrOverview, may: May) -> impl IntoView {
    let scope = Scope::get();
    let now = Timestamp(i64::try_from(now_ms()).unwrap_or(0));
    let DrOverview { cluster, plans, runs, full_test_missing, .. } = overview;
    let cluster_of_forms = cluster.clone();
    let missing = full_test_missing.clone();
    let lines = plans.into_iter().map(|plan| {
        let path = format!("/recovery/plans?plan={}", plan.id);
        let last = runs.iter().find(|run| run.plan_id.as_deref() == Some(&plan.id)).cloned();
        let next = plan.next_test.first().into_iter().chain(plan.next_full_test.first()).min().copied();
        let steps = plan.plan.steps.iter().map(|step| step.action.label()).collect::<Vec<_>>().join(" → ");
        let buttons = may.operate.then(|| view! { <DrillButtons cluster=cluster_of_forms.clone() plan=plan.id.clone() missing=missing.clone() /> });
        view! {
            <tr>
                <td><a class="link" data-row href=move || scope.link(&path)>{plan.plan.name}</a></td>
                <td class="reason">{steps}</td>
                <td>{last.map(|run| badge(&run))}</td>
                <td class="n">{next.map_or_else(|| "on no calendar".to_owned(), |at| format!("in {}", format::age_s(at.seconds_since(now).max(0.0))))}</td>
                <td class="n">{buttons}</td>
            </tr>
        }
    }).collect_view();
    let limit = runs.iter().find_map(|run| run.objectives).map(|it| it.rto_seconds);
    let shown = runs.clone();
    view! {
        {full_test_missing.map(|reason| view! { <p class="banner c12"><Icon name="warn" /><span>{format!("No full drill can be done: {reason}.")}</span></p> })}
        <Panel title="Plans" note=cluster flush=true aside=if may.manage { view! { <a class="btn" href=move || scope.link("/recovery/plans?new=1")>"New plan"</a> }.into_any() } else { ().into_any() }>
            <div class="scroll" tabindex="0" role="region" aria-label="Plans table">
                <table><thead><tr><th scope="col">"Plan"</th><th scope="col">"Steps"</th><th scope="col">"Last run"</th><th scope="col" class="n">"Next drill"</th><th scope="col" class="n">"Rehearse"</th></tr></thead><tbody>{lines}</tbody></table>
            </div>
        </Panel>
        <Panel title="Recovery time of runs" span="c5" note="against the objective"><RtoBars runs=shown limit /></Panel>
        <Panel title="History" span="c7" flush=true><History runs now /></Panel>
    }
}

#[component]
fn DrillButtons(cluster: String, plan: String, missing: Option<String>) -> impl IntoView {
    let form = |kind: DrKind, text: &'static str, disabled: Option<String>| {
        let off = disabled.is_some();
        view! {
            <form method="post" action="/recovery/plans/drill">
                <input type="hidden" name="cluster" value=cluster.clone() /><input type="hidden" name="plan" value=plan.clone() />
                <input type="hidden" name="kind" value=kind.as_str() /><button class="btn" disabled=off title=disabled>{text}</button>
            </form>
        }
    };
    view! { <div class="drills">{form(DrKind::Test, "Drill", None)}{form(DrKind::FullTest, "Full drill", missing)}</div> }
}

fn badge(run: &DrRunRow) -> AnyView {
    let scope = Scope::get();
    let path = format!("/recovery/plans?run={}", run.id);
    let (class, text) = match (run.ok, run.evidence_sha256.is_some()) {
        (true, _) => (
            "badge good",
            run.rto_seconds.map_or_else(|| "sound".to_owned(), |it| format!("RTO {}", format::duration_s(it))),
        ),
        (false, true) => ("badge critical", "not sound".to_owned()),
        (false, false) => ("badge attention", "stopped".to_owned()),
    };
    let title = run.error.clone().unwrap_or_else(|| run.finished_at.local());
    view! { <a href=move || scope.link(&path)><span class=class title=title>{text}</span></a> }.into_any()
}

#[component]
fn History(runs: Vec<DrRunRow>, now: Timestamp) -> impl IntoView {
    if runs.is_empty() {
        return view! { <p class="fine muted">"No plan was rehearsed yet. A drill proves that it works, and how long it takes."</p> }.into_any();
    }
    let lines = runs
        .into_iter()
        .map(|run| {
            let objectives = run.objectives;
            view! {
                <tr>
                    <td title=run.finished_at.local()>{age(run.finished_at, now)}</td>
                    <td>{run.kind.label()}</td>
                    <td>{run.plan_name.clone()}</td>
                    <td>{badge(&run)}</td>
                    <td class="n">{kept(run.rto_seconds, objectives.map(|it| it.rto_seconds))}</td>
                    <td class="n">{kept(run.rpo_seconds, objectives.map(|it| it.rpo_seconds))}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="History of runs">
            <table><thead><tr><th scope="col">"When"</th><th scope="col">"Kind"</th><th scope="col">"Plan"</th><th scope="col">"Verdict"</th><th scope="col" class="n">"RTO"</th><th scope="col" class="n">"RPO"</th></tr></thead><tbody>{lines}</tbody></table>
        </div>
    }
    .into_any()
}

/// A bar a run, the newest at the right; the objective as a line.
#[component]
fn RtoBars(runs: Vec<DrRunRow>, limit: Option<f64>) -> impl IntoView {
    const SHOWN: usize = 20;
    const WIDTH: f64 = 400.0;
    const HEIGHT: f64 = 120.0;
    const TOP: f64 = 16.0;
    let mut measured = runs
        .iter()
        .filter_map(|run| Some((run.rto_seconds?, run.ok, run.finished_at, run.kind)))
        .take(SHOWN)
        .collect::<Vec<_>>();
    measured.reverse();
    if measured.is_empty() {
        return view! { <p class="muted">"No run has measured a recovery time yet."</p> }.into_any();
    }
    let most = measured.iter().map(|it| it.0).chain(limit).fold(0.001_f64, f64::max);
    // The objective may be far above: then the bars, not the line, fill the height.
    let longest = measured.iter().map(|it| it.0).fold(0.001_f64, f64::max);
    let scale = if most > longest * 4.0 { longest * 1.5 } else { most * 1.05 };
    let y = |seconds: f64| TOP + (HEIGHT - TOP) * (1.0 - (seconds / scale).min(1.0));
    let step = WIDTH / SHOWN as f64;
    let first = WIDTH - step * measured.len() as f64;
    let bars = measured.iter().enumerate().map(|(index, (seconds, ok, at, kind))| {
        let over = limit.is_some_and(|limit| *seconds > limit);
        let class = if *ok && !over { "bar" } else { "bar bad" };
        let title = format!("{}, {}: {}", kind.label(), at.local(), format::duration_s(*seconds));
        view! { <rect class=class x=format!("{:.1}", first + index as f64 * step + 2.0) y=format!("{:.1}", y(*seconds)) width=format!("{:.1}", step - 4.0) height=format!("{:.1}", HEIGHT - y(*seconds)) rx="2"><title>{title}</title></rect> }
    }).collect_view();
    let line = limit.filter(|limit| *limit <= scale).map(|limit| {
        let at = format!("{:.1}", y(limit));
        view! { <line class="limit" x1="0" x2=WIDTH.to_string() y1=at.clone() y2=at /> }
    });
    let newest = measured.last().map_or(0.0, |it| it.0);
    let said = match limit {
        Some(limit) => format!("newest {}, limit {}", format::duration_s(newest), format::limit_s(limit)),
        None => format!("newest {}", format::duration_s(newest)),
    };
    view! {
        <figure class="rto-bars">
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") role="img" aria-label=format!("Recovery time of the last {} runs: {said}", measured.len()) preserveAspectRatio="none">{line}{bars}</svg>
            <figcaption class="muted">{said}</figcaption>
        </figure>
    }
    .into_any()
}

fn now_ms() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

#[component]
fn PlanPanels(
    plan: DrPlanView,
    /// What was typed into it and refused.
    draft: Option<DrPlanSpec>,
    dry: Result<DrDryRun, String>,
    overview: DrOverview,
    may: May,
) -> impl IntoView {
    let cluster = overview.cluster.clone();
    let (id, spec) = (plan.id.clone(), plan.plan.clone());
    let next = |name: &'static str, cron: &Option<String>, moments: &[Timestamp]| {
        let text = match cron {
            Some(cron) => {
                format!("{cron} — next {}", moments.first().map_or_else(|| "never".to_owned(), |at| at.local()))
            }
            None => "on no calendar".to_owned(),
        };
        view! { <dt>{name}</dt><dd>{text}</dd> }
    };
    let calendar =
        (next("Drill", &spec.test, &plan.next_test), next("Full drill", &spec.full_test, &plan.next_full_test));
    let refused = dry.as_ref().map_or(true, |dry| !dry.refusals.is_empty());
    let now_text = dry.as_ref().ok().map(|dry| match (dry.expected_seconds, dry.objectives) {
        (Some(seconds), Some(limit)) => {
            format!("Restore now: {}, limit {}", format::duration_s(seconds), format::limit_s(limit.rto_seconds))
        }
        _ => "Restore now: unknown before the first drill or restore test".to_owned(),
    });
    let over =
        dry.as_ref().ok().and_then(|dry| Some(dry.expected_seconds? > dry.objectives?.rto_seconds)).unwrap_or(false);
    let buttons = may.operate.then(|| view! { <DrillButtons cluster=cluster.clone() plan=id.clone() missing=overview.full_test_missing.clone() /> });
    let execute = (may.restore && !refused).then(|| {
        let (cluster, id) = (cluster.clone(), id.clone());
        view! {
        <Panel title="Carry it out" span="c5">
            <p>"The copy goes to a new directory of this host and goes on without Holdfast. The run waits at each approval; abort it there and nothing is switched."</p>
            <form class="stack spaced" method="post" action="/recovery/plans/execute">
                <input type="hidden" name="cluster" value=cluster.clone() /><input type="hidden" name="plan" value=id.clone() />
                <label>"Until"<select name="kind"><option value="latest">"the end of the WAL"</option><option value="time">"a time"</option><option value="lsn">"a WAL position (LSN)"</option><option value="xid">"a transaction (xid)"</option><option value="name">"a named restore point"</option></select></label>
                <label>"Which"<input name="value" placeholder="2026-11-24T02:00:00.5Z" spellcheck="false" /></label>
                <Confirm name=cluster.clone() /><div><button class="btn danger">"Carry it out"</button></div>
            </form>
        </Panel>
        }
    });
    let edit = may.manage.then(|| {
        let (cluster, id, overview) = (cluster.clone(), id.clone(), overview.clone());
        let is_draft = draft.is_some();
        let spec = draft.unwrap_or_else(|| spec.clone());
        view! {
        <Panel title="Change it" span="c12">
            <details class="exactly" open=is_draft><summary>"Steps and calendar"</summary><Editor id=Some(id.clone()) spec=spec.clone() overview=overview.clone() /></details>
            <details class="exactly"><summary>"Remove the plan"</summary>
                <form class="stack" method="post" action="/recovery/plans/remove">
                    <p class="muted">"The plan and its calendar go; its runs and their evidence stay."</p>
                    <input type="hidden" name="cluster" value=cluster.clone() /><input type="hidden" name="plan" value=id.clone() />
                    <Confirm name=cluster.clone() /><div><button class="btn danger">"Remove"</button></div>
                </form>
            </details>
        </Panel>
        }
    });
    view! {
        <Panel title="A dry run, now" span="c7">
            {now_text.map(|text| view! { <p><span class=if over { "badge critical" } else { "badge good" }>{text}</span></p> })}
            {match dry {
                Ok(dry) => view! { <Dry dry /> }.into_any(),
                Err(reason) => view! { <p class="refusal" role="alert"><Icon name="warn" /><span>{reason}</span></p> }.into_any(),
            }}
        </Panel>
        <Panel title="Facts" span="c5">
            <dl class="facts">
                {calendar}
                <dt>"Changed"</dt><dd>{format!("{} by {}", plan.changed_at.local(), plan.changed_by)}</dd>
                <dt>"Hash"</dt><dd><code>{plan.hash.chars().take(16).collect::<String>()}</code></dd>
            </dl>
            <div class="actions">{buttons}</div>
        </Panel>
        {execute}
        {edit}
    }
}

#[component]
fn Dry(dry: DrDryRun) -> impl IntoView {
    let rows = dry.steps.into_iter().enumerate().map(|(index, step)| view! {
        <li class="step">
            <span class="st" aria-hidden="true">{(index + 1).to_string()}</span>
            <span><span>{step.action.label()}</span><small>{step.what}</small>{step.approval.then(|| view! { <small class="wait">"waits for an approval"</small> })}</span>
            <span class="num muted">{step.expected_seconds.map(format::duration_s)}</span>
        </li>
    }).collect_view();
    view! {
        <ol class="steps">{rows}</ol>
        {dry.refusals.into_iter().map(|reason| view! { <p class="refusal" role="alert"><Icon name="warn" /><span>{reason}</span></p> }).collect_view()}
        <ul class="notes">{dry.notes.into_iter().map(|note| view! { <li>{note}</li> }).collect_view()}</ul>
    }
}

/// A row a step, without script: one whose action is empty is left out.
#[component]
fn Editor(id: Option<String>, spec: DrPlanSpec, overview: DrOverview) -> impl IntoView {
    let cluster = overview.cluster.clone();
    let hooks = overview.hooks.clone();
    let rows = spec
        .steps
        .into_iter()
        .map(Some)
        .chain((0..MORE_STEPS).map(|_| None))
        .enumerate()
        .map(|(index, step)| {
            view! { <StepRow index step hooks=hooks.clone() /> }
        })
        .collect_view();
    let full = overview.full_test_missing.is_some();
    view! {
        <form class="plan-form" method="post" action="/recovery/plans/save">
            <input type="hidden" name="cluster" value=cluster.clone() />
            {id.map(|id| view! { <input type="hidden" name="plan" value=id /> })}
            <div class="stack-row">
                <label>"Name"<input name="name" required maxlength="80" value=spec.name /></label>
                <label>"Drill on"<input name="test" placeholder="0 3 * * 0" value=spec.test.unwrap_or_default() spellcheck="false" /></label>
                <label>"Full drill on"<input name="full_test" placeholder="0 4 1 * *" disabled=full value=spec.full_test.unwrap_or_default() spellcheck="false" /></label>
            </div>
            <ol class="plan-steps">{rows}</ol>
            <p class="muted">"A plan begins with choose the point, restore and start; promote stands once; switch comes after it. Hooks are commands that the host's configuration holds."</p>
            <div class="stack-row"><Confirm name=cluster /></div>
            <div><button class="btn primary">"Save"</button></div>
        </form>
    }
}

#[component]
fn StepRow(index: usize, step: Option<DrStep>, hooks: Vec<String>) -> impl IntoView {
    let chosen = step.as_ref().map(|step| step.action);
    let name = |field: &str| format!("step{index}.{field}");
    let (approval, hook, connection, message, rollback) = step.map_or_else(Default::default, |step| {
        (
            step.approval,
            step.hook.unwrap_or_default(),
            step.connection.unwrap_or_default(),
            step.message.unwrap_or_default(),
            step.rollback,
        )
    });
    let options = DrAction::ALL
        .map(|action| view! { <option value=action.as_str() selected=chosen == Some(action)>{action.label()}</option> })
        .collect_view();
    let hooks = hooks
        .into_iter()
        .map(|one| {
            let selected = one == hook;
            let value = one.clone();
            view! { <option value=value selected=selected>{one}</option> }
        })
        .collect_view();
    view! {
        <li class="stack-row">
            <label>{format!("Step {}", index + 1)}<select name=name("action")><option value="">"—"</option>{options}</select></label>
            <label class="check"><input type="checkbox" name=name("approval") checked=approval />"approval"</label>
            <label>"Hook"<select name=name("hook")><option value="">"—"</option>{hooks}</select></label>
            <label>"Connection string"<input name=name("connection") value=connection maxlength="2000" spellcheck="false" /></label>
            <label>"Message"<input name=name("message") value=message maxlength="2000" /></label>
            <label>"Taken back by"<input name=name("rollback") value=rollback maxlength="2000" /></label>
        </li>
    }
}

#[component]
fn RunPanels(run: DrRunView, cluster: String) -> impl IntoView {
    let scope = Scope::get();
    let under_way = run.job.as_ref().is_some_and(|job| !job.state.is_over());
    let followed = run.job.as_ref().filter(|job| !job.state.is_over()).map(|job| job.id.clone());
    let job = run.job.as_ref().map(|job| {
        let path = format!("/jobs/{}", job.id);
        view! { <p><a class="link" href=move || scope.link(&path)>"Job with its log"</a></p> }
    });
    let error = run.run.as_ref().and_then(|row| row.error.clone());
    let links = run.run.as_ref().filter(|row| row.evidence_sha256.is_some()).map(|row| {
        let address = format!("/api/v1/clusters/{cluster}/drills/{}/evidence", row.id);
        let html = format!("{address}?format=html");
        view! {
            <div class="actions"><a class="btn primary" href=html download>"Evidence (HTML)"</a><a class="btn" href=address download>"Evidence (JSON)"</a></div>
        }
    });
    let sha = run.run.as_ref().and_then(|row| row.evidence_sha256.clone());
    view! {
        // As the page of its job: `job.js` follows, or the page comes anew.
        <div class="part" data-job=followed data-live="run">
            {under_way.then(|| view! { <noscript><meta http-equiv="refresh" content="3" /></noscript><p class="banner c12">"It is under way; its evidence is written at its end."</p> })}
            {error.map(|error| view! { <p class="banner critical c12" role="alert"><Icon name="warn" /><span>{error}</span></p> })}
            {run.report.map(|report| view! { <Evidence report sha /> })}
            <Panel title="Keep it" span="c5">{links}{job}</Panel>
        </div>
    }
}

/// The figures of a run.
#[component]
pub(super) fn DrFacts(report: DrReport) -> impl IntoView {
    let scope = Scope::get();
    let backup = report.backup.map_or_else(
        || "—".into_any(),
        |id| {
            let path = format!("/backups/{id}");
            view! { <a class="link" href=move || scope.link(&path)>{id}</a> }.into_any()
        },
    );
    let objectives = report.objectives;
    view! {
        <dl class="facts report">
            <dt>"Verdict"</dt><dd>{if report.ok { view! { <span class="badge good">"sound"</span> } } else { view! { <span class="badge critical">"not sound"</span> } }}</dd>
            <dt title="From the begin until the copy took writes">"Measured RTO"</dt><dd>{kept(report.rto_seconds, objectives.map(|it| it.rto_seconds))}</dd>
            <dt title="Most work that a disaster at the begin would have lost">"Measured RPO"</dt><dd>{kept(report.rpo_seconds, objectives.map(|it| it.rpo_seconds))}</dd>
            <dt>"Waited for people"</dt><dd>{format::lag_s(report.waited_seconds)}</dd>
            <dt>"Restored to"</dt><dd>{report.target}</dd>
            <dt>"Newest transaction"</dt><dd>{report.last_commit_at.map_or_else(|| "—".to_owned(), |at| at.local())}</dd>
            <dt>"From backup"</dt><dd>{backup}</dd>
            <dt>"Files written in"</dt><dd>{format!("{} ({})", format::duration_s(report.restore_seconds), format::bytes(report.bytes as f64))}</dd>
            <dt>"Replayed, promoted in"</dt><dd>{format!("{} (up to {} of WAL)", format::duration_s(report.recovery_seconds), format::bytes(report.wal_bytes as f64))}</dd>
            <dt>"Checked in"</dt><dd>{format::duration_s(report.check_seconds)}</dd>
            <dt>"Opened by"</dt><dd>{if report.from_recovery_kit { "the recovery code alone" } else { "the configured key" }}</dd>
            {report.connection.map(|text| view! { <dt>"Connect to"</dt><dd><code>{text}</code></dd> })}
        </dl>
        <Checks checks=report.checks unproved=report.unproved problems=report.problems />
        {(!report.configuration.is_empty()).then(|| view! { <h3>"The original's configuration in a copy that takes over"</h3> })}
        <ul class="notes">{report.configuration.into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}</ul>
        {(!report.next.is_empty()).then(|| view! { <h3>"Next"</h3> })}
        <ul class="notes">{report.next.into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}</ul>
    }
}

#[component]
fn Evidence(report: DrReport, sha: Option<String>) -> impl IntoView {
    let rows = report.steps.iter().enumerate().map(|(index, step)| {
        let class = match step.state.as_str() { "done" => "step done", "not reached" => "step todo", _ => "step failed" };
        let sign = match step.state.as_str() { "done" => "✓".to_owned(), "not reached" => (index + 1).to_string(), _ => "✕".to_owned() };
        let decided = step.decided_by.as_ref().map(|who| {
            let note = step.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            format!("decided by {who}{note}")
        });
        view! {
            <li class=class>
                <span class="st" aria-hidden="true">{sign}</span>
                <span><span>{step.action.label()}</span><small>{step.detail.clone()}</small>{decided.map(|text| view! { <small>{text}</small> })}</span>
                <span class="num muted">{step.seconds.map(format::duration_s)}</span>
            </li>
        }
    }).collect_view();
    let hashes = report.hashes.clone();
    let hash = |name: &'static str, value: Option<String>| {
        value.map(|value| view! { <dt>{name}</dt><dd><code>{value}</code></dd> })
    };
    let steps_of = report.plan.name.clone();
    view! {
        <Panel title="Steps" span="c7" note=steps_of><ol class="steps">{rows}</ol></Panel>
        <Panel title="What it showed" span="c5"><DrFacts report /></Panel>
        <Panel title="What it rests on" span="c7" note="SHA-256">
            <dl class="facts hashes">
                {hash("Evidence", sha)}
                {hash("Plan", Some(hashes.plan))}
                {hash("Backup's commit", hashes.backup_commit)}
                {hash("Backup's manifest", hashes.backup_manifest)}
                {hash("Audit log's head", hashes.audit_head)}
            </dl>
        </Panel>
    }
}

/// On `/recovery`: what is rehearsed, and when.
#[component]
pub(super) fn DrSummary(overview: DrOverview) -> impl IntoView {
    let scope = Scope::get();
    let last = overview.runs.first().cloned();
    let next = overview
        .plans
        .iter()
        .flat_map(|plan| plan.next_test.first().into_iter().chain(plan.next_full_test.first()))
        .min()
        .copied();
    let sound = overview.runs.iter().take(20).filter(|run| run.ok).count();
    let seen = overview.runs.len().min(20);
    view! {
        <Panel title="Disaster recovery" span="c6">
            <dl class="facts">
                <dt>"Plans"</dt><dd>{overview.plans.len().to_string()}</dd>
                <dt>"Last run"</dt><dd>{last.as_ref().map_or_else(|| view! { "never" }.into_any(), badge)}</dd>
                <dt>"Sound"</dt><dd>{format!("{sound} of the last {seen}")}</dd>
                <dt>"Next drill"</dt><dd>{next.map_or_else(|| "on no calendar".to_owned(), |at| at.local())}</dd>
            </dl>
            <p class="actions"><a class="btn primary" href=move || scope.link("/recovery/plans")>"Plans and drills"</a></p>
        </Panel>
    }
}

/// An execution waits for a person: approve or abort.
#[component]
pub(super) fn Decide(job: String, cluster: String, step: usize, what: String) -> impl IntoView {
    let (approve, abort, named) = (job.clone(), job, cluster);
    let number = step.to_string();
    let again = number.clone();
    view! {
        <Panel title="It waits for an approval" span="c12">
            <p class="waits"><Icon name="warn" /><span>{format!("It stands before {what}. Approved, it goes on; aborted, no later step is done, and the report says what is to be taken back.")}</span></p>
            <div class="forms decide">
                <form class="stack" method="post" action="/jobs/decide">
                    <input type="hidden" name="id" value=approve /><input type="hidden" name="step" value=number /><input type="hidden" name="kind" value="approve" />
                    <label>"Why (stands in the evidence)"<input name="note" maxlength="2000" /></label>
                    <Confirm name=named /><div><button class="btn primary">"Approve"</button></div>
                </form>
                <form class="stack" method="post" action="/jobs/decide">
                    <input type="hidden" name="id" value=abort /><input type="hidden" name="step" value=again /><input type="hidden" name="kind" value="abort" />
                    <label>"Why (stands in the evidence)"<input name="note" maxlength="2000" /></label>
                    <div><button class="btn danger">"Abort"</button></div>
                </form>
            </div>
        </Panel>
    }
}
