//! `/analytics`: how a tenant's plugins are used. The server renders it whole; it works without a script.

mod charts;
mod filters;
mod lists;
mod map;

use super::tenant;
use crate::{
    analytics_fns::{Analysed, AnalyticsData, Asked, DAYS, load_analytics},
    components::{Failed, Icon, Missing, Panel, Skeleton},
    scope::address,
};
use charts::{active_users, heatmap, usage};
use domain::format;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;
use lists::{co_use, cohorts, countries, event_types, top_plugins};

/// Use over time, what, where, when, who comes again.
#[component]
pub fn AnalyticsPage() -> impl IntoView {
    let location = use_location();
    let data = Resource::new(move || location.search.get(), load_analytics);
    view! {
        <Title text="Analytics" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(AnalyticsData::Page(analysed)) => loaded(*analysed),
                    Ok(AnalyticsData::Choose(tenants, begins)) => tenant::choose("Analytics", "Choose a tenant: how its plugins are used is shown.", "/analytics", tenants, begins),
                    Ok(AnalyticsData::Missing(reason, cure)) => {
                        let reason = crate::server_fns::sentence(&reason);
                        view! { <div class="title"><h1>"Analytics"</h1></div><Panel title="Not set up"><Missing reason=format!("{reason}.") cure /></Panel> }.into_any()
                    }
                    Err(error) => view! { <div class="title"><h1>"Analytics"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

/// An address of this page for something else that is asked.
fn with(data: &Analysed, asked: &Asked) -> String {
    let mut pairs = Vec::new();
    if data.whose.chosen {
        pairs.push(("tenant", data.whose.tenant.slug.clone()));
    }
    pairs.extend(asked.pairs());
    pairs.extend(tenant::place());
    address("/analytics", &pairs, None)
}

/// An address of this page with another range.
fn with_days(data: &Analysed, days: i64) -> String {
    with(data, &Asked { days: Some(days), between: None, ..data.asked.clone() })
}

/// How much more or less, beside the range before; nothing where there was nothing.
fn change(now: i64, before: i64) -> Option<f64> {
    (before > 0).then(|| (now - before) as f64 * 100.0 / before as f64)
}

fn percent_change(change: f64) -> String {
    let sign = if change >= 0.0 { "+" } else { "−" };
    format!("{sign}{:.0} %", change.abs())
}

fn loaded(data: Analysed) -> AnyView {
    let ranges = DAYS
        .into_iter()
        .map(|days| {
            let current = (data.asked.days == Some(days)).then_some("true");
            view! { <a href=with_days(&data, days) aria-current=current>{format!("{days} d")}</a> }
        })
        .collect_view();
    let events = data.plugins.events;
    let title = view! {
        <div class="title">
            <h1>"Analytics"</h1>
            {tenant::mark(&data.whose, "/analytics")}
            <span class="grow"></span>
            <nav class="seg" aria-label="Days">{ranges}</nav>
        </div>
    };
    let filters = filters::filters(&data).into_any();
    let title = view! { {title}{filters} };
    let narrowed = filters::is_narrowed(&data.asked);
    if events == 0 && data.plugins.previous == 0 && narrowed {
        let all = with(
            &data,
            &Asked {
                days: data.asked.days,
                between: data.asked.between.clone(),
                zone: data.asked.zone.clone(),
                ..Asked::default()
            },
        );
        return view! {
            {title}
            <Panel title="Nothing"><p class="fine muted">"No event of the range fits all conditions. "<a class="link" href=all>"Show all events"</a></p></Panel>
        }
        .into_any();
    }
    if events == 0 && data.plugins.previous == 0 {
        let command = "curl -X POST …/api/v1/analytics/events -H 'Authorization: Bearer hf_…' -d '{\"events\": [{\"id\": \"1\", \"plugin_id\": \"1\", \"type\": \"view\", \"user\": \"ada\", \"country\": \"DE\", \"at\": \"2026-11-24T02:00:00Z\"}]}'".to_owned();
        return view! {
            {title}
            <Panel title="Nothing yet"><Missing reason=format!("No event came in the last {} days. Events are sent to the API:", data.days) cure=vec![command] /></Panel>
        }
        .into_any();
    }
    let zone = data.series.time_zone.clone();
    let note = format!(
        "events {}, {zone}",
        match data.series.bucket {
            domain::view::Bucket::Hour => "an hour",
            domain::view::Bucket::Week => "a week",
            _ => "a day",
        }
    );
    // Users and hours are kept for a shorter time than days.
    let since = if data.patterns.from > data.series.from {
        format!(", from {} on", data.patterns.from.to_rfc3339().get(..10).unwrap_or_default())
    } else {
        String::new()
    };
    let of_hours = format!("events, {zone}{since}");
    // Users are kept by days of UTC and not by type of event.
    let of_users = match (&data.asked.event_type, zone.as_str()) {
        (None, "UTC") => "a day, in 7 days, in 30 days",
        (None, _) => "a day of UTC, in 7 days, in 30 days",
        (Some(_), _) => "of all types of events; a day of UTC, in 7 days, in 30 days",
    };
    let of_users = format!("{of_users}{since}");
    let source = data
        .series
        .tiers
        .iter()
        .map(|it| format!("{} from {}", format::duration_s(it.seconds as f64), it.tier))
        .collect::<Vec<_>>()
        .join(", ");
    let restored = data
        .series
        .restored
        .iter()
        .map(|span| format!("{} to {}", span.from.to_human(), span.to.to_human()))
        .collect::<Vec<_>>();
    let restored = (!restored.is_empty()).then(|| {
        let text = format!("Rows of {} were brought back from the archive. Counts are those of the roll-ups, which the archive left; the rows tell what is finer than an hour.", restored.join(", "));
        view! { <p class="banner c12"><Icon name="backups" /><span>{text}</span></p> }
    });
    let tiles = tiles(&data);
    let over_time = usage(&data.series).into_any();
    let types = event_types(&data).into_any();
    let plugins = top_plugins(&data).into_any();
    let places = map::map(&data.geography).into_any();
    let listed = countries(&data).into_any();
    let hours = heatmap(&data.patterns).into_any();
    let users = active_users(&data.patterns).into_any();
    let retention = cohorts(&data.patterns, data.now).into_any();
    let together = co_use(&data).into_any();
    let beside = format!("{0} days, beside the {0} before", data.days);
    view! {
        {title}
        {restored}
        {tiles}
        <Panel title="Usage over time" span="c8" note=note source=format!("Read from: {source}")>{over_time}</Panel>
        <Panel title="What happens" span="c4" note="by type of event">{types}</Panel>
        <Panel title="Top plugins" span="c7" note=beside flush=true>{plugins}</Panel>
        <Panel title="Countries" span="c5" note="share of events">
            {places}
            <details class="numbers"><summary>"As a list"</summary>{listed}</details>
        </Panel>
        <Panel title="Hours of the week" span="c7" note=of_hours>{hours}</Panel>
        <Panel title="Active users" span="c5" note=of_users>{users}</Panel>
        <Panel title="Retention" span="c7" note="of users first seen in a week, how many come again" flush=true>{retention}</Panel>
        <Panel title="Used together" span="c5" note="by the same users" flush=true>{together}</Panel>
    }
    .into_any()
}

fn tiles(data: &Analysed) -> impl IntoView + use<> {
    let last = data.patterns.active_users.last();
    // Today is not over: yesterday is the last whole day.
    let yesterday = data.patterns.active_users.iter().rev().nth(1).or(last);
    let (daily, weekly, monthly) =
        (yesterday.map_or(0, |it| it.daily), last.map_or(0, |it| it.weekly), last.map_or(0, |it| it.monthly));
    let stickiness =
        if monthly > 0 { format!("{:.0} %", daily as f64 * 100.0 / monthly as f64) } else { "—".to_owned() };
    let events = (data.plugins.events, data.plugins.previous);
    let detail = change(events.0, events.1).map_or_else(
        || "no events before".to_owned(),
        |it| format!("{} to the {} days before", percent_change(it), data.days),
    );
    let countries = data.geography.countries.iter().filter(|it| !it.country.is_empty()).count();
    let busiest = data.patterns.hours.iter().max_by_key(|it| it.events).map_or_else(
        || "—".to_owned(),
        |it| format!("{} {:02}:00", charts::WEEKDAYS[usize::try_from(it.weekday - 1).unwrap_or_default() % 7], it.hour),
    );
    let tile = |name: &'static str, value: String, detail: String| {
        view! { <section class="panel tile c2" aria-label=name><span class="k">{name}</span><span class="v">{value}</span><span class="d"><span>{detail}</span></span></section> }
    };
    view! {
        {tile("Events", format::count(events.0 as f64), detail)}
        {tile("Users yesterday", format::thousands(daily), "distinct".to_owned())}
        {tile("Users in 7 days", format::thousands(weekly), "distinct".to_owned())}
        {tile("Users in 30 days", format::thousands(monthly), "distinct".to_owned())}
        {tile("Stickiness", stickiness, "yesterday of 30 days".to_owned())}
        {tile("Busiest hour", busiest, format!("{}, {}", data.patterns.time_zone, format::counted(countries, "country", "countries")))}
    }
}
