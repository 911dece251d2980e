//! `/database/tables`, and one table by `?table=`
use super::layout::{
    Ask, available, chart, dash, fact, head, heads, number, panel, since, size, some, table, table_with_csv, text,
};
use crate::{
    chart::build,
    panels::{Cell, Content, Head, PanelData, PanelPage, TableData},
    zone::Local as _,
};
use control::ControlError;
use domain::{
    format,
    view::{DatabaseRow, TableColumn, TableDetail, TableIndex, TableRow, TableStatement},
};

/// Rows shown at once; the rest is one search away.
const ROWS: usize = 100;

type SortKey = fn(&TableRow) -> f64;

/// Name in the address, head, explanation, what is sorted by.
static COLUMNS: [(&str, &str, &str, SortKey); 12] = [
    ("size", "Size", "Heap, TOAST and indexes, by the planner's page counts", |it| it.total_bytes as f64),
    ("index", "Indexes", "Size of all its indexes", |it| it.index_bytes as f64),
    ("rows", "Rows", "The planner's estimate", |it| it.rows),
    ("seq", "Seq scans/s", "Between the last two readings", |it| it.seq_scans_per_second.unwrap_or(-1.0)),
    (
        "seqrows",
        "Seq rows/s",
        "Rows read by sequential scans, between the last two readings: many where an index may be missing",
        |it| it.seq_rows_read_per_second.unwrap_or(-1.0),
    ),
    ("idx", "Index scans/s", "Between the last two readings", |it| it.index_scans_per_second.unwrap_or(-1.0)),
    ("writes", "Writes/s", "Rows inserted, updated and deleted", |it| it.writes_per_second.unwrap_or(-1.0)),
    ("hot", "HOT %", "Updates that touched no index", |it| it.hot_percent.unwrap_or(-1.0)),
    ("dead", "Dead %", "Dead rows of all", |it| it.dead_percent.unwrap_or(-1.0)),
    (
        "bloat",
        "Bloat (est.)",
        "Estimate: pages less what the rows need by the planner's statistics; good to some ten percent",
        |it| it.bloat_estimate_bytes.map_or(-1.0, |bytes| bytes as f64),
    ),
    (
        "vacuum",
        "To vacuum",
        "How near autovacuum is, by the settings and the table's own; over 100 % it is due",
        |it| it.vacuum.percent,
    ),
    ("xid", "XID age", "Age of its oldest transaction id", |it| it.xid_age.map_or(-1.0, |age| age as f64)),
];

