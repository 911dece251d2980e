//! `#indexes`: what indexes cost and which of them are not worth it.

use crate::{
    columns::Columns,
    components::{CopyButton, Failed, Icon, Missing, Panel, Skeleton},
    live::Live,
    scope::{Scope, address, kept_params, with_param},
    server_fns::load_indexes,
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    view::{Availability, IndexFinding, IndexRow, IndexTab, IndexesPage, MissingForeignKey},
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

/// Rows shown at once; the rest is one click away.
const ROWS: usize = 100;

/// Tabs, table, evidence.
#[component]
pub fn Indexes() -> impl IntoView {
    let scope = Scope::get();
    let live = Live::get();
    let data = Resource::new(move || (scope.cluster.get(), live.sequence.get()), |(cluster, _)| load_indexes(cluster));
    view! {
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(page) => view! { <Loaded page /> }.into_any(),
                    Err(error) => view! { <Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Loaded(page: IndexesPage) -> impl IntoView {
    match page.availability.clone() {
        Availability::Missing { reason, cure } => return view! { <Panel title="Indexes"><Missing reason cure /></Panel> }.into_any(),
        Availability::Collecting => return view! { <Panel title="Indexes"><Missing reason="Collecting: the first reading of the indexes is under way." /></Panel> }.into_any(),
        Availability::Ready => {}
    }
    let query = use_query_map();
    let tab = Memo::new(move |_| {
        query.with(|query| query.get("list")).and_then(|text| text.parse::<IndexTab>().ok()).unwrap_or_default()
    });
    let filter = RwSignal::new(query.with_untracked(|query| query.get("index")).unwrap_or_default());
    let scope = Scope::get();
    let counts = page.counts.clone();
    let tabs = IndexTab::ALL.into_iter().enumerate().map(move |(i, one)| {
        let count = counts.get(i).copied().unwrap_or(0);
        let href = with_param("list", (one != IndexTab::All).then(|| one.as_str().to_owned()));
        view! {
            <a class="chip" class:on=move || tab.get() == one aria-current=move || (tab.get() == one).then_some("true") href=move || format!("{}#indexes", href.get())>
                {one.label()}<small>{format::thousands(count)}</small>
            </a>
        }
    });
    let since = page.counting_since.map_or_else(String::new, |at| format!(", scans counted since {}", at.local()));
    let note = format!("{} on {}{since}", format::bytes(page.wasted_bytes as f64), page.nodes.join(" and "));
    let skipped = page.skipped.iter().map(|(database, reason)| format!("{database}: {reason}")).collect::<Vec<_>>();
    let cluster = scope.cluster.get_untracked();
    let csv = address(
        &format!("/api/v1/clusters/{}/indexes", cluster.unwrap_or_else(|| page.cluster.clone())),
        &[("format", "csv".to_owned())],
        None,
    );
    let put_aside = page.put_aside;
    let page = StoredValue::new(page);
    view! {
        <section class="panel c12" aria-label="Indexes">
            <header><h2>"Indexes"</h2><span class="note">{format!("could give back {note}")}</span></header>
            <div class="toolbar">
                {tabs.collect_view()}
                <form class="search narrow" role="search" method="get" action="/database/performance#indexes">
                    <Icon name="search" />
                    <input type="search" name="index" placeholder="Index or table" aria-label="Search indexes" prop:value=move || filter.get() on:input=move |event| filter.set(event_target_value(&event)) value=filter.get_untracked() />
                    {kept_params("index")}
                </form>
                <span class="grow"></span>
                <a class="btn" rel="external" href=move || scope.link("/database/advice")>{if put_aside > 0 { format!("Advice, {put_aside} put aside") } else { "Advice".to_owned() }}</a>
                <Columns table="indexes" names=["Table", "Method", "Size", "Scans", "Scans/s", "Hit %", "Table writes/s"].map(str::to_owned).to_vec() />
                <a class="btn" href=csv rel="external" download="indexes.csv"><Icon name="download" />"CSV"</a>
            </div>
            {(!skipped.is_empty()).then(|| view! { <p class="banner attention">{format!("Not read: {}", skipped.join("; "))}</p> })}
            {move || {
                let words = filter.get().to_lowercase();
                page.with_value(|page| match tab.get() {
                    IndexTab::All => all(page, &words),
                    IndexTab::MissingForeignKey => foreign_keys(page, &words),
                    tab => findings(page, tab, &words),
                })
            }}
        </section>
    }
    .into_any()
}

fn matches(row: &IndexRow, words: &str) -> bool {
    words.is_empty()
        || format!("{}.{}.{} {}", row.database, row.schema, row.table, row.name).to_lowercase().contains(words)
}

fn flags(row: &IndexRow) -> impl IntoView + use<> {
    let labels = row.labels.iter().map(|label| view! { <span class="badge">{label.clone()}</span> }).collect_view();
    let findings = row
        .findings
        .iter()
        .map(|finding| match finding {
            IndexFinding::Unused { .. } => view! { <span class="badge attention">"unused"</span> },
            IndexFinding::Duplicate { .. } => view! { <span class="badge attention">"duplicate"</span> },
            IndexFinding::Invalid { .. } => view! { <span class="badge critical">"invalid"</span> },
        })
        .collect_view();
    (findings, labels)
}

fn all(page: &IndexesPage, words: &str) -> AnyView {
    let mut rows = page.rows.iter().filter(|row| matches(row, words)).collect::<Vec<_>>();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let hidden = rows.len().saturating_sub(ROWS);
    let tables = Scope::get().link("/database/tables");
    let lines = rows.into_iter().take(ROWS).map(|row| {
        let table = format!("{}.{}.{}", row.database, row.schema, row.table);
        let href = address(&tables, &[("table", table)], None);
        view! {
            <tr>
                <td class="statement"><a class="name" data-row href=href title=row.definition.clone()>{row.name.clone()}</a></td>
                <td><span class="muted">{format!("{}.", row.schema)}</span>{row.table.clone()}</td>
                <td>{row.method.clone()}</td>
                <td class="n">{format::bytes(row.bytes as f64)}</td>
                <td class="n">{format::count(row.scans as f64)}</td>
                <td class="n">{row.scans_per_second.map_or_else(|| "—".to_owned(), format::rate)}</td>
                <td class="n">{row.hit_percent.map_or_else(|| "—".to_owned(), |percent| format!("{percent:.1}"))}</td>
                <td class="n">{row.table_writes_per_second.map_or_else(|| "—".to_owned(), format::rate)}</td>
                <td class="flags">{flags(row)}</td>
            </tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Indexes table">
            <table data-columns="indexes">
                <thead><tr>
                    <th scope="col">"Index"</th><th scope="col">"Table"</th><th scope="col">"Method"</th><th scope="col" class="n">"Size ↓"</th><th scope="col" class="n">"Scans"</th>
                    <th scope="col" class="n">"Scans/s"</th><th scope="col" class="n">"Hit %"</th><th scope="col" class="n">"Table writes/s"</th><th scope="col"><span class="sr">"Flags"</span></th>
                </tr></thead>
                <tbody>{lines.collect_view()}</tbody>
            </table>
        </div>
        {(hidden > 0).then(|| view! { <p class="more muted">{format!("{} smaller ones are not shown: search, or take the CSV.", format::thousands(i64::try_from(hidden).unwrap_or(0)))}</p> })}
    }
    .into_any()
}

/// One finding: what, why, what to run, how to undo it.
fn card(
    name: String,
    place: String,
    bytes: i64,
    badge: String,
    evidence: String,
    sql: (&'static str, String),
    undo: Option<String>,
) -> AnyView {
    let (title, statement) = sql;
    view! {
        <li class="finding">
            <div class="finding-head">
                <strong class="name">{name}</strong><span class="muted">{place}</span><span class="badge attention">{badge}</span>
                <span class="grow"></span><span class="num">{format::bytes(bytes as f64)}</span>
            </div>
            <p>{evidence}</p>
            <div class="code-block"><pre tabindex="0"><code>{highlighted(&statement)}</code></pre><CopyButton text=statement.clone() label=title /></div>
            {undo.map(|undo| view! { <details><summary>"Undo"</summary><div class="code-block"><pre tabindex="0"><code>{highlighted(&undo)}</code></pre><CopyButton text=undo.clone() label="Copy the undo" /></div></details> })}
        </li>
    }
    .into_any()
}

fn findings(page: &IndexesPage, tab: IndexTab, words: &str) -> AnyView {
    let mut rows = page.rows.iter().filter(|row| matches(row, words)).collect::<Vec<_>>();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let cards = rows
        .into_iter()
        .flat_map(|row| row.findings.iter().filter_map(move |finding| finding_card(row, finding, tab)))
        .collect::<Vec<_>>();
    if cards.is_empty() {
        let text = match tab {
            IndexTab::Unused => {
                "Every index that could be dropped was used since counting began, or counting began too lately to tell."
            }
            IndexTab::Duplicate => "No index is covered by another.",
            _ => "Every index is valid.",
        };
        return view! { <p class="fine"><Icon name="check" />{text}</p> }.into_any();
    }
    view! { <ul class="findings">{cards}</ul> }.into_any()
}

fn finding_card(row: &IndexRow, finding: &IndexFinding, tab: IndexTab) -> Option<AnyView> {
    let place = format!("on {}.{}, database {}", row.schema, row.table, row.database);
    Some(match (finding, tab) {
        (IndexFinding::Unused { evidence, drop_sql, undo_sql }, IndexTab::Unused) => card(
            row.name.clone(),
            place,
            row.bytes,
            "unused".to_owned(),
            evidence.clone(),
            ("Copy the DROP", drop_sql.clone()),
            Some(undo_sql.clone()),
        ),
        (IndexFinding::Duplicate { covered_by, evidence, drop_sql, undo_sql, .. }, IndexTab::Duplicate) => card(
            row.name.clone(),
            place,
            row.bytes,
            format!("covered by {covered_by}"),
            evidence.clone(),
            ("Copy the DROP", drop_sql.clone()),
            Some(undo_sql.clone()),
        ),
        (IndexFinding::Invalid { evidence, rebuild_sql }, IndexTab::Invalid) => card(
            row.name.clone(),
            place,
            row.bytes,
            "invalid".to_owned(),
            evidence.clone(),
            ("Copy the commands", rebuild_sql.clone()),
            None,
        ),
        _ => return None,
    })
}

fn foreign_keys(page: &IndexesPage, words: &str) -> AnyView {
    let found = |key: &&MissingForeignKey| {
        words.is_empty() || format!("{} {}", key.table, key.constraint).to_lowercase().contains(words)
    };
    let cards = page
        .missing_foreign_keys
        .iter()
        .filter(found)
        .map(|key| {
            let place = format!(
                "on {}.{}, database {}; about {} rows",
                key.schema,
                key.table,
                key.database,
                format::count(key.table_rows)
            );
            card(
                key.constraint.clone(),
                place,
                key.table_bytes,
                "no index".to_owned(),
                key.evidence.clone(),
                ("Copy the CREATE", key.create_sql.clone()),
                Some(key.undo_sql.clone()),
            )
        })
        .collect::<Vec<_>>();
    if cards.is_empty() {
        return view! { <p class="fine"><Icon name="check" />"Every foreign key that needs an index has one."</p> }
            .into_any();
    }
    view! { <ul class="findings">{cards}</ul> }.into_any()
}
