//! `/plugins`: the platform's plugins of one tenant. The server renders these pages whole; they work without a script.

mod bulk;
mod detail;
mod graph;
mod list;

pub use bulk::{BulkPage, BulkPreviewPage};
pub use detail::PluginPage;
pub use list::PluginsPage;

use super::tenant;
use crate::{platform_fns::Whose, scope::address};
use domain::view::Plugin;
use leptos::prelude::*;

/// An address with the tenant in it, where the reader chose one, and with the cluster and the database one came from.
pub(super) fn link(whose: &Whose, path: &str) -> String {
    let mut pairs = Vec::new();
    if whose.chosen {
        pairs.push(("tenant", whose.tenant.slug.clone()));
    }
    pairs.extend(tenant::place());
    address(path, &pairs, None)
}

/// The same as fields of a form.
fn tenant_field(whose: &Whose) -> Vec<AnyView> {
    let mut fields = tenant::place_fields();
    if whose.chosen {
        let slug = whose.tenant.slug.clone();
        fields.push(view! { <input type="hidden" name="tenant" value=slug /> }.into_any());
    }
    fields
}

/// How healthy: the class of a mark.
const fn health_level(score: i16) -> &'static str {
    match score {
        90.. => "good",
        70..90 => "attention",
        50..70 => "warning",
        _ => "critical",
    }
}

/// A number in a bar of its colour.
fn health(score: i16) -> impl IntoView {
    // In steps of five, by class: the content security policy allows no inline style.
    let step = (u32::from(score.clamp(0, 100).unsigned_abs()) + 2) / 5 * 5;
    view! { <span class=format!("health-bar {} w{step}", health_level(score))><b>{score}</b></span> }
}

fn status(text: &str) -> impl IntoView + use<> {
    let level = match text {
        "active" => "good",
        "failed" => "critical",
        "installing" => "accent",
        "deprecated" => "attention",
        _ => "",
    };
    view! { <span class=format!("badge {level}")>{text.to_owned()}</span> }
}

/// The installed version, and whether it runs.
fn version(plugin: &Plugin) -> String {
    match (&plugin.installed_version, plugin.installed, plugin.enabled) {
        (Some(version), true, true) => version.clone(),
        (Some(version), true, false) => format!("{version}, disabled"),
        (None, true, _) => "installed".to_owned(),
        _ => "—".to_owned(),
    }
}
