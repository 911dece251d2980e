//! `/alerts`: what is open, what was, what is watched for, who is told and when nobody is. Every action is a plain form:
//! it works without JavaScript, and the server decides who may.

mod active;
mod blackouts;
mod channels;
mod history;
mod rules;

use crate::{
    components::{Failed, Icon, Skeleton},
    live::Live,
    scope::{Scope, address},
    server_fns::{AlertsData, load_alerts},
    zone::Local as _,
};
use domain::{Timestamp, alert::Severity, view::AlertCounts};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_location, use_query_map};

const TABS: [(&str, &str); 5] = [
    ("active", "Active"),
    ("history", "History"),
    ("rules", "Rules"),
    ("channels", "Channels"),
    ("blackouts", "Blackouts"),
];

/// All tabs; which one stands in the address.
#[component]
pub fn Alerts() -> impl IntoView {
    let live = Live::get();
    let location = use_location();
    let query = use_query_map();
    let value = move |name: &'static str| query.with(|query| query.get(name)).unwrap_or_default();
    let data = Resource::new(
        move || {
            // Forms keep still: figures that come anew would take away what is being written.
            let moves = matches!(value("tab").as_str(), "" | "active");
            (location.search.get(), if moves { live.sequence.get() + live.alerts.get() } else { 0 })
        },
        |(search, _)| load_alerts(search),
    );
    view! {
        <Title text="Alerts" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || {
                let (error, done) = (value("error"), value("done"));
                Suspend::new(async move {
                    match data.await {
                        Ok(data) => view! { <Loaded data error done /> }.into_any(),
                        Err(error) => view! { <Failed error /> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
}

#[component]
fn Loaded(data: AlertsData, error: String, done: String) -> impl IntoView {
    let scope = Scope::get();
    let counts = data.counts;
    let current = data.tab.clone();
    let tabs = TABS.into_iter().map(|(key, label)| {
        let here = current == key;
        let number = (key == "active" && counts != AlertCounts::default())
            .then(|| view! { <span class=format!("badge {}", worst(counts))>{counts.critical + counts.warning + counts.info}</span> });
        view! { <a href=move || tab(scope, key) aria-current=here.then_some("true")>{label}{number}</a> }
    });
    let content = match data.tab.as_str() {
        "history" => view! { <history::History data /> }.into_any(),
        "rules" => view! { <rules::Rules data /> }.into_any(),
        "channels" => view! { <channels::Channels data /> }.into_any(),
        "blackouts" => view! { <blackouts::Blackouts data /> }.into_any(),
        _ => view! { <active::Active data /> }.into_any(),
    };
    view! {
        <div class="title"><h1>"Alerts"</h1><SeverityBadges counts /></div>
        <nav class="tabs c12" aria-label="Sections">{tabs.collect_view()}</nav>
        {(!error.is_empty()).then(|| view! { <p class="form-error c12" role="alert">{sentence(&error)}</p> })}
        {told(&done).filter(|_| error.is_empty()).map(|text| view! { <p class="form-done c12" role="status">{text}</p> })}
        {content}
    }
}

/// The address of a tab in the same cluster.
fn tab(scope: Scope, key: &str) -> String {
    let base = scope.link("/alerts");
    if key == "active" { base } else { address(&base, &[("tab", key.to_owned())], None) }
}

/// What was done, from the address.
fn told(done: &str) -> Option<String> {
    let text = match done {
        "" => return None,
        "acknowledged" => "It is yours: nobody is told again unless it gets worse.",
        "unacknowledged" => "It is given back.",
        "silenced" => "Done.",
        "rule" => "The rule is set; it counts from the next tick.",
        "rule_reset" => "The setting is taken back.",
        "blackout" => "The blackout is set.",
        "blackout_end" => "The blackout is ended.",
        "channel" => "The channel is kept. Send a test now.",
        "channel_delete" => "The channel is removed.",
        "channel_retry" => "Its messages are tried again.",
        other => return other.strip_prefix("test:").map(sentence),
    };
    Some(text.to_owned())
}

/// How many are open, by severity; each with its word and icon, not by colour alone.
#[component]
pub fn SeverityBadges(counts: AlertCounts) -> impl IntoView {
    let badges =
        [(Severity::Critical, counts.critical), (Severity::Warning, counts.warning), (Severity::Info, counts.info)];
    let shown = badges.into_iter().filter(|badge| badge.1 > 0).map(|(severity, number)| {
        view! { <span class=format!("badge {}", class(severity))><Icon name="warn" />{format!("{number} {severity}")}</span> }
    });
    let none = counts == AlertCounts::default();
    view! {
        {shown.collect_view()}
        {none.then(|| view! { <span class="badge good"><Icon name="check" />"no open alert"</span> })}
    }
}

/// The class of the colour of a severity.
fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "accent",
        other => other.as_str(),
    }
}

fn worst(counts: AlertCounts) -> &'static str {
    match (counts.critical, counts.warning) {
        (1.., _) => "critical",
        (0, 1..) => "warning",
        _ => "accent",
    }
}

/// A moment: the clock, all of it on hover.
fn moment(at: Timestamp) -> impl IntoView {
    let human = at.local();
    view! { <time datetime=at.to_rfc3339() title=human.clone()>{human.get(5..16).unwrap_or(&human).to_owned()}</time> }
}

/// A hidden field, so that one comes back to the same cluster.
fn hidden(name: &'static str, value: impl Into<String>) -> impl IntoView {
    view! { <input type="hidden" name=name value=value.into() /> }
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let rest = chars.as_str();
    if rest.ends_with('.') { format!("{first}{rest}") } else { format!("{first}{rest}.") }
}
