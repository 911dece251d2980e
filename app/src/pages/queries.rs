//! `#queries`: statements by what they cost.

use crate::{
    chart::ChartData,
    columns::Columns,
    components::{Chart, CopyButton, Icon, Missing, Panel, Spark, answered},
    live::Live,
    scope::address,
    server_fns::{QueriesData, load_queries},
    sql::highlighted,
};
use domain::{
    format,
    view::{Availability, Compare, QueriesPage, QueriesParams, QueryFlag, QueryKind, QueryRow, QuerySort},
};
use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_navigate, use_query_map};

const PATH: &str = "/database/performance";

/// An address of this section.
fn link(params: &QueriesParams) -> String {
    address(PATH, &params.pairs(), Some("queries"))
}

/// Chart, filters, table.
#[component]
pub fn Queries() -> impl IntoView {
    let location = use_location();
    let query = use_query_map();
    let live = Live::get();
    let data = Resource::new(move || (location.search.get(), live.sequence.get()), |(search, _)| load_queries(search));
    let params =
        Memo::new(move |_| query.with(|query| QueriesParams::read(|name| query.get(name))).unwrap_or_default());
    // What is being typed outlives figures that come anew; another address has its own.
    let asked = Memo::new(move |_| params.with(|params| params.search.clone()).unwrap_or_default());
    let search = RwSignal::new(asked.get_untracked());
    Effect::new(move |_| search.set(asked.get()));
    view! {
        {answered(data, move |data| view! { <Loaded data params=params.get_untracked() search /> })}
    }
}

#[component]
fn Loaded(data: QueriesData, params: QueriesParams, search: RwSignal<String>) -> impl IntoView {
    let QueriesData { page, latency, note, calls } = data;
    match page.availability.clone() {
        Availability::Missing { reason, cure } => {
            return view! { <Panel title="Statements"><Missing reason cure /></Panel> }.into_any();
        }
        Availability::Collecting if page.rows.is_empty() => {
            return view! { <Panel title="Statements"><Missing reason="Collecting: the first figures come with the second reading of pg_stat_statements." /></Panel> }.into_any();
        }
        _ => {}
    }
    let evicted = page.evictions_per_hour.filter(|rate| *rate >= 1.0);
    view! {
        <Charts latency note calls />
        {evicted.map(|rate| view! {
            <p class="banner attention c12"><Icon name="warn" />{format!("pg_stat_statements evicts {} entries an hour, so rare statements are missing here: raise pg_stat_statements.max.", format::count(rate))}</p>
        })}
        <section class="panel c12" aria-label="Statements">
            <Toolbar page=page.clone() params=params.clone() search />
            <Table page params />
        </section>
    }
    .into_any()
}

#[component]
fn Charts(latency: ChartData, note: String, calls: ChartData) -> impl IntoView {
    view! {
        <Panel title="Statement latency" span="c8" note=note source="pg_stat_statements; percentiles from the durations in the server's log where it has them, otherwise estimated">
            <Chart data=latency label="Statement latency" />
        </Panel>
        <Panel title="Calls" span="c4" note="of all statements, per second" source="pg_stat_statements.calls">
            <Chart data=calls label="Calls per second" />
        </Panel>
    }
}

