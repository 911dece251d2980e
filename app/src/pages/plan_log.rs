//! What the server's log has of a statement, beside what was seen of it in sessions.

use crate::{
    components::{CopyButton, Missing, Panel},
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    view::{Availability, LogOfQuery, LogSample},
};
use leptos::prelude::*;

/// Characters of a statement on one line, at most.
const WIDE: usize = 300;

/// Samples of calls, and whether plans come from the log.
#[component]
pub fn Logged(log: LogOfQuery, user: String, database: String) -> impl IntoView {
    let LogOfQuery { availability, samples, auto_explain } = log;
    let without = match (availability, samples.is_empty()) {
        (Availability::Missing { reason, cure }, _) => Some(view! { <Missing reason cure /> }.into_any()),
        (Availability::Collecting, true) => Some(view! { <p class="more muted">"The first reading of the log is under way."</p> }.into_any()),
        (Availability::Ready, true) => Some(view! { <p class="more muted">"No call of it was logged with its text: it is quicker than what the server writes down, or was not among the calls that it samples."</p> }.into_any()),
        (_, false) => None,
    };
    let table = (!samples.is_empty()).then(|| {
        let rows = samples.into_iter().map(row).collect_view();
        view! {
            <div class="scroll" tabindex="0" role="region" aria-label="Log table">
                <table>
                    <thead><tr><th scope="col">"Ended"</th><th scope="col" class="n">"Took"</th><th scope="col">"Application"</th><th scope="col">"Client"</th><th scope="col" class="n">"Parameters"</th><th scope="col">"As it was sent"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
    });
    let note = format!("{user} in {database}; literals and values of parameters are not kept");
    view! {
        <Panel title="Seen in the log" note source="The server's log; the newest and the slowest calls of the last days" flush=true>
            {without}
            {table}
            {auto_explain.map(|hint| view! { <p class="more muted">{hint}</p> })}
        </Panel>
    }
}

fn row(sample: LogSample) -> impl IntoView {
    let said = |text: String| if text.is_empty() { "—".to_owned() } else { text };
    let text = sample.query;
    let shown = text.chars().take(WIDE).collect::<String>();
    let title = text.clone();
    view! {
        <tr>
            <td><time datetime=sample.at.to_rfc3339()>{sample.at.local()}</time></td>
            <td class="n">{format::duration_ms(sample.duration_ms)}</td>
            <td>{said(sample.application)}</td>
            <td>{said(sample.client)}</td>
            <td class="n">{format::thousands(sample.parameters)}</td>
            <td class="statement"><span class="sql" title=title>{highlighted(&shown)}</span><CopyButton text label="Copy the statement" /></td>
        </tr>
    }
}
