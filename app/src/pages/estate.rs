//! `/estate`: all clusters beside each other, the worst first.

use super::alerts::SeverityBadges;
use crate::{
    components::{Failed, Icon, Panel, Skeleton, Spark},
    estate_fns::load_estate,
    scope::address,
    zone::Local as _,
};
use domain::{
    format,
    view::{ClusterState, EstateRow},
};
use leptos::prelude::*;
use leptos_meta::Title;

/// A table with a line for each cluster.
#[component]
pub fn Estate() -> impl IntoView {
    let data = Resource::new(|| (), |()| load_estate());
    view! {
        <Title text="Estate" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(rows) => view! { <Loaded rows /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>"Estate"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Loaded(rows: Vec<EstateRow>) -> impl IntoView {
    let lost = rows.iter().filter(|row| is_lost(row)).count();
    let summary = match (rows.len(), lost) {
        (count, 0) => format::counted(count, "cluster", "clusters"),
        (count, lost) => format!("{}, {lost} not reached", format::counted(count, "cluster", "clusters")),
    };
    let empty = rows.is_empty();
    let csv = view! { <a class="btn" href="/api/v1/estate?format=csv" rel="external" download="estate.csv"><Icon name="download" />"CSV"</a> }.into_any();
    let grouped = rows.iter().any(|row| row.cluster.group.is_some());
    let lines = rows.into_iter().map(|row| line(row, grouped)).collect_view();
    view! {
        <div class="title"><h1>"Estate"</h1><span class="muted">{summary}</span></div>
        <Panel title="Clusters" note="the worst first" aside=csv flush=true>
            {empty.then(|| view! { <p class="fine muted">"No cluster is configured. "<a href="/start">"How to begin"</a></p> })}
            <div class="scroll" tabindex="0" role="region" aria-label="Clusters table">
                <table class="estate-list">
                    <thead><tr>
                        <th scope="col">"Cluster"</th>{grouped.then(|| view! { <th scope="col">"Group"</th> })}<th scope="col">"State"</th>
                        <th scope="col" class="n" title="0 to 100">"Health"</th><th scope="col">"24 hours"</th><th scope="col">"Open alerts"</th>
                        <th scope="col" class="n" title="Of the slots that ordinary roles can use">"Connections %"</th><th scope="col" class="n" title="Of the standby furthest behind">"Lag"</th>
                        <th scope="col" class="n">"Size"</th><th scope="col" class="n">"Last backup"</th><th scope="col">"Role"</th><th scope="col">"Version"</th><th scope="col"><span class="sr">"Pages"</span></th>
                    </tr></thead>
                    <tbody>{lines}</tbody>
                </table>
            </div>
        </Panel>
    }
}

fn is_lost(row: &EstateRow) -> bool {
    matches!(row.cluster.state, ClusterState::Unreachable { .. } | ClusterState::Refused { .. })
}

fn line(row: EstateRow, grouped: bool) -> AnyView {
    let id = row.cluster.id.clone();
    let link = move |path: &str| address(path, &[("cluster", id.clone())], None);
    let dash = || "—".to_owned();
    let band = row.band().map_or("", |band| band.as_str());
    let state = match &row.cluster.state {
        ClusterState::Up => "good",
        ClusterState::Connecting => "unknown",
        ClusterState::Unreachable { .. } | ClusterState::Refused { .. } => "critical",
    };
    let reason = match &row.cluster.state {
        ClusterState::Unreachable { reason, since } | ClusterState::Refused { reason, since } => {
            Some(view! { <small class="why">{format!("since {}: {reason}", since.local())}</small> })
        }
        ClusterState::Up | ClusterState::Connecting => None,
    };
    let group = grouped.then(|| view! { <td>{row.cluster.group.clone().unwrap_or_else(dash)}</td> });
    let age = row.age_seconds.map(|age| format!("read {} ago", format::age_s(age)));
    let score = row.score.map(|score| view! { <span class=format!("badge {band}")>{score}<span class="sr">{format!(", {band}")}</span></span> });
    let alerts = row.alerts.map(|counts| view! { <a href=link("/alerts")><SeverityBadges counts /></a> });
    let backup = match (row.is_protected, row.backup_age_seconds) {
        (false, _) => view! { <span class="muted">"not backed up"</span> }.into_any(),
        (true, None) => view! { <span class="badge warning"><Icon name="warn" />"none yet"</span> }.into_any(),
        (true, Some(age)) => view! { <a href=link("/backups")>{format!("{} ago", format::age_s(age))}</a> }.into_any(),
    };
    let pages =
        [("Queries", "/database/performance"), ("Activity", "/database/activity"), ("Locks", "/database/locks")];
    let pages = pages.map(|(label, path)| view! { <a class="muted" href=link(path)>{label}<span class="sr">{format!(" of {}", row.cluster.name)}</span></a> });
    view! {
        <tr>
            <th scope="row"><a class="name" data-row href=link("/database")>{row.cluster.name.clone()}</a></th>
            {group}
            <td class="reason"><span class=format!("badge {state}") title=age>{row.cluster.state.as_str()}</span>{reason}</td>
            <td class="n">{score}</td>
            <td><a href=link("/database") aria-label=format!("Health of {}", row.cluster.name)><Spark values=row.scores /></a></td>
            <td>{alerts}</td>
            <td class="n"><a href=link("/database/connections")>{row.connections_percent.map_or_else(dash, format::percent)}</a></td>
            <td class="n"><a href=link("/database/replication")>{row.lag_seconds.map_or_else(dash, format::duration_s)}</a></td>
            <td class="n"><a href=link("/database/tables")>{row.databases_bytes.map_or_else(dash, |bytes| format::bytes(bytes as f64))}</a></td>
            <td class="n">{backup}</td>
            <td>{row.cluster.role.map_or_else(dash, |role| role.as_str().to_owned())}</td>
            <td>{row.cluster.server_version.clone().unwrap_or_else(dash)}</td>
            <td class="pages">{pages.into_iter().collect_view()}</td>
        </tr>
    }
    .into_any()
}
