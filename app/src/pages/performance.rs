//! `/database/performance` with its sections `#queries` and `#indexes`.
//!
//! The server never sees a fragment, so both sections are in the HTML. Before hydration (and without JavaScript) the
//! style sheet shows the one that the address names, by `:target`; after it, `data-tab` decides: the router changes
//! the address by `pushState`, which moves no `:target`.

use super::{indexes::Indexes, queries::Queries};
use crate::scope::Scope;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;

/// Both sections.
#[component]
pub fn Performance() -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    let tab = RwSignal::new(None::<&'static str>);
    Effect::new(move |_| tab.set(Some(if location.hash.get() == "#indexes" { "indexes" } else { "queries" })));
    let search = move || location.search.get();
    let link = move |hash: &'static str| move || format!("?{}#{hash}", search());
    let current = move |name: &'static str| move || (tab.get() == Some(name)).then_some("true");
    view! {
        <Title text="Performance" />
        <div class="title"><h1>"Performance"</h1><span class="muted">{move || scope.phrase()}</span></div>
        <div class="tabbed c12" data-tab=move || tab.get()>
            <nav class="tabs" aria-label="Sections">
                <a href=link("queries") data-for="queries" aria-current=current("queries")>"Queries"</a>
                <a href=link("indexes") data-for="indexes" aria-current=current("indexes")>"Indexes"</a>
            </nav>
            <section id="queries" class="tab grid12" aria-label="Queries"><Queries /></section>
            <section id="indexes" class="tab grid12" aria-label="Indexes"><Indexes /></section>
        </div>
    }
}
