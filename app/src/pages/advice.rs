//! `/database/advice`: indexes to make, to drop and to build again, each with its evidence, its script and its undo.

use crate::{
    advice_fns::{AdviceData, load_index_advice},
    components::{CopyButton, Dismiss, FormOutcome, Icon, Missing, Panel, answered},
    scope::{Scope, encode},
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    view::{AdviceBasis, AdviceFinding, Availability, Dismissal, IndexAdvice, IndexSuggestion},
};
use leptos::prelude::*;
use leptos_meta::Title;

/// Suggestions, findings, what was put aside.
#[component]
pub fn Advice() -> impl IntoView {
    let scope = Scope::get();
    let data = Resource::new(move || scope.cluster.get(), load_index_advice);
    view! {
        <Title text="Advice" />
        {answered(data, |data| view! { <Loaded data /> })}
    }
}

/// What every card's form needs.
#[derive(Clone)]
struct Here {
    cluster: String,
    address: String,
    may: bool,
}

#[component]
fn Loaded(data: AdviceData) -> impl IntoView {
    let scope = Scope::get();
    let AdviceData { page, may_dismiss, may_review } = data;
    let address = scope.link_untracked("/database/advice");
    let here = Here { cluster: page.cluster.clone(), address: address.clone(), may: may_dismiss };
    let (open, aside): (Vec<_>, Vec<_>) =
        page.advice.suggestions.iter().cloned().partition(|it| it.dismissal.is_none());
    let (mut found, found_aside): (Vec<_>, Vec<_>) = page.findings.into_iter().partition(|it| it.dismissal.is_none());
    // What is broken before what could be saved.
    found.sort_by_key(|it| (it.kind != "invalid", std::cmp::Reverse(it.bytes)));
    let back = scope.link_untracked("/database/performance#indexes");
    let csv = format!("/api/v1/clusters/{}/index-advice?format=csv", encode(&page.cluster));
    let reviewed = page.advice.reviewed_at.map(|at| format!("reviewed {}", at.local()));
    let count = found.len();
    let for_found = here.clone();
    let suggestions = open.into_iter().map(|it| suggestion(it, &here)).collect_view();
    let findings = found.into_iter().map(|it| finding(it, &for_found)).collect_view();
    let put_aside =
        aside.into_iter().map(|it| it.key).chain(found_aside.into_iter().map(|it| it.key)).collect::<Vec<_>>();
    view! {
        <div class="title">
            <a class="back" href=back rel="external">"Indexes"</a>
            <h1>"Advice"</h1>
            <span class="muted">{reviewed}</span>
            <span class="grow"></span>
            <a class="btn" href=csv rel="external" download="index-advice.csv"><Icon name="download" />"CSV"</a>
            {may_review.then(|| view! {
                <form method="post" action="/database/advice/review">
                    <input type="hidden" name="cluster" value=page.cluster.clone() />
                    <input type="hidden" name="next" value=address />
                    <button class="btn" title="Plans the statements that cost most, and tries indexes where HypoPG is there">"Review now"</button>
                </form>
            })}
        </div>
        <FormOutcome />
        <Panel title="Indexes that would help" note=basis(&page.advice) flush=true>
            {empty(&page.advice)}
            <ul class="findings">{suggestions}</ul>
            {left_out(&page.advice)}
        </Panel>
        <Panel title="Indexes that are there" note=format::counted(count, "finding", "findings") flush=true>
            {(count == 0).then(|| view! { <p class="more muted">"Nothing stands out."</p> })}
            <ul class="findings">{findings}</ul>
        </Panel>
        <Aside dismissals=page.dismissals here put_aside />
    }
}

fn basis(advice: &IndexAdvice) -> String {
    if advice.reviewed_at.is_none() {
        return String::new();
    }
    let how = if advice.hypopg.is_empty() {
        "HypoPG is in none of the databases: costs are estimated (CREATE EXTENSION hypopg; verifies them)".to_owned()
    } else {
        format!("tried by HypoPG in {}", advice.hypopg.join(", "))
    };
    format!(
        "of the {} statements that cost most in {}; {how}",
        advice.statements,
        format::duration_s(advice.window_seconds)
    )
}

fn empty(advice: &IndexAdvice) -> Option<AnyView> {
    match &advice.availability {
        Availability::Collecting => Some(view! { <p class="more muted">"The first review comes some minutes after the start; 'Review now' does not wait."</p> }.into_any()),
        Availability::Missing { reason, cure } => Some(view! { <Missing reason=reason.clone() cure=cure.clone() /> }.into_any()),
        Availability::Ready if advice.suggestions.is_empty() => {
            Some(view! { <p class="more muted">"No index would save a third of the cost of a statement that matters."</p> }.into_any())
        }
        Availability::Ready => None,
    }
}

fn left_out(advice: &IndexAdvice) -> Option<AnyView> {
    let lines = advice
        .left_out
        .iter()
        .map(|(reason, count)| view! { <li>{format!("{count}: {reason}")}</li> })
        .collect::<Vec<_>>();
    (!lines.is_empty()).then(|| view! { <details class="left-out"><summary>"Statements that were not looked at"</summary><ul>{lines}</ul></details> }.into_any())
}

/// The form that puts something aside.
fn dismiss(key: String, here: &Here) -> Option<AnyView> {
    let Here { cluster, address, may } = here.clone();
    may.then(|| view! { <Dismiss cluster key next=address /> }.into_any())
}

