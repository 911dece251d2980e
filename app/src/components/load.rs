//! Database load: the chart, what it is taken apart by, and the statements that make it.

use super::{Chart, Panel, laid_out, statement_or_words};
use crate::{chart::ChartData, scope::with_param};
use domain::{
    format,
    view::{LoadBy, LoadRow},
};
use leptos::prelude::*;

/// The panel of the overview.
#[component]
pub fn LoadPanel(
    load: ChartData,
    by: LoadBy,
    top: Vec<LoadRow>,
    samples: (i64, i64),
    cpus: Option<u32>,
    csv: String,
) -> impl IntoView {
    let chips = LoadBy::ALL.into_iter().map(move |one| {
        let href = with_param("by", (one != LoadBy::default()).then(|| one.to_string()));
        view! { <a class="chip" class:on=one == by aria-current=(one == by).then_some("true") href=href>{one.as_str()}</a> }
    });
    let (taken, skipped) = samples;
    let note = if skipped > 0 {
        format!(
            "average active sessions, {}, {} skipped",
            format::counted(taken, "sample", "samples"),
            format::thousands(skipped)
        )
    } else {
        "average active sessions, sampled each second".to_owned()
    };
    let note = cpus
        .map_or_else(|| note.clone(), |cpus| format!("{note}; {}", format::counted(cpus, "processor", "processors")));
    view! {
        <Panel title="Database load" span="c8" note=note source="pg_stat_activity, active sessions each second" aside=laid_out(csv)>
            <nav class="chips" aria-label="Load by">{chips.collect_view()}</nav>
            <Chart data=load label="Database load" stacked=true />
            <Top top />
        </Panel>
    }
}

#[component]
fn Top(top: Vec<LoadRow>) -> impl IntoView {
    let widest = top.iter().map(|row| row.percent).fold(0.0, f64::max);
    let rows = top.into_iter().take(6).map(|row| {
        let share =
            format!("share w{}", ((row.percent / widest.max(f64::MIN_POSITIVE) * 20.0).round() as u32).min(20) * 5);
        let waits = row.waits.iter().take(2).map(|(class, _)| class.clone()).collect::<Vec<_>>().join(", ");
        view! {
            <tr>
                <td class="statement">{statement_or_words(row.query, row.id, row.stands_in)}</td>
                <td class="n"><span class=share><b>{format!("{:.1}", row.percent)}</b></span></td>
                <td class="n">{format!("{:.2}", row.average_active_sessions)}</td>
                <td>{waits}</td>
            </tr>
        }
    });
    let rows = rows.collect::<Vec<_>>();
    (!rows.is_empty()).then(|| view! {
        <div class="scroll load-top" tabindex="0" role="region" aria-label="Statements by load table">
            <table>
                <thead><tr><th scope="col">"Statement"</th><th scope="col" class="n">"% of load"</th><th scope="col" class="n">"Sessions"</th><th scope="col">"Mostly"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    })
}
