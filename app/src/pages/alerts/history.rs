//! What was open and is over.

use super::{class, moment};
use crate::{
    components::{Icon, Panel},
    scope::address,
    server_fns::AlertsData,
};
use domain::{format, view::AlertView};
use leptos::prelude::*;

#[component]
pub(super) fn History(data: AlertsData) -> impl IntoView {
    let none = data.past.rows.is_empty();
    let next = data.older;
    let rows = data.past.rows.into_iter().map(row);
    view! {
        <Panel title="Over" note="the newest first" flush=true>
            <div class="laid-out" inner_html=data.filter></div>
            <div class="scroll" tabindex="0" role="region" aria-label="Alerts that are over">
                <table>
                    <thead><tr><th scope="col">"Severity"</th><th scope="col">"Alert"</th><th scope="col">"Cluster"</th><th scope="col">"Value"</th><th scope="col">"From"</th><th scope="col">"To"</th><th scope="col" class="n">"Lasted"</th><th scope="col">"Taken on by"</th></tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            {none.then(|| view! { <p class="fine"><Icon name="check" />{if data.narrow { "Nothing matches." } else { "Nothing was raised yet." }}</p> })}
            {next.map(|next| view! { <p class="pager"><a class="btn" href=next>"Older"</a></p> })}
        </Panel>
    }
}

fn row(alert: AlertView) -> impl IntoView {
    let story = address("/alerts", &[("id", alert.id.clone()), ("cluster", alert.cluster.clone())], None);
    let end = alert.resolved_at.unwrap_or(alert.since);
    view! {
        <tr>
            <td><span class=format!("badge {}", class(alert.severity))>{alert.severity.as_str()}</span></td>
            <td><a data-row href=story>{alert.title.clone()}</a>" "<span class="muted">{alert.object.clone()}</span></td>
            <td>{alert.cluster.clone()}</td>
            <td>{alert.measured.clone()}</td>
            <td>{moment(alert.since)}</td>
            <td>{moment(end)}</td>
            <td class="n">{format::duration_s(end.seconds_since(alert.since).max(0.0))}</td>
            <td>{alert.acknowledged.map_or_else(|| "—".to_owned(), |ack| ack.by)}</td>
        </tr>
    }
}
