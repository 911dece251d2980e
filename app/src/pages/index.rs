//! `/database/index?name=`: one index, what it is for, who uses it, and what there is to do about it.

use super::index_list::{flags, last_used};
use crate::{
    components::{Chart, CopyButton, Dismiss, Failed, FormOutcome, Icon, Panel, Skeleton, ago},
    index_fns::{IndexData, load_index},
    scope::{Scope, encode},
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    view::{AdviceFinding, IndexDetail, IndexSuggestion},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;

/// Definition, figures, size and scans over time, advice, the table's other indexes.
#[component]
pub fn IndexPage() -> impl IntoView {
    let location = use_location();
    let data = Resource::new(move || location.search.get(), load_index);
    view! {
        <Title text="Index" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data /> }.into_any(),
                    Err(error) => view! { <div class="title"><Back /><h1>"Index"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Back() -> impl IntoView {
    let list = Scope::get().link_untracked("/database/performance#indexes");
    view! { <a class="back" rel="external" href=list>"Indexes"</a> }
}

#[component]
fn Loaded(data: IndexData) -> impl IntoView {
    let IndexData { detail, size, scans, hit, here, may_dismiss } = data;
    let scope = Scope::get();
    let row = detail.row.clone();
    let table = scope.link_untracked(&format!("/database/tables?table={}", encode(&detail.table_key)));
    let place = format!("{}.{}, database {}", row.schema, row.table, row.database);
    let age = detail.collected_at.map(|at| control::now().seconds_since(at).max(0.0));
    let cluster = detail.cluster.clone();
    let findings = detail.findings.clone();
    let none = findings.is_empty();
    let findings =
        findings.into_iter().map(|it| finding(it, cluster.clone(), here.clone(), may_dismiss)).collect_view();
    let suggestions = detail.suggestions.clone();
    let (all_well, nodes) = (fine(&detail), on(&detail));
    view! {
        <div class="title">
            <Back />
            <h1>{row.name.clone()}</h1>
            <span class="muted">"on "<a class="link" rel="external" href=table>{place}</a></span>
            {flags(&row)}
            <span class="grow"></span>
            {ago(detail.collected_at, age)}
        </div>
        <FormOutcome />
        <section class="panel c8" aria-label="Definition">
            <header><h2 title="pg_get_indexdef">"Definition"</h2></header>
            <div class="body"><div class="code-block"><pre class="statement-text" tabindex="0"><code>{highlighted(&row.definition)}</code></pre><CopyButton text=row.definition.clone() label="Copy the definition" /></div></div>
        </section>
        <Facts detail=detail.clone() />
        <Panel title="Size" span="c4" note="recorded each hour, while it is among the 300 largest" source="pg_class.relpages"><Chart data=size label="Size" /></Panel>
        <Panel title="Scans an hour" span="c4" note=nodes source="pg_stat_user_indexes.idx_scan"><Chart data=scans label="Scans an hour" /></Panel>
        <Panel title="Cache hit" span="c4" note="of the blocks touched in the hour" source="pg_statio_user_indexes"><Chart data=hit label="Cache hit" /></Panel>
        <Panel title="Advice" note="nothing is carried out from here: take the commands to psql" flush=true>
            {none.then(|| view! { <p class="fine"><Icon name="check" />{all_well}</p> })}
            <ul class="findings">{findings}</ul>
        </Panel>
        {(!suggestions.is_empty()).then(|| view! { <Suggestions suggestions /> })}
        <Similar detail />
    }
}

fn on(detail: &IndexDetail) -> String {
    format!("on {}", detail.nodes.join(" and "))
}

/// Why nothing is found about it.
fn fine(detail: &IndexDetail) -> String {
    let needed = detail
        .row
        .labels
        .iter()
        .find(|it| matches!(it.as_str(), "primary" | "unique" | "constraint" | "replica identity"));
    match needed {
        Some(label) => format!("Nothing stands out; and as it is {label} it would not be dropped for want of scans."),
        None => "Nothing stands out: it is valid, it is used, and no other index does the same.".to_owned(),
    }
}

#[component]
fn Facts(detail: IndexDetail) -> impl IntoView {
    let row = detail.row.clone();
    let dash = || "—".to_owned();
    let (used, why) = last_used(&row);
    let nodes = row.node_scans.iter().map(|(name, scans)| format!("{name} {}", format::thousands(*scans)));
    let nodes = nodes.collect::<Vec<_>>().join(", ");
    let window = detail.counting_since.map_or_else(
        || "the counters' beginning is not known".to_owned(),
        |at| format!("{}, {} ago", at.local(), format::age_s(control::now().seconds_since(at).max(0.0))),
    );
    let constraint = row.labels.iter().any(|it| matches!(it.as_str(), "primary" | "constraint"));
    view! {
        <Panel title="Facts" span="c4">
            <dl class="facts">
                <dt>"Method"</dt><dd>{row.method.clone()}</dd>
                <dt>"Columns"</dt><dd>{detail.columns.join(", ")}</dd>
                {(!detail.included.is_empty()).then(|| view! { <dt>"Included"</dt><dd>{detail.included.join(", ")}</dd> })}
                {detail.predicate.clone().map(|predicate| view! { <dt>"Only where"</dt><dd><code>{predicate}</code></dd> })}
                <dt title="A constraint stands on it: it cannot be dropped by itself">"Constraint"</dt><dd>{if constraint { "stands on it" } else { "none" }}</dd>
                <dt title="By the planner's page count">"Size"</dt><dd>{format::bytes(row.bytes as f64)}</dd>
                <dt title="Estimate, by the planner's statistics: pages less what the entries need. Btree indexes of 1 MiB and more.">"Bloat, estimated"</dt><dd>{row.bloat_estimate_bytes.map_or_else(dash, |bytes| format::bytes(bytes as f64))}</dd>
                <dt title="On all nodes that Holdfast watches">"Scans"</dt><dd>{format::thousands(row.scans)}</dd>
                {(!nodes.is_empty()).then(|| view! { <dt>"By node"</dt><dd>{nodes}</dd> })}
                <dt title="On the node that was reset last">"Counted since"</dt><dd>{window}</dd>
                <dt title=why.clone()>"Last used"</dt><dd>{used}<small class="muted">{format!(" {why}")}</small></dd>
                <dt>"Rows read, fetched"</dt><dd>{format!("{}, {}", format::count(row.rows_read as f64), format::count(row.rows_fetched as f64))}</dd>
                <dt title="Blocks found in shared buffers since the counters began">"Cache hit"</dt><dd>{row.hit_percent.map_or_else(dash, |percent| format!("{} %", format::percent(percent)))}</dd>
                <dt title="What it costs to keep: writes to its table that must be written into it too">"Table writes"</dt><dd>{row.table_writes_per_second.map_or_else(dash, format::rate)}</dd>
            </dl>
        </Panel>
    }
}

fn finding(it: AdviceFinding, cluster: String, here: String, may: bool) -> AnyView {
    let class = if it.kind == "invalid" { "badge critical" } else { "badge attention" };
    let aside = it.dismissal.is_some();
    let said = it.dismissal.map(|dismissal| {
        let until =
            dismissal.until.map_or_else(|| "until it is taken back".to_owned(), |at| format!("until {}", at.local()));
        view! { <p class="muted">{format!("Put aside by {} {until}: {}", dismissal.by, dismissal.reason)}</p> }
    });
    let code = |sql: String, label: &'static str| {
        view! { <div class="code-block"><pre tabindex="0"><code>{highlighted(&sql)}</code></pre><CopyButton text=sql label=label /></div> }
    };
    view! {
        <li class="finding">
            <div class="finding-head"><span class=class>{it.kind}</span><span class="grow"></span><span class="num">{format::bytes(it.bytes as f64)}</span></div>
            <p>{it.evidence}</p>
            {said}
            {code(it.sql, "Copy the commands")}
            {it.undo_sql.map(|undo| view! { <details><summary>"Undo"</summary>{code(undo, "Copy the undo")}</details> })}
            {may.then(|| view! { <Dismiss cluster key=it.key next=here aside /> })}
        </li>
    }
    .into_any()
}

#[component]
fn Suggestions(suggestions: Vec<IndexSuggestion>) -> impl IntoView {
    let advice = Scope::get().link_untracked("/database/advice");
    let rows = suggestions.into_iter().map(|it| {
        let aside = it.dismissal.is_some().then(|| view! { <span class="badge">"put aside"</span> });
        view! { <tr><td class="statement"><span class="name">{it.columns.join(", ")}</span>{aside}</td><td>{it.basis.label()}</td><td class="n">{format!("{:.1}", it.benefit_percent)}</td><td class="n">{format::bytes(it.size_bytes as f64)}</td></tr> }
    });
    let aside = view! { <a class="link" rel="external" href=advice>"Advice"</a> }.into_any();
    view! {
        <Panel title="Suggested for its table" span="c12" aside flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Suggestions table">
                <table>
                    <thead><tr><th scope="col">"Columns"</th><th scope="col">"How sure"</th><th scope="col" class="n">"% of all time"</th><th scope="col" class="n">"Size to expect"</th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        </Panel>
    }
}

#[component]
fn Similar(detail: IndexDetail) -> impl IntoView {
    let scope = Scope::get();
    let none = detail.similar.is_empty();
    let rows = detail.similar.into_iter().map(move |it| {
        let href = scope.link_untracked(&format!("/database/index?name={}", encode(&it.key)));
        let badge = (!it.relation.is_empty()).then(|| view! { <span class="badge attention">{it.relation}</span> });
        view! {
            <tr>
                <td><a class="name" data-row rel="external" href=href>{it.name}</a></td>
                <td>{badge}</td>
                <td class="n">{format::bytes(it.bytes as f64)}</td>
                <td class="n">{format::count(it.scans as f64)}</td>
                <td class="statement"><span class="sql" title=it.definition.clone()>{highlighted(&it.definition)}</span></td>
            </tr>
        }
    });
    view! {
        <Panel title="Other indexes of the table" flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Other indexes table">
                <table>
                    <thead><tr><th scope="col">"Index"</th><th scope="col"><span class="sr">"Relation"</span></th><th scope="col" class="n">"Size"</th><th scope="col" class="n">"Scans"</th><th scope="col">"Definition"</th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            {none.then(|| view! { <p class="fine muted">"It is the only one."</p> })}
        </Panel>
    }
}
