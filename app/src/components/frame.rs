//! The frame around every page: navigation, cluster, range, theme, account.

use super::{Failed, Icon, LiveBadge, Logo};
use crate::{
    AppError,
    live::Live,
    scope::{self, Scope},
    server_fns::{FrameData, load_frame},
    zone::{self, Local as _},
};
use domain::{
    Permission,
    view::{ClusterState, ClusterSummary, Compare, Range},
};
use leptos::prelude::*;
use leptos_router::{
    components::Outlet,
    hooks::{use_location, use_query_map},
};

/// All clusters beside each other.
const ESTATE: [(&str, &str, &str); 1] = [("estate", "Estate", "/estate")];

/// Pages on one cluster in the navigation: icon, label, address.
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
    let picking = RwSignal::new(false);
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
                            Ok(data) => view! { <ClusterPicker data open=picking /> }.into_any(),
                            Err(_) => view! { <span class="picker">"no clusters"</span> }.into_any(),
                        }
                    })}
                </Transition>
                <span class="grow"></span>
                // Nothing on a page of the server alone comes anew by itself: there is nothing to pause.
                {(!crate::is_server_only()).then(|| view! { <LiveBadge /> })}
                <button type="button" class="chip js-only palette-button" data-palette="" title="Go to"><Icon name="search" /><span class="sr">"Go to a page, server, statement or plugin"</span><kbd>"Ctrl K"</kbd></button>
                <RangePicker />
                <Choices />
                <Transition fallback=|| ()>
                    {move || Suspend::new(async move { frame.await.ok().map(|data| view! { <AccountMenu data /> }) })}
                </Transition>
            </header>
            <main id="content" tabindex="-1">
                <Transition fallback=|| ()>
                    {move || Suspend::new(async move {
                        match frame.await {
                            Ok(data) => view! { <Lost clusters=data.clusters /> }.into_any(),
                            Err(error) if error.is_signed_out() => view! { <Failed error /> }.into_any(),
                            Err(_) => ().into_any(),
                        }
                    })}
                </Transition>
                <Outlet />
            </main>
        </div>
        <dialog id="keys" class="help" aria-label="Keys" inner_html=keys()></dialog>
    }
}

