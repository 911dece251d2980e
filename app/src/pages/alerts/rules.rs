//! What is watched for: each rule with its settings, and a form to change and to try them.

use super::{class, hidden, moment};
use crate::{components::Panel, server_fns::AlertsData};
use domain::{
    alert::{Comparison, Level, RuleKind, RuleSettings, Severity},
    format,
    view::{RulePreview, RuleSource, RuleView},
};
use leptos::prelude::*;

#[component]
pub(super) fn Rules(data: AlertsData) -> impl IntoView {
    let AlertsData { rules, preview, draft, cluster, may_manage, .. } = data;
    let note = format!("in force for {cluster}");
    let rows = rules.into_iter().map(move |rule| {
        let tried = preview.clone().filter(|preview| preview.rule == rule.key);
        let draft = draft.clone().filter(|_| tried.is_some());
        view! { <Rule rule preview=tried draft cluster=cluster.clone() may_manage /> }
    });
    view! { <Panel title="Rules" note=note flush=true><ul class="rules">{rows.collect_view()}</ul></Panel> }
}

#[component]
fn Rule(
    rule: RuleView,
    preview: Option<RulePreview>,
    draft: Option<RuleSettings>,
    cluster: String,
    may_manage: bool,
) -> impl IntoView {
    let settings = rule.settings.clone();
    let levels = settings.levels.iter().map(|level| {
        let text = match rule.kind {
            RuleKind::Figure => format!(
                "{} {} {}",
                level.severity,
                rule.comparison.sign(),
                format::with_unit(level.threshold, &rule.unit)
            ),
            _ => level.severity.to_string(),
        };
        view! { <span class=format!("badge {}", class(level.severity))>{text}</span> }
    });
    let lasts = (settings.for_seconds > 0).then(|| view! { <span class="badge">{format!("for {}", format::with_unit(f64::from(settings.for_seconds), "s"))}</span> });
    let off = (!settings.enabled).then(|| view! { <span class="badge">"off"</span> });
    let source = match rule.source {
        RuleSource::Default => None,
        RuleSource::AllClusters => Some("set for all clusters".to_owned()),
        RuleSource::Group => Some(format!("set for the group {}", rule.group.as_deref().unwrap_or_default())),
        RuleSource::Cluster => Some("set here".to_owned()),
    };
    let open = if rule.open > 0 { format!("{} open; ", rule.open) } else { String::new() };
    let figures = match rule.fired {
        0 if rule.resolved == 0 => format!("{open}not raised in 7 days"),
        fired => {
            format!("{open}in 7 days {fired} raised, {} acknowledged, {} resolved", rule.acknowledged, rule.resolved)
        }
    };
    let is_open = preview.is_some();
    let form = (may_manage || is_open).then(|| view! { <Form rule=rule.clone() draft cluster preview may_manage /> });
    view! {
        <li class="rule" id=format!("rule-{}", rule.key)>
            <div class="head">
                <strong>{rule.title.clone()}</strong>{levels.collect_view()}{lasts}{off}
                {source.map(|source| view! { <span class="badge accent">{source}</span> })}
                <span class="muted grow">{figures}</span>
            </div>
            <p class="muted">{rule.about.clone()}</p>
            {form.map(|form| view! { <details open=is_open><summary class="muted">{if may_manage { "Change and try" } else { "Preview" }}<span class="sr">{format!(": {}", rule.title)}</span></summary>{form}</details> })}
        </li>
    }
}

