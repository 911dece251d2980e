//! The frame around every page: navigation, cluster, range, theme, account.

use super::{Failed, Icon, LiveBadge, Logo};
use crate::{
    AppError, keyboard,
    live::Live,
    scope::{self, Scope},
    server_fns::{FrameData, load_frame},
};
use domain::view::{ClusterState, ClusterSummary, Compare, Range};
use leptos::prelude::*;
use leptos_router::{components::Outlet, hooks::use_location};

/// Pages in the navigation: icon, label, address.
const NAV: [(&str, &str, &str); 12] = [
    ("overview", "Overview", "/database"),
    ("queries", "Queries", "/database/performance#queries"),
    ("indexes", "Indexes", "/database/performance#indexes"),
    ("activity", "Activity", "/database/activity"),
    ("lock", "Locks", "/database/locks"),
    ("tables", "Tables", "/database/tables"),
    ("connections", "Connections", "/database/connections"),
    ("replication", "Replication", "/database/replication"),
    ("maintenance", "Maintenance", "/database/maintenance"),
    ("settings", "Settings", "/database/settings"),
    ("cost", "Own cost", "/database/cost"),
    ("alerts", "Alerts", "/alerts"),
];

/// The platform's data.
const PLATFORM: [(&str, &str, &str); 2] =
    [("plugins", "Plugins", "/plugins"), ("analytics", "Analytics", "/analytics")];

/// Pages that protect.
const PROTECT: [(&str, &str, &str); 2] = [("backups", "Backups", "/backups"), ("recovery", "Recovery", "/recovery")];

/// Frame and page.
#[component]
pub fn Frame() -> impl IntoView {
    let scope = Scope::from_address();
    provide_context(scope);
    let live = Live::start(scope.cluster);
    provide_context(live);
    let help = RwSignal::new(false);
    keyboard::listen(help);
    let frame = Resource::new(move || live.sequence.get() + live.alerts.get(), |_| load_frame());
    view! {
        <a class="skip" href="#content">"Skip to the content"</a>
        <div class="frame">
            <Navigation frame />
            <header class="top">
                <button type="button" class="icon-button nav-button" popovertarget="nav" aria-label="Navigation"><Icon name="menu" /></button>
                <Transition fallback=|| view! { <span class="picker">"…"</span> }>
                    {move || Suspend::new(async move {
                        match frame.await {
                            Ok(data) => view! { <ClusterPicker data /> }.into_any(),
                            Err(_) => view! { <span class="picker">"no clusters"</span> }.into_any(),
                        }
                    })}
                </Transition>
                <span class="grow"></span>
                <LiveBadge />
                <button type="button" class="chip js-only palette-button" data-palette="" title="Go to"><Icon name="search" /><span class="sr">"Go to a page, server, statement or plugin"</span><kbd>"Ctrl K"</kbd></button>
                <RangePicker />
                <ThemePicker />
                <Transition fallback=|| ()>
                    {move || Suspend::new(async move { frame.await.ok().map(|data| view! { <AccountMenu data /> }) })}
                </Transition>
            </header>
            <main id="content" tabindex="-1">
                <Transition fallback=|| ()>
                    {move || Suspend::new(async move { frame.await.err().filter(|error| error.is_signed_out()).map(|error| view! { <Failed error /> }) })}
                </Transition>
                <Outlet />
            </main>
        </div>
        <Help shown=help />
    }
}

/// How many alerts are open, beside the entry of their page.
#[component]
fn AlertBadge(frame: Resource<Result<FrameData, AppError>>) -> impl IntoView {
    view! {
        <Transition fallback=|| ()>
            {move || Suspend::new(async move {
                let counts = frame.await.map(|data| data.alerts).unwrap_or_default();
                let number = counts.critical + counts.warning + counts.info;
                let class = if counts.critical > 0 { "badge critical" } else if counts.warning > 0 { "badge warning" } else { "badge" };
                (number > 0).then(|| view! { <span class=class>{number}<span class="sr">" open"</span></span> })
            })}
        </Transition>
    }
}

