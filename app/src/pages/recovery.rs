//! `/recovery` and `/recovery/restore`: from a moment on the time bar to a restore.

use super::{
    backups::{Jobs, Problems, StartButtons, all_jobs, unavailable},
    plans::DrSummary,
    stream_badge::StreamBadge,
};
use crate::{
    components::{Confirm, Failed, FormOutcome, Icon, Panel, Skeleton, TimeBar},
    recovery_fns::{PlanData, RecoveryData, load_recovery, load_restore_plan},
    scope::{Scope, encode},
    zone::Local as _,
};
use domain::{
    Timestamp, format,
    view::{Objectives, RecoveryOverview, RestorePlanView},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_location, use_query_map};

/// Time bar, the chosen moment, jobs, objectives.
#[component]
pub fn Recovery() -> impl IntoView {
    let scope = Scope::get();
    let query = use_query_map();
    let typed = move || query.with(|query| query.get("at")).filter(|text| !text.is_empty());
    let at = Memo::new(move |_| typed().and_then(|text| Timestamp::parse_rfc3339(&text)));
    // An address that was typed wrong shows the last moment, and says that it does.
    let wrong = move || {
        typed().filter(|text| Timestamp::parse_rfc3339(text).is_none()).map(|text| {
        view! { <p class="banner attention c12" role="alert"><Icon name="warn" /><span>{format!("'{text}' is not a moment; write it as in 2026-11-24T03:00:00Z. Shown is the last moment there is.")}</span></p> }
    })
    };
    let moment = move |name: &'static str| {
        query.with_untracked(|query| query.get(name)).and_then(|text| Timestamp::parse_rfc3339(&text))
    };
    // The part of the bar that is looked at.
    let part = moment("since").zip(moment("until"));
    let data = Resource::new(
        move || (scope.cluster.get(), at.get().map(Timestamp::to_rfc3339)),
        move |(cluster, at)| load_recovery(cluster, at, part, None),
    );
    view! {
        <Title text="Recovery" />
        {wrong}
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || {
                let at = at.get();
                Suspend::new(async move {
                    match data.await {
                        Ok(data) => view! { <Loaded data at part /> }.into_any(),
                        Err(error) => view! { <div class="title"><h1>"Recovery"</h1></div><Failed error /> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
}

#[component]
fn Loaded(data: RecoveryData, at: Option<Timestamp>, part: Option<(Timestamp, Timestamp)>) -> impl IntoView {
    let RecoveryData { overview, dr, databases, chosen, may, .. } = data;
    if let Some(missing) = unavailable(&overview) {
        return view! { <div class="title"><h1>"Recovery"</h1></div>{missing} }.into_any();
    }
    let cluster = overview.cluster.clone();
    let (for_badge, for_bar, for_moment) = (overview.clone(), overview.clone(), overview.clone());
    let for_buttons = cluster.clone();
    let (problems, jobs, promised) = (overview.problems.clone(), overview.jobs.clone(), overview.objectives);
    let objectives = overview
        .objectives
        .map(|it| format!("RPO {}, RTO {}", format::limit_s(it.rpo_seconds), format::limit_s(it.rto_seconds)));
    let legend = view! {
        <span class="legend bar-legend"><span><i class="solid"></i>"continuous"</span><span><i class="hole"></i>"gap"</span><span><i class="full"></i>"full"</span><span><i class="incremental"></i>"incremental"</span><span>"flag: proved by restoring"</span></span>
    };
    view! {
        <div class="title">
            <h1>"Recovery"</h1>
            <StreamBadge overview=for_badge />
            <span class="muted">{objectives}</span>
            <span class="grow"></span>
            {may.operate.then(|| view! { <StartButtons cluster=for_buttons /> })}
        </div>
        <FormOutcome />
        <Problems problems />
        <Panel title="What can be restored" aside=legend.into_any()>
            <TimeBar overview=for_bar chosen=at part=part />
        </Panel>
        <Moment overview=for_moment at chosen databases />
        {dr.map(|overview| view! { <DrSummary overview /> })}
        <Panel title="Jobs" span="c7" flush=true aside=all_jobs()><Jobs jobs /></Panel>
        {promised.map(|now| view! { <ObjectivesPanel now overview may_manage=may.manage cluster /> })}
    }
    .into_any()
}

/// The moment that is chosen, and other ways to say until where.
#[component]
fn Moment(
    overview: RecoveryOverview,
    at: Option<Timestamp>,
    chosen: Option<Result<RestorePlanView, String>>,
    databases: Vec<String>,
) -> impl IntoView {
    let scope = Scope::get();
    let inspect = inspect(&databases);
    let newest = overview.window.intervals.last().map(|it| it.to);
    let shown = at.or(newest);
    let backup = shown.and_then(|at| overview.backups.iter().find(|row| row.stopped_at <= at)).cloned();
    let inside = shown.is_some_and(|at| overview.window.intervals.iter().any(|it| it.from <= at && at <= it.to));
    let refusal = chosen.as_ref().and_then(|plan| plan.as_ref().err().cloned());
    let plan = chosen.and_then(Result::ok);
    let inside = inside && refusal.is_none();
    // For a moment that cannot be restored there is no backup to begin with, and nothing to plan.
    let usable = at.is_none() || inside;
    let backup = backup.filter(|_| usable);
    // For the newest moment the forecast says it already.
    let expected = plan.as_ref().map_or(overview.forecast.as_ref().map(|it| it.seconds), |it| it.expected_seconds);
    let wal = plan.as_ref().map(|it| it.wal_bytes).or(overview
        .forecast
        .as_ref()
        .filter(|_| at.is_none())
        .map(|it| it.wal_bytes));
    let rto = overview.objectives.map(|it| it.rto_seconds);
    let within = expected.filter(|_| refusal.is_none()).zip(rto).map(|(seconds, rto)| {
        let (class, words) =
            if seconds <= rto { ("badge good", "within the RTO") } else { ("badge critical", "over the RTO") };
        view! { <span class=class>{words}</span> }
    });
    let expected = expected.filter(|_| refusal.is_none());
    let last_commit = plan.as_ref().and_then(|it| it.last_commit_at);
    let verdict = match (at, inside) {
        (None, _) => ("badge", "the last moment there is"),
        (Some(_), true) => ("badge good", "can be restored"),
        (Some(_), false) => ("badge critical", "cannot be restored"),
    };
    let path = match at {
        Some(at) => format!("/recovery/restore?kind=time&value={}", encode(&at.to_rfc3339())),
        None => "/recovery/restore?kind=latest".to_owned(),
    };
    let value = shown.map(Timestamp::to_rfc3339).unwrap_or_default();
    let chosen_cluster = scope.cluster.get_untracked();
    view! {
        <Panel title="Restore to this moment" span="c6">
            <dl class="facts">
                <dt>"Moment"</dt><dd>{shown.map_or_else(|| "—".to_owned(), Timestamp::local)}</dd>
                <dt>"Verdict"</dt><dd><span class=verdict.0>{verdict.1}</span></dd>
                <dt>"From backup"</dt><dd>{backup.as_ref().map_or_else(|| "—".to_owned(), |it| format!("{}, {}", it.kind, it.stopped_at.local()))}</dd>
                <dt>"To read"</dt><dd>{backup.as_ref().map_or_else(|| "—".to_owned(), |it| format::bytes(it.bytes as f64))}</dd>
                <dt>"WAL to replay"</dt><dd>{wal.map_or_else(|| "—".to_owned(), |bytes| format::bytes(bytes as f64))}</dd>
                <dt>"Expected duration"</dt><dd>{expected.map_or_else(|| "—".to_owned(), format::duration_s)}" "{within}</dd>
                {last_commit.map(|at| view! { <dt>"Last transaction before"</dt><dd>{at.local()}</dd> })}
                <dt title="A restore writes and starts a copy of its own: what is read and written there leaves the original as it is">"To inspect"</dt><dd>{if inside { inspect } else { "—".to_owned() }}</dd>
                <dt>"Replay over"</dt><dd>{backup.as_ref().zip(shown).map_or_else(|| "—".to_owned(), |(it, at)| format!("{} of work", format::duration_s(at.seconds_since(it.stopped_at).max(0.0))))}</dd>
            </dl>
            {refusal.map(|reason| view! { <p class="refusal"><Icon name="warn" /><span>{reason}</span></p> })}
            {usable.then(|| view! { <p class="actions"><a class="btn primary" href=move || scope.link(&path)>"Plan the restore"</a></p> })}
            <details class="exactly"><summary>"An exact time, position, transaction or name"</summary>
                <form class="stack" method="get" action="/recovery/restore">
                    {chosen_cluster.map(|id| view! { <input type="hidden" name="cluster" value=id /> })}
                    <label>"Until"<select name="kind"><option value="time">"a time"</option><option value="lsn">"a WAL position (LSN)"</option><option value="xid">"a transaction (xid)"</option><option value="name">"a named restore point"</option><option value="latest">"the end of the WAL"</option><option value="immediate">"the end of a backup"</option></select></label>
                    <label>"Which"<input name="value" value=value placeholder="2026-11-24T02:00:00.5Z" spellcheck="false" /></label>
                    <div><button class="btn">"Plan it"</button></div>
                </form>
            </details>
        </Panel>
    }
}

/// Names of databases shown.
const NAMED: usize = 4;

/// What a restore beside the original gives: which databases there were then only the copy knows, which there are now is known.
fn inspect(databases: &[String]) -> String {
    let mut now = databases.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if databases.len() > NAMED {
        now += &format!(" and {} more", databases.len() - NAMED);
    }
    let now = if now.is_empty() { now } else { format!(" (now {now})") };
    format!("each database of the cluster{now}, read and written on a private copy")
}

#[component]
fn ObjectivesPanel(now: Objectives, overview: RecoveryOverview, may_manage: bool, cluster: String) -> impl IntoView {
    let forecast = overview.forecast.clone();
    // The window has them by the moments that they prove.
    let mut tests = overview.window.proofs.iter().collect::<Vec<_>>();
    tests.sort_by_key(|it| std::cmp::Reverse(it.proof.at));
    let history = tests
        .into_iter()
        .take(8)
        .map(|it| {
            let proof = &it.proof;
            let scope = Scope::get();
            let path = format!("/jobs/{}", it.job);
            let (class, verdict) = match proof.measured_rto() {
                None => ("badge critical", "failed"),
                Some(rto) if proof.ok && rto <= now.rto_seconds => ("badge good", "kept"),
                Some(_) => ("badge critical", "missed"),
            };
            // What a test did not come to took no time that could be told.
            let took = |seconds: f64| if seconds > 0.0 { format::duration_s(seconds) } else { "—".to_owned() };
            let reason = proof.problems.first().cloned();
            view! {
                <tr>
                    <td><a class="link" href=move || scope.link(&path)>{proof.at.local()}</a></td>
                    <td><span class=class title=reason>{verdict}</span></td>
                    <td class="n">{took(proof.rto_seconds)}</td>
                    <td class="n">{took(proof.plan_seconds)}</td>
                    <td class="n">{took(proof.restore_seconds)}</td>
                    <td class="n">{took(proof.recovery_seconds)}</td>
                    <td class="n">{took(proof.check_seconds)}</td>
                    <td class="n">{proof.rpo_seconds.map_or_else(|| "—".to_owned(), format::lag_s)}</td>
                </tr>
            }
        })
        .collect_view();
    let empty = overview.window.proofs.is_empty();
    view! {
        <Panel title="Objectives" span="c5">
            <dl class="facts">
                <dt title="Recovery point objective: most work that may be lost">"RPO"</dt><dd>{format::limit_s(now.rpo_seconds)}</dd>
                <dt title="Recovery time objective: longest restore">"RTO"</dt><dd>{format::limit_s(now.rto_seconds)}</dd>
                <dt>"Restore now"</dt><dd>{forecast.as_ref().map_or_else(|| "unknown before the first restore test".to_owned(), |it| format!("{} ({} plan, {} files, {} replay)", format::duration_s(it.seconds), format::duration_s(it.plan_seconds), format::duration_s(it.restore_seconds), format::duration_s(it.replay_seconds)))}</dd>
            </dl>
            {forecast.map(|it| view! { <p class="muted">{it.basis}</p> })}
            {may_manage.then(|| view! {
                <details class="exactly"><summary>"Change them"</summary>
                    <form class="stack" method="post" action="/recovery/objectives">
                        <input type="hidden" name="cluster" value=cluster.clone() />
                        <label>"RPO, seconds"<input name="rpo_seconds" type="number" min="1" step="any" required value=now.rpo_seconds.to_string() /></label>
                        <label>"RTO, seconds"<input name="rto_seconds" type="number" min="1" step="any" required value=now.rto_seconds.to_string() /></label>
                        <Confirm name=cluster.clone() /><div><button class="btn primary">"Change"</button></div>
                    </form>
                </details>
            })}
        </Panel>
        <Panel title="Restore tests" span="c12" note="measured against the objective" flush=true>
            {empty.then(|| view! { <p class="fine muted">"No restore was proved yet."</p> })}
            {(!empty).then(|| view! {
                <div class="scroll" tabindex="0" role="region" aria-label="Restore tests table">
                    <table><thead><tr><th scope="col">"Test"</th><th scope="col">"RTO"</th><th scope="col" class="n">"Measured"</th><th scope="col" class="n" title="Looking up in the repository what is restored">"Plan"</th><th scope="col" class="n">"Files"</th><th scope="col" class="n">"Replay"</th><th scope="col" class="n">"Checks"</th><th scope="col" class="n">"RPO"</th></tr></thead><tbody>{history}</tbody></table>
                </div>
            })}
        </Panel>
    }
}

/// The plan of a restore, and the order to do it.
#[component]
pub fn RestorePage() -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    let data = Resource::new(
        move || (scope.cluster.get(), location.search.get()),
        |(cluster, search)| load_restore_plan(cluster, search),
    );
    view! {
        <Title text="Restore" />
        <div class="title"><a class="back" href=move || scope.link("/recovery")>"Recovery"</a><h1>"Restore"</h1></div>
        <FormOutcome />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(PlanData { plan: Ok(plan), may }) => view! { <Plan plan may_restore=may.restore /> }.into_any(),
                    Ok(PlanData { plan: Err(reason), .. }) => view! {
                        <Panel title="It cannot be restored so" span="c8"><p class="refusal"><Icon name="warn" /><span>{reason}</span></p><p><a class="btn" href=move || scope.link("/recovery")>"Choose another moment"</a></p></Panel>
                    }.into_any(),
                    Err(error) => view! { <Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Plan(plan: RestorePlanView, may_restore: bool) -> impl IntoView {
    let query = use_query_map();
    let value = move |name: &str| query.with_untracked(|query| query.get(name)).unwrap_or_default();
    let asked = !value("asked").is_empty();
    let start = !asked || value("start") == "on";
    let (delta, exclusive) = (value("delta") == "on", value("exclusive") == "on");
    let refused = !plan.refusals.is_empty();
    let within = plan.expected_seconds.zip(plan.rto_seconds).map(|(seconds, rto)| {
        if seconds <= rto {
            view! { <span class="badge good">{format!("within {}", format::limit_s(rto))}</span> }.into_any()
        } else {
            view! { <span class="badge critical">{format!("over {}", format::limit_s(rto))}</span> }.into_any()
        }
    });
    let hidden = move || {
        ["kind", "value", "backup"]
            .into_iter()
            .map(|name| (name, value(name)))
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| view! { <input type="hidden" name=name value=text /> })
            .collect_view()
    };
    let cluster = plan.cluster.clone();
    let (named, shown) = (cluster.clone(), cluster.clone());
    let what_happens = if delta {
        format!(
            "The cluster in {} is brought to the state of {}: what was written there since is lost.",
            plan.directory, plan.target
        )
    } else {
        format!("A new cluster is written to {}. The running one is not touched.", plan.directory)
    };
    view! {
        <Panel title="Plan" span="c7">
            <dl class="facts">
                <dt>"Until"</dt><dd>{plan.target.clone()}</dd>
                <dt>"From backup"</dt><dd>{format!("{}, {}", plan.backup_kind, plan.backup_stopped_at.local())}</dd>
                <dt>"To write"</dt><dd>{format!("{} in {}", format::bytes(plan.bytes as f64), format::counted(plan.files, "file", "files"))}</dd>
                <dt>"WAL to replay"</dt><dd>{format!("at most {}, on timeline {}", format::bytes(plan.wal_bytes as f64), plan.timeline)}</dd>
                {plan.last_commit_at.map(|at| view! { <dt>"Last transaction before"</dt><dd>{at.local()}</dd> })}
                <dt>"WAL is there up to"</dt><dd>{plan.wal_until.to_string()}</dd>
                <dt>"Expected duration"</dt><dd>{plan.expected_seconds.map_or_else(|| "unknown before the first restore test".to_owned(), format::duration_s)}" "{within}</dd>
                <dt>"Goes to"</dt><dd><code>{plan.directory.clone()}</code></dd>
                <dt>"Free there"</dt><dd>{plan.free_bytes.map_or_else(|| "—".to_owned(), |it| format::bytes(it as f64))}</dd>
            </dl>
            {plan.refusals.iter().map(|reason| view! { <p class="refusal" role="alert"><Icon name="warn" /><span>{reason.clone()}</span></p> }).collect_view()}
            <ul class="notes">{plan.notes.iter().map(|note| view! { <li>{note.clone()}</li> }).collect_view()}</ul>
        </Panel>
        <Panel title="Options" span="c5">
            <form class="stack" method="get" action="/recovery/restore">
                <input type="hidden" name="cluster" value=shown /><input type="hidden" name="asked" value="1" />
                {hidden()}
                <label>"Directory"<input name="directory" value=value("directory") placeholder="a new one, named by itself" spellcheck="false" /></label>
                <label class="check"><input type="checkbox" name="start" checked=start /><span>"Start it beside the original"<small>"Tamed: on a free port of this machine, archives nothing, follows nothing, subscribes to nothing. Not over a stopped cluster: whoever runs that starts it."</small></span></label>
                <label class="check"><input type="checkbox" name="exclusive" checked=exclusive /><span>"Stop before the target"</span></label>
                <label class="check"><input type="checkbox" name="delta" checked=delta /><span>"Over a stopped cluster"<small>"Only where the configuration allows it; only pages that differ are written. Never over a running one."</small></span></label>
                <div><button class="btn">"Plan again"</button></div>
            </form>
        </Panel>
        {(!refused && may_restore).then(|| view! {
            <Panel title="Do it" span="c7">
                <p>{what_happens}</p>
                <form class="stack spaced" method="post" action="/recovery/restore">
                    <input type="hidden" name="cluster" value=named.clone() />
                    {hidden()}
                    <input type="hidden" name="directory" value=value("directory") />
                    {start.then(|| view! { <input type="hidden" name="start" value="on" /> })}
                    {exclusive.then(|| view! { <input type="hidden" name="exclusive" value="on" /> })}
                    {delta.then(|| view! { <input type="hidden" name="delta" value="on" /> })}
                    <Confirm name=named.clone() />
                    <div><button class="btn danger">"Restore"</button></div>
                </form>
            </Panel>
        })}
        {(!may_restore).then(|| view! { <Panel title="Do it" span="c7"><p class="muted">"Restoring needs the role admin."</p></Panel> })}
    }
}
