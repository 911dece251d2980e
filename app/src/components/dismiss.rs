//! Putting advice aside with a reason, for a time, and taking it back: forms that work without JavaScript.

use crate::live::Live;
use leptos::prelude::*;

/// The form of one piece of advice.
#[component]
pub fn Dismiss(
    /// Id of the cluster.
    cluster: String,
    /// The advice's own name.
    key: String,
    /// Where one comes back to.
    next: String,
    /// It is put aside: it can be taken back.
    #[prop(optional)]
    aside: bool,
) -> impl IntoView {
    let fields = view! {
        <input type="hidden" name="cluster" value=cluster />
        <input type="hidden" name="next" value=next />
        <input type="hidden" name="key" value=key />
    };
    if aside {
        return view! { <form method="post" action="/database/advice/restore">{fields}<button class="btn">"Take back"</button></form> }.into_any();
    }
    // New figures would take away what is being written: the page keeps still while the form is open.
    let (live, open) = (Live::get(), ArcRwSignal::new(false));
    let toggled = move |_| {
        open.update(|open| *open = !*open);
        live.paused.set(open.get_untracked());
    };
    view! {
        <details>
            <summary on:click=toggled>"Put aside"</summary>
            <form class="dismiss" method="post" action="/database/advice/dismiss">
                {fields}
                <label>"Why"<input name="reason" required maxlength="500" /></label>
                <label>"For"<select name="days"><option value="30">"30 days"</option><option value="90">"90 days"</option><option value="365">"a year"</option><option value="">"good"</option></select></label>
                <button class="btn">"Put aside"</button>
            </form>
        </details>
    }
    .into_any()
}
