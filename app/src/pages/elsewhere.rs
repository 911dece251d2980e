//! A page that only the server renders: the browser loads it anew.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// Leaves for the address that the router came to.
#[component]
pub fn Elsewhere() -> impl IntoView {
    let location = use_location();
    Effect::new(move |_| {
        let search = location.search.get();
        let query = if search.is_empty() { String::new() } else { format!("?{}", search.trim_start_matches('?')) };
        let _ = window().location().set_href(&format!("{}{query}", location.pathname.get()));
    });
}
