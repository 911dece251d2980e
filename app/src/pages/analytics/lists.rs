//! Lists and tables.

use super::{change, charts::level, map, percent_change, with};
use crate::{
    analytics_fns::{Analysed, Asked},
    pages::plugins::link,
};
use domain::{Timestamp, format, view::UsagePatterns};
use leptos::prelude::*;

/// Countries shown; the rest is one line.
const COUNTRIES: usize = 10;

/// A share as a bar, in steps of five.
fn bar(share_percent: f64, largest: f64) -> String {
    let step = if largest > 0.0 { (share_percent / largest * 20.0).round() as u32 * 5 } else { 0 };
    format!("fill w{}", step.clamp(if share_percent > 0.0 { 5 } else { 0 }, 100))
}

/// One line of a list of bars.
fn line(label: AnyView, events: i64, aside: String, share: f64, largest: f64) -> impl IntoView + use<> {
    view! {
        <li>
            <span class="label">{label}</span>
            <span class="value">{format::count(events as f64)}<span class="muted">{aside}</span></span>
            <span class=bar(share, largest)></span>
        </li>
    }
}

/// By type of event; each leads to itself alone.
pub fn event_types(data: &Analysed) -> impl IntoView + use<> {
    let top = &data.types;
    let largest = top.rows.first().map_or(0.0, |it| it.share_percent);
    let lines = top
        .rows
        .iter()
        .map(|it| {
            let label = it.label.clone();
            let href = with(data, &Asked { event_type: Some(it.key.clone()), ..data.asked.clone() });
            line(
                view! { <a class="link" href=href>{label}</a> }.into_any(),
                it.events,
                format!("{:.0} %", it.share_percent),
                it.share_percent,
                largest,
            )
        })
        .collect_view();
    view! { <ul class="bars">{lines}</ul> }
}

/// Its English name, as far as the map has it; others keep their code.
pub fn country(code: &str) -> String {
    match code {
        "" => "not known".to_owned(),
        code => map::name(code).unwrap_or(code).to_owned(),
    }
}

/// By country, with users.
pub fn countries(data: &Analysed) -> impl IntoView + use<> {
    let geography = &data.geography;
    let largest = geography.countries.first().map_or(0.0, |it| it.share_percent);
    let lines = geography
        .countries
        .iter()
        .take(COUNTRIES)
        .map(|it| {
            let (name, code) = (country(&it.country), it.country.clone());
            let href =
                (!code.is_empty()).then(|| with(data, &Asked { country: Some(code.clone()), ..data.asked.clone() }));
            let name = match href {
                Some(href) => view! { <a class="link" href=href>{name}</a> }.into_any(),
                None => name.into_any(),
            };
            let label = view! { {name}<span class="muted code">{code}</span> };
            let users =
                if it.users == 1 { "1 user".to_owned() } else { format!("{} users", format::count(it.users as f64)) };
            line(label.into_any(), it.events, users, it.share_percent, largest)
        })
        .collect_view();
    let rest = geography.countries.get(COUNTRIES..).unwrap_or_default();
    let more = (!rest.is_empty()).then(|| {
        let events = rest.iter().map(|it| it.events).sum::<i64>();
        view! { <p class="rest">{format!("and {} more with {} events", rest.len(), format::count(events as f64))}</p> }
    });
    view! { <ul class="bars">{lines}</ul>{more} }
}

