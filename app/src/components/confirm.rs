//! Forms that destroy or replace: the typed name, the password again; and what came of a form.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// The two fields.
#[component]
pub fn Confirm(
    /// What is to be typed.
    #[prop(into)]
    name: String,
) -> impl IntoView {
    view! {
        <label><span>"Type "<code>{name}</code>" to confirm"</span><input name="confirm" required autocomplete="off" spellcheck="false" /></label>
        <label>"Your password"<input name="password" type="password" required autocomplete="current-password" maxlength="256" /></label>
    }
}

/// What the form that led here was told, from the address.
#[component]
pub fn FormOutcome() -> impl IntoView {
    let query = use_location().query;
    let value = move |name: &'static str| query.with(|query| query.get(name)).filter(|text| !text.is_empty());
    view! {
        {move || value("error").map(|error| view! { <p class="form-error c12" role="alert">{error}</p> })}
        {move || value("done").map(|done| view! { <p class="form-done c12" role="status">{done}</p> })}
    }
}
