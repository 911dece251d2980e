//! `/database/queries/{id}?tab=`: samples, tables and indexes, history of one statement. The overview is the page without a
//! tab, and plans have an address of their own; only the server renders these.

use super::{
    plan::{History, Sessions, Touched},
    plan_log::Logged,
};
use crate::{
    components::{Panel, answered},
    scope::{Scope, address},
    statement_fns::{StatementData, load_statement},
    zone::Local as _,
};
use domain::{format, view::QueryDetail};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_location, use_params_map};

/// Key in the address and label; the first is the page itself.
const TABS: [(&str, &str); 5] = [
    ("overview", "Overview"),
    ("plans", "Plans"),
    ("samples", "Samples"),
    ("tables", "Tables and indexes"),
    ("history", "History"),
];

/// The tab that an address names, when it is one of those that only the server renders.
pub fn of(text: Option<String>) -> Option<&'static str> {
    let text = text?;
    TABS.into_iter().skip(1).map(|tab| tab.0).find(|tab| *tab == text)
}

/// The strip of tabs, as links that work without JavaScript; `kept` are cluster and range.
pub fn strip(id: &str, current: &str, kept: &[(&str, String)]) -> String {
    let links = TABS.into_iter().map(|(key, label)| {
        let path = format!("/database/queries/{id}");
        let href = match key {
            "overview" => address(&path, kept, None),
            // Alerts and older links lead there.
            "plans" => address(&format!("{path}/plan"), kept, None),
            key => address(&path, &kept.iter().cloned().chain([("tab", key.to_owned())]).collect::<Vec<_>>(), None),
        };
        view! { <a href=href rel="external" aria-current=(key == current).then_some("true")>{label}</a> }
    });
    view! { <nav class="tabs c12" aria-label="Sections">{links.collect_view()}</nav> }.to_html()
}

/// The strip on a page that is being rendered.
#[component]
pub fn Strip(
    /// The statement.
    #[prop(into)]
    id: String,
    /// The tab that is shown.
    current: &'static str,
) -> impl IntoView {
    let own = Scope::get().link_untracked("");
    let pairs = crate::server_fns::form(&own);
    let kept = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>();
    view! { <div class="laid-out" inner_html=strip(&id, current, &kept)></div> }
}

/// One of them.
#[component]
pub fn StatementTab(
    /// Which.
    tab: &'static str,
) -> impl IntoView {
    let location = use_location();
    let params = use_params_map();
    let id = move || params.with(|params| params.get("id")).unwrap_or_default();
    let data = Resource::new(
        move || (location.search.get(), id()),
        move |(search, id)| load_statement(search, id, tab == "history"),
    );
    let label = TABS.into_iter().find(|one| one.0 == tab).map_or("", |one| one.1);
    let list = Scope::get().link_untracked("/database/performance#queries");
    view! {
        <Title text=format!("Statement: {}", label.to_lowercase()) />
        <div class="title">
            <a class="back" rel="external" href=list>"Queries"</a>
            <h1>"Statement"</h1>
            <span class="muted">{move || Scope::get().phrase()}</span>
        </div>
        <Strip id=id() current=tab />
        {answered(data, move |data| view! { <Loaded data tab /> })}
    }
}

#[component]
fn Loaded(data: StatementData, tab: &'static str) -> impl IntoView {
    let StatementData { page, detail } = data;
    let line = analysis::sqltext::one_line(&page.sql, 200);
    let plan = Scope::get().link_untracked(&format!("/database/queries/{}/plan", page.id));
    let content = match tab {
        "samples" => view! {
            <Sessions page=page.clone() span="c12" />
            <Logged log=page.log.clone() user=page.user.clone() database=page.database.clone() />
        }
        .into_any(),
        "tables" if page.tables.is_empty() => {
            view! { <Panel title="Tables and indexes"><p class="fine muted">"Its text names no table, or is of a kind that has no plan."</p></Panel> }.into_any()
        }
        "tables" => view! { <Touched page=page.clone() span="c12" /> }.into_any(),
        _ => view! { {detail.map(|detail| view! { <Steps detail /> })}<History page=page.clone() here=plan /> }.into_any(),
    };
    view! {
        <p class="c12"><code>{line}</code></p>
        {content}
    }
}

/// The figures in steps of the range, the newest first. A step without calls is left out.
#[component]
fn Steps(detail: QueryDetail) -> impl IntoView {
    let value = |series: &domain::view::TimeSeries, line: usize, i: usize| {
        series.series.get(line).and_then(|line| line.values.get(i).copied().flatten())
    };
    let dash = |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "—".to_owned(), show);
    let rows = (0..detail.calls.times.len()).rev().filter_map(|i| {
        let calls = value(&detail.calls, 0, i)?;
        let at = *detail.calls.times.get(i)?;
        Some(view! {
            <tr>
                <td><time datetime=at.to_rfc3339()>{at.local()}</time></td>
                <td class="n">{format::rate(calls)}</td>
                <td class="n">{dash(value(&detail.mean, 0, i), format::duration_ms)}</td>
                <td class="n">{dash(value(&detail.mean, 1, i), format::duration_ms)}</td>
                <td class="n">{dash(value(&detail.share, 0, i), format::percent)}</td>
            </tr>
        })
    });
    let rows = rows.collect_view();
    let events = detail.calls.events.iter().rev().map(|event| {
        view! { <li><time datetime=event.at.to_rfc3339()>{event.at.local()}</time><span>{event.title.clone()}</span></li> }
    });
    let events = events.collect_view();
    let note = format!(
        "steps of {}; first seen {}, last {}",
        format::duration_s(detail.calls.step_seconds),
        detail.first_seen_at.local(),
        detail.last_seen_at.local()
    );
    view! {
        <Panel title="Figures over time" note=note source="pg_stat_statements" flush=true>
            <div class="scroll tall" tabindex="0" role="region" aria-label="Figures over time table">
                <table>
                    <thead><tr><th scope="col">"Step"</th><th scope="col" class="n">"Calls/s"</th><th scope="col" class="n">"Mean"</th><th scope="col" class="n">"Mean + deviation"</th><th scope="col" class="n">"% of time"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            <ul class="events log">{events}</ul>
        </Panel>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tab_has_an_address_and_plans_keep_theirs() {
        let html = strip("1.2.-3", "samples", &[("cluster", "main".to_owned())]);
        for href in [
            "/database/queries/1.2.-3?cluster=main\"",
            "/database/queries/1.2.-3/plan?cluster=main\"",
            "/database/queries/1.2.-3?cluster=main&amp;tab=samples\"",
            "/database/queries/1.2.-3?cluster=main&amp;tab=tables\"",
            "/database/queries/1.2.-3?cluster=main&amp;tab=history\"",
        ] {
            assert!(html.contains(href), "{href}: {html}");
        }
        assert_eq!(html.matches("aria-current").count(), 1, "{html}");
        assert_eq!(of(Some("samples".to_owned())), Some("samples"));
        for other in [None, Some("overview".to_owned()), Some("nothing".to_owned())] {
            assert_eq!(of(other), None, "the page without a tab");
        }
    }
}