fn code(sql: String, label: &'static str) -> AnyView {
    view! { <div class="code-block"><pre tabindex="0"><code>{highlighted(&sql)}</code></pre><CopyButton text=sql label /></div> }.into_any()
}

fn suggestion(it: IndexSuggestion, here: &Here) -> AnyView {
    let scope = Scope::get();
    let badge = match it.basis {
        AdviceBasis::Hypopg => "badge good",
        AdviceBasis::Estimate => "badge attention",
        AdviceBasis::Guess => "badge",
    };
    let rows = it.statements.into_iter().map(move |statement| {
        let href = scope.link_untracked(&format!("/database/queries/{}/plan", statement.id));
        view! {
            <tr>
                <td class="statement"><a class="link" href=href rel="external"><span class="name">{statement.query}</span></a></td>
                <td class="n">{format::count(statement.calls as f64)}</td>
                <td class="n">{format!("{:.1}", statement.total_percent)}</td>
                <td class="n">{format::count(statement.cost_before)}</td>
                <td class="n">{format::count(statement.cost_after)}</td>
                <td class="n">{format!("{:.0}", statement.saving_percent)}</td>
            </tr>
        }
    }).collect_view();
    view! {
        <li class="finding">
            <div class="finding-head">
                <strong class="name">{format!("{}.{} ({})", it.schema, it.table, it.columns.join(", "))}</strong>
                <span class="muted">{it.database}</span>
                <span class=badge>{it.basis.label()}</span>
                <span class="grow"></span>
                <span class="num" title="Of all statements' time in the window, by the planner's costs">{format!("{:.1} % of all time", it.benefit_percent)}</span>
            </div>
            <p>{it.evidence}</p>
            <p>{it.cost}</p>
            <div class="scroll" tabindex="0" role="region" aria-label="Statements helped">
                <table>
                    <thead><tr><th scope="col">"Statement helped"</th><th scope="col" class="n">"Calls"</th><th scope="col" class="n">"% of time"</th><th scope="col" class="n">"Cost now"</th><th scope="col" class="n">"With it"</th><th scope="col" class="n">"Saved %"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            {code(it.create_sql, "Copy the commands")}
            <details><summary>"Undo"</summary>{code(it.undo_sql, "Copy the undo")}</details>
            {dismiss(it.key, here)}
        </li>
    }
    .into_any()
}

/// What a kind of advice is called on the page.
fn kind(kind: &str) -> &str {
    match kind {
        "missing_foreign_key" => "foreign key without an index",
        "index" => "index to make",
        "setting" => "setting",
        "pending" => "waiting for a restart",
        kind => kind,
    }
}

fn finding(it: AdviceFinding, here: &Here) -> AnyView {
    let label = kind(&it.kind).to_owned();
    let class = if it.kind == "invalid" { "badge critical" } else { "badge attention" };
    // The rest of its key is that of the index; a constraint has no page.
    let name = match it.key.split_once(':') {
        Some((what, index)) if what != "missing_foreign_key" => {
            let href = Scope::get().link_untracked(&format!("/database/index?name={}", encode(index)));
            view! { <a class="link" href=href rel="external">{it.name}</a> }.into_any()
        }
        _ => it.name.into_any(),
    };
    view! {
        <li class="finding">
            <div class="finding-head">
                <strong class="name">{name}</strong><span class="muted">{it.place}</span><span class=class>{label}</span>
                <span class="grow"></span><span class="num">{format::bytes(it.bytes as f64)}</span>
            </div>
            <p>{it.evidence}</p>
            {code(it.sql, "Copy the commands")}
            {it.undo_sql.map(|undo| view! { <details><summary>"Undo"</summary>{code(undo, "Copy the undo")}</details> })}
            {dismiss(it.key, here)}
        </li>
    }
    .into_any()
}

#[component]
fn Aside(dismissals: Vec<Dismissal>, here: Here, put_aside: Vec<String>) -> impl IntoView {
    if dismissals.is_empty() {
        return ().into_any();
    }
    let rows = dismissals
        .into_iter()
        .map(move |it| {
            let found = put_aside.contains(&it.key) || it.key.starts_with("setting:") || it.key.starts_with("pending:");
            let Here { cluster, address, may } = here.clone();
            let until = it.until.map_or_else(|| "taken back".to_owned(), |at| at.local());
            let (what, named) = it.key.split_once(':').unwrap_or(("", it.key.as_str()));
            let (what, named, title) = (kind(what).to_owned(), named.to_owned(), named.to_owned());
            view! {
                <tr>
                    <td><span class="badge">{what}</span></td>
                    <td class="statement"><span class="sql" title=title>{named}</span></td>
                    <td>{it.reason}</td>
                    <td>{it.by}</td>
                    <td>{it.at.local()}</td>
                    <td>{until}</td>
                    <td>{(!found).then(|| view! { <span class="badge">"no longer found"</span> })}</td>
                    <td>{may.then(|| view! { <Dismiss cluster key=it.key next=address aside=true /> })}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <Panel title="Put aside" flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Put aside table">
                <table>
                    <thead><tr><th scope="col">"Kind"</th><th scope="col">"What"</th><th scope="col">"Why"</th><th scope="col">"By"</th><th scope="col">"Since"</th><th scope="col">"Until"</th><th scope="col"><span class="sr">"State"</span></th><th scope="col"><span class="sr">"Action"</span></th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </Panel>
    }
    .into_any()
}
