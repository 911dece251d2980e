//! An address that is none.

use crate::components::Logo;
use leptos::prelude::*;
use leptos_meta::Title;

/// What to do instead.
#[component]
pub fn NotFound() -> impl IntoView {
    view! {
        <Title text="Not found" />
        <main class="card-page">
            <div class="card">
                <Logo />
                <h1>"There is no such page"</h1>
                <p>"The address may be from another version of Holdfast, or mistyped."</p>
                <a class="btn primary" href="/database" rel="external">"To the overview"</a>
            </div>
        </main>
    }
}
