//! `/jobs`: all long work that is kept, by kind and state.

use super::backups::Jobs;
use crate::{
    components::{Failed, Panel, Skeleton},
    recovery_fns::{JobsData, load_jobs},
    scope::{Scope, address},
};
use domain::view::{JobKind, JobState};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;

/// Filters, list, pages.
#[component]
pub fn JobsPage() -> impl IntoView {
    let scope = Scope::get();
    let location = use_location();
    let data = Resource::new(
        move || (scope.cluster.get(), location.search.get()),
        |(cluster, search)| load_jobs(cluster, search),
    );
    view! {
        <Title text="Jobs" />
        <div class="title"><a class="back" href=move || scope.link("/recovery")>"Recovery"</a><h1>"Jobs"</h1></div>
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data scope /> }.into_any(),
                    Err(error) => view! { <Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

/// The list by kind and state, from a place in it.
fn path(kind: Option<JobKind>, state: Option<JobState>, cursor: Option<&str>) -> String {
    let pairs = [("kind", kind.map(JobKind::as_str)), ("state", state.map(JobState::as_str)), ("cursor", cursor)];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect::<Vec<_>>();
    address("/jobs", &pairs, None)
}

#[component]
fn Loaded(data: JobsData, scope: Scope) -> impl IntoView {
    let JobsData { page, kind, state, is_later } = data;
    let chip = move |label: &'static str, on: bool, path: String| {
        view! { <a class="chip" class:on=on aria-current=on.then_some("true") href=scope.link_untracked(&path)>{label}</a> }
    };
    let kinds = std::iter::once(None)
        .chain(JobKind::ALL.map(Some))
        .map(move |one| chip(one.map_or("All kinds", JobKind::label), one == kind, path(one, state, None)));
    let states = std::iter::once(None)
        .chain(JobState::ALL.map(Some))
        .map(move |one| chip(one.map_or("All states", JobState::as_str), one == state, path(kind, one, None)));
    let first = is_later.then(|| scope.link_untracked(&path(kind, state, None)));
    let next = page.next_cursor.as_deref().map(|cursor| scope.link_untracked(&path(kind, state, Some(cursor))));
    let pager = (first.is_some() || next.is_some()).then(|| {
        view! {
            <p class="pager">
                {first.map(|href| view! { <a class="btn" href=href>"Newest"</a> })}
                <span class="grow"></span>
                {next.map(|href| view! { <a class="btn" href=href rel="next">"Older"</a> })}
            </p>
        }
    });
    view! {
        <Panel title="All jobs" flush=true>
            <div class="toolbar" role="group" aria-label="Kind">{kinds.collect_view()}</div>
            <div class="toolbar" role="group" aria-label="State">{states.collect_view()}</div>
            {if page.rows.is_empty() && (kind.is_some() || state.is_some()) {
                view! { <p class="fine muted">"No job that is kept is of this kind and state."</p> }.into_any()
            } else {
                view! { <Jobs jobs=page.rows whole=true /> }.into_any()
            }}
            {pager}
        </Panel>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_holds_the_filter_and_the_place() {
        assert_eq!(path(None, None, None), "/jobs");
        let all = path(Some(JobKind::RestoreTest), Some(JobState::Failed), Some("7"));
        assert_eq!(all, "/jobs?kind=restore_test&state=failed&cursor=7");
    }
}
