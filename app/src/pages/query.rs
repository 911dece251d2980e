//! `/database/queries/{id}`: one statement.

use crate::{
    components::{Chart, CopyButton, Panel, answered},
    live::Live,
    scope::Scope,
    server_fns::{QueryData, load_query},
    sql::highlighted,
    zone::Local as _,
};
use domain::format;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

/// The overview; the other tabs are rendered by the server alone.
#[component]
pub fn QueryPage() -> impl IntoView {
    #[cfg(feature = "ssr")]
    match super::statement_tab::of(crate::asked_for("tab")) {
        Some("plans") => return view! { <super::QueryPlan /> }.into_any(),
        Some(tab) => return view! { <super::statement_tab::StatementTab tab /> }.into_any(),
        None => {}
    }
    view! { <Overview /> }.into_any()
}

/// Text, figures, charts.
#[component]
fn Overview() -> impl IntoView {
    let scope = Scope::get();
    let live = Live::get();
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).unwrap_or_default());
    let data = Resource::new(
        move || {
            let (range, compare) = (scope.asked.get(), scope.compare.get().to_string());
            (scope.cluster.get(), id.get(), range, compare, live.sequence.get())
        },
        |(cluster, id, range, compare, _)| load_query(cluster, id, range, compare),
    );
    view! {
        <Title text="Statement" />
        <div class="title">
            <a class="back" href=move || scope.link("/database/performance#queries")>"Queries"</a>
            <h1>"Statement"</h1>
            <span class="muted">{move || scope.phrase()}</span>
        </div>
        {answered(data, |data| view! { <Loaded data /> })}
    }
}

fn dash(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "—".to_owned(), show)
}

#[component]
fn Loaded(data: QueryData) -> impl IntoView {
    let QueryData { row, sql, first_seen_at, last_seen_at, window_seconds, at_most_ms, mean, calls, share, tabs } =
        data;
    let seconds = window_seconds.max(1.0);
    let per_call = |total: f64| if row.calls > 0 { total / row.calls as f64 } else { 0.0 };
    let figures: Vec<(&str, String, String, String)> = vec![
        ("Calls", format::rate(row.calls_per_second), format::count(row.calls as f64), "—".to_owned()),
        (
            "Time",
            format!("{} /s", format::duration_ms(row.total_ms / seconds)),
            format::duration_ms(row.total_ms),
            format::duration_ms(row.mean_ms),
        ),
        (
            "Rows",
            format::rate(row.rows_per_call * row.calls as f64 / seconds),
            format::count(row.rows_per_call * row.calls as f64),
            format::count(row.rows_per_call),
        ),
        (
            "Read outside the cache",
            format!("{}/s", format::bytes(row.read_bytes as f64 / seconds)),
            format::bytes(row.read_bytes as f64),
            format::bytes(per_call(row.read_bytes as f64)),
        ),
        (
            "Temporary files",
            format!("{}/s", format::bytes(row.temp_bytes as f64 / seconds)),
            format::bytes(row.temp_bytes as f64),
            format::bytes(per_call(row.temp_bytes as f64)),
        ),
        (
            "WAL",
            format!("{}/s", format::bytes(row.wal_bytes as f64 / seconds)),
            format::bytes(row.wal_bytes as f64),
            format::bytes(per_call(row.wal_bytes as f64)),
        ),
    ];
    let flags =
        row.flags.iter().map(|flag| view! { <span class="badge attention">{flag.label()}</span> }).collect_view();
    let shown = highlighted(&sql);
    view! {
        <div class="laid-out" inner_html=tabs></div>
        <section class="panel c8" aria-label="Text">
            <header><h2>"SQL"</h2><span class="note">"normalised: constants are $1, $2, …"</span><span class="aside">{flags}</span></header>
            <div class="body"><div class="code-block"><pre class="statement-text" tabindex="0"><code>{shown}</code></pre><CopyButton text=sql label="Copy the statement" /></div></div>
        </section>
        <Panel title="Facts" span="c4">
            <dl class="facts">
                <dt>"Share of time"</dt><dd>{format!("{} %", format::percent(row.total_percent))}</dd>
                <dt>"Mean"</dt><dd>{format::duration_ms(row.mean_ms)}</dd>
                <dt title="Standard deviation over the range">"Deviation"</dt><dd>{dash(row.stddev_ms, format::duration_ms)}</dd>
                <dt title="Cantelli's inequality: no distribution with this mean and deviation exceeds it; nor does it the longest call">"P95 at most"</dt><dd>{dash(at_most_ms.0, format::duration_ms)}</dd>
                <dt title="Cantelli's inequality: no distribution with this mean and deviation exceeds it; nor does it the longest call">"P99 at most"</dt><dd>{dash(at_most_ms.1, format::duration_ms)}</dd>
                <dt title="Since the entry was made, not only in this range">"Max"</dt><dd>{dash(row.max_ms, format::duration_ms)}</dd>
                <dt>"Cache hit"</dt><dd>{dash(row.hit_percent, |it| format!("{} %", format::percent(it)))}</dd>
                <dt>"Database"</dt><dd>{row.database.clone()}</dd>
                <dt>"Role"</dt><dd>{row.user.clone()}</dd>
                <dt>"queryid"</dt><dd><code>{row.fingerprint.clone()}</code></dd>
                <dt>"First seen"</dt><dd>{first_seen_at.local()}</dd>
                <dt>"Last seen"</dt><dd>{last_seen_at.local()}</dd>
            </dl>
        </Panel>
        <Panel title="Latency" span="c8" note="mean and deviation; below it calls per second" source="pg_stat_statements: mean_exec_time, stddev_exec_time, calls">
            <div class="aligned"><Chart data=mean label="Mean time" /><Chart data=calls label="Calls per second" /></div>
        </Panel>
        <Panel title="Share" span="c4" note="of all statements' time" source="pg_stat_statements.total_exec_time"><Chart data=share label="Share of all time" /></Panel>
        <Panel title="Figures" flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Figures table">
                <table>
                    <thead><tr><th scope="col">"What"</th><th scope="col" class="n">"Rate"</th><th scope="col" class="n">"Sum"</th><th scope="col" class="n">"Per call"</th></tr></thead>
                    <tbody>{figures.into_iter().map(|(what, rate, sum, call)| view! { <tr><th scope="row">{what}</th><td class="n">{rate}</td><td class="n">{sum}</td><td class="n">{call}</td></tr> }).collect_view()}</tbody>
                </table>
            </div>
        </Panel>
    }
}
