//! `/database/activity`: who does what now.

use crate::{
    components::{Chart, Icon, Panel, SignalMenu, Told, ago, answered, statement},
    live::Live,
    scope::Scope,
    server_fns::{ActivityData, load_activity},
};
use domain::{format, view::BackendRow};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;
use std::sync::Arc;

/// What is now; with a moment in the address what was then, which only the server renders.
#[component]
pub fn Activity() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if crate::asked_for("at").is_some() {
        return view! { <super::moment::Moment /> }.into_any();
    }
    view! { <Now /> }.into_any()
}

/// Sessions over time, and each backend.
#[component]
fn Now() -> impl IntoView {
    let scope = Scope::get();
    let live = Live::get();
    let location = use_location();
    let data = Resource::new(move || (location.search.get(), live.sequence.get()), |(search, _)| load_activity(search));
    let show_idle = RwSignal::new(false);
    view! {
        <Title text="Activity" />
        <div class="title"><h1>"Activity"</h1><span class="muted">{move || scope.phrase()}</span><span class="grow"></span><a class="btn" rel="external" href=move || scope.link("/database/activity?at=latest")>"Past moments"</a></div>
        <Told />
        {answered(data, move |data| view! { <Loaded data show_idle /> })}
    }
}

#[component]
fn Loaded(data: ActivityData, show_idle: RwSignal<bool>) -> impl IntoView {
    let ActivityData { page, statements, states, usable, may_signal, csv, databases } = data;
    let note = usable.map_or_else(String::new, |usable| format!("of {usable} usable slots"));
    let blocked = page.rows.iter().filter(|row| !row.blocked_by.is_empty()).count();
    let collected = page.collected_at;
    let hidden = page.hidden;
    let rows = page.rows.into_iter().zip(statements).collect::<Arc<[_]>>();
    let busy = |row: &BackendRow| row.state.as_deref() != Some("idle") && row.backend_type == "client backend";
    let shown = move || {
        let some = rows
            .iter()
            .filter(|row| show_idle.get() || busy(&row.0))
            .map(|(row, id)| backend(row, id.clone(), may_signal))
            .collect_view();
        let empty = !rows.iter().any(|row| show_idle.get() || busy(&row.0));
        (some, empty)
    };
    let rows_shown = shown.clone();
    let blocked_badge = (blocked > 0).then(
        || view! { <span class="badge critical"><Icon name="lock" />{format!("{blocked} waiting for a lock")}</span> },
    );
    view! {
        <Panel title="Sessions" note=note source="pg_stat_activity"><Chart data=states label="Sessions by state" stacked=true /></Panel>
        <section class="panel c12" aria-label="Backends">
            <header><h2 title="pg_stat_activity">"Backends"</h2>{blocked_badge}<span class="aside">{ago(collected, None)}</span></header>
            <div class="toolbar">
                <button type="button" class="chip js-only" class:on=move || show_idle.get() aria-pressed=move || show_idle.get().to_string() on:click=move |_| show_idle.update(|on| *on = !*on)>"with idle and background"</button>
                <div class="laid-out" inner_html=databases></div>
                <span class="grow"></span>
                <a class="btn" href=csv rel="external" download="activity.csv"><Icon name="download" />"CSV"</a>
            </div>
            {(hidden > 0).then(|| view! { <p class="banner attention"><Icon name="warn" />{format!("{} hidden from the monitoring role: GRANT pg_monitor TO it.", format::counted(hidden, "statement is", "statements are"))}</p> })}
            <div class="scroll" tabindex="0" role="region" aria-label="Backends table">
                <table>
                    <thead><tr>
                        <th scope="col" class="n">"PID"</th><th scope="col">"State"</th><th scope="col">"Wait"</th><th scope="col">"Role"</th><th scope="col">"Application"</th><th scope="col">"Database"</th><th scope="col">"Client"</th>
                        <th scope="col" class="n">"Transaction"</th><th scope="col" class="n">"Statement ↓"</th><th scope="col">"Blocked by"</th><th scope="col">"Statement text"</th>{may_signal.then(|| view! { <th scope="col"><span class="sr">"Actions"</span></th> })}
                    </tr></thead>
                    <tbody>{move || rows_shown().0}</tbody>
                </table>
            </div>
            {move || shown().1.then(|| view! { <p class="fine"><Icon name="check" />"No session was busy at the last look."</p> })}
        </section>
    }
}

fn backend(row: &BackendRow, id: Option<String>, may_signal: bool) -> impl IntoView + use<> {
    let wait = match (&row.wait_class, &row.wait_event) {
        (Some(class), Some(event)) => format!("{class}: {event}"),
        (Some(class), None) => class.clone(),
        _ => "—".to_owned(),
    };
    let slot = match row.wait_class.as_deref() {
        Some("CPU") => "slot-cpu",
        Some("IO") => "slot-io",
        Some("Lock") => "slot-lock",
        Some("LWLock") => "slot-lwlock",
        _ => "slot-client",
    };
    let seconds = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), format::duration_s);
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "—".to_owned());
    let blocked = row.blocked_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let root = (row.blocks > 0).then(|| view! { <span class="badge critical" title="Sessions that wait for this one, directly or not"><Icon name="lock" />{format!("blocks {}", row.blocks)}</span> });
    let text = row.query.clone().unwrap_or_default();
    let (pid, started_at, autovacuum) = (row.pid, row.started_at, row.backend_type == "autovacuum worker");
    let actable = may_signal && (autovacuum || row.backend_type == "client backend") && row.application != "holdfast";
    let action = may_signal.then(
        || view! { <td class="flags">{actable.then(|| view! { <SignalMenu pid started_at autovacuum /> })}</td> },
    );
    view! {
        <tr>
            <td class="n">{row.pid}</td>
            <td>{row.state.clone().unwrap_or_else(|| row.backend_type.clone())}</td>
            <td class="wait"><i class=slot></i>{wait}</td>
            <td>{known(&row.user)}</td>
            <td>{row.application.clone()}</td>
            <td>{known(&row.database)}</td>
            <td>{known(&row.client_address)}</td>
            <td class="n">{seconds(row.transaction_seconds)}</td>
            <td class="n">{seconds(row.query_seconds)}</td>
            <td>{(!blocked.is_empty()).then_some(blocked)}{root}</td>
            <td class="statement">{statement(text, id)}</td>
            {action}
        </tr>
    }
}
