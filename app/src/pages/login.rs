//! Signing in, and the first administrator. Plain forms: they work without JavaScript, and the server answers them.

use super::alerts::sentence;
use crate::components::Logo;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// One card.
#[component]
pub fn Login() -> impl IntoView {
    let query = use_query_map();
    let value = move |name: &'static str| query.with(|query| query.get(name)).unwrap_or_default();
    let error = move || Some(value("error")).filter(|error| !error.is_empty());
    let signed_out = move || value("done") == "signed_out" && error().is_none();
    view! {
        <Title text="Sign in" />
        <main class="card-page">
            <form class="card" method="post" action="/login">
                <Logo />
                <h1>"Sign in to Holdfast"</h1>
                {move || error().map(|error| view! { <p class="form-error" role="alert" id="form-error">{sentence(&error)}</p> })}
                {move || signed_out().then(|| view! { <p class="form-done" role="status">"You are signed out."</p> })}
                <label>"Name"<input name="name" autocomplete="username" required autofocus value=move || value("name") aria-describedby="form-error" /></label>
                <label>"Password"<input name="password" type="password" autocomplete="current-password" required maxlength="256" /></label>
                <input type="hidden" name="next" value=move || value("next") />
                <button class="btn primary">"Sign in"</button>
                <p class="muted">"No account yet? An administrator makes one, or "<code>"holdfast user add"</code>" on the host."</p>
            </form>
        </main>
    }
}

/// The page behind the one-time link.
#[component]
pub fn Setup() -> impl IntoView {
    let query = use_query_map();
    let value = move |name: &'static str| query.with(|query| query.get(name)).unwrap_or_default();
    let error = move || Some(value("error")).filter(|error| !error.is_empty());
    view! {
        <Title text="First administrator" />
        <main class="card-page">
            <form class="card" method="post" action="/setup">
                <Logo />
                <h1>"Make the first administrator"</h1>
                {move || error().map(|error| view! { <p class="form-error" role="alert">{sentence(&error)}</p> })}
                <label>"Name"<input name="name" autocomplete="username" required autofocus value=move || value("name") /></label>
                <label>"Password"<input name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="256" /></label>
                <p class="muted">"At least 10 characters. A sentence is better than a riddle."</p>
                <input type="hidden" name="token" value=move || value("token") />
                <button class="btn primary">"Make it and sign in"</button>
            </form>
        </main>
    }
}
