//! Icons, drawn on a 16 px grid.

use leptos::prelude::*;

/// One icon by name; decoration only, so it is hidden from screen readers.
#[component]
pub fn Icon(name: &'static str) -> impl IntoView {
    let path = match name {
        "overview" => "M2 9l6-6 6 6v5H2z",
        "estate" => "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.2M5 11h.2",
        "queries" => "M3 4h10M3 8h7M3 12h4",
        "indexes" => "M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z",
        "activity" => "M1 8h3l2-5 3 10 2-5h4",
        "tables" => "M2 3h12v10H2zM2 6.5h12M6.5 6.5V13",
        "connections" => "M5 2v3M11 2v3M4 5h8v3a4 4 0 0 1-8 0zM8 12v2.5",
        "replication" => "M3 2.5h4v4H3zM9 9.5h4v4H9zM5 6.5v5h4",
        "maintenance" => "M10 2.5a3.5 3.5 0 0 0-3 5L2.5 12 4 13.5 8.5 9a3.5 3.5 0 0 0 5-3l-2 1.5L9 5.5z",
        "settings" => "M2 4.5h7M12 4.5h2M2 11.5h2M7 11.5h7M9 2.5v4M4.5 9.5v4",
        "cost" => "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 5v3l2 1.5",
        "alerts" => "M4 11V7a4 4 0 0 1 8 0v4l1.5 1.5h-11zM6.5 14.5h3",
        "backups" => "M3 5c0-1.7 10-1.7 10 0v6c0 1.7-10 1.7-10 0zM3 5c0 1.7 10 1.7 10 0M3 8c0 1.7 10 1.7 10 0",
        "recovery" => "M3 8a5 5 0 1 0 1.5-3.5L3 6M3 2.5V6h3.5M8 5.5V8l2 1.5",
        "plugins" => "M6 2v3M10 2v3M3.5 5h9v3.5a4.5 4.5 0 0 1-9 0zM8 13v2",
        "analytics" => "M2.5 13.5h11M4.5 11V8M8 11V3.5M11.5 11V6",
        "account" => "M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8zM2.5 14c.6-3 2.8-4.5 5.5-4.5s4.9 1.5 5.5 4.5",
        "menu" => "M2 4h12M2 8h12M2 12h12",
        "search" => "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM11 11l3.5 3.5",
        "sun" => {
            "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1"
        }
        "moon" => "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
        "auto" => "M2 3h12v8H2zM6 14h4M8 11v3",
        "copy" => "M5.5 5.5h8v8h-8zM3 10.5H2.5v-8h8V3",
        "check" => "M3 8.5l3.5 3.5L13 4.5",
        "warn" => "M8 2l6.5 12h-13zM8 6.5v3.5M8 12v.2",
        "cross" => "M4 4l8 8M12 4l-8 8",
        "lock" => "M4 7h8v7H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
        "out" => "M6 2H2.5v12H6M10 5l3 3-3 3M13 8H6",
        "download" => "M8 2v8M5 7l3 3 3-3M2.5 13.5h11",
        _ => "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
    };
    view! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d=path />
        </svg>
    }
}

/// The mark.
#[component]
pub fn Logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 22 22" aria-hidden="true">
            <rect width="22" height="22" rx="6" />
            <path d="M6.5 6v10M6.5 11h9M15.5 6v10" />
        </svg>
    }
}
