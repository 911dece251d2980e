//! A button that copies text: `copy.js` does it. Without JavaScript the text beside it can be selected.

use super::Icon;
use leptos::prelude::*;

/// Copies `text` and says so.
#[component]
pub fn CopyButton(#[prop(into)] text: String, #[prop(default = "Copy")] label: &'static str) -> impl IntoView {
    view! {
        <button type="button" class="copy js-only" title=label aria-label=label data-text=text>
            <Icon name="copy" />
            <Icon name="check" />
            <span class="copied" role="status"></span>
        </button>
    }
}