#[component]
fn Navigation(frame: Resource<Result<FrameData, AppError>>) -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    // The fragment is known in the browser only: until then Queries stands for the page.
    let hash = RwSignal::new(String::new());
    Effect::new(move |_| hash.set(location.hash.get()));
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| {
        location.pathname.track();
        location.hash.track();
        close_drawer();
    });
    let current = move |path: &'static str| {
        let here = location.pathname.get();
        let (page, fragment) = path.split_once('#').map_or((path, None), |(page, fragment)| (page, Some(fragment)));
        let same = here == page
            || (path.ends_with("#queries") && here.starts_with("/database/queries/"))
            || (path == "/plugins" && here.starts_with("/plugins/"))
            || (path == "/backups" && here.starts_with("/backups/"))
            || (path == "/recovery" && (here.starts_with("/recovery/") || here.starts_with("/jobs/")));
        let tab = match fragment {
            Some("indexes") => hash.get() == "#indexes",
            Some(_) => hash.get() != "#indexes",
            None => true,
        };
        (same && tab).then_some("page")
    };
    view! {
        <nav id="nav" class="nav" popover="auto" aria-label="Pages">
            <a class="brand" href=move || scope.link("/database")><Logo />"Holdfast"</a>
            <p class="group estate">"Performance"</p>
            {NAV.into_iter().map(|(icon, label, path)| view! {
                <a class="page estate" href=move || scope.link(path) aria-current=move || current(path)><Icon name=icon />{label}{(icon == "alerts").then(|| view! { <AlertBadge frame /> })}</a>
            }).collect_view()}
            <p class="group estate">"Protect"</p>
            {PROTECT.into_iter().map(|(icon, label, path)| view! {
                <a class="page estate" rel="external" href=move || scope.link(path) aria-current=move || current(path)><Icon name=icon />{label}</a>
            }).collect_view()}
            <p class="group">"Platform"</p>
            {PLATFORM.into_iter().map(|(icon, label, path)| view! {
                <a class="page" rel="external" href=path aria-current=move || current(path)><Icon name=icon />{label}</a>
            }).collect_view()}
            <p class="foot"><a href="/api/docs" rel="external">"API"</a><span class="js-only">"Press "<kbd>"?"</kbd>" for keys"</span></p>
        </nav>
    }
}

#[cfg(feature = "hydrate")]
fn close_drawer() {
    use wasm_bindgen::JsCast as _;
    let Some(nav) = document().get_element_by_id("nav") else { return };
    let hide = js_sys::Reflect::get(&nav, &"hidePopover".into()).ok();
    if let Some(hide) = hide.as_ref().and_then(|hide| hide.dyn_ref::<js_sys::Function>()) {
        // It throws when nothing is open.
        let _ = hide.call0(&nav);
    }
}

fn dot(cluster: &ClusterSummary) -> &'static str {
    match cluster.state {
        ClusterState::Up => "good",
        ClusterState::Connecting => "unknown",
        ClusterState::Unreachable { .. } | ClusterState::Refused { .. } => "critical",
    }
}

#[component]
fn ClusterLine(cluster: ClusterSummary) -> impl IntoView {
    let role = cluster.role.map(|role| role.as_str().to_uppercase());
    view! {
        <i class=format!("dot {}", dot(&cluster))></i>
        <span>{cluster.name.clone()}</span>
        {role.map(|role| view! { <span class="role">{role}</span> })}
        <span class="muted opt">{cluster.server_version.clone()}</span>
        <span class="sr">{cluster.state.as_str()}</span>
    }
}

#[component]
fn ClusterPicker(data: FrameData) -> impl IntoView {
    let scope = Scope::get();
    let chosen = scope.cluster.get_untracked();
    let here = data.clusters.iter().find(|cluster| chosen.as_ref().is_none_or(|id| *id == cluster.id)).cloned();
    let Some(here) = here else {
        return view! { <span class="picker">"no such cluster"</span> }.into_any();
    };
    let (id, open) = (here.id.clone(), RwSignal::new(false));
    let lines = data.clusters.into_iter().map(move |cluster| {
        let current = (cluster.id == id).then_some("true");
        let href = scope::with_param("cluster", Some(cluster.id.clone()));
        view! { <li><a href=href aria-current=current on:click=move |_| open.set(false)><ClusterLine cluster /></a></li> }
    });
    view! {
        <details class="menu" prop:open=move || open.get()>
            <summary class="picker" on:click=move |event| { event.prevent_default(); open.update(|open| *open = !*open); }><span class="sr">"Cluster "</span><ClusterLine cluster=here /></summary>
            <ul>{lines.collect_view()}</ul>
        </details>
    }
    .into_any()
}

