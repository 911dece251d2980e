//! What a panel shows when it has no figures: loading, empty with the cure, failed.

use super::CopyButton;
use crate::AppError;
use crate::zone::Local as _;
use domain::{Timestamp, format};
use leptos::prelude::*;

/// A place of the right size while figures are awaited.
#[component]
pub fn Skeleton(#[prop(default = "tall")] size: &'static str) -> impl IntoView {
    view! { <div class=format!("skeleton {size}") role="status" aria-label="Loading"></div> }
}

/// Why there is nothing, and the commands that mend it.
#[component]
pub fn Missing(#[prop(into)] reason: String, #[prop(optional)] cure: Vec<String>) -> impl IntoView {
    let text = cure.join("\n");
    let has_cure = !text.is_empty();
    view! {
        <div class="missing">
            <p>{reason}</p>
            {has_cure.then(|| view! {
                <div class="code-block">
                    <pre tabindex="0">{text.clone()}</pre>
                    <CopyButton text=text label="Copy the commands" />
                </div>
            })}
        </div>
    }
}

/// What went wrong. Whoever is signed out meanwhile is led to the sign-in page.
#[component]
pub fn Failed(error: AppError) -> impl IntoView {
    #[cfg(feature = "hydrate")]
    if error.is_signed_out() {
        Effect::new(move |_| {
            let location = window().location();
            let here = format!("{}{}", location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
            let _ = location.set_href(&format!("/login?next={}", crate::scope::encode(&here)));
        });
    }
    let signed_out = error.is_signed_out();
    view! {
        <div class="failed c12" role="alert">
            <strong>{error.kind.title()}</strong>
            <p>{error.message.clone()}</p>
            {signed_out.then(|| view! { <a href="/login" rel="external">"Sign in"</a> })}
        </div>
    }
}

/// What is made of the server's answer; a place for it while it is awaited, and what went wrong when it does not come.
///
/// Of what `shown` makes, nothing that is read again later may be a signal, a memo or a stored value made in it: they end as soon
/// as the next answer is there, which is before what they stand in is taken off the page, and whoever reads them then (a click, a
/// change of the address in that moment) stops the whole page. Make it in the page's own component, or of the kind that is counted
/// (`ArcRwSignal`), or do without; of the address take what [`leptos_router::hooks::use_location`] has, which is the router's, and not
/// `use_query_map`, which makes a memo.
pub fn answered<T, V>(
    data: Resource<Result<T, AppError>>,
    shown: impl Fn(T) -> V + Clone + Send + Sync + 'static,
) -> impl IntoView
where
    T: Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    view! {
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || {
                let shown = shown.clone();
                Suspend::new(async move {
                    match data.await {
                        Ok(data) => shown(data).into_any(),
                        Err(error) => view! { <Failed error /> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
}

/// `12 s ago`, with the moment on hover. The age is that at rendering: the server's clock, not the reader's.
pub fn ago(at: Option<Timestamp>, age_seconds: Option<f64>) -> impl IntoView {
    let text = match (age_seconds, at) {
        (Some(age), _) => format!("{} ago", format::age_s(age)),
        (None, Some(at)) => format!("at {}", at.local_clock()),
        (None, None) => "no figures yet".to_owned(),
    };
    view! { <time class="age" datetime=at.map(|at| at.to_rfc3339()) title=at.map(|at| at.local())>{text}</time> }
}
