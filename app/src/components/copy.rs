//! A button that copies text. Without JavaScript the text beside it can be selected.

use super::Icon;
use leptos::prelude::*;

/// Copies `text` and says so.
#[component]
pub fn CopyButton(#[prop(into)] text: String, #[prop(default = "Copy")] label: &'static str) -> impl IntoView {
    let copied = RwSignal::new(false);
    let copy = move |_| {
        #[cfg(feature = "hydrate")]
        {
            let promise = window().navigator().clipboard().write_text(&text);
            let _ = promise;
            set_timeout(move || copied.set(false), std::time::Duration::from_secs(2));
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = &text;
        copied.set(true);
    };
    view! {
        <button type="button" class="copy" title=label aria-label=label on:click=copy>
            {move || if copied.get() { view! { <Icon name="check" /> }.into_any() } else { view! { <Icon name="copy" /> }.into_any() }}
            <span class="copied" role="status">{move || if copied.get() { "Copied" } else { "" }}</span>
        </button>
    }
}