#[component]
fn RangePicker() -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    let hash = RwSignal::new(String::new());
    Effect::new(move |_| hash.set(location.hash.get()));
    let ranges = Range::ALL.into_iter().map(|range| {
        let value = (range != Range::default()).then(|| range.to_string());
        let address = scope::with_param("range", value);
        let current = move || (scope.range.get() == range).then_some("true");
        view! { <a href=move || format!("{}{}", address.get(), hash.get()) aria-current=current title=range.phrase()>{range.label()}</a> }
    });
    let open = RwSignal::new(false);
    let earlier = Compare::ALL.into_iter().map(|compare| {
        let value = (compare != Compare::Off).then(|| compare.to_string());
        let address = scope::with_param("compare", value);
        let current = move || (scope.compare.get() == compare).then_some("true");
        view! { <li><a href=move || format!("{}{}", address.get(), hash.get()) aria-current=current on:click=move |_| open.set(false)>{compare.label()}</a></li> }
    });
    view! {
        <nav class="seg range" aria-label="Time range">{ranges.collect_view()}</nav>
        <details class="menu right compare" prop:open=move || open.get()>
            <summary class="chip" class:on=move || scope.compare.get() != Compare::Off title="Compare with" on:click=move |event| { event.prevent_default(); open.update(|open| *open = !*open); }><span class="sr">"Compare with: "</span>"vs "{move || scope.compare.get().label()}</summary>
            <ul>{earlier.collect_view()}</ul>
        </details>
    }
}

#[component]
fn ThemePicker() -> impl IntoView {
    let choices = [("light", "sun", "Light"), ("dark", "moon", "Dark"), ("system", "auto", "As the system")];
    let buttons = choices.into_iter().map(|(theme, icon, label)| {
        view! { <button name="theme" value=theme title=label aria-label=label on:click=move |event| choose(&event, theme)><Icon name=icon /></button> }
    });
    view! { <form class="seg theme" method="post" action="/theme" aria-label="Theme">{buttons.collect_view()}</form> }
}

/// Where JavaScript runs the page need not be loaded again.
fn choose(event: &leptos::ev::MouseEvent, theme: &'static str) {
    #[cfg(feature = "hydrate")]
    {
        use wasm_bindgen::JsCast as _;
        event.prevent_default();
        let Some(root) = document().document_element() else { return };
        let _ = if theme == "system" {
            root.remove_attribute("data-theme")
        } else {
            root.set_attribute("data-theme", theme)
        };
        let cookie = format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Lax");
        let _ = js_sys::Reflect::set(document().unchecked_ref(), &"cookie".into(), &cookie.into());
    }
    #[cfg(not(feature = "hydrate"))]
    let _ = (event, theme);
}

#[component]
fn AccountMenu(data: FrameData) -> impl IntoView {
    let initial = data.me.name.chars().take(2).collect::<String>().to_uppercase();
    view! {
        <details class="menu right">
            <summary class="avatar" title="Account">{initial}<span class="sr">", account"</span></summary>
            <ul>
                <li class="who"><strong>{data.me.name.clone()}</strong><span class="role">{data.me.role.to_string()}</span></li>
                <li><a href="/account"><Icon name="account" />"Account"</a></li>
                <li><form method="post" action="/logout"><button class="plain"><Icon name="out" />"Sign out"</button></form></li>
            </ul>
        </details>
    }
}

#[component]
fn Help(shown: RwSignal<bool>) -> impl IntoView {
    let keys = [
        ("Ctrl K", "go to a page, server, statement or plugin"),
        ("/", "search"),
        ("j k", "walk through rows"),
        ("Enter", "open the row"),
        ("?", "this list"),
    ];
    view! {
        <Show when=move || shown.get()>
            <div class="help" role="dialog" aria-modal="true" aria-label="Keys">
                <div class="panel">
                    <header><h2>"Keys"</h2><span class="aside"><button type="button" class="icon-button" aria-label="Close" on:click=move |_| shown.set(false)><Icon name="cross" /></button></span></header>
                    <dl class="body facts">
                        {keyboard::PAGES.into_iter().map(|(key, _, label)| view! { <dt><kbd>"g"</kbd>" "<kbd>{key}</kbd></dt><dd>{label}</dd> }).collect_view()}
                        {keys.into_iter().map(|(key, what)| view! { <dt><kbd>{key}</kbd></dt><dd>{what}</dd> }).collect_view()}
                    </dl>
                </div>
            </div>
        </Show>
    }
}