/// Over every page of a server that is not reached: what is below is the last that was known.
#[component]
fn Lost(clusters: Vec<ClusterSummary>) -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    move || {
        let chosen = scope.cluster.get();
        let here = clusters.iter().find(|cluster| chosen.as_ref().is_none_or(|id| *id == cluster.id))?;
        let (what, reason, since) = match &here.state {
            ClusterState::Unreachable { reason, since } => ("does not answer", reason, since),
            ClusterState::Refused { reason, since } => ("refuses us", reason, since),
            ClusterState::Up | ClusterState::Connecting => return None,
        };
        location.pathname.get().starts_with("/database").then(|| view! {
            <p class="banner critical c12" role="alert"><Icon name="warn" /><span><strong>{format!("{} {what} since {}. ", here.name, since.local())}</strong>{reason.clone()}". Figures below are the last ones known; it is tried again by itself."</span></p>
        })
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
            || (path.ends_with("#indexes") && here == "/database/index")
            || (path == "/plugins" && here.starts_with("/plugins/"))
            || (path == "/backups" && here.starts_with("/backups/"))
            || (path == "/recovery" && (here.starts_with("/recovery/") || here.starts_with("/jobs")));
        let tab = match fragment {
            Some("indexes") => hash.get() == "#indexes" || here == "/database/index",
            Some(_) => hash.get() != "#indexes",
            None => true,
        };
        (same && tab).then_some("page")
    };
    // Pages of the server alone.
    let elsewhere = move |(icon, label, path): (&'static str, &'static str, &'static str)| {
        view! { <a class="page estate" rel="external" href=move || scope.link(path) aria-current=move || current(path)><Icon name=icon />{label}</a> }
    };
    view! {
        <nav id="nav" class="nav" popover="auto" aria-label="Pages">
            <a class="brand" href=move || scope.link("/database")><Logo />"Holdfast"</a>
            {ESTATE.into_iter().map(elsewhere).collect_view()}
            <p class="group estate">"Performance"</p>
            {NAV.into_iter().map(|(icon, label, path)| view! {
                <a class="page estate" href=move || scope.link(path) aria-current=move || current(path)><Icon name=icon />{label}{(icon == "alerts").then(|| view! { <AlertBadge frame /> })}</a>
            }).collect_view()}
            <p class="group estate">"Protect"</p>
            {PROTECT.into_iter().map(elsewhere).collect_view()}
            <p class="group">"Platform"</p>
            // Their ranges are their own; the way back leads to the server that was looked at.
            {PLATFORM.into_iter().map(|(icon, label, path)| view! {
                <a class="page" rel="external" href=move || scope::address(path, &scope.place(), None) aria-current=move || current(path)><Icon name=icon />{label}</a>
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
fn ClusterPicker(
    data: FrameData,
    /// Its list is open. It is the frame's: the list stays open when the figures come anew.
    open: RwSignal<bool>,
) -> impl IntoView {
    let scope = Scope::get();
    let chosen = scope.cluster.get_untracked();
    let here = data.clusters.iter().find(|cluster| chosen.as_ref().is_none_or(|id| *id == cluster.id)).cloned();
    let Some(here) = here else {
        return view! { <span class="picker">"no such cluster"</span> }.into_any();
    };
    let id = here.id.clone();
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

/// Whether a page's figures follow the range, and whether they are set beside an earlier time.
fn follows(path: &str, table: bool) -> (bool, bool) {
    match path.strip_prefix("/database").unwrap_or("-").trim_end_matches('/') {
        "" | "/performance" | "/activity" | "/connections" | "/replication" | "/maintenance" | "/cost" => (true, true),
        "/index" => (true, false),
        // The growth of one table; the list is of now.
        "/tables" => (table, false),
        path => {
            let statement = path.starts_with("/queries/") && !path.ends_with("/plan");
            (statement, statement)
        }
    }
}

#[component]
fn RangePicker() -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    let query = use_query_map();
    let shown = Memo::new(move |_| {
        let table = query.with(|query| query.get("table")).is_some_and(|table| !table.is_empty());
        follows(&location.pathname.get(), table)
    });
    let hash = RwSignal::new(String::new());
    Effect::new(move |_| hash.set(location.hash.get()));
    let ranges = Range::ALL.into_iter().map(|range| {
        let value = (range != Range::default()).then(|| range.to_string());
        let address = scope::with_param("range", value);
        let current = move || (scope.range.get() == range).then_some("true");
        view! { <a href=move || format!("{}{}", address(), hash.get()) aria-current=current title=range.phrase()>{range.label()}</a> }
    });
    let open = RwSignal::new(false);
    let earlier = Compare::ALL.into_iter().map(|compare| {
        let value = (compare != Compare::Off).then(|| compare.to_string());
        let address = scope::with_param("compare", value);
        let current = move || (scope.compare.get() == compare).then_some("true");
        view! { <li><a href=move || format!("{}{}", address(), hash.get()) aria-current=current on:click=move |_| open.set(false)>{compare.label()}</a></li> }
    });
    view! {
        <nav class="seg range" aria-label="Time range" hidden=move || !shown.get().0>{ranges.collect_view()}</nav>
        <CustomRange shown=Signal::derive(move || shown.get().0) hash />
        <details class="menu right compare" hidden=move || !shown.get().1 prop:open=move || open.get()>
            <summary class="chip" class:on=move || scope.compare.get() != Compare::Off title="Compare with" on:click=move |event| { event.prevent_default(); open.update(|open| *open = !*open); }><span class="sr">"Compare with: "</span>"vs "{move || scope.compare.get().label()}</summary>
            <ul>{earlier.collect_view()}</ul>
        </details>
    }
}

/// Two moments: a form that works without JavaScript, in UTC then; `range.js` makes it the reader's zone. Dragging on a
/// chart sets the same.
#[component]
fn CustomRange(shown: Signal<bool>, hash: RwSignal<String>) -> impl IntoView {
    let scope = Scope::get();
    let moments = move || match scope.range.get() {
        Range::Between { from, to } => Some((from, to)),
        _ => None,
    };
    let live = move || {
        let value = Some(scope.live.get()).filter(|live| *live != Range::default()).map(|live| live.to_string());
        let address = scope::with_param("range", value);
        view! { <a class="chip live-again" href=move || format!("{}{}", address(), hash.get()) title=move || format!("To the {}", scope.live.get().phrase())>"Back to live"</a> }
    };
    view! {
        <details class="menu right custom" hidden=move || !shown.get()>
            <summary class="chip" class:on=move || moments().is_some() title="From one moment to another">{move || moments().map_or_else(|| "Custom".to_owned(), |(from, to)| zone::short(from, to))}</summary>
            <form class="custom-range" method="get" inner_html=range_form(scope)></form>
        </details>
        {move || (shown.get() && moments().is_some()).then(live)}
    }
}

/// The fields of [`CustomRange`], as the address has them. Where JavaScript runs it fills them in, so that the browser's
/// half leaves them as they are.
#[cfg(feature = "ssr")]
fn range_form(scope: Scope) -> String {
    let moments = match scope.range.get_untracked() {
        Range::Between { from, to } => Some((from, to)),
        _ => None,
    };
    let field = |name: &'static str, label: &'static str, at: Option<domain::Timestamp>| {
        let value = at.map(|at| at.to_rfc3339().chars().take(16).collect::<String>());
        view! { <label>{label}<input type="datetime-local" name=name required value=value /></label> }
    };
    let pairs = use_query_map().with_untracked(|query| {
        query.latest_values().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
    });
    let kept = pairs.into_iter().filter(|(name, _)| !matches!(name.as_str(), "from" | "to" | "cursor"));
    let hidden = kept.map(|(name, value)| view! { <input type="hidden" name=name value=value /> }).collect_view();
    view! {
        {field("from", "From", moments.map(|it| it.0))}
        {field("to", "To", moments.map(|it| it.1))}
        {hidden}
        <p class="muted">"Times in "<span class="js-only">{zone::name()}</span><span class="no-js">"UTC"</span>". "<span class="js-only">"A drag over a chart does the same."</span></p>
        <button class="btn primary">"Show"</button>
    }
    .to_html()
}

/// Whose clock times are written by, and the theme; both kept in cookies. The server writes them, `choices.js` answers a
/// click without a form being sent, and the browser's half leaves them as they are.
#[component]
fn Choices() -> impl IntoView {
    view! {
        <details class="menu right zone" inner_html=zone_choices()></details>
        <form class="seg theme" method="post" action="/theme" aria-label="Theme" inner_html=theme_choices()></form>
    }
}

#[cfg(feature = "ssr")]
fn zone_choices() -> String {
    let choices = [
        ("browser", "Browser", "This browser's time zone"),
        ("utc", "UTC", "Coordinated universal time"),
        ("server", "Server", "The time zone of the machine that Holdfast runs on"),
    ];
    let chosen = zone::chosen();
    let label = choices.iter().find(|one| one.0 == chosen).map_or("UTC", |one| one.1);
    let lines = choices.into_iter().map(|(value, label, title)| {
        let class = if value == "browser" { "plain js-only" } else { "plain" };
        let pressed = (value == chosen).then_some("true");
        view! { <li><button class=class name="zone" value=value title=title aria-current=pressed>{label}</button></li> }
    });
    view! {
        <summary class="chip" title=format!("Times in {}", zone::name())><span class="sr">"Time zone: "</span>{label}</summary>
        <form method="post" action="/zone"><ul>{lines.collect_view()}</ul></form>
    }
    .to_html()
}

#[cfg(feature = "ssr")]
fn theme_choices() -> String {
    let choices = [("light", "sun", "Light"), ("dark", "moon", "Dark"), ("system", "auto", "As the system")];
    let buttons = choices.into_iter().map(|(theme, icon, label)| {
        view! { <button name="theme" value=theme title=label aria-label=label><Icon name=icon /></button> }
    });
    // Where the screen is wide it is a choice; in between the style sheet makes it, and on a phone it is a drawer.
    let names = view! { <button type="button" class="js-only nav-narrow" title="Navigation as icons" aria-label="Navigation as icons"><Icon name="menu" /></button> };
    view! { {buttons.collect_view()}{names} }.to_html()
}

/// The list of keys.
#[cfg(feature = "ssr")]
fn keys() -> String {
    use crate::keyboard::{PAGES, is_of_tenants};
    let keys = [
        ("Ctrl K", "go to a page, server, statement or plugin"),
        ("/", "search"),
        ("j k", "walk through rows"),
        ("Enter", "open the row"),
        ("Esc", "close a menu"),
        ("?", "this list"),
    ];
    let pages = PAGES.into_iter().map(|(key, path, label)| {
        let own = is_of_tenants(path).then_some("");
        view! { <dt data-key=key data-go=path data-own=own><kbd>"g"</kbd>" "<kbd>{key}</kbd></dt><dd>{label}</dd> }
    });
    view! {
        <div class="panel">
            <header><h2>"Keys"</h2><form class="aside" method="dialog"><button class="icon-button" aria-label="Close"><Icon name="cross" /></button></form></header>
            <dl class="body facts">
                {pages.collect_view()}
                {keys.into_iter().map(|(key, what)| view! { <dt><kbd>{key}</kbd></dt><dd>{what}</dd> }).collect_view()}
            </dl>
        </div>
    }
    .to_html()
}

// What the server wrote stays: the frame is never made anew in the browser.
#[cfg(not(feature = "ssr"))]
const fn range_form(_: Scope) -> String {
    String::new()
}
#[cfg(not(feature = "ssr"))]
const fn zone_choices() -> String {
    String::new()
}
#[cfg(not(feature = "ssr"))]
const fn theme_choices() -> String {
    String::new()
}
#[cfg(not(feature = "ssr"))]
const fn keys() -> String {
    String::new()
}

#[component]
fn AccountMenu(data: FrameData) -> impl IntoView {
    let audit = data.me.permissions.contains(&Permission::AuditRead);
    let initial = data.me.name.chars().take(2).collect::<String>().to_uppercase();
    view! {
        <details class="menu right">
            <summary class="avatar" title="Account">{initial}<span class="sr">", account"</span></summary>
            <ul>
                <li class="who"><strong>{data.me.name.clone()}</strong><span class="role">{data.me.role.to_string()}</span></li>
                <li><a href="/account"><Icon name="account" />"Account"</a></li>
                {audit.then(|| view! { <li><a href="/audit" rel="external"><Icon name="queries" />"Audit log"</a></li> })}
                <li><form method="post" action="/logout"><button class="plain"><Icon name="out" />"Sign out"</button></form></li>
            </ul>
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::follows;

    #[test]
    fn pickers_stand_where_they_change_something() {
        for path in ["/database", "/database/performance", "/database/queries/1.2.3", "/database/cost"] {
            assert_eq!(follows(path, false), (true, true), "{path}");
        }
        for path in
            ["/plugins", "/recovery", "/backups", "/analytics", "/alerts", "/account", "/jobs", "/jobs/1", "/estate"]
        {
            assert_eq!(follows(path, false), (false, false), "{path}");
        }
        for path in ["/database/settings", "/database/locks", "/database/advice", "/database/queries/1.2.3/plan"] {
            assert_eq!(follows(path, false), (false, false), "{path}");
        }
        assert_eq!(follows("/database/tables", false), (false, false));
        assert_eq!(follows("/database/tables", true), (true, false));
        assert_eq!(follows("/database/index", false), (true, false));
    }
}
