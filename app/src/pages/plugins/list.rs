//! The list: search, facets, table or cards, choosing many.

use super::super::tenant;
use super::{health, health_level, link, status, tenant_field, version};
use crate::{
    components::{Failed, FormOutcome, Icon, Missing, Panel, Skeleton},
    platform_fns::{Listed, PluginsData, load_plugins},
    scope::address,
    zone::Local as _,
};
use domain::{
    format,
    view::{FacetValue, Plugin},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;

/// All plugins of a tenant.
#[component]
pub fn PluginsPage() -> impl IntoView {
    let location = use_location();
    let data = Resource::new(move || location.search.get(), load_plugins);
    view! {
        <Title text="Plugins" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(PluginsData::Page(listed)) => loaded(*listed),
                    Ok(PluginsData::Choose(tenants, begins)) => tenant::choose("Plugins", "Choose a tenant: its plugins alone are shown.", "/plugins", tenants, begins),
                    Ok(PluginsData::Missing(reason, cure)) => {
                        let reason = crate::server_fns::sentence(&reason);
                        view! { <div class="title"><h1>"Plugins"</h1></div><Panel title="Not set up"><Missing reason=format!("{reason}.") cure /></Panel> }.into_any()
                    }
                    Err(error) => view! { <div class="title"><h1>"Plugins"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

/// The parameters of this page's address.
#[derive(Clone)]
struct Here(Vec<(String, String)>);

impl Here {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str()).filter(|value| !value.is_empty())
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|pair| pair.0 == name && pair.1 == value)
    }

    /// Without the cursor and without what a form told: another list begins at its beginning.
    fn kept(&self, keep: impl Fn(&str, &str) -> bool) -> Vec<(&str, String)> {
        self.0
            .iter()
            .filter(|(name, value)| {
                !value.is_empty() && !matches!(name.as_str(), "cursor" | "error" | "done") && keep(name, value)
            })
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect()
    }

    /// One value of a list switched on or off.
    fn toggled(&self, name: &str, value: &str) -> String {
        let mut pairs = self.kept(|n, v| n != name || v != value);
        if !self.has(name, value) {
            pairs.push((name, value.to_owned()));
        }
        address("/plugins", &pairs, None)
    }

    /// With one value, in place of any other.
    fn with(&self, name: &str, value: Option<&str>) -> String {
        let mut pairs = self.kept(|n, _| n != name);
        pairs.extend(value.map(|value| (name, value.to_owned())));
        address("/plugins", &pairs, None)
    }

    /// As hidden fields of a form.
    fn fields(&self, keep: impl Fn(&str) -> bool) -> Vec<AnyView> {
        self.kept(|name, _| keep(name))
            .into_iter()
            .map(|(name, value)| view! { <input type="hidden" name=name.to_owned() value=value /> }.into_any())
            .collect()
    }
}

const LISTS: [(&str, &str); 6] = [
    ("category", "Category"),
    ("status", "Status"),
    ("environment", "Environment"),
    ("owner", "Owner"),
    ("tag", "Tag"),
    ("keyword", "Keyword"),
];

fn loaded(listed: Listed) -> AnyView {
    let Listed { whose, page, facets, pairs, now } = listed;
    let here = Here(pairs);
    let cards = here.get("view") == Some("cards");
    let total = facets.total;
    let filtered = here.0.iter().any(|(name, _)| {
        LISTS.iter().any(|list| list.0 == name)
            || matches!(name.as_str(), "q" | "health_min" | "health_max" | "installed" | "enabled")
    });
    let found = format!("{} {}", format::thousands(total), if filtered { "found" } else { "plugins" });
    let values =
        [&facets.categories, &facets.statuses, &facets.environments, &facets.owners, &facets.tags, &facets.keywords];
    let menus = LISTS.iter().zip(values).map(|((name, label), values)| menu(&here, name, label, values)).collect_view();
    let message = page.message.clone().map(|text| {
        view! { <p class="banner"><Icon name="search" /><span>{format!("{}.", crate::server_fns::sentence(&text))}</span></p> }
    });
    let next = page.next_cursor.as_deref().map(|cursor| {
        let mut pairs = here.kept(|_, _| true);
        pairs.push(("cursor", cursor.to_owned()));
        address("/plugins", &pairs, None)
    });
    let first = here.get("cursor").map(|_| here.with("cursor", None));
    let shown = page.plugins.len();
    let rows = if shown == 0 {
        let clear = link(&whose, "/plugins");
        let why = if filtered { "No plugin meets all of this." } else { "This tenant has no plugins yet." };
        view! { <div class="missing"><p>{why}</p>{filtered.then(|| view! { <p><a class="link" href=clear>"Clear all conditions"</a></p> })}</div> }.into_any()
    } else if cards {
        let cards = page.plugins.iter().map(|plugin| card(plugin, link(&whose, &format!("/plugins/{}", plugin.id))));
        view! { <ul class="plugin-cards">{cards.collect_view()}</ul> }.into_any()
    } else {
        table(&here, &whose, &page.plugins, now)
    };
    let views = [("table", "Table", None), ("cards", "Cards", Some("cards"))].map(|(name, label, value)| {
        let current = (cards == (name == "cards")).then_some("true");
        view! { <a href=here.with("view", value) aria-current=current>{label}</a> }
    });
    let query = here.get("q").unwrap_or_default().to_owned();
    let searching = here.fields(|name| name != "q");
    let manage = (whose.may_manage && shown > 0 && !cards).then(|| choosing(&here, total));
    let pager = (first.is_some() || next.is_some()).then(|| {
        let first = first.map(|href| view! { <a class="btn" href=href>"First page"</a> });
        let next = next.map(|href| view! { <a class="btn" href=href rel="next">"Next page"</a> });
        view! { <p class="pager"><span class="muted">{format!("{shown} of {}", format::thousands(total))}</span><span class="grow"></span>{first}{next}</p> }
    });
    let (mark, field) = (tenant::mark(&whose, "/plugins"), tenant_field(&whose));
    let (by_health, by_state) = (health_menu(&here), state_menu(&here));
    let conditions = active(&here, &link(&whose, "/plugins"));
    view! {
        <div class="title">
            <h1>"Plugins"</h1>
            {mark}
            <span class="muted">{found}</span>
            <span class="grow"></span>
            <nav class="seg" aria-label="View">{views.collect_view()}</nav>
        </div>
        <FormOutcome />
        <Panel title="Catalogue" note="health is 0 to 100" flush=true>
            <div class="toolbar plugin-tools">
                <form class="search" role="search" method="get" action="/plugins">
                    <Icon name="search" />
                    <input type="search" name="q" value=query placeholder="Search plugins" aria-label="Search plugins" />
                    {searching}
                </form>
                {menus}
                {by_health}
                {by_state}
            </div>
            {conditions}
            {message}
            <form method="get" action="/plugins/bulk" id="choose">
                {field}
                {rows}
                {manage}
            </form>
            {pager}
        </Panel>
    }
    .into_any()
}

/// A facet: values with their counts; each is a link that switches it on or off.
fn menu(here: &Here, name: &'static str, label: &'static str, values: &[FacetValue]) -> impl IntoView + use<> {
    let chosen = here.0.iter().filter(|pair| pair.0 == name).count();
    let mark = (chosen > 0).then(|| view! { <small>{chosen}</small> });
    let lines = values.iter().map(|one| {
        let on = here.has(name, &one.value);
        view! {
            <li><a href=here.toggled(name, &one.value) aria-current=on.then_some("true")>
                <span class="grow">{one.value.clone()}</span><span class="num muted">{format::thousands(one.count)}</span>
            </a></li>
        }
    });
    let none = values.is_empty().then(|| view! { <li class="muted none">"none"</li> });
    view! {
        <details class="menu facet" name="facet">
            <summary class="chip" class:on={chosen > 0}>{label}{mark}</summary>
            <ul>{lines.collect_view()}{none}</ul>
        </details>
    }
}

fn health_menu(here: &Here) -> impl IntoView + use<> {
    let ranges = [
        ("Healthy, 90 and more", "90", ""),
        ("Attention, 70 to 89", "70", "89"),
        ("Poor, 50 to 69", "50", "69"),
        ("Critical, below 50", "", "49"),
    ];
    let (low, high) = (here.get("health_min").unwrap_or_default(), here.get("health_max").unwrap_or_default());
    let on = !low.is_empty() || !high.is_empty();
    let lines = ranges.map(|(label, min, max)| {
        let is = on && low == min && high == max;
        let mut pairs = here.kept(|name, _| name != "health_min" && name != "health_max");
        if !is {
            pairs.extend(
                [("health_min", min), ("health_max", max)]
                    .into_iter()
                    .filter(|it| !it.1.is_empty())
                    .map(|(name, value)| (name, value.to_owned())),
            );
        }
        let href = address("/plugins", &pairs, None);
        view! { <li><a href=href aria-current=is.then_some("true")>{label}</a></li> }
    });
    view! {
        <details class="menu facet" name="facet">
            <summary class="chip" class:on=on>"Health"</summary>
            <ul>{lines.collect_view()}</ul>
        </details>
    }
}

fn state_menu(here: &Here) -> impl IntoView + use<> {
    let choices = [
        ("Installed", "installed", "true"),
        ("Not installed", "installed", "false"),
        ("Enabled", "enabled", "true"),
        ("Disabled", "enabled", "false"),
    ];
    let on = here.get("installed").is_some() || here.get("enabled").is_some();
    let lines = choices.map(|(label, name, value)| {
        let is = here.has(name, value);
        let href = here.with(name, (!is).then_some(value));
        view! { <li><a href=href aria-current=is.then_some("true")>{label}</a></li> }
    });
    view! {
        <details class="menu facet" name="facet">
            <summary class="chip" class:on=on>"State"</summary>
            <ul>{lines.collect_view()}</ul>
        </details>
    }
}

/// What is conditioned, each with the way to undo it.
fn active(here: &Here, clear: &str) -> Option<impl IntoView + use<>> {
    let label = |name: &str| LISTS.iter().find(|list| list.0 == name).map(|list| list.1);
    let chips = here
        .0
        .iter()
        .filter(|pair| !pair.1.is_empty())
        .filter_map(|(name, value)| {
            let text = match name.as_str() {
                "q" => format!("“{value}”"),
                "health_min" => format!("Health from {value}"),
                "health_max" => format!("Health to {value}"),
                "installed" => (if value == "true" { "Installed" } else { "Not installed" }).to_owned(),
                "enabled" => (if value == "true" { "Enabled" } else { "Disabled" }).to_owned(),
                name => format!("{}: {value}", label(name)?),
            };
            let href = here.toggled(name, value);
            let undo = format!("Remove {text}");
            Some(view! { <a class="chip on" href=href aria-label=undo>{text}<Icon name="cross" /></a> }.into_any())
        })
        .collect::<Vec<_>>();
    let clear = clear.to_owned();
    (!chips.is_empty()).then(|| {
        view! { <p class="active-conditions">{chips}<a class="link" href=clear>"Clear"</a></p> }
    })
}

fn head(here: &Here, label: &'static str, up: Option<&str>, down: Option<&str>, number: bool) -> AnyView {
    let sort = here.get("sort").unwrap_or("-health").to_owned();
    let (is_up, is_down) = (up == Some(sort.as_str()), down == Some(sort.as_str()));
    let next = if is_down { up.or(down) } else { down.or(up) };
    let aria = if is_up { Some("ascending") } else { is_down.then_some("descending") };
    let arrow = if is_up {
        " ↑"
    } else if is_down {
        " ↓"
    } else {
        ""
    };
    let content = match next {
        Some(next) => view! { <a href=here.with("sort", Some(next))>{label}{arrow}</a> }.into_any(),
        None => label.into_any(),
    };
    view! { <th scope="col" class:n=number aria-sort=aria>{content}</th> }.into_any()
}

fn table(here: &Here, whose: &crate::platform_fns::Whose, plugins: &[Plugin], now: domain::Timestamp) -> AnyView {
    let pick = whose.may_manage;
    let rows = plugins.iter().map(|plugin| {
        let href = link(whose, &format!("/plugins/{}", plugin.id));
        let tags = plugin.tags.iter().take(3).map(|tag| view! { <span class="tag">{tag.clone()}</span> }).collect_view();
        let box_label = format!("Choose {}", plugin.display_name);
        let age = format::age_s(now.seconds_since(plugin.updated_at).max(0.0));
        let id = plugin.id.clone();
        view! {
            <tr>
                {pick.then(|| view! { <td class="pick"><input type="checkbox" name="plugin" value=id aria-label=box_label /></td> })}
                <td class="plugin"><a class="name" data-row href=href>{plugin.display_name.clone()}</a><span class="muted">{plugin.name.clone()}</span></td>
                <td>{plugin.category.clone()}</td>
                <td>{plugin.environment.clone()}</td>
                <td>{status(&plugin.status)}</td>
                <td class="n">{version(plugin)}</td>
                <td class="n">{health(plugin.health_score)}</td>
                <td>{plugin.owner.clone()}</td>
                <td class="tags">{tags}</td>
                <td class="n" title=plugin.updated_at.local()>{age}</td>
            </tr>
        }
    });
    let pick_head = pick.then(|| view! { <th scope="col" class="pick"><span class="sr">"Choose"</span></th> });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Plugins table">
            <table class="plugins">
                <thead><tr>
                    {pick_head}
                    {head(here, "Plugin", Some("name"), None, false)}
                    {head(here, "Category", None, None, false)}
                    {head(here, "Environment", None, None, false)}
                    {head(here, "Status", None, None, false)}
                    {head(here, "Version", None, None, true)}
                    {head(here, "Health", Some("health"), Some("-health"), true)}
                    {head(here, "Owner", None, None, false)}
                    {head(here, "Tags", None, None, false)}
                    {head(here, "Changed", None, Some("-updated"), true)}
                </tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn card(plugin: &Plugin, href: String) -> impl IntoView + use<> {
    let dot = format!("dot {}", health_level(plugin.health_score));
    view! {
        <li class="plugin-card">
            <p class="head"><i class=dot></i><a class="name" data-row href=href>{plugin.display_name.clone()}</a><span class="num muted">{plugin.health_score}</span></p>
            <p class="does">{plugin.description.clone()}</p>
            <p class="foot">{status(&plugin.status)}<span class="muted">{plugin.category.clone()}</span><span class="muted">{version(plugin)}</span><span class="muted">{plugin.owner.clone()}</span></p>
        </li>
    }
}

/// What can be done with the chosen ones: the next page shows what would change.
fn choosing(here: &Here, total: i64) -> impl IntoView + use<> {
    // The conditions come along for "all that match".
    let conditions = here.fields(|name| !matches!(name, "tenant" | "cluster" | "database" | "view" | "sort"));
    let operations = [
        ("enable", "Enable"),
        ("disable", "Disable"),
        ("install", "Install"),
        ("upgrade", "Upgrade"),
        ("tag", "Tag"),
        ("delete", "Remove"),
    ];
    let buttons =
        operations.map(|(name, label)| view! { <button class="btn" name="operation" value=name>{label}"…"</button> });
    view! {
        {conditions}
        <div class="toolbar choose-bar">
            <label class="check"><input type="checkbox" name="all" value="on" />{format!("All {} that match", format::thousands(total))}</label>
            <span class="muted">"or those chosen above:"</span>
            {buttons.collect_view()}
            <span class="muted note">"A preview comes first."</span>
        </div>
    }
}
