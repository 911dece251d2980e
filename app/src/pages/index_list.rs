//! The list of indexes as the server lays it out: tabs, table, findings.

use crate::{
    components::{CopyButton, Icon},
    server_fns::Ask,
    sql::highlighted,
    zone::Local as _,
};
use domain::{
    format,
    view::{IndexFinding, IndexRow, IndexTab, IndexesPage, MissingForeignKey},
};
use leptos::prelude::*;

/// Rows shown at once; the rest is one click away.
const ROWS: usize = 100;

/// Which list is shown.
pub fn tab(ask: &Ask) -> IndexTab {
    ask.get("list").and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The tabs with their numbers, and one database or all.
pub fn tabs(ask: &Ask, page: &IndexesPage, databases: &[String]) -> String {
    let tab = tab(ask);
    let tabs = IndexTab::ALL.into_iter().enumerate().map(|(i, one)| {
        let count = page.counts.get(i).copied().unwrap_or(0);
        let href = format!("{}#indexes", ask.with("list", (one != IndexTab::All).then(|| one.as_str())));
        let on = tab == one;
        view! { <a class="chip" class:on=on aria-current=on.then_some("true") href=href>{one.label()}<small>{format::thousands(count)}</small></a> }
    });
    let chosen = ask.get("database");
    let picker = (databases.len() > 1 || chosen.is_some()).then(|| {
        let label = chosen.unwrap_or("all databases").to_owned();
        let all = std::iter::once((None, "all databases"));
        let lines = all.chain(databases.iter().map(|name| (Some(name.as_str()), name.as_str()))).map(|(name, label)| {
            let href = format!("{}#indexes", ask.with("database", name));
            view! { <li><a href=href aria-current=(name == chosen).then_some("true")>{label.to_owned()}</a></li> }
        });
        view! { <details class="menu"><summary class="chip"><span class="sr">"Database: "</span>{label}</summary><ul>{lines.collect_view()}</ul></details> }
    });
    view! { {tabs.collect_view()}{picker} }.to_html()
}

/// What the tab holds.
pub fn list(ask: &Ask, page: &IndexesPage) -> String {
    let words = ask.get("index").unwrap_or_default().to_lowercase();
    let skipped = page.skipped.iter().map(|(database, reason)| format!("{database}: {reason}")).collect::<Vec<_>>();
    let banner = (!skipped.is_empty())
        .then(|| view! { <p class="banner attention">{format!("Not read: {}", skipped.join("; "))}</p> });
    let content = match tab(ask) {
        IndexTab::All => all(ask, page, &words),
        IndexTab::MissingForeignKey => foreign_keys(page, &words),
        tab => findings(ask, page, tab, &words),
    };
    view! { {banner}{content} }.to_html()
}

fn matches(row: &IndexRow, words: &str) -> bool {
    words.is_empty() || format!("{} {}", row.key, row.table).to_lowercase().contains(words)
}

fn named(name: String, href: Option<String>) -> AnyView {
    match href {
        Some(href) => view! { <a rel="external" href=href>{name}</a> }.into_any(),
        None => name.into_any(),
    }
}

/// What was found about an index, and what it is for.
pub fn flags(row: &IndexRow) -> impl IntoView + use<> {
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

/// When it was last used and who says so; a dash is "not known".
pub fn last_used(row: &IndexRow) -> (String, String) {
    let ago = |at: domain::Timestamp| format!("{} ago", format::age_s(control::now().seconds_since(at).max(0.0)));
    match (row.last_scan, row.last_seen_rising) {
        (Some(at), _) => (ago(at), format!("{}, by last_idx_scan of the server", at.local())),
        (None, Some(at)) => (
            format!("about {}", ago(at)),
            format!(
                "{}, to the hour: Holdfast last saw its scans rise then; the server does not tell before 16",
                at.local()
            ),
        ),
        (None, None) if row.scans > 0 => {
            ("—".to_owned(), "It was scanned before Holdfast recorded it, or is too small to be recorded".to_owned())
        }
        (None, None) => ("never".to_owned(), "Not once since its counters began".to_owned()),
    }
}

type SortKey = fn(&IndexRow) -> f64;

/// Columns of numbers: name in the address, head, explanation, what is sorted by; what is not known comes last.
static NUMBERS: [(&str, &str, &str, SortKey); 7] = [
    ("size", "Size", "By the planner's page count", |it| it.bytes as f64),
    ("scans", "Scans", "On all nodes since the counters began", |it| it.scans as f64),
    ("used", "Last used", "By the server from PostgreSQL 16 on; before by what Holdfast saw, to the hour", |it| {
        it.last_scan.or(it.last_seen_rising).map_or(-1.0, |at| at.0 as f64)
    }),
    ("rate", "Scans/s", "Between the last two readings", |it| it.scans_per_second.unwrap_or(-1.0)),
    ("hit", "Hit %", "Blocks found in shared buffers", |it| it.hit_percent.unwrap_or(-1.0)),
    ("writes", "Table writes/s", "What it costs to keep: writes to its table", |it| {
        it.table_writes_per_second.unwrap_or(-1.0)
    }),
    ("bloat", "Bloat (est.)", "Estimate, by the planner's statistics: pages less what the entries need", |it| {
        it.bloat_estimate_bytes.map_or(-1.0, |bytes| bytes as f64)
    }),
];

/// What the list is sorted by, and whether the largest come first.
fn order(ask: &Ask) -> (&str, bool) {
    let asked = ask.get("order").unwrap_or("-size");
    asked.strip_prefix('-').map_or((asked, false), |order| (order, true))
}

fn sort(rows: &mut [&IndexRow], (order, descending): (&str, bool)) {
    match order {
        "name" => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        "table" => rows.sort_by(|a, b| (&a.schema, &a.table, &a.name).cmp(&(&b.schema, &b.table, &b.name))),
        order => {
            let key = NUMBERS.iter().find(|column| column.0 == order).unwrap_or(&NUMBERS[0]).3;
            rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
        }
    }
    if descending {
        rows.reverse();
    }
}

/// The head of a column; a click sorts by it, and again turns it round.
fn head(ask: &Ask, name: &str, label: &'static str, hint: &'static str, number: bool) -> impl IntoView + use<> {
    let (order, descending) = order(ask);
    let sorted = order == name;
    // The first click sorts by what stands out: the largest first, names from A.
    let next = if sorted { !descending } else { number };
    let next = format!("{}{name}", if next { "-" } else { "" });
    let href = format!("{}#indexes", ask.with("order", Some(&next)));
    let direction = sorted.then_some(if descending { "descending" } else { "ascending" });
    let arrow = sorted.then_some(if descending { " ↓" } else { " ↑" });
    let hint = (!hint.is_empty()).then_some(hint);
    view! { <th scope="col" class:n=number title=hint aria-sort=direction><a href=href>{label}{arrow}</a></th> }
}

fn all(ask: &Ask, page: &IndexesPage, words: &str) -> AnyView {
    let mut rows = page.rows.iter().filter(|row| matches(row, words)).collect::<Vec<_>>();
    sort(&mut rows, order(ask));
    let hidden = rows.len().saturating_sub(ROWS);
    let dash = || "—".to_owned();
    let lines = rows.into_iter().take(ROWS).map(|row| {
        let href = ask.to("/database/index", &[("name", row.key.as_str())]);
        let table = format!("{}.{}.{}", row.database, row.schema, row.table);
        let table = ask.to("/database/tables", &[("table", table.as_str())]);
        let (used, why) = last_used(row);
        view! {
            <tr>
                <td class="statement"><a class="name" data-row rel="external" href=href title=row.definition.clone()>{row.name.clone()}</a></td>
                <td><a href=table><span class="muted">{format!("{}.", row.schema)}</span>{row.table.clone()}</a></td>
                <td>{row.method.clone()}</td>
                <td class="n">{format::bytes(row.bytes as f64)}</td>
                <td class="n">{format::count(row.scans as f64)}</td>
                <td class="n" title=why>{used}</td>
                <td class="n">{row.scans_per_second.map_or_else(dash, format::rate)}</td>
                <td class="n">{row.hit_percent.map_or_else(dash, |percent| format!("{percent:.1}"))}</td>
                <td class="n">{row.table_writes_per_second.map_or_else(dash, format::rate)}</td>
                <td class="n">{row.bloat_estimate_bytes.map_or_else(dash, |bytes| format::bytes(bytes as f64))}</td>
                <td class="flags">{flags(row)}</td>
            </tr>
        }
    });
    let numbers = NUMBERS.iter().map(|(name, label, hint, _)| head(ask, name, label, hint, true));
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Indexes table">
            <table data-columns="indexes">
                <thead><tr>
                    {head(ask, "name", "Index", "", false)}{head(ask, "table", "Table", "", false)}<th scope="col">"Method"</th>
                    {numbers.collect_view()}<th scope="col"><span class="sr">"Flags"</span></th>
                </tr></thead>
                <tbody>{lines.collect_view()}</tbody>
            </table>
        </div>
        {(hidden > 0).then(|| view! { <p class="more muted">{format!("{} more are not shown: search, or take the CSV.", format::thousands(i64::try_from(hidden).unwrap_or(0)))}</p> })}
    }
    .into_any()
}

/// One finding: what, why, what to run, how to undo it.
fn card(
    (name, href): (String, Option<String>),
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
                <strong class="name">{named(name, href)}</strong><span class="muted">{place}</span><span class="badge attention">{badge}</span>
                <span class="grow"></span><span class="num">{format::bytes(bytes as f64)}</span>
            </div>
            <p>{evidence}</p>
            <div class="code-block"><pre tabindex="0"><code>{highlighted(&statement)}</code></pre><CopyButton text=statement.clone() label=title /></div>
            {undo.map(|undo| view! { <details><summary>"Undo"</summary><div class="code-block"><pre tabindex="0"><code>{highlighted(&undo)}</code></pre><CopyButton text=undo.clone() label="Copy the undo" /></div></details> })}
        </li>
    }
    .into_any()
}

