//! One's own account.

use super::alerts::sentence;
use crate::{
    components::{Failed, Panel, Skeleton},
    server_fns::load_frame,
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// Name, role, rights, and a new password.
#[component]
pub fn Account() -> impl IntoView {
    let query = use_query_map();
    let error = move || query.with(|query| query.get("error")).filter(|error| !error.is_empty());
    let done = move || query.with(|query| query.get("done")).is_some() && error().is_none();
    let me = Resource::new(|| (), |()| load_frame());
    view! {
        <Title text="Account" />
        <div class="title"><h1>"Account"</h1></div>
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match me.await {
                    Ok(data) => view! {
                        <Panel title="You" span="c6">
                            <dl class="facts">
                                <dt>"Name"</dt><dd>{data.me.name}</dd>
                                <dt>"Role"</dt><dd>{data.me.role.to_string()}</dd>
                                <dt>"May"</dt><dd>{data.me.permissions.iter().map(|permission| permission.as_str().replace('_', " ")).collect::<Vec<_>>().join(", ")}</dd>
                            </dl>
                        </Panel>
                    }.into_any(),
                    Err(error) => view! { <Failed error /> }.into_any(),
                }
            })}
        </Transition>
        <Panel title="Password" span="c6">
            <form class="stack" method="post" action="/account/password">
                {move || error().map(|error| view! { <p class="form-error" role="alert">{sentence(&error)}</p> })}
                {move || done().then(|| view! { <p class="form-done" role="status">"The password is changed; all other sessions are ended."</p> })}
                <label>"Present password"<input name="current" type="password" autocomplete="current-password" required maxlength="256" /></label>
                <label>"New password"<input name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="256" /></label>
                <div><button class="btn primary">"Change it"</button></div>
            </form>
        </Panel>
    }
}
