//! `/database/queries/{id}/plan`: how the server would run a statement, what is wrong with that, and how it was before.

use super::plan_log::Logged;
use crate::{
    advice_fns::{PlanPageData, load_query_plan},
    components::{Failed, FormOutcome, Icon, Panel, Skeleton},
    scope::{Scope, encode},
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    view::{PlanFinding, PlanNode, PlanSeverity, PlanSummary, PlanView, QueryPlanPage},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

/// Tree, text, JSON; findings; history; tables and sessions.
#[component]
pub fn QueryPlan() -> impl IntoView {
    let scope = Scope::get();
    let params = use_params_map();
    let query = use_query_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).unwrap_or_default());
    let value = move |name: &'static str| query.with(|query| query.get(name)).filter(|text| !text.is_empty());
    let data = Resource::new(
        move || (scope.cluster.get(), id.get(), value("plan"), value("against")),
        |(cluster, id, plan, against)| load_query_plan(cluster, id, plan, against),
    );
    view! {
        <Title text="Plan" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || {
                let form = value("view").unwrap_or_default();
                Suspend::new(async move {
                    match data.await {
                        Ok(data) => view! { <Loaded data form /> }.into_any(),
                        Err(error) => view! { <Failed error /> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
}

#[component]
fn Loaded(data: PlanPageData, form: String) -> impl IntoView {
    let scope = Scope::get();
    let PlanPageData { page, may_explain } = data;
    let path = format!("/database/queries/{}", page.id);
    let here = scope.link_untracked(&format!("{path}/plan"));
    let back = scope.link_untracked(&path);
    let can = page.refusal.is_none();
    let (cluster, id, next) = (page.cluster.clone(), page.id.clone(), here.clone());
    let plan = page.plan.clone();
    let findings = plan.as_ref().map(|plan| plan.findings.clone());
    view! {
        <div class="title">
            <a class="back" href=back rel="external">"Statement"</a>
            <h1>"Plan"</h1>
            <span class="muted">{plan.as_ref().map(|plan| format!("seen {}", plan.summary.last_at.local()))}</span>
            <span class="grow"></span>
            {(may_explain && can).then(|| view! {
                <form method="post" action="/database/queries/explain">
                    <input type="hidden" name="cluster" value=cluster />
                    <input type="hidden" name="id" value=id />
                    <input type="hidden" name="next" value=next />
                    <button class="btn primary" title="Plans it in a read-only transaction; nothing is run">"Explain now"</button>
                </form>
            })}
        </div>
        <super::statement_tab::Strip id=page.id.clone() current="plans" />
        <FormOutcome />
        {page.refusal.clone().map(|reason| view! { <p class="banner attention c12"><Icon name="warn" /><span>{format!("It cannot be explained: {reason}.")}</span></p> })}
        <section class="panel c8" aria-label="Text">
            <header><h2>"SQL"</h2><span class="note">"constants are $1, $2, …"</span></header>
            <div class="body"><div class="code-block"><pre class="statement-text" tabindex="0"><code>{highlighted(&page.sql)}</code></pre></div></div>
        </section>
        <Facts page=page.clone() />
        {findings.filter(|it| !it.is_empty()).map(|findings| view! { <Panel title="What stands out" flush=true><ul class="plan-findings">{findings.into_iter().map(finding).collect_view()}</ul></Panel> })}
        {match plan {
            Some(plan) => view! { <Plan plan form here=here.clone() comparing=page.comparison.is_some() /> }.into_any(),
            None => view! { <Panel title="Plan"><div class="missing"><p>{none(can, may_explain)}</p></div></Panel> }.into_any(),
        }}
        <Comparison page=page.clone() />
        <History page=page.clone() here />
        <Touched page=page.clone() />
        <Sessions page=page.clone() />
        <Logged log=page.log user=page.user database=page.database />
    }
}

const fn none(can: bool, may: bool) -> &'static str {
    match (can, may) {
        (false, _) => "This statement has no plan.",
        (true, true) => {
            "No plan is kept yet. 'Explain now' has the server plan it: in a read-only transaction that is rolled back, with $1, $2, … left open; nothing is run."
        }
        (true, false) => "No plan is kept yet. An operator can have the server plan it.",
    }
}

fn finding(finding: PlanFinding) -> impl IntoView {
    let class = match finding.severity {
        PlanSeverity::Warning => "badge warning",
        PlanSeverity::Info => "badge",
    };
    let word = match finding.severity {
        PlanSeverity::Warning => "costs",
        PlanSeverity::Info => "note",
    };
    view! { <li><span class=class>{word}</span><div><strong>{finding.title}</strong><p>{finding.detail}</p></div></li> }
}

#[component]
fn Facts(page: QueryPlanPage) -> impl IntoView {
    let plan = page.plan.as_ref().map(|plan| {
        let summary = plan.summary.clone();
        let seen = seen(&summary);
        let settings = plan.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
        view! {
            <dt>"Cost"</dt><dd>{format::count(summary.total_cost)}</dd>
            <dt title="Of the shape: nodes, tables, indexes, conditions; without costs">"Hash"</dt><dd><code>{summary.hash}</code></dd>
            <dt>"Had by"</dt><dd>{summary.method.label()}</dd>
            <dt title="Its rights, row policies and settings hold">"As role"</dt><dd>{summary.role}</dd>
            <dt>"Server"</dt><dd>{format!("PostgreSQL {}.{}", summary.version_num / 10_000, summary.version_num % 10_000)}</dd>
            <dt>"Seen"</dt><dd>{seen}</dd>
            <dt>"Asked for by"</dt><dd>{summary.taken_by}</dd>
            {(!settings.is_empty()).then(|| view! { <dt>"Settings"</dt><dd>{settings}</dd> })}
        }
    });
    view! {
        <Panel title="Facts" span="c4">
            <dl class="facts">
                <dt>"Database"</dt><dd>{page.database}</dd>
                <dt>"Role"</dt><dd>{page.user}</dd>
                {plan}
            </dl>
        </Panel>
    }
}

fn seen(summary: &PlanSummary) -> String {
    let first = summary.first_at.local();
    if summary.times == 1 {
        format!("once, {first}")
    } else {
        format!("{} times, first {first}", format::thousands(summary.times))
    }
}

#[component]
fn Plan(plan: PlanView, form: String, here: String, comparing: bool) -> impl IntoView {
    let tab = |name: &'static str, label: &'static str| {
        let on = form == name;
        let separator = if here.contains('?') { '&' } else { '?' };
        let href = format!("{here}{separator}plan={}&view={name}#plan", encode(&plan.summary.id));
        view! { <a class="chip" class:on=on aria-current=on.then_some("true") href=href rel="external">{label}</a> }
    };
    let tabs =
        view! { <span class="plan-forms" id="plan">{tab("", "Tree")}{tab("text", "Text")}{tab("json", "JSON")}</span> };
    let body = match form.as_str() {
        "text" => view! { <pre class="plan-text" tabindex="0">{plan.text}</pre> }.into_any(),
        "json" => view! { <pre class="plan-text" tabindex="0">{plan.json}</pre> }.into_any(),
        _ => view! { <div class="scroll" tabindex="0" role="region" aria-label="Plan tree"><ol class="plan-tree">{node(plan.root)}</ol></div> }.into_any(),
    };
    let note = if comparing { "the one chosen" } else { "estimated costs; literals are masked" };
    view! { <Panel title="Plan" note aside=tabs.into_any() flush=true>{body}</Panel> }
}

/// A card and what it reads from, below it.
fn node(node: PlanNode) -> AnyView {
    let bad = node.findings.iter().any(|it| it.severity == PlanSeverity::Warning);
    let hot = node.own_percent >= 30.0;
    let class = match (bad, hot) {
        (true, _) => "plan-node bad",
        (false, true) => "plan-node hot",
        (false, false) => "plan-node",
    };
    let on = node.relation.clone().map(|relation| match &node.alias {
        Some(alias) => format!("{relation} {alias}"),
        None => relation,
    });
    let rows = match node.actual_rows {
        Some(actual) => format!("{} rows expected, {} seen", format::count(node.rows), format::count(actual)),
        None => format!("{} rows", format::count(node.rows)),
    };
    let label = format!("{:.0} % of the plan's cost", node.own_percent);
    view! {
        <li>
            <div class=class>
                <div class="plan-head">
                    <strong>{node.title}</strong>
                    {on.map(|on| view! { <span class="name">{on}</span> })}
                    {node.index.map(|index| view! { <span class="muted">"using "<span class="name">{index}</span></span> })}
                    {node.subplan.map(|subplan| view! { <span class="badge">{subplan}</span> })}
                    <span class="grow"></span>
                    <span class="num">{rows}</span>
                    <span class="num muted" title="Until the first row, and of all rows, with what is below">{format!("cost {}–{}", format::count(node.startup_cost), format::count(node.total_cost))}</span>
                </div>
                <div class="plan-share"><meter min="0" max="100" value=format!("{:.1}", node.own_percent) aria-label=label></meter><span class="num">{format!("{:.0} %", node.own_percent)}</span></div>
                {(!node.details.is_empty()).then(|| view! { <dl class="plan-details">{node.details.into_iter().map(|(key, value)| view! { <dt>{key}</dt><dd><code>{value}</code></dd> }).collect_view()}</dl> })}
                {node.findings.into_iter().map(|it| view! { <p class="plan-finding"><Icon name="warn" /><span>{it.title}</span></p> }).collect_view()}
            </div>
            {(!node.children.is_empty()).then(|| view! { <ol>{node.children.into_iter().map(self::node).collect_view()}</ol> })}
        </li>
    }
    .into_any()
}

#[component]
fn Comparison(page: QueryPlanPage) -> impl IntoView {
    page.comparison.map(|comparison| {
        let (before, after) = comparison.costs;
        let note = format!("cost {} before, {} after", format::count(before), format::count(after));
        let lines = comparison.lines.into_iter().map(|(kind, line)| {
            let (class, sign) = match kind.as_str() {
                "before" => ("gone", "- "),
                "after" => ("new", "+ "),
                _ => ("", "  "),
            };
            view! { <span class=class>{format!("{sign}{line}\n")}</span> }
        });
        view! { <Panel title="Compared" note flush=true><pre class="plan-text plan-diff" tabindex="0">{lines.collect_view()}</pre></Panel> }
    })
}

/// The plans it has had.
#[component]
pub(super) fn History(page: QueryPlanPage, here: String) -> impl IntoView {
    if page.history.is_empty() {
        return ().into_any();
    }
    let chosen = page.plan.as_ref().map(|plan| plan.summary.id.clone()).unwrap_or_default();
    let newest = page.history.first().map(|it| it.id.clone()).unwrap_or_default();
    let separator = if here.contains('?') { '&' } else { '?' };
    let rows = page.history.into_iter().map(move |it: PlanSummary| {
        let open = format!("{here}{separator}plan={}", encode(&it.id));
        let compare = (it.id != chosen).then(|| format!("{here}{separator}plan={}&against={}", encode(&chosen), encode(&it.id)));
        let current = it.id == newest;
        view! {
            <tr class:on=it.id == chosen>
                <td><a class="link" href=open rel="external"><code>{it.hash.chars().take(8).collect::<String>()}</code></a></td>
                <td class="cut" title=it.shape.clone()>{it.shape.clone()}</td>
                <td>{current.then(|| view! { <span class="badge good">"in force"</span> })}</td>
                <td class="n">{format::count(it.total_cost)}</td>
                <td class="n">{format::thousands(it.times)}</td>
                <td>{it.first_at.local()}</td>
                <td>{it.last_at.local()}</td>
                <td>{it.method.label()}</td>
                <td>{it.taken_by}</td>
                <td>{compare.map(|href| view! { <a class="link" href=href rel="external">"compare"</a> })}</td>
            </tr>
        }
    });
    let changes = page.changes.into_iter().map(|event| view! { <li><time datetime=event.at.to_rfc3339()>{event.at.local()}</time><span>{event.title}</span></li> }).collect_view();
    view! {
        <Panel title="Plans it has had" note="one row for each shape and each way it was had" flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Plans table">
                <table>
                    <thead><tr><th scope="col">"Plan"</th><th scope="col">"Reads"</th><th scope="col"><span class="sr">"State"</span></th><th scope="col" class="n">"Cost"</th><th scope="col" class="n">"Seen"</th><th scope="col">"First"</th><th scope="col">"Last"</th><th scope="col">"Had by"</th><th scope="col">"Asked by"</th><th scope="col"><span class="sr">"Compare"</span></th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            <ul class="events log">{changes}</ul>
        </Panel>
    }
    .into_any()
}

/// Tables and indexes that it touches.
#[component]
pub(super) fn Touched(page: QueryPlanPage, #[prop(default = "c7")] span: &'static str) -> impl IntoView {
    let scope = Scope::get();
    if page.tables.is_empty() {
        return ().into_any();
    }
    let dash = || "—".to_owned();
    let rows = page.tables.into_iter().map(move |it| {
        let name = match &it.key {
            Some(key) => {
                let href = scope.link_untracked(&format!("/database/tables?table={}", encode(key)));
                view! { <a class="link" href=href rel="external">{it.name}</a> }.into_any()
            }
            None => it.name.into_any(),
        };
        view! {
            <tr>
                <td class="statement">{name}</td>
                <td>{it.how}</td>
                <td class="cut" title=it.indexes.join(", ")>{if it.indexes.is_empty() { dash() } else { it.indexes.join(", ") }}</td>
                <td class="n">{it.rows.map_or_else(dash, format::count)}</td>
                <td class="n">{it.total_bytes.map_or_else(dash, |bytes| format::bytes(bytes as f64))}</td>
                <td class="n">{it.seq_scans_per_second.map_or_else(dash, format::rate)}</td>
                <td>{it.last_analyze.map_or_else(dash, |at| at.local())}</td>
            </tr>
        }
    });
    view! {
        <Panel title="Tables and indexes" span flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Tables table">
                <table>
                    <thead><tr><th scope="col">"Table"</th><th scope="col">"How"</th><th scope="col">"Indexes in the plan"</th><th scope="col" class="n">"Rows"</th><th scope="col" class="n">"Size"</th><th scope="col" class="n">"Seq scans/s"</th><th scope="col">"Analyzed"</th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        </Panel>
    }
    .into_any()
}

/// Sessions that were seen in it.
#[component]
pub(super) fn Sessions(page: QueryPlanPage, #[prop(default = "c5")] span: &'static str) -> impl IntoView {
    let all = page.samples.iter().map(|it| it.samples).sum::<i64>().max(1) as f64;
    let empty = page.samples.is_empty() && page.running.is_empty();
    let running = page.running.into_iter().map(|row| {
        let age = row.query_seconds.map_or_else(String::new, |seconds| format!(", {}", format::duration_s(seconds)));
        let wait = match (&row.wait_class, &row.wait_event) {
            (Some(class), Some(event)) => format!(", waits for {class}: {event}"),
            _ => String::new(),
        };
        view! { <li>{format!("pid {}, {} of {}{age}{wait}", row.pid, row.user.unwrap_or_default(), row.application)}</li> }
    }).collect_view();
    let rows = page.samples.into_iter().map(move |it| {
        let wait = if it.wait_event.is_empty() { it.wait_class } else { format!("{}: {}", it.wait_class, it.wait_event) };
        view! { <tr><td>{wait}</td><td>{it.user}</td><td>{it.application}</td><td>{it.host}</td><td class="n">{format!("{} s", format::thousands(it.samples))}</td><td class="n">{format!("{:.1}", 100.0 * it.samples as f64 / all)}</td></tr> }
    });
    view! {
        <Panel title="Seen in sessions" span note="last 24 hours" source="pg_stat_activity, sampled each second" flush=true>
            {empty.then(|| view! { <p class="more muted">"No session was seen in it: it is quick or did not run."</p> })}
            <ul class="running">{running}</ul>
            <div class="scroll" tabindex="0" role="region" aria-label="Sessions table">
                <table>
                    <thead><tr><th scope="col">"Waits for"</th><th scope="col">"Role"</th><th scope="col">"Application"</th><th scope="col">"Client"</th><th scope="col" class="n">"Time"</th><th scope="col" class="n">"%"</th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        </Panel>
    }
}