pub async fn page(ask: &Ask) -> Result<PanelPage, ControlError> {
    let page = ask.control.tables_list(&ask.actor, ask.id(), ask.get("database"))?;
    let mut panels = Vec::new();
    if let Some(key) = ask.get("table") {
        let detail = ask.control.table_get(&ask.actor, ask.id(), key, ask.range).await?;
        panels.extend(detail_panels(ask, detail));
    }
    let word = ask.get("q").unwrap_or_default().to_lowercase();
    let (descending, sort) = match ask.get("sort") {
        Some(sort) => sort.strip_prefix('-').map_or((false, sort), |sort| (true, sort)),
        None => (true, "size"),
    };
    let column = COLUMNS.iter().find(|column| column.0 == sort).unwrap_or(&COLUMNS[0]);
    let mut rows =
        page.rows.iter().filter(|row| word.is_empty() || row.key.to_lowercase().contains(&word)).collect::<Vec<_>>();
    rows.sort_by(|a, b| {
        let order = (column.3)(a).total_cmp(&(column.3)(b));
        if descending { order.reverse() } else { order }
    });
    let more = rows.len().saturating_sub(ROWS);
    let largest = rows.iter().map(|row| row.total_bytes).max().unwrap_or(1).max(1);
    let lines = rows.iter().take(ROWS).map(|row| line(ask, row, largest)).collect();
    let mut heads = vec![head("Table", false)];
    heads.extend(COLUMNS.iter().map(|(name, label, hint, _)| {
        let sorted = (*name == column.0).then_some(descending);
        // The first click sorts by what stands out.
        let next = if sorted == Some(true) { (*name).to_owned() } else { format!("-{name}") };
        Head { hint: (*hint).to_owned(), sort: Some(ask.with("sort", Some(&next))), sorted, ..head(label, true) }
    }));
    let hint =
        "Since it was vacuumed; in colour where vacuum is due and has not come for an hour, or for a day".to_owned();
    heads.extend([Head { hint, ..head("Vacuumed", true) }, head("Analyzed", true)]);
    let content = Content::Table(TableData {
        head: heads,
        rows: lines,
        csv: Some(ask.csv_of_database(&page.cluster, "tables")),
        columns: true,
        search: Some(ask.get("q").unwrap_or_default().to_owned()),
        more: if more > 0 {
            format!(
                "{} more are not shown: search, or take the CSV.",
                format::thousands(i64::try_from(more).unwrap_or(0))
            )
        } else {
            String::new()
        },
    });
    let mut banners = page
        .skipped
        .iter()
        .map(|(database, reason)| ("attention".to_owned(), format!("Not read: {database}: {reason}")))
        .collect::<Vec<_>>();
    if page.without_statistics > 0 {
        banners.push((
            String::new(),
            format!(
                "Bloat of {} cannot be estimated: the statistics of their columns are seen only by who may read them (or has the grant on pg_statistic that the README has, which shows no data), or are not there yet (ANALYZE).",
                format::counted(page.without_statistics, "larger table", "larger tables")
            ),
        ));
    }
    let bytes = page.rows.iter().map(|row| row.total_bytes).sum::<i64>();
    panels.push(
        panel("Tables", "pg_stat_user_tables, pg_class", 12, available(&page.availability, content))
            .at(page.collected_at)
            .chips(ask.databases()?),
    );
    let host = ask.control.host_get(&ask.actor, ask.id()).await?;
    panels.push(super::disks::disks(&host, ask.csv(&host.cluster, "host")));
    if !page.databases.is_empty() {
        panels.push(
            panel(
                "Databases",
                "pg_stat_database",
                12,
                table_with_csv(
                    database_heads(),
                    page.databases.iter().map(database).collect(),
                    format!("{}&list=databases", ask.csv_of_database(&page.cluster, "tables")),
                ),
            )
            .note("counters since the statistics of each were reset"),
        );
    }
    Ok(PanelPage {
        subtitle: format!("{}, {}", format::counted(page.rows.len(), "table", "tables"), format::bytes(bytes as f64)),
        banners,
        panels,
    })
}

fn database_heads() -> Vec<Head> {
    heads(&[
        ("Database", false),
        ("Size", true),
        ("Backends", true),
        ("Transactions", true),
        ("Rolled back %", true),
        ("Hit %", true),
        ("Temporary", true),
        ("Deadlocks", true),
        ("XID age", true),
        ("Since", true),
    ])
}

fn database(row: &DatabaseRow) -> Vec<Cell> {
    vec![
        text(row.name.as_str()),
        size(row.bytes),
        number(format::thousands(row.backends)),
        number(format::count(row.transactions as f64)),
        some(row.rollback_percent, format::percent),
        some(row.hit_percent, format::percent),
        size(Some(row.temp_bytes)),
        number(format::thousands(row.deadlocks)),
        some(row.xid_age, |age| format::count(age as f64)),
        since(row.since),
    ]
}

fn line(ask: &Ask, row: &TableRow, largest: i64) -> Vec<Cell> {
    let percent = |value: Option<f64>| some(value, format::percent);
    let rate = |value: Option<f64>| some(value, |rate| format::rate(rate).trim_end_matches("/s").to_owned());
    let vacuum = if row.vacuum.disabled {
        Cell::Badge("attention".to_owned(), "off".to_owned())
    } else {
        Cell::Share(format!("{:.0} %", row.vacuum.percent), row.vacuum.percent.clamp(0.0, 100.0) as u8)
    };
    vec![
        Cell::Link(format!("{}.{}", row.schema, row.name), ask.with("table", Some(&row.key))),
        Cell::Share(
            format::bytes(row.total_bytes as f64),
            u8::try_from(100 * row.total_bytes / largest).unwrap_or(100),
        ),
        size(Some(row.index_bytes)),
        Cell::Number(format::count(row.rows)),
        rate(row.seq_scans_per_second),
        rate(row.seq_rows_read_per_second),
        rate(row.index_scans_per_second),
        rate(row.writes_per_second),
        percent(row.hot_percent),
        percent(row.dead_percent),
        size(row.bloat_estimate_bytes),
        vacuum,
        some(row.xid_age, |age| format::count(age as f64)),
        vacuumed(row),
        since(row.last_analyze),
    ]
}