/// By plugin, beside the range before.
pub fn top_plugins(data: &Analysed) -> impl IntoView + use<> {
    let largest = data.plugins.rows.first().map_or(0.0, |it| it.share_percent);
    let rows = data
        .plugins
        .rows
        .iter()
        .map(|it| {
            let href = link(&data.whose, &format!("/plugins/{}", it.key));
            let only = (data.asked.plugin.as_ref() != Some(&it.key)).then(|| {
                let href = with(data, &Asked { plugin: Some(it.key.clone()), ..data.asked.clone() });
                // Begins with what is seen, for those who speak to their browser.
                let title = format!("only {}", it.label);
                view! { " "<a class="muted" href=href title=title.clone() aria-label=title>"only"</a> }
            });
            let (class, text) = match change(it.events, it.previous) {
                None if it.events > 0 => ("badge", "new".to_owned()),
                None => ("muted", "—".to_owned()),
                Some(by) if by >= 10.0 => ("delta up", percent_change(by)),
                Some(by) if by <= -10.0 => ("delta down", percent_change(by)),
                Some(by) => ("muted", percent_change(by)),
            };
            let step = if largest > 0.0 { (it.share_percent / largest * 20.0).round() as u32 * 5 } else { 0 };
            view! {
                <tr>
                    <td class="plugin"><a class="name link" data-row href=href>{it.label.clone()}</a>{only}</td>
                    <td class="n">{format::thousands(it.events)}</td>
                    <td><span class=format!("share w{}", step.clamp(5, 100))><b>{format!("{:.1} %", it.share_percent)}</b></span></td>
                    <td class="n">{format::thousands(it.users)}</td>
                    <td class="n"><span class=class title=format!("{} before", format::counted(it.previous, "event", "events"))>{text}</span></td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Top plugins table">
            <table>
                <thead><tr><th scope="col">"Plugin"</th><th scope="col" class="n" aria-sort="descending">"Events ↓"</th><th scope="col">"Share"</th><th scope="col" class="n">"Users"</th><th scope="col" class="n">"Change"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

/// Users by their first week.
pub fn cohorts(patterns: &UsagePatterns, now: Timestamp) -> impl IntoView + use<> {
    if patterns.cohorts.is_empty() {
        return view! { <p class="fine muted">"No event names a user, so it is not known who comes again."</p> }
            .into_any();
    }
    let weeks = patterns.cohorts.iter().map(|it| it.seen.len()).max().unwrap_or_default().min(12);
    let head = (0..weeks).map(|week| view! { <th scope="col" class="n">{if week == 0 { "week 0".to_owned() } else { format!("+{week}") }}</th> }).collect_view();
    let rows = patterns
        .cohorts
        .iter()
        .map(|cohort| {
            let cells = cohort
                .seen
                .iter()
                .take(weeks)
                .enumerate()
                .map(|(after, seen)| {
                    let share = if cohort.users > 0 { *seen as f64 * 100.0 / cohort.users as f64 } else { 0.0 };
                    // The current week is not over.
                    let open = cohort.week.0 + (after as i64 + 1) * 604_800_000 > now.0;
                    let class = format!("cell n h{}{}", level(share, 100.0), if open { " open" } else { "" });
                    let title = format!("{} of {}{}", format::thousands(*seen), format::thousands(cohort.users), if open { ", the week is not over" } else { "" });
                    view! { <td class=class title=title>{format!("{share:.0} %")}</td> }
                })
                .collect_view();
            let rest = (cohort.seen.len().min(weeks)..weeks).map(|_| view! { <td></td> }).collect_view();
            let day = cohort.week.to_human();
            view! { <tr><th scope="row">{day.get(..10).unwrap_or_default().to_owned()}</th><td class="n">{format::thousands(cohort.users)}</td>{cells}{rest}</tr> }
        })
        .collect_view();
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Retention table">
            <table class="heat cohorts"><thead><tr><th scope="col">"First seen"</th><th scope="col" class="n">"Users"</th>{head}</tr></thead><tbody>{rows}</tbody></table>
        </div>
    }
    .into_any()
}

/// Pairs of plugins.
pub fn co_use(data: &Analysed) -> impl IntoView + use<> {
    if data.patterns.co_use.is_empty() {
        return view! { <p class="fine muted">"No two plugins share users yet."</p> }.into_any();
    }
    let rows = data
        .patterns
        .co_use
        .iter()
        .map(|it| {
            let (one, other) = (link(&data.whose, &format!("/plugins/{}", it.plugin_id)), link(&data.whose, &format!("/plugins/{}", it.with_id)));
            let step = ((it.overlap_percent / 5.0).round() as u32 * 5).clamp(5, 100);
            view! {
                <tr>
                    <td class="pair"><a class="link" href=one>{it.plugin.clone()}</a><span class="muted">" with "</span><a class="link" href=other>{it.with.clone()}</a></td>
                    <td class="n">{format::thousands(it.users)}</td>
                    <td><span class=format!("share w{step}") title="Users of both, of the users of either"><b>{format!("{:.0} %", it.overlap_percent)}</b></span></td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Plugins used together">
            <table><thead><tr><th scope="col">"Plugins"</th><th scope="col" class="n">"Users"</th><th scope="col">"Overlap"</th></tr></thead><tbody>{rows}</tbody></table>
        </div>
    }
    .into_any()
}