#[component]
fn Toolbar(page: QueriesPage, params: QueriesParams, search: RwSignal<String>) -> impl IntoView {
    let navigate = use_navigate();
    let submit = {
        let params = params.clone();
        move |event: leptos::ev::SubmitEvent| {
            event.prevent_default();
            let text = search.get_untracked();
            let wanted = QueriesParams {
                search: Some(text).filter(|text| !text.trim().is_empty()),
                cursor: None,
                ..params.clone()
            };
            navigate(&link(&wanted), Default::default());
        }
    };
    // Without JavaScript the form itself carries the other parameters.
    let hidden = params
        .pairs()
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "q" | "cursor"))
        .map(|(name, value)| view! { <input type="hidden" name=name value=value /> });
    let chip = |on: bool, label: String, params: QueriesParams| view! { <a class="chip" class:on=on aria-current=on.then_some("true") href=link(&params)>{label}</a> };
    let kinds = QueryKind::ALL.into_iter().map(|kind| {
        let on = params.kind == Some(kind);
        chip(
            on,
            kind.as_str().to_uppercase(),
            QueriesParams { kind: (!on).then_some(kind), cursor: None, ..params.clone() },
        )
    });
    let slow = chip(
        params.slow_only,
        format!("slow > {} ({})", format::duration_ms(page.slow_threshold_ms), page.slow),
        QueriesParams { slow_only: !params.slow_only, cursor: None, ..params.clone() },
    );
    let monitoring = chip(
        !params.hide_monitoring,
        "with monitoring".to_owned(),
        QueriesParams { hide_monitoring: !params.hide_monitoring, cursor: None, ..params.clone() },
    );
    let pick = |name: &'static str,
                all: &'static str,
                chosen: Option<String>,
                choices: Vec<String>,
                with: fn(&QueriesParams, Option<String>) -> QueriesParams| {
        let label = chosen.clone().unwrap_or_else(|| all.to_owned());
        let lines = std::iter::once((all.to_owned(), with(&params, None), chosen.is_none()))
            .chain(choices.into_iter().map(|one| (one.clone(), with(&params, Some(one.clone())), chosen.as_deref() == Some(one.as_str()))))
            .map(|(label, params, on)| view! { <li><a href=link(&params) aria-current=on.then_some("true")>{label}</a></li> })
            .collect_view();
        view! { <details class="menu"><summary class="chip"><span class="sr">{format!("{name}: ")}</span>{label}</summary><ul>{lines}</ul></details> }
    };
    let database =
        pick("Database", "all databases", params.database.clone(), page.databases.clone(), |params, database| {
            QueriesParams { database, cursor: None, ..params.clone() }
        });
    let user = pick("Role", "all roles", params.user.clone(), page.users.clone(), |params, user| QueriesParams {
        user,
        cursor: None,
        ..params.clone()
    });
    let calls = pick(
        "Calls",
        "any number of calls",
        params.min_calls.map(at_least),
        [10, 100, 1_000, 10_000].map(at_least).to_vec(),
        |params, chosen| QueriesParams {
            min_calls: chosen.as_deref().and_then(calls_of),
            cursor: None,
            ..params.clone()
        },
    );
    let (usual, extra) = COLUMNS.split_at(COLUMNS.len() - EXTRA);
    let names = |columns: &[Column]| columns.iter().map(|column| column.1.to_owned()).collect::<Vec<_>>();
    let names = [names(usual), vec!["Time over the range".to_owned()], names(extra)].concat();
    let csv = {
        let cluster = params.cluster.clone().unwrap_or_else(|| page.cluster.clone());
        let pairs = params
            .pairs()
            .into_iter()
            .filter(|(name, _)| !matches!(*name, "cluster" | "limit" | "cursor"))
            .chain([("format", "csv".to_owned())])
            .collect::<Vec<_>>();
        address(&format!("/api/v1/clusters/{cluster}/queries"), &pairs, None)
    };
    view! {
        <div class="toolbar">
            <form class="search" role="search" method="get" action=format!("{PATH}#queries") on:submit=submit>
                <Icon name="search" />
                <input type="search" name="q" placeholder="Search statements, tables, ids" aria-label="Search statements" prop:value=move || search.get() value=params.search.clone() on:input=move |event| search.set(event_target_value(&event)) />
                <kbd class="js-only">"/"</kbd>
                {hidden.collect_view()}
            </form>
            {kinds.collect_view()}
            {slow}
            {database}
            {user}
            {calls}
            {monitoring}
            <span class="grow"></span>
            <Columns table="queries" names extra=EXTRA />
            <a class="btn" href=csv rel="external" download="queries.csv"><Icon name="download" />"CSV"</a>
        </div>
    }
}