#[component]
fn Form(
    rule: RuleView,
    draft: Option<RuleSettings>,
    cluster: String,
    preview: Option<RulePreview>,
    may_manage: bool,
) -> impl IntoView {
    let settings = draft.unwrap_or_else(|| rule.settings.clone());
    let level = |severity: Severity| settings.levels.iter().find(|level| level.severity == severity).copied();
    let sign = if rule.comparison == Comparison::Above { "above" } else { "below" };
    let unit = if rule.unit.is_empty() { String::new() } else { format!(" ({})", rule.unit) };
    let is_figure = rule.kind == RuleKind::Figure;
    let has_values = rule.kind != RuleKind::Notice;
    let single = settings.levels.first().map_or(Severity::Warning, |level| level.severity);
    let figure = |severity: Severity, name: &'static str, clear: &'static str, found: Option<Level>| {
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        view! {
            <label>{format!("{severity} {sign}{unit}")}<input name=name inputmode="decimal" value=number(found.map(|it| it.threshold)) /></label>
            <label>"over at"<input name=clear inputmode="decimal" value=number(found.map(|it| it.clear)) /></label>
        }
    };
    let source = rule.source;
    let reset_scope = match source {
        RuleSource::AllClusters => "all",
        RuleSource::Group => "group",
        RuleSource::Default | RuleSource::Cluster => "cluster",
    };
    let in_group =
        rule.group.clone().map(|group| view! { <option value="group">{format!("the group {group}")}</option> });
    let group = rule.group.clone().unwrap_or_default();
    let reset_group = group.clone();
    let key = rule.key.clone();
    let reset_cluster = cluster.clone();
    view! {
        <form class="fields" method="post" action="/alerts/rule">
            {hidden("rule", key.clone())}{hidden("cluster", cluster)}{hidden("group", group)}{hidden("tab", "rules")}
            <label class="check"><input type="checkbox" name="enabled" checked=settings.enabled />"on"</label>
            {if is_figure {
                view! {
                    {figure(Severity::Info, "info", "info_clear", level(Severity::Info))}
                    {figure(Severity::Warning, "warning", "warning_clear", level(Severity::Warning))}
                    {figure(Severity::Critical, "critical", "critical_clear", level(Severity::Critical))}
                }.into_any()
            } else {
                view! { <label>"severity"<select name="severity">{Severity::ALL.into_iter().map(|it| view! { <option value=it.as_str() selected=it == single>{it.as_str()}</option> }).collect_view()}</select></label> }.into_any()
            }}
            {(rule.kind != RuleKind::Notice).then(|| view! {
                <label>"raised after (s)"<input name="for_seconds" inputmode="numeric" value=settings.for_seconds.to_string() /></label>
                <label>"over after (s)"<input name="clear_for_seconds" inputmode="numeric" value=settings.clear_for_seconds.to_string() /></label>
            })}
            {may_manage.then(|| view! { <label>"for"<select name="scope"><option value="cluster">"this cluster"</option>{in_group}<option value="all">"all clusters"</option></select></label> })}
            <div class="buttons">
                {may_manage.then(|| view! { <button class="btn primary">"Set"</button> })}
                {has_values.then(|| view! { <button class="btn" formmethod="get" formaction="/alerts">"Preview on 7 days"</button> })}
            </div>
        </form>
        {(may_manage && source != RuleSource::Default).then(|| view! {
            <form method="post" action="/alerts/rule/reset">{hidden("rule", key)}{hidden("cluster", reset_cluster)}{hidden("group", reset_group)}{hidden("scope", reset_scope)}<button class="btn">"Take this setting back"</button></form>
        })}
        {preview.map(|preview| view! { <Preview preview /> })}
    }
}

#[component]
fn Preview(preview: RulePreview) -> impl IntoView {
    let text = match preview.unavailable {
        Some(reason) => reason,
        None => {
            let times = if preview.fired == 1 { "once".to_owned() } else { format!("{} times", preview.fired) };
            let longest = if preview.fired > 0 {
                format!(", at most for {}", format::duration_s(preview.longest_seconds))
            } else {
                String::new()
            };
            let now = if preview.open_now { " It would be open now." } else { "" };
            format!(
                "Would have been raised {times} in the last {} days{longest}.{now} Figures of {:.1} days are kept.",
                preview.days, preview.covered_days
            )
        }
    };
    let times = preview.times.into_iter().map(|it| {
        let to = it.to.map_or_else(|| "still open".to_owned(), |to| format::duration_s(to.seconds_since(it.from)));
        view! { <li>{moment(it.from)}<span class=format!("badge {}", class(it.severity))>{it.severity.as_str()}</span><span>{format!("{to} {}", it.object)}</span></li> }
    });
    view! { <div class="preview" role="status"><p><strong>{text}</strong></p><ul class="events">{times.collect_view()}</ul></div> }
}
