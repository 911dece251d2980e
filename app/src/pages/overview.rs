//! `/database`: how is it, why, and what to do.

use super::alerts::SeverityBadges;
use crate::{
    components::{CopyButton, Icon, LoadPanel, Missing, Panel, Spark, ago, answered, laid_out, statement},
    live::Live,
    panels::panel,
    scope::Scope,
    server_fns::{OverviewData, TileData, load_overview},
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    reading::{CollectorState, CollectorStatus},
    view::{AlertCounts, Attention, ClusterState, Event, Health, SlowQuery},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// Score, tiles, load, what needs attention.
#[component]
pub fn Overview() -> impl IntoView {
    let scope = Scope::get();
    let live = Live::get();
    let query = use_query_map();
    let by = Memo::new(move |_| query.with(|query| query.get("by")).unwrap_or_default());
    let data = Resource::new(
        move || {
            let (range, compare) = (scope.asked.get(), scope.compare.get().to_string());
            (scope.cluster.get(), range, compare, by.get(), live.sequence.get() + live.alerts.get())
        },
        |(cluster, range, compare, by, _)| load_overview(cluster, range, compare, by),
    );
    view! {
        <Title text="Overview" />
        {answered(data, |data| view! { <Loaded data /> })}
    }
}

#[component]
fn Loaded(data: OverviewData) -> impl IntoView {
    let scope = Scope::get();
    let dashboard = data.dashboard;
    let band = dashboard.health.band.as_str();
    let name = dashboard.cluster.name.clone();
    let first = matches!(dashboard.cluster.state, ClusterState::Connecting) || dashboard.collected_at.is_none();
    let collectors = dashboard.collectors.clone();
    let slow = dashboard.slow_queries.clone();
    view! {
        <div class="title">
            <h1>"Overview"</h1>
            <span class=format!("badge {band}")>{band}</span>
            <span class="muted">{move || format!("{name}, {}", scope.phrase())}</span>
            <span class="grow"></span>
            {ago(dashboard.collected_at, dashboard.age_seconds)}
        </div>
        {(first && !matches!(dashboard.cluster.state, ClusterState::Unreachable { .. } | ClusterState::Refused { .. })).then(|| view! {
            <p class="banner c12">{format!("Collecting: the first figures come within {}.", format::age_s(dashboard.interval_seconds))}</p>
        })}
        <HealthPanel health=dashboard.health.clone() history=data.health alerts=dashboard.alerts.as_ref().map(AlertCounts::of) />
        <AttentionPanel title=if first { "Getting started" } else { "Needs attention" } items=dashboard.attention.clone() />
        {data.tiles.into_iter().map(tile).collect_view()}
        <LoadPanel load=data.load by=data.by top=data.top samples=data.samples cpus=data.cpus csv=data.load_csv />
        <Panel title="Slow statements" span="c4" note="by mean in this window" flush=true><Slow slow /></Panel>
        {data.charts.into_iter().map(panel).collect_view()}
        <Panel title="Events" span="c4" flush=true aside=laid_out(data.events_csv)><Events events=data.events /></Panel>
        <Panel title="Collectors" span="c8" flush=true><Collectors collectors /></Panel>
    }
}

#[component]
fn HealthPanel(health: Health, history: Vec<Option<f64>>, alerts: Option<AlertCounts>) -> impl IntoView {
    const AROUND: f64 = 2.0 * std::f64::consts::PI * 46.0;
    let band = health.band.as_str();
    let arc = format!("{:.1} {AROUND:.1}", AROUND * f64::from(health.score) / 100.0);
    let fine = health.lines.is_empty();
    let scope = Scope::get();
    let lines = health.lines.into_iter().map(move |line| {
        let page = line.page.clone();
        view! {
            <li class="line">
                <span class=format!("points {}", if line.points >= 15 { "critical" } else { "warning" })>{format!("−{}", line.points)}</span>
                <span>{line.title.clone()}<small>{format!("{}, threshold {}, since {}", line.measured, line.threshold, line.since.local_clock())}</small></span>
                <a class="muted" href=move || scope.link(&page)>{line.component.label()}" ›"<span class="sr">{format!(": {}", line.title)}</span></a>
            </li>
        }
    });
    let coverage = format!("{:.0} %", health.coverage_percent);
    let aside = view! { <span class="badge" title="Share of the rules that could be measured">{format!("coverage {coverage}")}</span> }.into_any();
    view! {
        <Panel title="Health" span="c6" note=format!("score version {}", health.version) aside=aside>
            <div class="health">
                <div>
                    <svg class=format!("gauge {band}") viewBox="0 0 120 120" role="img" aria-label=format!("Health score {} of 100, {band}", health.score)>
                        <circle cx="60" cy="60" r="46" />
                        <circle class="arc" cx="60" cy="60" r="46" stroke-dasharray=arc transform="rotate(-90 60 60)" />
                        <text x="60" y="66" text-anchor="middle" class="score">{health.score}</text>
                        <text x="60" y="84" text-anchor="middle">"of 100"</text>
                    </svg>
                    <div title="The last 24 hours"><Spark values=history width=120.0 height=24.0 /></div>
                </div>
                <ul class="lines">
                    {lines.collect_view()}
                    {fine.then(|| view! { <li class="fine"><Icon name="check" />"Nothing takes points away."</li> })}
                    {alerts.map(|counts| view! { <li class="open-alerts"><a href=move || scope.link("/alerts") title="Open alerts"><SeverityBadges counts /></a></li> })}
                </ul>
            </div>
        </Panel>
    }
}

/// What is to do, each with its commands.
#[component]
pub fn AttentionPanel(#[prop(into)] title: String, items: Vec<Attention>) -> impl IntoView {
    let rows = items.into_iter().map(|item| {
        let icon = match item.level.as_str() {
            "good" => "check",
            "unknown" => "cost",
            _ => "warn",
        };
        let scope = Scope::get();
        let page = item.page.clone();
        let place = (!page.is_empty()).then(|| view! { <a class="muted" href=move || scope.link(&page)>"open ›"<span class="sr">{format!(": {}", item.title)}</span></a> });
        let fix = item.sql.clone().map(|sql| view! { <div class="code-block"><pre tabindex="0"><code>{highlighted(&sql)}</code></pre><CopyButton text=sql.clone() /></div> });
        let detail = (!item.detail.is_empty()).then(|| item.detail.clone());
        if fix.is_some() || detail.is_some() {
            view! { <li class=format!("need {}", item.level)><Icon name=icon /><details><summary>{item.title.clone()}</summary><p>{detail}</p>{fix}</details>{place}</li> }.into_any()
        } else {
            view! { <li class=format!("need {}", item.level)><Icon name=icon /><span>{item.title.clone()}</span>{place}</li> }.into_any()
        }
    });
    view! { <Panel title span="c6"><ul class="needs">{rows.collect_view()}</ul></Panel> }
}

/// A figure with its history, and where it leads.
fn tile(tile: TileData) -> impl IntoView {
    let scope = Scope::get();
    let TileData { name, badge, number, unit, detail, page, spark, breach } = tile;
    let class = format!("panel tile c2 {breach}");
    let badge = (!badge.is_empty()).then(|| view! { <span class="badge">{badge}</span> });
    let breach = (!breach.is_empty()).then(|| view! { <Icon name="warn" /><span class="sr">{breach}</span> });
    view! {
        <a class=class href=move || scope.link(&page)>
            <span class="k">{name}{badge}{breach}</span>
            <span class="v">{number}<small>{unit}</small></span>
            <span class="d"><span>{detail}</span><Spark values=spark /></span>
        </a>
    }
}

#[component]
fn Slow(slow: Vec<SlowQuery>) -> impl IntoView {
    if slow.is_empty() {
        return view! { <p class="fine"><Icon name="check" />"No statement is over the threshold."</p> }.into_any();
    }
    let rows = slow.into_iter().map(|slow| {
        view! {
            <tr>
                <td class="statement">{statement(slow.query, Some(slow.id))}</td>
                <td class="n">{format::duration_ms(slow.mean_ms)}</td>
                <td class="n">{format!("{:.1}", slow.total_percent)}</td>
            </tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Slow statements table">
            <table>
                <thead><tr><th scope="col">"Statement"</th><th scope="col" class="n">"Mean"</th><th scope="col" class="n">"% of time"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[component]
fn Events(events: Vec<Event>) -> impl IntoView {
    if events.is_empty() {
        return view! { <p class="fine muted">"No restart, failover, reset or change of settings in this range."</p> }
            .into_any();
    }
    let scope = Scope::get();
    let rows = events.into_iter().take(12).map(|event| {
        let then = format!("/database/activity?at={}", event.at.to_rfc3339());
        let title = match event.statement {
            Some(key) => {
                let page = format!("/database/queries/{key}/plan");
                view! { <a rel="external" href=move || scope.link(&page)>{event.title}</a> }.into_any()
            }
            None => view! { <span>{event.title}</span> }.into_any(),
        };
        view! { <li><a rel="external" href=move || scope.link(&then) title="Who was active then"><time datetime=event.at.to_rfc3339() title=event.at.local()>{event.at.local_clock()}</time></a><span class="badge">{event.kind.as_str().replace('_', " ")}</span>{title}</li> }
    });
    view! { <ul class="events">{rows.collect_view()}</ul> }.into_any()
}

#[component]
fn Collectors(collectors: Vec<CollectorStatus>) -> impl IntoView {
    let rows = collectors.into_iter().map(|one| {
        let class = match one.state {
            CollectorState::Fresh => "good",
            CollectorState::Pending => "",
            CollectorState::Stale => "attention",
            CollectorState::Failed { .. }
            | CollectorState::Unsupported { .. }
            | CollectorState::NoPermission { .. } => "warning",
        };
        let reason = match &one.state {
            CollectorState::Failed { reason } => Some((reason.clone(), None)),
            CollectorState::Unsupported { reason, cure } | CollectorState::NoPermission { reason, cure } => {
                Some((reason.clone(), cure.clone()))
            }
            _ => None,
        };
        let reason = reason.map(|(reason, cure)| {
            let cure = cure.into_iter().collect::<Vec<String>>();
            view! { <Missing reason cure /> }
        });
        view! {
            <tr>
                <th scope="row">{one.name.as_str()}</th>
                <td><span class=format!("badge {class}")>{one.state.as_str().replace('_', " ")}</span></td>
                <td class="n">{ago(one.collected_at, one.age_seconds)}</td>
                <td class="n">{format::age_s(one.interval_seconds)}</td>
                <td class="n">{one.duration_ms.map_or_else(|| "—".to_owned(), format::duration_ms)}</td>
                <td class="reason">{reason}</td>
            </tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Collectors table">
            <table>
                <thead><tr><th scope="col">"Collector"</th><th scope="col">"State"</th><th scope="col" class="n">"Read"</th><th scope="col" class="n">"Every"</th><th scope="col" class="n">"Took"</th><th scope="col"><span class="sr">"Reason"</span></th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
}
