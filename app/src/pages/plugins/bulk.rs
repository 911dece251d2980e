//! Many at once: first what would change, then the one button, then how it goes.

use super::super::tenant;
use super::{link, tenant_field};
use crate::{
    components::{Failed, FormOutcome, Icon, Panel, Skeleton},
    platform_fns::{Followed, MOST_CHOSEN, Previewed, load_bulk, load_preview},
};
use domain::{
    format,
    view::{BulkReport, PlannedChange, RefusedItem},
};
use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::{use_location, use_params_map};

/// What an operation would do.
#[component]
pub fn BulkPreviewPage() -> impl IntoView {
    let location = use_location();
    let data = Resource::new(move || location.search.get(), load_preview);
    view! {
        <Title text="Preview" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(previewed) => preview(previewed),
                    Err(error) => view! { <div class="title"><a class="back" href=tenant::within("/plugins")>"Plugins"</a><h1>"Preview"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

fn verb(operation: &str) -> &'static str {
    match operation {
        "install" => "Install",
        "enable" => "Enable",
        "disable" => "Disable",
        "upgrade" => "Upgrade",
        "tag" => "Tag",
        "delete" => "Remove",
        _ => "Change",
    }
}

fn plural<N>(number: N) -> String
where
    i64: TryFrom<N>,
{
    format::counted(number, "plugin", "plugins")
}

fn preview(data: Previewed) -> AnyView {
    let Previewed { whose, plan, operation, count, plugins, chosen, more, tags, key } = data;
    let title = format!("{} {}", verb(&operation), plural(count));
    let (back, mark) = (link(&whose, "/plugins"), tenant::mark(&whose, "/plugins"));
    let head = view! {
        <div class="title"><a class="back" href=back>"Plugins"</a><h1>{title}</h1>{mark}</div>
        <FormOutcome />
        {more.then(|| view! { <p class="banner attention c12"><Icon name="warn" /><span>{format!("More than {} match; these are the first of them. Do the rest afterwards, or by the API.", format::thousands(i64::from(MOST_CHOSEN)))}</span></p> })}
    };
    let asks_tags = (operation == "tag").then(|| {
        // All that match are named by their conditions: an address has no room for their ids.
        let chosen = chosen
            .into_iter()
            .map(|(name, value)| view! { <input type="hidden" name=name value=value /> }.into_any())
            .collect::<Vec<_>>();
        let (tenant, tags) = (tenant_field(&whose), tags.clone());
        let chosen = chosen.into_any();
        view! {
            <Panel title="Tags" note="words to add; with a minus in front, to remove">
                <form class="plan-for" method="get" action="/plugins/bulk">
                    {tenant}
                    <input type="hidden" name="operation" value="tag" />
                    {chosen}
                    <label for="tags">"Tags"</label>
                    <input id="tags" name="tags" value=tags placeholder="reviewed -legacy" required />
                    <button class="btn primary">"Show what changes"</button>
                </form>
            </Panel>
        }
    });
    let plan = match plan {
        Ok(plan) => plan,
        Err(message) => {
            let said = (!message.is_empty()).then(|| {
                let text = if count == 0 {
                    "No plugin was chosen: choose some in the list.".to_owned()
                } else {
                    format!("{}.", crate::server_fns::sentence(&message))
                };
                view! { <p class="banner attention c12" role="alert"><Icon name="warn" /><span>{text}</span></p> }
            });
            return view! { {head}{said}{asks_tags} }.into_any();
        }
    };
    let first = plan.changes.len();
    let note = if first < count { format!("the first {first} of {count}") } else { String::new() };
    let nothing = plan.done == 0;
    let run = if nothing {
        view! { <p class="muted">"Nothing would change, so there is nothing to do."</p> }.into_any()
    } else {
        form(&whose, &plan, &operation, &plugins, &tags, &key)
    };
    let (tiles, changes) = (tiles(&plan), changes(&plan.changes));
    view! {
        {head}
        {asks_tags}
        {tiles}
        <Panel title="What changes" span="c8" note=note flush=true>{changes}</Panel>
        <Panel title="Do it" span="c4">{run}</Panel>
    }
    .into_any()
}

fn tiles(plan: &BulkReport) -> impl IntoView + use<> {
    let tile = |name: &'static str, n: i64, detail: &'static str, bad: bool| {
        let class = if bad && n > 0 { "panel tile c3 attention" } else { "panel tile c3" };
        view! { <section class=class aria-label=name><span class="k">{name}</span><span class="v">{format::thousands(n)}</span><span class="d"><span>{detail}</span></span></section> }
    };
    view! {
        {tile("Will change", plan.done, "as shown below", false)}
        {tile("Stay as they are", plan.unchanged, "they are so already", false)}
        {tile("Refused", plan.refused, "each with its reason", true)}
        {tile("All", plan.total, "that were chosen", false)}
    }
}

fn changes(changes: &[PlannedChange]) -> impl IntoView + use<> {
    let rows = changes.iter().map(|change| {
        let level = match change.outcome.as_str() { "done" => "badge accent", "refused" => "badge attention", _ => "badge" };
        let word = match change.outcome.as_str() { "done" => "changes", other => other };
        let what = match change.outcome.as_str() {
            "done" => view! { <span class="muted">{change.before.clone()}</span><span class="to">" → "</span>{change.after.clone()} }.into_any(),
            "refused" => change.reason.clone().unwrap_or_default().into_any(),
            _ => view! { <span class="muted">{change.before.clone()}</span> }.into_any(),
        };
        view! { <tr><th scope="row">{change.name.clone()}</th><td><span class=level>{word.to_owned()}</span></td><td class="reason">{what}</td></tr> }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Changes table">
            <table><thead><tr><th scope="col">"Plugin"</th><th scope="col">"Outcome"</th><th scope="col">"Now and then"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
        </div>
    }
}

fn form(
    whose: &crate::platform_fns::Whose,
    plan: &BulkReport,
    operation: &str,
    plugins: &str,
    tags: &str,
    key: &str,
) -> AnyView {
    let danger = operation == "delete";
    let many = plan.total.to_string();
    let asks = danger.then(|| {
        let text = format!("To remove them with their versions and history, type the number of plugins, {many}");
        view! {
            <label>{text}<input name="confirm" inputmode="numeric" autocomplete="off" required /></label>
            <label>"Your password"<input name="password" type="password" autocomplete="current-password" required maxlength="256" /></label>
        }
    });
    let button = if danger { "btn danger" } else { "btn primary" };
    let label = format!("{} {}", verb(operation), plural(plan.done));
    let each = if plan.refused > 0 {
        "Item by item: those that are refused are left out"
    } else {
        "Item by item: one that fails is left out"
    };
    let whole = if plan.refused > 0 {
        "All or none: with the refused ones nothing is done"
    } else {
        "All or none: one that fails undoes all"
    };
    view! {
        <form class="stack" method="post" action="/plugins/bulk">
            {tenant_field(whose)}
            <input type="hidden" name="operation" value=operation.to_owned() />
            <input type="hidden" name="plugins" value=plugins.to_owned() />
            <input type="hidden" name="tags" value=tags.to_owned() />
            <input type="hidden" name="key" value=key.to_owned() />
            <label class="check"><input type="radio" name="mode" value="each" checked /><span>{each}</span></label>
            <label class="check"><input type="radio" name="mode" value="atomic" /><span>{whole}</span></label>
            {asks}
            <button class=button>{label}</button>
            <small class="muted">"Sending it twice does it once."</small>
        </form>
    }
    .into_any()
}

/// How an operation goes.
#[component]
pub fn BulkPage() -> impl IntoView {
    let params = use_params_map();
    let location = use_location();
    let key = Memo::new(move |_| params.with(|params| params.get("key")).unwrap_or_default());
    let data = Resource::new(move || (key.get(), location.search.get()), |(key, search)| load_bulk(key, search));
    view! {
        <Title text="Operation" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(followed) => follow(followed),
                    Err(error) => view! { <div class="title"><a class="back" href=tenant::within("/plugins")>"Plugins"</a><h1>"Operation"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

fn follow(data: Followed) -> AnyView {
    let Followed { whose, status } = data;
    let level = match status.state.as_str() {
        "done" => "badge good",
        "running" => "badge accent",
        "failed" => "badge critical",
        _ => "badge attention",
    };
    let title = status.report.as_ref().map_or_else(
        || format!("Operation on {}", plural(status.total)),
        |report| format!("{} {}", verb(&report.operation), plural(report.total)),
    );
    let running = status.state == "running";
    let message = status.message.clone().map(|text| {
        let class = if status.state == "failed" { "banner critical c12" } else { "banner attention c12" };
        view! { <p class=class role="alert"><Icon name="warn" /><span>{format!("{}.", crate::server_fns::sentence(&text))}</span></p> }
    });
    let refused = (status.state == "refused").then(|| view! { <p class="banner attention c12"><Icon name="warn" /><span>"All or none was asked for, and some must not be changed: nothing was done."</span></p> });
    let (through, total) = (status.processed.to_string(), status.total.to_string());
    let in_words = format!(
        "{} of {}",
        format::thousands(i64::try_from(status.processed).unwrap_or(0)),
        format::thousands(i64::try_from(status.total).unwrap_or(0))
    );
    let progress = view! {
        <Panel title="Progress">
            <div class="step now">
                <progress max=total value=through aria-label="Plugins that are through"></progress>
                <p class="num muted">{in_words}</p>
            </div>
        </Panel>
    };
    let report = status.report.as_ref().map(|report| {
        let facts = [
            ("Changed", report.done),
            ("Were so already", report.unchanged),
            ("Refused", report.refused),
            ("Failed", report.failed),
        ]
        .map(|(name, n)| view! { <dt>{name}</dt><dd>{format::thousands(n)}</dd> });
        let mode = if report.mode == "atomic" { "all or none" } else { "item by item" };
        let (facts, left_out) = (facts.collect_view(), problems(&whose, &report.problems));
        view! {
            <Panel title="Outcome" span="c4"><dl class="facts">{facts}<dt>"Mode"</dt><dd>{mode}</dd></dl></Panel>
            <Panel title="Left out" span="c8" flush=true>{left_out}</Panel>
        }
    });
    let back = link(&whose, "/plugins");
    // Also where its server has died: nobody need take it up then.
    let cancel = (running || status.state == "unattended").then(|| {
        let (tenant, key) = (tenant_field(&whose), status.key.clone());
        view! {
            <form method="post" action="/plugins/bulk/cancel">
                {tenant}
                <input type="hidden" name="key" value=key />
                <button class="btn danger">"Cancel"</button>
            </form>
        }
    });
    view! {
        <div class="title">
            <a class="back" href=back>"Plugins"</a>
            <h1>{title}</h1>
            <span class=level data-bulk-state=status.state.clone()>{status.state.clone()}</span>
            {tenant::mark(&whose, "/plugins")}
            {running.then(|| view! { <Meta http_equiv="refresh" content="1" /> })}
            <span class="grow"></span>
            {cancel}
        </div>
        {message}
        {refused}
        {progress}
        {report}
        <p class="muted c12">"Key "<code>{status.key.clone()}</code></p>
    }
    .into_any()
}

fn problems(whose: &crate::platform_fns::Whose, problems: &[RefusedItem]) -> AnyView {
    if problems.is_empty() {
        return view! { <p class="fine"><Icon name="check" />"None."</p> }.into_any();
    }
    let rows = problems.iter().map(|one| {
        let href = link(whose, &format!("/plugins/{}", one.id));
        let level = if one.outcome == "failed" { "badge critical" } else { "badge attention" };
        view! { <tr><td class="n"><a class="name" href=href>{one.id.clone()}</a></td><td><span class=level>{one.outcome.clone()}</span></td><td class="reason">{one.reason.clone()}</td></tr> }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Left out table">
            <table><thead><tr><th scope="col" class="n">"Plugin"</th><th scope="col">"Outcome"</th><th scope="col">"Why"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
        </div>
    }
    .into_any()
}