fn findings(ask: &Ask, page: &IndexesPage, tab: IndexTab, words: &str) -> AnyView {
    let mut rows = page.rows.iter().filter(|row| matches(row, words)).collect::<Vec<_>>();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let cards = rows
        .into_iter()
        .flat_map(|row| row.findings.iter().filter_map(move |finding| finding_card(ask, row, finding, tab)))
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

fn finding_card(ask: &Ask, row: &IndexRow, finding: &IndexFinding, tab: IndexTab) -> Option<AnyView> {
    let href = ask.to("/database/index", &[("name", row.key.as_str())]);
    let place = format!("on {}.{}, database {}", row.schema, row.table, row.database);
    Some(match (finding, tab) {
        (IndexFinding::Unused { evidence, drop_sql, undo_sql }, IndexTab::Unused) => card(
            (row.name.clone(), Some(href)),
            place,
            row.bytes,
            "unused".to_owned(),
            evidence.clone(),
            ("Copy the DROP", drop_sql.clone()),
            Some(undo_sql.clone()),
        ),
        (IndexFinding::Duplicate { covered_by, evidence, drop_sql, undo_sql, .. }, IndexTab::Duplicate) => card(
            (row.name.clone(), Some(href)),
            place,
            row.bytes,
            format!("covered by {covered_by}"),
            evidence.clone(),
            ("Copy the DROP", drop_sql.clone()),
            Some(undo_sql.clone()),
        ),
        (IndexFinding::Invalid { evidence, rebuild_sql }, IndexTab::Invalid) => card(
            (row.name.clone(), Some(href)),
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
                (key.constraint.clone(), None),
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