/// A choice of how many calls there must be.
fn at_least(calls: u32) -> String {
    format!("{calls} calls or more")
}

/// The number of such a choice.
fn calls_of(choice: &str) -> Option<u32> {
    choice.split(' ').next()?.parse().ok()
}

/// What it sorts by, head, explanation.
type Column = (QuerySort, &'static str, &'static str);

/// The last columns, which come hidden: the table would be too wide.
const EXTRA: usize = 5;

const COLUMNS: [Column; 12] = [
    (QuerySort::Total, "% of time", "Share of all statements' execution time"),
    (QuerySort::Calls, "Calls/s", "Executions per second"),
    (QuerySort::Mean, "Mean", "Mean execution time"),
    (QuerySort::Max, "Max", "Longest since the entry was made, not only in this range"),
    (QuerySort::Rows, "Rows/call", "Rows returned or changed per execution"),
    (QuerySort::Hit, "Hit %", "Blocks found in shared buffers"),
    (QuerySort::Temp, "Temp", "Temporary files written"),
    (QuerySort::Total, "Total time", "Time of all executions"),
    (QuerySort::Stddev, "σ", "Standard deviation of the execution time"),
    (QuerySort::Wal, "WAL", "WAL written"),
    (QuerySort::Database, "Database", ""),
    (QuerySort::User, "Role", ""),
];

#[component]
fn Table(page: QueriesPage, params: QueriesParams) -> impl IntoView {
    let head = |(sort, label, hint): Column| {
        let sorted = params.sort == sort;
        // The first click sorts by what stands out: the largest first, names from A.
        let text = matches!(sort, QuerySort::Query | QuerySort::Database | QuerySort::User);
        let descending = if sorted { !params.descending } else { !text };
        let class = if text { "" } else { "n" };
        let href = link(&QueriesParams { sort, descending, cursor: None, ..params.clone() });
        let direction = sorted.then_some(if params.descending { "descending" } else { "ascending" });
        let arrow = sorted.then_some(if params.descending { " ↓" } else { " ↑" });
        view! { <th scope="col" class=class aria-sort=direction><a href=href title=hint>{label}{arrow}</a></th> }
    };
    let heads =
        std::iter::once((QuerySort::Query, "Statement", "Normalised text")).chain(COLUMNS).map(head).collect_view();
    let widest = page.rows.iter().map(|row| row.total_percent).fold(0.0, f64::max);
    let detail = params
        .pairs()
        .into_iter()
        .filter(|(name, _)| matches!(*name, "cluster" | "range" | "from" | "to" | "compare"))
        .collect::<Vec<_>>();
    let spark_head = params.range.phrase();
    let compared = params.compare != Compare::Off;
    let rows = page.rows.iter().map(|row| query_row(row, widest, &detail, compared)).collect_view();
    let other = page.other.clone();
    let rest = [
        percent(other.total_percent),
        format::rate(other.calls as f64 / page.window_seconds.max(1.0)),
        if other.calls > 0 { format::duration_ms(other.total_ms / other.calls as f64) } else { "—".to_owned() },
    ];
    // The total stands where the columns that come hidden begin; below the others there is nothing to say.
    let empty = std::iter::repeat_n(String::new(), COLUMNS.len() - EXTRA - rest.len());
    let ends = std::iter::repeat_n(String::new(), EXTRA + usize::from(compared) + 1);
    let rest = rest.into_iter().chain(empty).chain([format::duration_ms(other.total_ms)]).chain(ends);
    let rest = rest.map(|text| view! { <td class="n">{text}</td> }).collect_view();
    let shown = page.rows.len();
    let next = page.next_cursor.clone().map(|cursor| link(&QueriesParams { cursor: Some(cursor), ..params.clone() }));
    let first = params.cursor.is_some().then(|| link(&QueriesParams { cursor: None, ..params.clone() }));
    let sizes = [25, 50, 100, 500].into_iter().map(|limit| {
        let on = params.limit == limit;
        view! { <a class="chip" class:on=on aria-current=on.then_some("true") href=link(&QueriesParams { limit, cursor: None, ..params.clone() })>{limit}</a> }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Statements table">
            <table class="queries" data-columns="queries">
                <thead><tr>{heads}{compared.then(|| view! { <th scope="col" class="n" title=format!("Mean time against that of the {}", params.compare.label())>"Mean Δ %"</th> })}<th scope="col">{spark_head}</th><th scope="col"><span class="sr">"Flags"</span></th></tr></thead>
                <tbody>{rows}</tbody>
                <tfoot><tr><td>{format!("other ({})", format::counted(other.statements, "statement", "statements"))}</td>{rest}</tr></tfoot>
            </table>
        </div>
        <footer class="pager">
            <span class="muted">{format!("{} of {} statements match; figures over {}", format::thousands(page.matching), format::thousands(page.statements), format::duration_s(page.window_seconds.round()))}</span>
            <span class="grow"></span>
            <span class="muted">"Rows"</span>{sizes.collect_view()}
            {first.map(|href| view! { <a class="btn" href=href>"First"</a> })}
            {next.map(|href| view! { <a class="btn" href=href>{format!("Next {shown}")}</a> })}
        </footer>
    }
}

fn percent(value: f64) -> String {
    format!("{value:.1}")
}

fn dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "—".to_owned(), show)
}

