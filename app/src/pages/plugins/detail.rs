//! One plugin: what it is, how it is, its versions, what it needs, what was done with it.

use super::super::tenant;
use super::{graph, health, health_level, link, status, tenant_field};
use crate::{
    components::{Failed, FormOutcome, Icon, Panel, Skeleton},
    platform_fns::{Detailed, Whose, load_plugin},
    zone::Local as _,
};
use domain::{
    Timestamp, format,
    view::{ChangePlan, ChangeStep, DependencyGraph, MetricSummary, OperationRow, Plugin, VersionRow},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_location, use_params_map};

/// One plugin.
#[component]
pub fn PluginPage() -> impl IntoView {
    let params = use_params_map();
    let location = use_location();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).unwrap_or_default());
    let data = Resource::new(move || (id.get(), location.search.get()), |(id, search)| load_plugin(id, search));
    view! {
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(detailed) => loaded(detailed),
                    Err(error) => view! { <Title text="Plugin" /><div class="title"><a class="back" href=tenant::within("/plugins")>"Plugins"</a><h1>"Plugin"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

fn loaded(data: Detailed) -> AnyView {
    let Detailed { whose, details, dependencies, operations, next_cursor, reverse, range, key, now } = data;
    let plugin = details.plugin;
    let name = plugin.display_name.clone();
    let here = format!("/plugins/{}", plugin.id);
    let newest = details.versions.iter().find(|version| !version.yanked).map(|version| version.version.clone());
    let steps = planned(&dependencies.plan).len();
    let buttons = whose.may_manage.then(|| actions(&whose, &plugin, newest.as_deref(), steps));
    let shown = if reverse { &dependencies.needed_by } else { &dependencies.needs };
    let sides = [("Needs", None, !reverse), ("Needed by", Some("needed-by"), reverse)].map(|(label, value, on)| {
        let path = value.map_or_else(|| here.clone(), |value| format!("{here}?graph={value}"));
        let href = format!("{}#panel-dependencies", link(&whose, &path));
        view! { <a href=href aria-current=on.then_some("true")>{label}</a> }
    });
    let others = |graph: &DependencyGraph| graph.nodes.len().saturating_sub(1);
    let note = format!("needs {}, needed by {}", others(&dependencies.needs), others(&dependencies.needed_by));
    let aside = view! { <nav class="seg" aria-label="Direction">{sides.collect_view()}</nav> }.into_any();
    let mark = tenant::mark(&whose, "/plugins");
    let said = about(&whose, &plugin, now);
    let condition = condition(&plugin);
    let metrics = metrics(&details.metrics);
    let dependency_view = dependency_view(&whose, shown, reverse);
    let plan = plan(&whose, &here, &dependencies.plan, &range, &key);
    let versions = versions(&details.versions, &plugin, now);
    let history = history(&whose, &here, &operations, next_cursor.as_deref(), now);
    view! {
        <Title text=name.clone() />
        <div class="title">
            <a class="back" href=link(&whose, "/plugins")>"Plugins"</a>
            <h1>{name}</h1>
            {status(&plugin.status)}
            <span class="badge">{plugin.environment.clone()}</span>
            {mark}
            <span class="grow"></span>
            {buttons}
        </div>
        <FormOutcome />
        <Panel title="About" span="c5">{said}</Panel>
        <Panel title="Health" span="c3" note="0 to 100">{condition}</Panel>
        <Panel title="Metrics" span="c4" note="the last 24 hours" flush=true>{metrics}</Panel>
        <Panel title="Dependencies" note=note aside=aside>{dependency_view}</Panel>
        <Panel title="Plan" span="c5" note="install, or upgrade to the newest that fits">{plan}</Panel>
        <Panel title="Versions" span="c7" flush=true>{versions}</Panel>
        <Panel title="Operations" flush=true>{history}</Panel>
    }
    .into_any()
}

/// What can be done now; each leads to the preview of what would change.
fn actions(whose: &Whose, plugin: &Plugin, newest: Option<&str>, steps: usize) -> impl IntoView + use<> {
    let mut offered = Vec::new();
    // Alone it would be refused for what it needs: the plan has all of it.
    let by_plan = (!plugin.installed && steps > 1)
        .then(|| view! { <a class="btn primary" href="#panel-plan">{format!("Install by {steps} steps…")}</a> });
    if !plugin.installed {
        if by_plan.is_none() {
            offered.push(("install", "Install…", true));
        }
    } else {
        if newest.is_some() && newest != plugin.installed_version.as_deref() {
            offered.push(("upgrade", "Upgrade…", true));
        }
        offered.push(if plugin.enabled { ("disable", "Disable…", false) } else { ("enable", "Enable…", true) });
    }
    offered.push(("tag", "Tag…", false));
    offered.push(("delete", "Remove…", false));
    let id = plugin.id.clone();
    let buttons = offered.into_iter().map(|(name, label, primary)| {
        let class = if primary { "btn primary" } else { "btn" };
        view! { <button class=class name="operation" value=name>{label}</button> }
    });
    view! {
        <form class="actions inline" method="get" action="/plugins/bulk">
            {tenant_field(whose)}
            <input type="hidden" name="plugin" value=id />
            {by_plan}
            {buttons.collect_view()}
        </form>
    }
}

fn about(whose: &Whose, plugin: &Plugin, now: Timestamp) -> impl IntoView + use<> {
    let age = |at: Timestamp| format!("{} ago", format::age_s(now.seconds_since(at).max(0.0)));
    let chips = |name: &'static str, values: &[String]| {
        values
            .iter()
            .map(|value| {
                let href = link(whose, &format!("/plugins?{name}={}", crate::scope::encode(value)));
                view! { <a class="tag" href=href>{value.clone()}</a> }
            })
            .collect_view()
    };
    let version = plugin.installed_version.clone().unwrap_or_else(|| "—".to_owned());
    let state = match (plugin.installed, plugin.enabled) {
        (true, true) => "installed and enabled",
        (true, false) => "installed, disabled",
        _ => "not installed",
    };
    view! {
        <p class="lead">{plugin.description.clone()}</p>
        <dl class="facts">
            <dt>"Name"</dt><dd><code>{plugin.name.clone()}</code></dd>
            <dt>"State"</dt><dd>{state}</dd>
            <dt>"Version"</dt><dd>{version}</dd>
            <dt>"Category"</dt><dd>{plugin.category.clone()}</dd>
            <dt>"Owner"</dt><dd>{plugin.owner.clone()}</dd>
            <dt>"Keywords"</dt><dd>{chips("keyword", &plugin.keywords)}</dd>
            <dt>"Tags"</dt><dd>{chips("tag", &plugin.tags)}</dd>
            <dt>"Came"</dt><dd title=plugin.created_at.local()>{age(plugin.created_at)}</dd>
            <dt>"Changed"</dt><dd title=plugin.updated_at.local()>{age(plugin.updated_at)}</dd>
        </dl>
    }
}

fn condition(plugin: &Plugin) -> impl IntoView + use<> {
    let level = health_level(plugin.health_score);
    let word = match level {
        "good" => "healthy",
        "attention" => "needs attention",
        "warning" => "poor",
        _ => "critical",
    };
    view! {
        <p class="health-figure"><span class=format!("figure {level}")>{plugin.health_score}</span><span class=format!("badge {level}")>{word}</span></p>
        {health(plugin.health_score)}
        <dl class="facts">
            <dt title="Of one processor">"Processor"</dt><dd>{format!("{:.1} %", plugin.cpu_percent)}</dd>
            <dt title="Resident">"Memory"</dt><dd>{format::bytes(plugin.memory_bytes as f64)}</dd>
        </dl>
    }
}

fn metrics(metrics: &[MetricSummary]) -> AnyView {
    if metrics.is_empty() {
        return view! { <p class="fine muted">"Nothing was measured in the last 24 hours."</p> }.into_any();
    }
    let rows = metrics.iter().map(|metric| {
        view! {
            <tr><th scope="row"><code>{metric.name.clone()}</code></th><td class="n">{figure(metric.last)}</td><td class="n">{figure(metric.mean)}</td><td class="n">{figure(metric.max)}</td><td class="n">{format::thousands(metric.samples)}</td></tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Metrics table">
            <table><thead><tr><th scope="col">"Metric"</th><th scope="col" class="n">"Newest"</th><th scope="col" class="n">"Mean"</th><th scope="col" class="n">"Largest"</th><th scope="col" class="n">"Values"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
        </div>
    }
    .into_any()
}

fn figure(value: f64) -> String {
    if value.abs() < 1_000.0 { format!("{value:.1}") } else { format::count(value) }
}

fn dependency_view(whose: &Whose, shown: &DependencyGraph, reverse: bool) -> AnyView {
    let circles = shown.cycles.iter().map(|names| {
        let text = format!("A circle: {}.", names.join(" needs "));
        view! { <p class="banner attention"><Icon name="warn" /><span>{text}</span></p> }
    });
    let missing = shown.missing.iter().map(|text| {
        view! { <p class="banner critical"><Icon name="warn" /><span>{format!("{text}.")}</span></p> }
    });
    if shown.nodes.len() <= 1 {
        let text = if reverse { "No plugin needs it." } else { "It needs no other plugin." };
        return view! { {missing.collect_view()}<p class="fine"><Icon name="check" />{text}</p> }.into_any();
    }
    let rows = shown.nodes.iter().skip(1).map(|node| {
        let href = link(whose, &format!("/plugins/{}", node.id));
        let needs = node.needs.iter().map(|need| format!("{} {}", need.name.as_deref().unwrap_or("?"), need.range)).collect::<Vec<_>>().join(", ");
        view! { <tr><td><a class="name" href=href>{node.name.clone()}</a></td><td class="n">{node.depth}</td><td class="n">{node.version.clone().unwrap_or_else(|| "—".to_owned())}</td><td>{if node.installed { "installed" } else { "not installed" }}</td><td class="reason muted">{needs}</td></tr> }
    });
    view! {
        {circles.collect_view()}
        {missing.collect_view()}
        {graph::picture(shown, reverse, |id| link(whose, &format!("/plugins/{id}")))}
        <details class="numbers">
            <summary>"As a list"</summary>
            <div class="scroll" tabindex="0" role="region" aria-label="Dependencies table">
                <table><thead><tr><th scope="col">"Plugin"</th><th scope="col" class="n">"Steps"</th><th scope="col" class="n">"Version"</th><th scope="col">"State"</th><th scope="col">"Needs"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
            </div>
        </details>
    }
    .into_any()
}

/// The steps of a plan that change something.
fn planned(plan: &ChangePlan) -> Vec<&ChangeStep> {
    plan.steps.iter().filter(|step| plan.possible && step.action != "keep").collect()
}

/// One button for all steps: exactly the versions of the plan, in one operation, all or none.
fn carry_out(whose: &Whose, plan: &ChangePlan, key: &str) -> Option<AnyView> {
    let steps = planned(plan);
    if steps.is_empty() || !whose.may_manage {
        return None;
    }
    let list = |of: fn(&ChangeStep) -> &str| steps.iter().map(|step| of(step)).collect::<Vec<_>>().join(",");
    let (plugins, versions) = (list(|step| step.id.as_str()), list(|step| step.to.as_str()));
    let label = if steps.len() == 1 { "Do this step".to_owned() } else { format!("Do these {} steps", steps.len()) };
    let view = view! {
        <form class="stack" method="post" action="/plugins/bulk">
            {tenant_field(whose)}
            <input type="hidden" name="operation" value="install" />
            <input type="hidden" name="mode" value="atomic" />
            <input type="hidden" name="plugins" value=plugins />
            <input type="hidden" name="versions" value=versions />
            <input type="hidden" name="key" value=key.to_owned() />
            <div><button class="btn primary">{label}</button></div>
            <small class="muted">"All or none, and exactly these versions, also where there are newer ones."</small>
        </form>
    };
    Some(view.into_any())
}

fn plan(whose: &Whose, here: &str, plan: &ChangePlan, range: &str, key: &str) -> impl IntoView + use<> {
    let button = carry_out(whose, plan, key);
    let steps = plan.steps.iter().filter(|step| step.action != "keep").map(|step| {
        let from = step.from.as_ref().map_or_else(String::new, |from| format!("{from} → "));
        let href = link(whose, &format!("/plugins/{}", step.id));
        let level = if step.action == "install" { "badge accent" } else { "badge" };
        view! { <li><span class=level>{step.action.clone()}</span><a class="name" href=href>{step.name.clone()}</a><span class="num">{format!("{from}{}", step.to)}</span></li> }
    }).collect_view();
    let kept = plan.steps.iter().filter(|step| step.action == "keep").count();
    let nothing = plan.possible && plan.steps.len() == kept;
    let reasons = plan.explanation.iter().map(|line| view! { <li>{line.clone()}</li> }).collect_view();
    let kept =
        (kept > 0 && !nothing).then(|| view! { <p class="muted">{format!("{kept} more stay as they are.")}</p> });
    let range = range.to_owned();
    view! {
        {(!plan.possible).then(|| view! { <p class="banner attention"><Icon name="warn" /><span>"There is no set of versions that fits:"</span></p> })}
        {nothing.then(|| view! { <p class="fine"><Icon name="check" />"Nothing is to be done: it is installed at the newest version that fits."</p> })}
        <ol class="install-steps">{steps}</ol>
        {kept}
        {button}
        <ul class="plain-list">{reasons}</ul>
        <form class="plan-for" method="get" action=here.to_owned()>
            {tenant_field(whose)}
            <label for="plan-range">"For versions"</label>
            <input id="plan-range" name="for" value=range placeholder="any, or ^2.1" />
            <button class="btn">"Plan"</button>
        </form>
    }
}

fn versions(versions: &[VersionRow], plugin: &Plugin, now: Timestamp) -> AnyView {
    if versions.is_empty() {
        return view! { <p class="fine muted">"No version was released yet, so it cannot be installed."</p> }
            .into_any();
    }
    let rows = versions.iter().map(|version| {
        let installed = (plugin.installed_version.as_deref() == Some(version.version.as_str())).then(|| view! { <span class="badge good">"installed"</span> });
        let yanked = version.yanked.then(|| view! { <span class="badge critical">"taken back"</span> });
        let age = format!("{} ago", format::age_s(now.seconds_since(version.released_at).max(0.0)));
        view! { <tr><th scope="row" class="num">{version.version.clone()}</th><td>{installed}{yanked}</td><td class="n" title=version.released_at.local()>{age}</td><td class="reason">{version.changelog.clone()}</td></tr> }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Versions table">
            <table><thead><tr><th scope="col">"Version"</th><th scope="col"><span class="sr">"State"</span></th><th scope="col" class="n">"Released"</th><th scope="col">"What is new"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
        </div>
    }
    .into_any()
}

fn history(whose: &Whose, here: &str, rows: &[OperationRow], next: Option<&str>, now: Timestamp) -> AnyView {
    if rows.is_empty() {
        return view! { <p class="fine muted">"Nothing was done with it yet."</p> }.into_any();
    }
    let lines = rows.iter().map(|row| {
        let level = match row.status.as_str() { "succeeded" => "badge good", "failed" => "badge critical", _ => "badge accent" };
        let age = format!("{} ago", format::age_s(now.seconds_since(row.started_at).max(0.0)));
        let took = row.duration_ms.map_or_else(|| "—".to_owned(), |ms| format::duration_ms(ms as f64));
        view! {
            <tr><td class="n" title=row.started_at.local()>{age}</td><td>{row.operation.clone()}</td><td><span class=level>{row.status.clone()}</span></td><td>{row.environment.clone()}</td><td>{row.started_by.clone()}</td><td class="n">{took}</td><td class="reason">{row.error.clone()}</td></tr>
        }
    });
    let older = next.map(|cursor| {
        let href = link(whose, &format!("{here}?cursor={cursor}"));
        view! { <p class="pager"><span class="grow"></span><a class="btn" href=href rel="next">"Older"</a></p> }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Operations table">
            <table><thead><tr><th scope="col" class="n">"When"</th><th scope="col">"What"</th><th scope="col">"Outcome"</th><th scope="col">"Environment"</th><th scope="col">"By"</th><th scope="col" class="n">"Took"</th><th scope="col">"Error"</th></tr></thead><tbody>{lines.collect_view()}</tbody></table>
        </div>
        {older}
    }
    .into_any()
}
