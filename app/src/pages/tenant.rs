//! Whose data a page of the platform shows, and choosing it: for whoever belongs to no tenant.

use crate::{
    components::{Icon, Panel},
    platform_fns::Whose,
    scope::{Scope, address},
};
use domain::view::TenantView;
use leptos::prelude::*;

/// Cluster and database of the address: the platform's pages have neither, and carry both along for the way back.
pub fn place() -> Vec<(&'static str, String)> {
    untrack(|| Scope::get().place())
}

/// An address with them.
pub fn within(path: &str) -> String {
    address(path, &place(), None)
}

/// They as hidden fields of a form.
pub fn place_fields() -> Vec<AnyView> {
    place()
        .into_iter()
        .map(|(name, value)| view! { <input type="hidden" name=name value=value /> }.into_any())
        .collect()
}

/// The tenants to choose from, for the page at `path`.
pub fn choose(
    title: &'static str,
    hint: &'static str,
    path: &'static str,
    tenants: Vec<TenantView>,
    begins: String,
) -> AnyView {
    let empty = tenants.is_empty();
    let rows = tenants.into_iter().map(|tenant| {
        let mut pairs = vec![("tenant", tenant.slug.clone())];
        pairs.extend(place());
        let href = address(path, &pairs, None);
        view! { <tr><td><a class="name" data-row href=href>{tenant.name}</a></td><td class="muted">{tenant.slug}</td><td class="n muted">{tenant.id}</td></tr> }
    });
    view! {
        <div class="title"><h1>{title}</h1><span class="muted">{hint}</span></div>
        <Panel title="Tenants" flush=true>
            <div class="toolbar">
                <form class="search" role="search" method="get" action=path>
                    <Icon name="search" />
                    <input type="search" name="begins" value=begins placeholder="Name begins with" aria-label="Tenants whose name begins with" />
                    {place_fields()}
                </form>
            </div>
            <div class="scroll" tabindex="0" role="region" aria-label="Tenants table">
                <table><thead><tr><th scope="col">"Tenant"</th><th scope="col">"Slug"</th><th scope="col" class="n">"Id"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
            </div>
            {empty.then(|| view! { <p class="fine muted">"No tenant begins like that."</p> })}
        </Panel>
    }
    .into_any()
}

/// Whose data these are, and the way to another's at `path`.
pub fn mark(whose: &Whose, path: &'static str) -> impl IntoView + use<> {
    let TenantView { name, slug, .. } = whose.tenant.clone();
    let other = whose.chosen.then(|| view! { <a class="link" href=within(path)>"Another tenant"</a> });
    view! { <span class="tenant" title=slug>{name}</span>{other} }
}