fn query_row(row: &QueryRow, widest: f64, detail: &[(&'static str, String)], compared: bool) -> impl IntoView + use<> {
    let href = address(&format!("/database/queries/{}", row.id), detail, None);
    // Temporary files and cold reads have columns of their own.
    let flags = row.flags.iter().filter(|flag| !matches!(flag, QueryFlag::Temp | QueryFlag::ColdReads)).map(|flag| {
        let class = match flag.label() {
            "slow" | "regressed" | "plan changed" => "badge warning",
            "new" => "badge accent",
            _ => "badge",
        };
        view! { <span class=class>{flag.label()}</span> }
    });
    // In steps of five, by class: the content security policy allows no inline style.
    let share =
        format!("share w{}", ((row.total_percent / widest.max(f64::MIN_POSITIVE) * 20.0).round() as u32).min(20) * 5);
    let bytes = |bytes: i64| if bytes > 0 { format::bytes(bytes as f64) } else { "—".to_owned() };
    let numbers = [
        format::rate(row.calls_per_second),
        format::duration_ms(row.mean_ms),
        dash(row.max_ms, format::duration_ms),
        format::count(row.rows_per_call),
        dash(row.hit_percent, percent),
        bytes(row.temp_bytes),
        format::duration_ms(row.total_ms),
        dash(row.stddev_ms, format::duration_ms),
        bytes(row.wal_bytes),
    ];
    let numbers = numbers.into_iter().map(|text| view! { <td class="n">{text}</td> }).collect_view();
    let title = format!("{} · {} · {}", row.database, row.user, row.query.chars().take(300).collect::<String>());
    view! {
        <tr>
            <td class="statement"><a class="sql" data-row href=href title=title>{highlighted(&row.query.chars().take(160).collect::<String>())}</a><CopyButton text=row.query.clone() label="Copy the statement" /></td>
            <td class="n"><span class=share><b>{percent(row.total_percent)}</b></span></td>
            {numbers}
            <td>{row.database.clone()}</td>
            <td>{row.user.clone()}</td>
            {compared.then(|| view! { <td class="n">{dash(row.mean_change_percent, format::signed_percent)}</td> })}
            <td><Spark values=row.spark.clone() /></td>
            <td class="flags">{flags.collect_view()}</td>
        </tr>
    }
}
