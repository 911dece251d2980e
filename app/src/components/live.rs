//! Whether the page is live, and a way to keep it still.

use crate::live::Live;
use leptos::prelude::*;

/// `Live`, `Paused` or `Not live`.
#[component]
pub fn LiveBadge() -> impl IntoView {
    let live = Live::get();
    let state = move || match (live.connected.get(), live.paused.get()) {
        (_, true) => ("paused", "Paused"),
        (true, false) => ("good", "Live"),
        (false, false) => ("unknown", "Not live"),
    };
    view! {
        <button
            type="button"
            class="live js-only"
            title="Pause or resume live figures"
            aria-pressed=move || live.paused.get().to_string()
            on:click=move |_| live.paused.update(|paused| *paused = !*paused)
        >
            <i class=move || format!("dot {}", state().0)></i>
            <span>{move || state().1}</span>
        </button>
    }
}