/// How long ago vacuum came; where it is due and stays away, that stands out.
fn vacuumed(row: &TableRow) -> Cell {
    const HOUR: f64 = 3_600.0;
    let due = !row.vacuum.disabled && row.vacuum.percent >= 100.0;
    let marked = |level: &str, text: String| Cell::Badge(level.to_owned(), text);
    match row.last_vacuum.map(|at| control::now().seconds_since(at).max(0.0)) {
        None if due => marked("attention", "never".to_owned()),
        Some(age) if due && age >= 24.0 * HOUR => marked("critical", format::age_s(age)),
        Some(age) if due && age >= HOUR => marked("attention", format::age_s(age)),
        _ => since(row.last_vacuum),
    }
}

fn detail_panels(ask: &Ask, detail: TableDetail) -> Vec<PanelData> {
    let row = &detail.row;
    let trigger = &row.vacuum;
    let inserted = trigger.inserted_threshold.map_or_else(
        || "not by insertions".to_owned(),
        |threshold| {
            format!("{} of {} inserted", format::thousands(trigger.inserted_rows), format::thousands(threshold))
        },
    );
    let at =
        |at: Option<domain::Timestamp>| at.map_or_else(|| "never since the counters began".to_owned(), |at| at.local());
    let facts = vec![
        fact("Database", row.database.clone(), ""),
        fact("Heap", format::bytes(row.heap_bytes as f64), ""),
        fact("TOAST", format::bytes(row.toast_bytes as f64), ""),
        fact("Indexes", format::bytes(row.index_bytes as f64), ""),
        fact(
            "Bloat, estimated",
            row.bloat_estimate_bytes.map_or_else(dash, |bytes| format::bytes(bytes as f64)),
            "pages less what the rows need by the planner's statistics",
        ),
        fact("Part of", row.parent.clone().unwrap_or_else(dash), "partitioned table"),
        fact(
            "Sequential scans",
            format!("{}, {} rows read", format::count(row.seq_scans as f64), format::count(row.seq_rows_read as f64)),
            "since the counters began",
        ),
        fact("Index scans", format::count(row.index_scans as f64), "since the counters began"),
        fact(
            "Dead rows",
            format!(
                "{} of {} at which vacuum comes",
                format::thousands(trigger.dead_rows),
                format::thousands(trigger.dead_threshold)
            ),
            "autovacuum_vacuum_threshold and its scale factor, or the table's own",
        ),
        fact("Inserted rows", inserted, "autovacuum_vacuum_insert_threshold and its scale factor"),
        fact("Autovacuum", if trigger.disabled { "switched off for this table" } else { "on" }, ""),
        fact("Vacuumed", at(row.last_vacuum), ""),
        fact("Analyzed", at(row.last_analyze), ""),
    ];
    let note = match (&detail.forecast, &detail.forecast_missing) {
        (Some(forecast), _) => format!(
            "in {:.0} days {} ({} to {}, 95 %), {}{} a day over {:.0} days of history",
            forecast.days,
            format::bytes(forecast.bytes),
            format::bytes(forecast.low_bytes),
            format::bytes(forecast.high_bytes),
            if forecast.bytes_per_day >= 0.0 { "+" } else { "" },
            format::bytes(forecast.bytes_per_day),
            forecast.history_days
        ),
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    };
    let name = format!("{}.{}", row.schema, row.name);
    let back = vec![("all tables".to_owned(), ask.with("table", None), false)];
    vec![
        chart(
            &format!("Size of {name}"),
            &note,
            "pg_class, recorded each hour",
            8,
            build::lines(&detail.growth),
            false,
        )
        .chips(back),
        panel(&format!("Facts of {name}"), "pg_stat_user_tables", 4, Content::Facts(facts)),
        statements(ask, &name, &detail.statements),
        indexes(ask, &name, &detail.indexes),
        columns(&name, &detail),
    ]
}

