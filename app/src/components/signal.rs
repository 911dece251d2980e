//! Cancel and terminate of one session, as forms that work without JavaScript.

use super::Icon;
use crate::{live::Live, scope::Scope};
use domain::Timestamp;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// The menu at the end of a session's row. Ending a session asks for its pid, typed.
#[component]
pub fn SignalMenu(
    /// Process id.
    pid: i32,
    /// When the session was started; without it the session cannot be named for sure.
    started_at: Option<Timestamp>,
    /// It is an autovacuum worker.
    autovacuum: bool,
) -> impl IntoView {
    let Some(started_at) = started_at else { return ().into_any() };
    let scope = Scope::get();
    // New figures would replace the row, and what is being typed with it: the page keeps still while the box is open.
    let (live, open) = (Live::get(), ArcRwSignal::new(false));
    let toggled = move |_| {
        open.update(|open| *open = !*open);
        live.paused.set(open.get_untracked());
    };
    let path = use_location().pathname.get_untracked();
    let fields = move || {
        let cluster = scope.cluster.get_untracked();
        view! {
            <input type="hidden" name="pid" value=pid />
            <input type="hidden" name="started_at" value=started_at.to_rfc3339() />
            <input type="hidden" name="next" value=scope.link_untracked(&path) />
            {cluster.map(|cluster| view! { <input type="hidden" name="cluster" value=cluster /> })}
            {autovacuum.then(|| view! { <input type="hidden" name="autovacuum" value="1" /> })}
        }
    };
    let hint = if autovacuum {
        "An autovacuum worker gives way by itself unless it prevents a wraparound; ended, it begins anew."
    } else {
        "Its transaction is rolled back and its client gets an error."
    };
    view! {
        <details class="signal">
            <summary on:click=toggled class="chip" title=format!("Cancel or terminate process {pid}")>"Act"<span class="sr">{format!(" on process {pid}")}</span></summary>
            <div class="signal-box">
                <form method="post" action="/database/backends/cancel">
                    {fields()}
                    <p>"Cancel ends the statement that runs; the session stays."</p>
                    <button class="btn">"Cancel statement"</button>
                </form>
                <form method="post" action="/database/backends/terminate">
                    {fields()}
                    <p>{format!("Terminate ends the session. {hint}")}</p>
                    <label>{format!("Type {pid} to confirm")}<input name="confirm" inputmode="numeric" autocomplete="off" required pattern=format!(" *{pid} *") /></label>
                    <button class="btn danger">"Terminate session"</button>
                </form>
            </div>
        </details>
    }
    .into_any()
}

/// What the form before said, from the address.
#[component]
pub fn Told() -> impl IntoView {
    // It may stand in what is made of an answer: see [`super::answered`].
    let query = use_location().query;
    let said = move |name: &'static str| query.with(|query| query.get(name)).filter(|text| !text.is_empty());
    view! {
        {move || said("error").map(|text| view! { <p class="banner critical c12" role="alert"><Icon name="warn" />{text}</p> })}
        {move || said("done").map(|text| view! { <p class="banner c12" role="status"><Icon name="check" />{text}</p> })}
    }
}
