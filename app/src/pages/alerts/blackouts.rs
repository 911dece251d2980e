//! When nobody is told.

use super::{hidden, moment};
use crate::{
    components::{Icon, Panel},
    server_fns::AlertsData,
};
use domain::{format, view::BlackoutView};
use leptos::prelude::*;

#[component]
pub(super) fn Blackouts(data: AlertsData) -> impl IntoView {
    let AlertsData { blackouts, clusters, rules, may_manage, .. } = data;
    let none = blackouts.is_empty();
    let rows = blackouts.into_iter().map(move |blackout| view! { <Row blackout may_manage /> });
    view! {
        <Panel title="Blackouts" note="alerts go on as always, and nobody is told; each of them ends" flush=true>
            <ul class="rules">{rows.collect_view()}</ul>
            {none.then(|| view! { <p class="fine"><Icon name="check" />"None: whoever is to be told is told at any time."</p> })}
        </Panel>
        {may_manage.then(|| view! {
            <Panel title="New blackout" note="the times of this form are UTC">
                <form class="fields" method="post" action="/alerts/blackout">
                    <label>"Why"<input name="reason" required maxlength="500" placeholder="upgrade of the disks" /></label>
                    <label>"Of"<select name="only_cluster"><option value="">"all clusters"</option>{clusters.into_iter().map(|(id, name)| view! { <option value=id>{name}</option> }).collect_view()}</select></label>
                    <label>"Rule"<select name="only_rule"><option value="">"all rules"</option>{rules.into_iter().map(|rule| view! { <option value=rule.key>{rule.title}</option> }).collect_view()}</select></label>
                    <label>"From (empty: now)"<input name="starts_at" type="datetime-local" /></label>
                    <label>"To"<input name="ends_at" type="datetime-local" required /></label>
                    <label>"Recurring: begins at (cron)"<input name="cron" placeholder="0 2 * * 0" /></label>
                    <label>"Recurring: each lasts (minutes)"<input name="duration_minutes" inputmode="numeric" placeholder="90" /></label>
                    <div class="buttons"><button class="btn primary">"Set blackout"</button></div>
                </form>
            </Panel>
        })}
    }
}

#[component]
fn Row(blackout: BlackoutView, may_manage: bool) -> impl IntoView {
    let when = match (&blackout.cron, blackout.duration_seconds) {
        (Some(cron), Some(seconds)) => format!("at {cron} for {}", format::with_unit(f64::from(seconds), "s")),
        _ => "once".to_owned(),
    };
    let of = format!(
        "{}, {}",
        blackout.cluster.as_deref().unwrap_or("all clusters"),
        blackout.rule.as_deref().unwrap_or("all rules")
    );
    view! {
        <li class="rule">
            <div class="head">
                <strong>{blackout.reason.clone()}</strong>
                {if blackout.active { view! { <span class="badge attention">"in force"</span> }.into_any() } else if blackout.next_at.is_some() { view! { <span class="badge">"to come"</span> }.into_any() } else { view! { <span class="badge">"over"</span> }.into_any() }}
                <span class="badge">{when}</span>
                <span class="muted grow">{of}</span>
            </div>
            <p class="muted">{moment(blackout.starts_at)}" to "{moment(blackout.ends_at)}{blackout.next_at.filter(|_| !blackout.active).map(|at| view! { ", next "{moment(at)} })}{format!(", by {}", blackout.created_by)}</p>
            {may_manage.then(|| view! { <form class="buttons" method="post" action="/alerts/blackout/end">{hidden("id", blackout.id.clone())}<button class="btn">"End it"</button></form> })}
        </li>
    }
}
