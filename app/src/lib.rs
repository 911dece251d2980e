//! The pages, rendered on the server and hydrated in the browser. They hold no rules: every figure comes from a
//! server function, every decision from `control`.

#[cfg(feature = "ssr")]
mod advice_fns;
#[cfg(feature = "ssr")]
mod analytics_fns;
mod chart;
mod columns;
mod components;
mod error;
#[cfg(feature = "ssr")]
mod estate_fns;
#[cfg(feature = "ssr")]
mod index_fns;
#[cfg(feature = "ssr")]
mod keyboard;
mod live;
#[cfg(feature = "ssr")]
mod moment_fns;
mod pages;
mod panels;
#[cfg(feature = "ssr")]
mod platform_fns;
#[cfg(feature = "ssr")]
mod recovery_fns;
mod scope;
mod server_fns;
mod sql;
#[cfg(feature = "ssr")]
mod statement_fns;
mod zone;

#[cfg(feature = "ssr")]
pub use columns::read as read_hidden;
pub use error::AppError;
#[cfg(feature = "ssr")]
pub use platform_fns::{read_ids, read_tags};

use components::Frame;
use leptos::{config::LeptosOptions, prelude::*};
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{ParentRoute, Route, Router, Routes},
    path,
};
use panels::PanelsPage;

/// Where the files lie: `/assets/<hash>`.
#[derive(Clone, Debug)]
pub struct AssetBase(pub String);

/// The document around the app; only the server renders it.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let base = use_context::<AssetBase>().map(|AssetBase(base)| base).unwrap_or_default();
    let theme = scope::theme();
    let choices = format!("{base}/choices.js");
    let range = format!("{base}/range.js");
    let columns = format!("{base}/columns.js");
    let charts = format!("{base}/charts.js");
    let copy = format!("{base}/copy.js");
    let palette = format!("{base}/palette.js");
    let keys = format!("{base}/keys.js");
    let own = scripts_of_page().iter().map(|name| format!("{base}/{name}")).collect::<Vec<_>>();
    let own = own.into_iter().map(|src| view! { <script type="module" src=src></script> }).collect_view();
    let icon = format!("{base}/favicon.svg");
    let style = format!("{base}/main.css");
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme data-assets=base data-tenant=tenant() data-zone=zone::name() data-zone-choice=zone::chosen() data-hide=columns::hidden()>
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <link rel="icon" href=icon type="image/svg+xml" />
                <link rel="stylesheet" href=style />
                // Before the first paint and before hydration: both write times.
                <script src=choices></script>
                <script type="module" src=charts></script>
                <script type="module" src=range></script>
                <script type="module" src=columns></script>
                <script type="module" src=copy></script>
                <script type="module" src=palette></script>
                <script type="module" src=keys></script>
                {own}
                {(!is_server_only()).then(|| view! { <HydrationScripts options /> })}
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// Pages that are whole as the server renders them: forms, links, and a reload while a job runs. They cost the browser
/// no code; see docs/adr/0038-pages-of-the-server-alone.md.
#[cfg(feature = "ssr")]
pub(crate) fn is_server_only() -> bool {
    let uri = use_context::<http::request::Parts>().map(|parts| parts.uri).unwrap_or_default();
    let path = uri.path();
    [
        "/login",
        "/setup",
        "/account",
        "/backups",
        "/recovery",
        "/jobs",
        "/plugins",
        "/analytics",
        "/database/advice",
        "/database/score",
        "/database/index",
        "/estate",
        "/audit",
        "/start",
    ]
    .iter()
    .any(|prefix| path.starts_with(prefix))
        || path.starts_with("/database/queries/") && path.ends_with("/plan")
        || path.starts_with("/database/queries/") && pages::statement_tab::of(asked(&uri, "tab")).is_some()
        || path == "/database/activity" && asked(&uri, "at").is_some()
}

/// A parameter of the address that is there and not empty.
#[cfg(feature = "ssr")]
fn asked(uri: &http::Uri, name: &str) -> Option<String> {
    let found = server_fns::form(uri.query().unwrap_or_default()).into_iter().find(|pair| pair.0 == name);
    found.map(|pair| pair.1).filter(|value| !value.is_empty())
}

/// A parameter of the page that is being rendered.
#[cfg(feature = "ssr")]
pub(crate) fn asked_for(name: &str) -> Option<String> {
    use_context::<http::request::Parts>().and_then(|parts| asked(&parts.uri, name))
}

/// Plain scripts that this page alone has.
#[cfg(feature = "ssr")]
fn scripts_of_page() -> &'static [&'static str] {
    let path = use_context::<http::request::Parts>().map(|parts| parts.uri.path().to_owned()).unwrap_or_default();
    match path.as_str() {
        "/estate" => &["estate.js"],
        "/recovery" => &["timebar.js"],
        "/recovery/plans" => &["job.js"],
        path if path.starts_with("/jobs/") => &["job.js"],
        _ => &[],
    }
}

