//! Who streams from whom, as a line from the primary on: how each stands, and how far behind it is.

use crate::server_fns::Ask;
use domain::{
    format,
    view::{ReplicaState, ReplicationNode, StandbyRow},
};
use leptos::prelude::*;

/// The tree as HTML; the server that the page is about is marked.
pub fn html(ask: &Ask, tree: &ReplicationNode, here: &str) -> String {
    let link = |cluster: &str| ask.to_cluster("/database/replication", cluster);
    view! { <ul class="topology">{node(tree, here, &link)}</ul> }.to_html()
}

/// Standbys that are gone, each with the button that gives it up.
pub fn gone(ask: &Ask, standbys: &[&StandbyRow], cluster: &str) -> String {
    let one = |row: &&StandbyRow| {
        view! {
            <form class="dismiss" method="post" action="/database/standbys/forget">
                <input type="hidden" name="cluster" value=cluster.to_owned() />
                <input type="hidden" name="name" value=row.name.clone() />
                <input type="hidden" name="next" value=ask.to("/database/replication", &[]) />
                <button class="btn">{format!("{} is gone for good", row.name)}</button>
            </form>
        }
    };
    view! { <div>{standbys.iter().map(one).collect_view()}</div> }.to_html()
}

fn node(tree: &ReplicationNode, here: &str, link: &dyn Fn(&str) -> String) -> AnyView {
    let current = tree.cluster.as_deref() == Some(here);
    let name = match &tree.cluster {
        Some(cluster) if !current => view! { <a href=link(cluster)>{tree.name.clone()}</a> }.into_any(),
        _ => view! { <strong>{tree.name.clone()}</strong> }.into_any(),
    };
    let role = tree.role.map(|role| view! { <span class="role">{role.as_str().to_uppercase()}</span> });
    let timeline = tree.timeline.map(|timeline| view! { <span class="muted">{format!("timeline {timeline}")}</span> });
    let state = match (tree.reached, &tree.streams) {
        (Some(false), _) => "not reached".to_owned(),
        (_, Some(row)) => row.state.as_str().to_owned(),
        // On a standby nobody streams to.
        (Some(true), None) => "up".to_owned(),
        (None, None) => "not known".to_owned(),
    };
    let edge = tree.streams.as_ref().map(|row| view! { <span class="topology-edge num">{behind(row)}</span> });
    let below = tree.standbys.iter().map(|it| node(it, here, link)).collect_view();
    let has = !tree.standbys.is_empty();
    let level = tree.level();
    view! {
        <li>
            {edge}
            <div class="topology-node" aria-current=current.then_some("true")>
                <span><i class=format!("dot {level}")></i>{name}{role}</span>
                <small><span class=format!("badge {level}")>{state}</span>{timeline}</small>
            </div>
            {has.then(|| view! { <ul>{below}</ul> })}
        </li>
    }
    .into_any()
}

/// The lag on the edge: seconds and bytes, and how it is waited for.
fn behind(row: &StandbyRow) -> String {
    let at_least = if row.state == ReplicaState::Disconnected { "≥ " } else { "" };
    let seconds =
        row.lag_seconds.map_or_else(|| "—".to_owned(), |lag| format!("{at_least}{}", format::duration_s(lag)));
    let bytes = row.lag_bytes.map_or_else(|| "—".to_owned(), |bytes| format::bytes(bytes as f64));
    let sync = if row.sync_state.is_empty() { String::new() } else { format!(", {}", row.sync_state) };
    let logical = if row.logical { ", logical" } else { "" };
    format!("{seconds}, {bytes}{sync}{logical}")
}
