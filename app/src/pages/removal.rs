//! The panel that takes one backup away: what goes with it in words and numbers, then the name and the password.

use crate::{
    components::{Confirm, Icon, Panel},
    zone::Local as _,
};
use domain::{format, view::RemovalPlanView};
use leptos::prelude::*;

/// What would go, and the form; or why it must stay.
#[component]
pub(super) fn Removal(plan: Result<RemovalPlanView, String>, cluster: String) -> impl IntoView {
    let plan = match plan {
        Ok(plan) => plan,
        Err(reason) => {
            return view! { <Panel title="Remove it" span="c6"><p class="refusal"><Icon name="warn" /><span>{reason}</span></p></Panel> }.into_any();
        }
    };
    if !plan.refusals.is_empty() {
        let refusals =
            plan.refusals.into_iter().map(|it| view! { <p class="refusal"><Icon name="warn" /><span>{it}</span></p> });
        return view! { <Panel title="Remove it" span="c6">{refusals.collect_view()}</Panel> }.into_any();
    }
    let lost = match plan.lost_from.zip(plan.lost_to) {
        Some((from, to)) => view! { <span class="bad">{format!("{} to {}: no other backup reaches them", from.local(), to.local())}</span> }.into_any(),
        None => "none: earlier backups and their WAL reach all of them".into_any(),
    };
    let others = match plan.others_of_lineage {
        0 => "it is the only one of its lineage".to_owned(),
        1 => "one; all that it refers to stays".to_owned(),
        n => format!("{n}; all that they refer to stays"),
    };
    let at_once = match plan.objects {
        0 => "nothing".to_owned(),
        n => format!("{}, {}", format::counted(n, "object", "objects"), format::bytes(plan.bytes as f64)),
    };
    let wal = plan.wal_before.map(|lsn| view! { <dt>"WAL before"</dt><dd>{lsn.to_string()}</dd> });
    view! {
        <Panel title="Remove it" span="c6" note="whatever the rules of retention say of it">
            <dl class="facts">
                <dt>"Moments that are lost"</dt><dd>{lost}</dd>
                <dt>"Others of its lineage"</dt><dd>{others}</dd>
                <dt>"Goes at once"</dt><dd>{at_once}</dd>
                {wal}
                <dt>"Can be recalled for"</dt><dd>{format!("{} h, by 'holdfast backup recall'", plan.recallable_hours)}</dd>
            </dl>
            <details class="danger spaced"><summary class="btn">"Remove this backup"</summary>
                <form class="stack" method="post" action="/backups/remove">
                    <input type="hidden" name="cluster" value=cluster.clone() />
                    <input type="hidden" name="id" value=plan.backup />
                    <Confirm name=cluster /><div><button class="btn danger">"Remove it"</button></div>
                </form>
            </details>
        </Panel>
    }
    .into_any()
}