/// The shell is the server's.
#[cfg(not(feature = "ssr"))]
const fn scripts_of_page() -> &'static [&'static str] {
    &[]
}

/// The tenant that the reader belongs to: the frame leads them to their own pages only.
#[cfg(feature = "ssr")]
fn tenant() -> Option<String> {
    let parts = use_context::<http::request::Parts>()?;
    let tenant = parts.extensions.get::<control::Actor>()?.identity.as_ref()?.tenant?;
    Some(tenant.to_string())
}

/// The shell is the server's.
#[cfg(not(feature = "ssr"))]
const fn tenant() -> Option<String> {
    None
}

/// The shell is the server's.
#[cfg(not(feature = "ssr"))]
pub(crate) const fn is_server_only() -> bool {
    false
}

/// All pages.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title: String| if title.is_empty() { "Holdfast".to_owned() } else { format!("{title} · Holdfast") } />
        <Router>
            <Routes fallback=pages::NotFound>
                <Route path=path!("/login") view=pages::Login ssr=SsrMode::Async />
                <Route path=path!("/setup") view=pages::Setup ssr=SsrMode::Async />
                <ParentRoute path=path!("") view=Frame ssr=SsrMode::Async>
                    <Route path=path!("/audit") view=pages::Audit ssr=SsrMode::Async />
                    <Route path=path!("/start") view=pages::Start ssr=SsrMode::Async />
                    <Route path=path!("/estate") view=pages::Estate ssr=SsrMode::Async />
                    <Route path=path!("/database") view=pages::Overview ssr=SsrMode::Async />
                    <Route path=path!("/database/performance") view=pages::Performance ssr=SsrMode::Async />
                    <Route path=path!("/database/queries/:id") view=pages::QueryPage ssr=SsrMode::Async />
                    <Route path=path!("/database/queries/:id/plan") view=pages::QueryPlan ssr=SsrMode::Async />
                    <Route path=path!("/database/score") view=pages::Score ssr=SsrMode::Async />
                    <Route path=path!("/database/advice") view=pages::Advice ssr=SsrMode::Async />
                    <Route path=path!("/database/index") view=pages::IndexPage ssr=SsrMode::Async />
                    <Route path=path!("/database/activity") view=pages::Activity ssr=SsrMode::Async />
                    <Route path=path!("/database/connections") view=|| view! { <PanelsPage name="connections" title="Connections" /> } ssr=SsrMode::Async />
                    <Route path=path!("/database/tables") view=|| view! { <PanelsPage name="tables" title="Tables" /> } ssr=SsrMode::Async />
                    <Route path=path!("/database/replication") view=|| view! { <PanelsPage name="replication" title="Replication" /> } ssr=SsrMode::Async />
                    <Route path=path!("/database/settings") view=|| view! { <PanelsPage name="settings" title="Settings" /> } ssr=SsrMode::Async />
                    <Route path=path!("/database/maintenance") view=|| view! { <PanelsPage name="maintenance" title="Maintenance" /> } ssr=SsrMode::Async />
                    <Route path=path!("/database/cost") view=|| view! { <PanelsPage name="cost" title="Own cost" /> } ssr=SsrMode::Async />
                    <Route path=path!("/database/locks") view=pages::Locks ssr=SsrMode::Async />
                    <Route path=path!("/alerts") view=pages::Alerts ssr=SsrMode::Async />
                    <Route path=path!("/backups") view=pages::Backups ssr=SsrMode::Async />
                    <Route path=path!("/backups/retention") view=pages::RetentionPage ssr=SsrMode::Async />
                    <Route path=path!("/backups/:id") view=pages::BackupPage ssr=SsrMode::Async />
                    <Route path=path!("/recovery") view=pages::Recovery ssr=SsrMode::Async />
                    <Route path=path!("/recovery/restore") view=pages::RestorePage ssr=SsrMode::Async />
                    <Route path=path!("/recovery/plans") view=pages::Plans ssr=SsrMode::Async />
                    <Route path=path!("/jobs") view=pages::JobsPage ssr=SsrMode::Async />
                    <Route path=path!("/jobs/:id") view=pages::JobPage ssr=SsrMode::Async />
                    <Route path=path!("/plugins") view=pages::PluginsPage ssr=SsrMode::Async />
                    <Route path=path!("/plugins/bulk") view=pages::BulkPreviewPage ssr=SsrMode::Async />
                    <Route path=path!("/plugins/bulk/:key") view=pages::BulkPage ssr=SsrMode::Async />
                    <Route path=path!("/plugins/:id") view=pages::PluginPage ssr=SsrMode::Async />
                    <Route path=path!("/analytics") view=pages::AnalyticsPage ssr=SsrMode::Async />
                    <Route path=path!("/account") view=pages::Account ssr=SsrMode::Async />
                </ParentRoute>
            </Routes>
        </Router>
    }
}
