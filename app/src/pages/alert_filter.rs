//! What the lists of alerts are narrowed by: a form that works without JavaScript, its fields in the address.

use crate::{components::Icon, scope::address};
use domain::{
    alert::{AlertState, Severity},
    view::AlertsParams,
};
use leptos::prelude::*;

/// The form, filled in as the address has it, with the same list as CSV.
pub fn form(params: &AlertsParams, past: bool, clusters: &[(String, String)]) -> String {
    let choice = |value: String, label: String, chosen: Option<&str>| {
        let selected = chosen == Some(value.as_str());
        view! { <option value=value selected=selected>{label}</option> }
    };
    let any = |label: &'static str| view! { <option value="">{label}</option> };
    let severity = params.severity.map(Severity::as_str);
    let severities = Severity::ALL.into_iter().rev().map(|one| choice(one.to_string(), one.to_string(), severity));
    let state = params.state.map(AlertState::as_str);
    let states = AlertState::ALL.into_iter().filter(|one| *one != AlertState::Resolved);
    let states = states.map(|one| choice(one.as_str().to_owned(), one.label().to_owned(), state));
    let rules = analysis::alerts::RULES.iter();
    let rules = rules.map(|rule| choice(rule.key.to_owned(), rule.title.to_owned(), params.rule.as_deref()));
    let clusters = (clusters.len() > 1).then(|| {
        let own = clusters.iter().map(|(id, name)| choice(id.clone(), name.clone(), params.cluster.as_deref()));
        view! { <label>"Cluster"<select name="cluster">{any("all")}{own.collect_view()}</select></label> }
    });
    let only = params.cluster.clone().filter(|_| clusters.is_none());
    let tab = past.then(|| view! { <input type="hidden" name="tab" value="history" /> });
    let mut all = Vec::new();
    all.extend(past.then(|| ("tab", "history".to_owned())));
    all.extend(params.cluster.clone().map(|cluster| ("cluster", cluster)));
    let clear = params.is_narrow().then(|| view! { <a class="btn" href=address("/alerts", &all, None)>"Show all"</a> });
    let mut csv = params.pairs();
    csv.extend([("limit", "500".to_owned()), ("format", "csv".to_owned())]);
    let csv = address("/api/v1/alerts", &csv, None);
    view! {
        <div class="toolbar">
            <form class="fields narrowing" role="search" aria-label="Narrow the list" method="get" action="/alerts">
                {tab}
                {only.map(|cluster| view! { <input type="hidden" name="cluster" value=cluster /> })}
                <label>"Severity"<select name="severity">{any("all")}{severities.collect_view()}</select></label>
                {(!past).then(|| view! { <label>"State"<select name="state">{any("all open")}{states.collect_view()}</select></label> })}
                <label>"Rule"<select name="rule">{any("all")}{rules.collect_view()}</select></label>
                {clusters}
                <label>"Text"<input type="search" name="q" value=params.search.clone() placeholder="title, object, value" /></label>
                <button class="btn">"Show"</button>
                {clear}
            </form>
            <span class="grow"></span>
            <a class="btn" href=csv rel="external" download="alerts.csv"><Icon name="download" />"CSV"</a>
        </div>
    }
    .to_html()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_has_what_the_address_has_and_the_csv_follows_it() {
        let params = AlertsParams {
            severity: Some(Severity::Critical),
            state: Some(AlertState::Acknowledged),
            search: Some("a \"b\" & c".to_owned()),
            ..AlertsParams::default()
        };
        let html = form(&params, false, &[("main".to_owned(), "Main".to_owned())]);
        assert!(html.contains("value=\"critical\" selected"), "{html}");
        assert!(html.contains("value=\"acknowledged\" selected"), "{html}");
        assert!(
            html.contains("/api/v1/alerts?state=acknowledged&amp;severity=critical&amp;q=a%20%22b%22%20%26%20c"),
            "{html}"
        );
        assert!(html.contains("a &quot;b&quot; &amp; c"), "{html}");
        assert!(!html.contains("name=\"cluster\""), "one cluster is no choice: {html}");
        let past = form(&AlertsParams::default(), true, &[]);
        assert!(past.contains("value=\"history\"") && !past.contains("name=\"state\""), "{past}");
        assert!(!past.contains("Show all"), "nothing narrows it: {past}");
    }
}