/// Who uses it: found by reading the statements' texts, so one in a function's body is not among them.
fn statements(ask: &Ask, name: &str, rows: &[TableStatement]) -> PanelData {
    let line = |it: &TableStatement| {
        vec![
            Cell::Link(it.query.chars().take(100).collect(), ask.to(&format!("/database/queries/{}", it.id), &[])),
            text(it.how.clone()),
            number(format::count(it.calls as f64)),
            number(format::duration_ms(it.mean_ms)),
            number(format::duration_ms(it.total_ms)),
            number(format::percent(it.total_percent)),
        ]
    };
    let content = if rows.is_empty() {
        Content::Fine("No statement of this range names it.".to_owned())
    } else {
        let heads = [
            ("Statement", false),
            ("How", false),
            ("Calls", true),
            ("Mean", true),
            ("Total", true),
            ("% of time", true),
        ];
        table(super::layout::heads(&heads), rows.iter().map(line).collect())
    };
    panel(&format!("Statements on {name}"), "pg_stat_statements, texts parsed", 12, content)
        .note(format!("{}, by time", ask.phrase()))
}

fn indexes(ask: &Ask, name: &str, rows: &[TableIndex]) -> PanelData {
    let line = |it: &TableIndex| {
        vec![
            Cell::Link(it.name.clone(), ask.to("/database/index", &[("name", it.key.as_str())])),
            Cell::Sql(it.definition.clone()),
            size(Some(it.bytes)),
            number(format::count(it.scans as f64)),
            Cell::Muted(it.labels.join(", ")),
        ]
    };
    let content = if rows.is_empty() {
        Content::Fine("It has no index.".to_owned())
    } else {
        let heads = [("Index", false), ("Definition", false), ("Size", true), ("Scans", true), ("", false)];
        table(super::layout::heads(&heads), rows.iter().map(line).collect())
    };
    panel(&format!("Indexes of {name}"), "pg_stat_user_indexes", 12, content)
}

/// Characters of a default; the whole of it is in the API.
const DEFAULT: usize = 60;

/// Name, explanation, whether it is a number.
static COLUMN_HEADS: [(&str, &str, bool); 12] = [
    ("Column", "", false),
    ("Type", "", false),
    ("Not null", "", false),
    ("Default", "Or how it is generated; literals are masked", false),
    ("Distinct", "Different values by the planner's estimate, as a number or as a share of the rows", true),
    ("NULL %", "Of the rows", true),
    ("Width", "Bytes on average", true),
    ("Correlation", "Order on disk against order of values: near 1 or -1 an index scan reads few pages", true),
    ("Common values", "How many most common values are kept; the values themselves are not read", true),
    ("Top %", "Share of the rows that has the most common value", true),
    ("Target", "How many common values ANALYZE keeps at most: its own target, or default_statistics_target", true),
    ("Statistics", "Whether the planner has them, as far as the monitoring role may see", false),
];

/// What the planner knows of each: never a value.
fn columns(name: &str, detail: &TableDetail) -> PanelData {
    // What holds for all columns that lack them is said once, above.
    let mut reasons = detail.columns.iter().filter_map(|it| it.statistics_missing.as_deref()).collect::<Vec<_>>();
    reasons.sort_unstable();
    reasons.dedup();
    let reason = <[&str; 1]>::try_from(reasons).ok().map(|[reason]| reason.to_owned());
    let line = |it: &TableColumn| {
        let part = |part: Option<f64>| some(part, |part| format::percent(100.0 * part));
        let target = if it.statistics_target_own { "" } else { " (default)" };
        vec![
            text(it.name.clone()),
            Cell::Muted(it.data_type.clone()),
            Cell::Muted(if it.not_null { "not null".to_owned() } else { String::new() }),
            Cell::Muted(it.default.as_deref().map(short).unwrap_or_default()),
            some(it.n_distinct, distinct),
            part(it.null_fraction),
            some(it.average_width, |bytes| format::bytes(f64::from(bytes))),
            some(it.correlation, |correlation| format!("{correlation:.2}")),
            some(it.most_common_values, |number| format::thousands(i64::from(number))),
            part(it.most_common_fraction),
            number(format!("{}{target}", it.statistics_target)),
            match &it.statistics_missing {
                None => text("yes".to_owned()),
                Some(_) if reason.is_some() => Cell::Muted("no".to_owned()),
                Some(own) => Cell::Long(own.clone()),
            },
        ]
    };
    let content = match &detail.columns_missing {
        Some(reason) => Content::Missing(reason.clone(), Vec::new()),
        None => {
            let heads = COLUMN_HEADS
                .iter()
                .map(|(label, hint, is_number)| Head { hint: (*hint).to_owned(), ..head(label, *is_number) });
            table(heads.collect(), detail.columns.iter().map(line).collect())
        }
    };
    let panel = panel(&format!("Columns of {name}"), "pg_attribute, pg_stats", 12, content);
    if detail.columns_at.is_some() {
        let note = "the values themselves are not read";
        let note = reason.map_or_else(|| note.to_owned(), |reason| format!("{note}; no statistics: {reason}"));
        panel.at(detail.columns_at).note(note)
    } else {
        panel
    }
}

