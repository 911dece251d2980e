//! `/database/activity?at=`: who did what at a moment that is over, by the samples taken each second.

use super::locks::Forest;
use crate::{
    components::{Failed, Icon, Panel, Skeleton, statement_or_words},
    moment_fns::{MomentData, load_moment},
    scope::{Scope, address, encode, kept_params, with_param},
    zone::Local as _,
};
use domain::{
    Timestamp, format,
    view::{ActivityMoment, MomentRow},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_location, use_query_map};

/// Sessions, the graph of locks, the busiest minutes of the range.
#[component]
pub fn Moment() -> impl IntoView {
    let location = use_location();
    let data = Resource::new(move || location.search.get(), load_moment);
    view! {
        <Title text="Activity" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>"Activity"</h1><Back /></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

/// Leads to what is now.
#[component]
fn Back() -> impl IntoView {
    let now = Scope::get().link_untracked("/database/activity");
    view! { <a class="btn" rel="external" href=now>"Jump to now"</a> }
}

/// This page at another moment; all else of the address stays.
fn at(moment: Timestamp) -> String {
    let own = untrack(with_param("at", Some(moment.to_rfc3339())));
    own.split('#').next().unwrap_or_default().to_owned()
}

/// The end of a stretch belongs to it: the address names a moment well inside.
fn inside(from: Timestamp, to: Timestamp) -> Timestamp {
    Timestamp(from.0 + (to.0 - from.0) / 2)
}

#[component]
fn Loaded(data: MomentData) -> impl IntoView {
    let MomentData { moment, statements } = data;
    let scope = Scope::get();
    let length = format::duration_s(moment.to.seconds_since(moment.from));
    let step = |to: Option<Timestamp>, label: &'static str| {
        to.map(|to| view! { <a class="btn" rel="external" href=at(to)>{label}</a> })
    };
    let skipped =
        (moment.skipped > 0).then(|| format!("; {} more due and not taken", format::thousands(moment.skipped)));
    let said = if moment.samples > 0 {
        format!(
            "This is {} to {}: {} samples in {length}{}.",
            moment.from.local(),
            moment.to.local_clock(),
            format::thousands(moment.samples),
            skipped.unwrap_or_default()
        )
    } else {
        format!("Nothing was sampled at {}: the server was not reached, or was not watched yet.", moment.at.local())
    };
    let chips = databases(&moment);
    let csv = {
        let pairs = use_query_map().with_untracked(|query| {
            query.latest_values().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
        });
        let kept = |name: &str| matches!(name, "database" | "range" | "from" | "to");
        let pairs = pairs.iter().filter(|pair| kept(&pair.0)).map(|(name, value)| (name.as_str(), value.clone()));
        let pairs = pairs.chain([("at", moment.at.to_rfc3339()), ("format", "csv".to_owned())]).collect::<Vec<_>>();
        address(&format!("/api/v1/clusters/{}/activity/samples", moment.cluster), &pairs, None)
    };
    let note = format!("{:.2} active sessions on average", moment.average_active_sessions);
    let most = moment.rows.iter().map(|row| row.samples).max().unwrap_or(1);
    let empty = moment.rows.is_empty();
    let rows = moment.rows.iter().map(|row| session(row, most)).collect_view();
    let graph = moment.locks.clone().map(|kept| {
        let waiting = format!("the worst of it at {}, kept for 30 days", kept.summary.at.local());
        let page = scope.link_untracked(&format!("/database/locks?snapshot={}", encode(&kept.summary.id)));
        let aside = view! { <a class="link" rel="external" href=page>"Locks"</a> }.into_any();
        let nodes = kept.nodes.into_iter().zip(statements).collect();
        view! { <Panel title="Who waited for whom" note=waiting aside flush=true><Forest nodes act=false /></Panel> }
    });
    let field = moment.at.to_rfc3339().chars().take(19).collect::<String>();
    view! {
        <div class="title">
            <h1>"Activity"</h1><span class="muted">{moment.at.local()}</span>
            <span class="grow"></span>
            {step(moment.before, "‹ Before")}{step(moment.after, "After ›")}
        </div>
        <p class="banner c12"><Icon name="activity" /><span>{said}</span><Back /></p>
        <section class="panel c12" aria-label="Sessions">
            <header><h2 title="pg_stat_activity, active sessions each second">"Sessions"</h2><span class="note">{note}</span></header>
            <div class="toolbar">
                <form class="fields moment" method="get">
                    <label>"Moment (UTC)"<input type="datetime-local" name="at" step="1" required value=field /></label>
                    {kept_params("at")}
                    <button class="btn">"Show"</button>
                </form>
                {chips}
                <span class="grow"></span>
                <a class="btn" href=csv rel="external" download="activity-samples.csv"><Icon name="download" />"CSV"</a>
            </div>
            <div class="scroll" tabindex="0" role="region" aria-label="Sessions table">
                <table>
                    <thead><tr>
                        <th scope="col">"Waited for"</th><th scope="col" class="n" title="Samples that found a session of this kind active, each session once">"Samples"</th>
                        <th scope="col" class="n" title="Such sessions at once, on average">"Sessions"</th><th scope="col">"Statement"</th>
                        <th scope="col">"Role"</th><th scope="col">"Application"</th><th scope="col">"Database"</th><th scope="col">"Client"</th>
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            {(empty && moment.samples > 0).then(|| view! { <p class="fine"><Icon name="check" />"No session was active in any sample."</p> })}
        </section>
        {graph}
        <Busiest moment />
    }
}

fn session(row: &MomentRow, most: i64) -> impl IntoView + use<> {
    let wait = if row.wait_event.is_empty() {
        row.wait_class.clone()
    } else {
        format!("{}: {}", row.wait_class, row.wait_event)
    };
    let slot = match row.wait_class.as_str() {
        "CPU" => "slot-cpu",
        "IO" => "slot-io",
        "Lock" => "slot-lock",
        "LWLock" => "slot-lwlock",
        "IPC" => "slot-ipc",
        "Client" => "slot-client",
        _ => "slot-other",
    };
    // In steps of five, by class: the content security policy allows no inline style.
    let share = format!("share w{}", (20 * row.samples / most.max(1)).clamp(0, 20) * 5);
    let title = format!("{:.1} % of the samples of this minute", row.percent);
    view! {
        <tr>
            <td class="wait"><i class=slot></i>{wait}</td>
            <td class="n" title=title><span class=share><b>{format::thousands(row.samples)}</b></span></td>
            <td class="n">{format!("{:.2}", row.average_active_sessions)}</td>
            <td class="statement">{statement_or_words(row.query.clone(), row.id.clone(), row.stands_in)}</td>
            <td>{row.user.clone()}</td>
            <td>{row.application.clone()}</td>
            <td>{row.database.clone()}</td>
            <td>{row.host.clone()}</td>
        </tr>
    }
}

/// One database, or all.
fn databases(moment: &ActivityMoment) -> Option<AnyView> {
    let chosen = use_query_map().with_untracked(|query| query.get("database")).filter(|name| !name.is_empty());
    if moment.databases.len() < 2 && chosen.is_none() {
        return None;
    }
    let all = std::iter::once((None, "all databases".to_owned()));
    let chips =
        all.chain(moment.databases.iter().map(|name| (Some(name.clone()), name.clone()))).map(|(name, label)| {
            let on = name == chosen;
            let href = untrack(with_param("database", name));
            view! { <a class="chip" class:on=on rel="external" href=href aria-current=on.then_some("true")>{label}</a> }
        });
    Some(view! { <nav class="chips" aria-label="Database">{chips.collect_view()}</nav> }.into_any())
}

/// Where to look next: the busiest minutes, and kept graphs of locks.
#[component]
fn Busiest(moment: ActivityMoment) -> impl IntoView {
    let scope = Scope::get();
    let range = scope.phrase();
    let busiest = moment.busiest.iter().map(|it| {
        let current = (it.from < moment.at && moment.at <= it.to).then_some("true");
        view! {
            <tr>
                <td><a data-row rel="external" href=at(inside(it.from, it.to)) aria-current=current><time datetime=it.from.to_rfc3339()>{it.from.local()}</time></a></td>
                <td class="n">{format::duration_s(it.to.seconds_since(it.from))}</td>
                <td class="n">{format!("{:.2}", it.average_active_sessions)}</td>
            </tr>
        }
    }).collect_view();
    let none = moment.busiest.is_empty();
    let graphs = moment.lock_snapshots.iter().map(|it| {
        view! {
            <tr>
                <td><a data-row rel="external" href=at(it.at)><time datetime=it.at.to_rfc3339()>{it.at.local()}</time></a></td>
                <td class="n">{it.waiters}</td>
                <td class="n">{it.longest_wait_seconds.map_or_else(|| "—".to_owned(), format::duration_s)}</td>
                <td class="statement"><span class="sql" title=it.root.clone()>{it.root.clone()}</span></td>
            </tr>
        }
    }).collect_view();
    let no_graphs = moment.lock_snapshots.is_empty();
    view! {
        <Panel title="Busiest minutes" span="c6" note=range.clone() source="pg_stat_activity, active sessions each second" flush=true>
            <div class="scroll tall" tabindex="0" role="region" aria-label="Busiest minutes table">
                <table>
                    <thead><tr><th scope="col">"From"</th><th scope="col" class="n">"Length"</th><th scope="col" class="n">"Sessions"</th></tr></thead>
                    <tbody>{busiest}</tbody>
                </table>
            </div>
            {none.then(|| view! { <p class="fine muted">"No session was active in a sample of this range."</p> })}
        </Panel>
        <Panel title="Times of waiting" span="c6" note=range source="pg_locks" flush=true>
            <div class="scroll tall" tabindex="0" role="region" aria-label="Times of waiting table">
                <table>
                    <thead><tr><th scope="col">"When"</th><th scope="col" class="n">"Waiting"</th><th scope="col" class="n">"Longest"</th><th scope="col">"Root"</th></tr></thead>
                    <tbody>{graphs}</tbody>
                </table>
            </div>
            {no_graphs.then(|| view! { <p class="fine"><Icon name="check" />"Nobody waited for long in this range."</p> })}
        </Panel>
    }
}
