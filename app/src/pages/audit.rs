//! `/audit`: who did what, and whether the log is whole.

use crate::{
    components::{Failed, Icon, Panel, Skeleton},
    estate_fns::{AuditData, load_audit},
    scope::address,
    zone::Local as _,
};
use domain::{
    Timestamp, format,
    view::{AuditEntry, AuditVerdict},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;

const PATH: &str = "/audit";

/// Filters, rows, verdict.
#[component]
pub fn Audit() -> impl IntoView {
    let location = use_location();
    let data = Resource::new(move || location.search.get(), load_audit);
    view! {
        <Title text="Audit log" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>"Audit log"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Loaded(data: AuditData) -> impl IntoView {
    let AuditData { page, verdict, filters, further } = data;
    let pairs = |more: Option<(&'static str, String)>| {
        let kept = filters.iter().map(|(name, value)| (name.as_str(), value.clone()));
        address(PATH, &kept.chain(more).collect::<Vec<_>>(), None)
    };
    let first = further.then(|| pairs(None));
    let next = page.next_cursor.clone().map(|cursor| pairs(Some(("cursor", cursor))));
    let verify = pairs(Some(("verify", "1".to_owned())));
    let filtered = !filters.is_empty();
    let empty = page.rows.is_empty();
    view! {
        <div class="title">
            <h1>"Audit log"</h1>
            {badge(verdict, verify)}
            <span class="grow"></span>
            <a class="btn" href="/api/v1/audit/export" rel="external" download="audit.jsonl"><Icon name="download" />"Export"</a>
        </div>
        <Panel title="What was done" note="the newest first" flush=true>
            <Filters filters=filters.clone() />
            {empty.then(|| view! { <p class="fine muted">{if filtered { "No row meets all of this." } else { "Nothing was done yet." }}</p> })}
            <ul class="audit">{page.rows.into_iter().map(row).collect_view()}</ul>
            {(first.is_some() || next.is_some()).then(|| view! {
                <p class="pager">
                    <span class="grow"></span>
                    {first.map(|href| view! { <a class="btn" href=href>"Newest"</a> })}
                    {next.map(|href| view! { <a class="btn" href=href rel="next">"Older"</a> })}
                </p>
            })}
        </Panel>
    }
}

/// Whether each row still holds the hash of the one before.
fn badge(verdict: Option<AuditVerdict>, verify: String) -> AnyView {
    match verdict {
        None => {
            view! { <a class="chip" href=verify title="The log is long: this takes a moment">"Check the chain"</a> }
                .into_any()
        }
        Some(AuditVerdict { broken: Some(reason), .. }) => {
            view! { <span class="badge critical"><Icon name="warn" />{format!("the chain is broken: {reason}")}</span> }
                .into_any()
        }
        Some(AuditVerdict { rows, .. }) => {
            let text = format!("the chain of {} holds", format::counted(rows, "row", "rows"));
            view! { <span class="badge good" title="Each row holds the hash of the one before"><Icon name="check" />{text}</span> }.into_any()
        }
    }
}

#[component]
fn Filters(filters: Vec<(String, String)>) -> impl IntoView {
    let value = |name: &str| filters.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).unwrap_or_default();
    let text = |name: &'static str, label: &'static str, hint: &'static str| {
        view! { <label>{label}<input name=name value=value(name) placeholder=hint maxlength="200" /></label> }
    };
    // A field of a form knows no offset.
    let moment = |name: &'static str, label: &'static str| {
        let value =
            Timestamp::parse_moment(&value(name)).map(|at| at.to_rfc3339().chars().take(16).collect::<String>());
        view! { <label>{label}<input type="datetime-local" name=name value=value /></label> }
    };
    let chosen = value("outcome");
    let outcomes = [("", "any"), ("ok", "ok"), ("refused", "refused"), ("failed", "failed")];
    let outcomes = outcomes.map(|(value, label)| {
        let selected = value == chosen;
        view! { <option value=value selected=selected>{label}</option> }
    });
    let actions = domain::audit::ACTIONS.iter().map(|&(name, words)| view! { <option value=name>{words}</option> });
    let clear = (!filters.is_empty()).then(|| view! { <a class="btn" href=PATH>"Clear"</a> });
    view! {
        <form class="toolbar audit-filters" method="get" action=PATH>
            {text("actor", "Who", "name")}
            <label>"Action"<input name="action" value=value("action") placeholder="session_sign_in" maxlength="200" list="audit-actions" /></label>
            <datalist id="audit-actions">{actions.collect_view()}</datalist>
            {text("object", "Object", "kind, id or kind/id")}
            <label>"Outcome"<select name="outcome">{outcomes.into_iter().collect_view()}</select></label>
            {moment("since", "From (UTC)")}
            {moment("until", "Before (UTC)")}
            <button class="btn primary">"Show"</button>
            {clear}
        </form>
    }
}

fn row(row: AuditEntry) -> AnyView {
    let class = match row.outcome.as_str() {
        "ok" => "badge good",
        "refused" => "badge warning",
        _ => "badge critical",
    };
    let who = if row.actor_id.is_empty() { row.actor_kind.clone() } else { row.actor_id.clone() };
    let object = if row.object_id.is_empty() {
        row.object_kind.clone()
    } else {
        format!("{} {}", row.object_kind, row.object_id)
    };
    // The name in the log is what one filters by, and what the API has.
    let words = domain::audit::words(&row.action).unwrap_or_else(|| row.action.clone());
    let json = |label: &'static str, value: Option<serde_json::Value>| {
        let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
        text.map(|text| view! { <div><h3>{label}</h3><pre tabindex="0">{text}</pre></div> })
    };
    let facts = [
        ("Row", Some(row.seq.to_string())),
        ("Who", Some(format!("{} {}", row.actor_kind, row.actor_id))),
        ("By way of", Some(row.source.clone())),
        ("From", row.address.clone()),
        ("Request", row.request_id.clone()),
        ("Hash", Some(row.hash.clone())),
    ];
    let facts =
        facts.into_iter().filter_map(|(name, value)| value.map(|value| view! { <dt>{name}</dt><dd>{value}</dd> }));
    let unchanged = row.before.is_none() && row.after.is_none();
    view! {
        <li>
            <details>
                <summary>
                    <time datetime=row.at.to_rfc3339()>{row.at.local()}</time>
                    <span>{who}</span>
                    <strong>{words}<small>{row.action.clone()}</small></strong>
                    <span class="muted">{object}</span>
                    <span class=class>{row.outcome.clone()}</span>
                </summary>
                <div class="audit-detail">
                    {json("Before", row.before)}
                    {json("After", row.after)}
                    {unchanged.then(|| view! { <p class="muted">"It tells of no change."</p> })}
                    <dl class="facts">{facts.collect_view()}</dl>
                </div>
            </details>
        </li>
    }
    .into_any()
}