/// As the planner has it: a number, or a share where the number grows with the table.
fn distinct(value: f64) -> String {
    if value <= -1.0 {
        "each its own".to_owned()
    } else if value < 0.0 {
        format!("{} % of rows", format::percent(-100.0 * value))
    } else if value == 0.0 {
        "not known".to_owned()
    } else {
        format::count(value)
    }
}

fn short(text: &str) -> String {
    let mut short = text.chars().take(DEFAULT).collect::<String>();
    if text.chars().nth(DEFAULT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vacuum_that_is_due_and_stays_away_stands_out() {
        let table = |percent: f64, hours: Option<i64>, disabled: bool| {
            let vacuum = domain::view::VacuumTrigger { percent, disabled, ..Default::default() };
            let last_vacuum = hours.map(|hours| control::now().plus_ms(-hours * 3_600_000));
            vacuumed(&TableRow { vacuum, last_vacuum, ..TableRow::default() })
        };
        let level = |cell: Cell| if let Cell::Badge(level, _) = cell { level } else { String::new() };
        for (percent, hours, said) in [
            (120.0, None, "attention"),
            (120.0, Some(2), "attention"),
            (120.0, Some(30), "critical"),
            (120.0, Some(0), ""),
            (90.0, Some(30), ""),
            (0.0, None, ""),
        ] {
            assert_eq!(level(table(percent, hours, false)), said, "{percent} {hours:?}");
        }
        assert_eq!(level(table(120.0, Some(30), true)), "", "it is switched off, which its own mark says");
    }

    #[test]
    fn different_values_are_a_number_or_a_share() {
        for (value, said) in [(-1.0, "each its own"), (-0.25, "25.0 % of rows"), (0.0, "not known"), (7.0, "7")] {
            assert_eq!(distinct(value), said);
        }
        assert_eq!(short("now()"), "now()");
        assert_eq!(short(&"x".repeat(61)).chars().count(), 61);
    }

    /// The note above the columns, and what each line says of its statistics.
    fn said(statistics_missing: &[Option<&str>]) -> (String, Vec<Cell>) {
        let column = |missing: &Option<&str>| TableColumn {
            statistics_missing: missing.map(str::to_owned),
            ..TableColumn::default()
        };
        let detail = TableDetail {
            columns: statistics_missing.iter().map(column).collect(),
            columns_at: Some(domain::Timestamp(1)),
            ..TableDetail::default()
        };
        let panel = columns("public.orders", &detail);
        let lines = if let Content::Table(table) = panel.content { table.rows } else { Vec::new() };
        (panel.note, lines.into_iter().filter_map(|mut line| line.pop()).collect())
    }

    #[test]
    fn a_reason_that_columns_without_statistics_share_is_said_once_above_them() {
        const NOTE: &str = "the values themselves are not read";
        let (rights, analyze) = ("the role may not read it", "ANALYZE has not seen it");
        let yes = || text("yes");
        let no = || Cell::Muted("no".to_owned());
        assert_eq!(said(&[None, None]), (NOTE.to_owned(), vec![yes(), yes()]));
        let once = format!("{NOTE}; no statistics: {rights}");
        assert_eq!(said(&[Some(rights), None, Some(rights)]), (once, vec![no(), yes(), no()]));
        // Where they differ each says its own.
        let own = |reason: &str| Cell::Long(reason.to_owned());
        let lines = vec![own(rights), own(analyze), yes(), own(rights)];
        assert_eq!(said(&[Some(rights), Some(analyze), None, Some(rights)]), (NOTE.to_owned(), lines));
    }
}
