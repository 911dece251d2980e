//! `/database/locks`: who waits for whom, now and at the worst moments of the last days.

use crate::{
    components::{Chart, Icon, Missing, Panel, SignalMenu, Told, ago, answered, statement},
    live::Live,
    scope::{Scope, address, with_param},
    server_fns::{LocksData, load_locks},
    zone::Local as _,
};
use domain::{
    format,
    view::{Availability, LockNode, LockSnapshotSummary},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// Trees, chart, kept graphs.
#[component]
pub fn Locks() -> impl IntoView {
    let scope = Scope::get();
    let live = Live::get();
    let query = use_query_map();
    let snapshot = Memo::new(move |_| query.with(|query| query.get("snapshot")).filter(|id| !id.is_empty()));
    let data = Resource::new(
        move || (scope.cluster.get(), snapshot.get(), live.sequence.get()),
        |(cluster, snapshot, _)| load_locks(cluster, snapshot),
    );
    view! {
        <Title text="Locks" />
        <div class="title"><h1>"Locks"</h1><span class="muted">"who waits for whom"</span></div>
        <Told />
        {answered(data, |data| view! { <Loaded data /> })}
    }
}

#[component]
fn Loaded(data: LocksData) -> impl IntoView {
    let LocksData { page, kept, statements, waiters, may_signal } = data;
    if let Availability::Missing { reason, cure } = page.availability.clone() {
        return view! { <Panel title="Blocked sessions"><Missing reason cure /></Panel> }.into_any();
    }
    let scope = Scope::get();
    let (age, collected_at) = (page.age_seconds, page.collected_at);
    let (nodes, summary) = match &kept {
        Some(kept) => (kept.nodes.clone(), Some(kept.summary.clone())),
        None => (page.nodes.clone(), None),
    };
    let then = summary.as_ref().map(|summary| {
        let now = with_param("snapshot", None);
        let then = address("/database/activity", &[("cluster", page.cluster.clone()), ("at", summary.at.to_rfc3339())], None);
        view! {
            <p class="banner c12"><Icon name="lock" /><span>{format!("This is {}, the worst moment of {} of waiting.", summary.at.local(), format::age_s(summary.duration_seconds))}</span><a class="btn" rel="external" href=then>"Activity then"</a><a class="btn" href=now>"Jump to now"</a></p>
        }
    });
    let count = nodes.iter().filter(|node| !node.blocked_by.is_empty()).count();
    let roots = nodes.iter().filter(|node| node.depth == 0).count();
    let badge = (count > 0).then(|| {
        let text = format!("{count} waiting behind {roots}");
        view! { <span class="badge critical"><Icon name="lock" />{text}</span> }
    });
    let longest = nodes
        .iter()
        .filter(|node| !node.blocked_by.is_empty())
        .filter_map(|node| node.wait_seconds)
        .fold(None, |most: Option<f64>, one| Some(most.map_or(one, |most| most.max(one))));
    let note = longest.map_or_else(String::new, |seconds| format!("longest wait {}", format::duration_s(seconds)));
    let csv = address(
        &format!("/api/v1/clusters/{}/locks", scope.cluster.get_untracked().unwrap_or_else(|| page.cluster.clone())),
        &[("format", "csv".to_owned())],
        None,
    );
    let act = may_signal && kept.is_none();
    let empty = nodes.is_empty();
    let aside = summary.is_none().then(|| ago(collected_at, age));
    view! {
        {then}
        <section class="panel c12" aria-label="Blocked sessions">
            <header><h2 title="pg_locks and pg_blocking_pids, asked only while a backend waits">"Blocked sessions"</h2>{badge}<span class="note">{note}</span><span class="aside">{aside}</span></header>
            {if empty {
                view! { <p class="fine"><Icon name="check" />"No session waited for a lock at the last look."</p> }.into_any()
            } else {
                view! { <Forest nodes=nodes.into_iter().zip(statements).collect() act /> }.into_any()
            }}
            {(!empty).then(|| view! { <footer class="pager"><span class="muted">"The root holds what the others wait for: begin there."</span><span class="grow"></span><a class="btn" href=csv rel="external" download="locks.csv"><Icon name="download" />"CSV"</a></footer> })}
        </section>
        <Panel title="Waiting sessions" span="c6" note="most at once, over 24 hours" source="pg_locks"><Chart data=waiters label="Waiting sessions" /></Panel>
        <Panel title="Kept moments" span="c6" note="the worst of each time of waiting, for 30 days" flush=true><Kept snapshots=page.snapshots chosen=summary.map(|summary| summary.id) /></Panel>
    }
    .into_any()
}

/// Sessions as trees, each with the id of its statement.
#[component]
pub(super) fn Forest(nodes: Vec<(LockNode, Option<String>)>, act: bool) -> impl IntoView {
    let rows = nodes.into_iter().map(|(node, id)| row(node, id, act)).collect_view();
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Blocked sessions table">
            <table class="locks">
                <thead><tr>
                    <th scope="col">"PID"</th><th scope="col">"Blocks"</th><th scope="col" class="n">"Waits"</th><th scope="col">"For"</th><th scope="col">"State"</th>
                    <th scope="col">"Who"</th><th scope="col" class="n">"Transaction"</th><th scope="col">"Statement"</th>
                    {act.then(|| view! { <th scope="col"><span class="sr">"Actions"</span></th> })}
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

fn row(node: LockNode, id: Option<String>, act: bool) -> impl IntoView {
    let dash = || "—".to_owned();
    let depth = node.depth.min(8);
    let others = node.blocked_by.iter().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let also = (!others.is_empty()).then(|| view! { <small class="muted">{format!("also behind {others}")}</small> });
    let mark = match (node.depth, node.cycle) {
        (0, true) => view! { <span class="badge critical">"deadlock"</span> }.into_any(),
        (0, false) => view! { <span class="badge critical"><Icon name="lock" />"root"</span> }.into_any(),
        _ => ().into_any(),
    };
    let wanted = match (&node.mode, &node.relation, &node.lock_type) {
        (Some(mode), Some(relation), _) => format!("{} on {relation}", mode.trim_end_matches("Lock")),
        (Some(mode), None, Some(kind)) if kind == "transactionid" => {
            format!("{} of a transaction's end", mode.trim_end_matches("Lock"))
        }
        (Some(mode), None, Some(kind)) => format!("{} on a {kind}", mode.trim_end_matches("Lock")),
        _ => dash(),
    };
    let who =
        [node.application.clone(), node.user.clone().unwrap_or_default(), node.database.clone().unwrap_or_default()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" · ");
    let text = node.query.clone().unwrap_or_default();
    let process = if node.pid == 0 { node.backend_type.clone() } else { node.pid.to_string() };
    let waits = node.wait_seconds.filter(|_| !node.blocked_by.is_empty()).map_or_else(dash, format::duration_s);
    let autovacuum = node.backend_type == "autovacuum worker";
    view! {
        <tr class:root=node.depth == 0>
            <td><span class=format!("tree d{depth}")><span class="sr">{format!("level {} ", node.depth + 1)}</span><span class="num">{process}</span>" "{mark}{also}</span></td>
            <td class="n">{if node.blocks > 0 { node.blocks.to_string() } else { dash() }}</td>
            <td class="n">{waits}</td>
            <td>{wanted}</td>
            <td>{node.state.clone().unwrap_or_else(|| node.backend_type.clone())}</td>
            <td>{who}</td>
            <td class="n">{node.transaction_seconds.map_or_else(dash, format::duration_s)}</td>
            <td class="statement">{statement(text, id)}</td>
            {act.then(|| view! { <td class="flags"><SignalMenu pid=node.pid started_at=node.started_at autovacuum /></td> })}
        </tr>
    }
}

#[component]
fn Kept(snapshots: Vec<LockSnapshotSummary>, chosen: Option<String>) -> impl IntoView {
    if snapshots.is_empty() {
        return view! { <p class="fine"><Icon name="check" />"Nobody has waited for longer than two seconds in the last 30 days."</p> }.into_any();
    }
    let rows = snapshots.into_iter().map(|one| {
        let current = (chosen.as_deref() == Some(one.id.as_str())).then_some("true");
        let href = with_param("snapshot", Some(one.id.clone()));
        let going = (one.id == "0").then(|| view! { <span class="badge critical">"now"</span> });
        view! {
            <tr>
                <td><a data-row href=href aria-current=current><time datetime=one.at.to_rfc3339() title=one.at.local()>{one.at.local().chars().skip(5).take(14).collect::<String>()}</time></a>" "{going}</td>
                <td class="n">{one.waiters}</td>
                <td class="n">{one.longest_wait_seconds.map_or_else(|| "—".to_owned(), format::duration_s)}</td>
                <td class="n">{format::age_s(one.duration_seconds)}</td>
                <td class="statement"><span class="sql" title=one.root.clone()>{one.root.clone()}</span></td>
            </tr>
        }
    });
    view! {
        <div class="scroll tall" tabindex="0" role="region" aria-label="Kept moments table">
            <table>
                <thead><tr><th scope="col">"When"</th><th scope="col" class="n">"Waiting"</th><th scope="col" class="n">"Longest"</th><th scope="col" class="n">"Lasted"</th><th scope="col">"Root"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}
