//! Lists as CSV, when asked for by `Accept: text/csv` or `?format=csv`.

use crate::http::problem::Problem;
use analysis::csv::{Cell, write};
use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use domain::view::{
    ActivityMoment, ActivityPage, AlertsPage, ConnectionsPage, IndexesPage, LockNode, QueriesPage, QueryRow,
    SettingsPage, TablesPage, TimeSeries,
};

/// Whether CSV is wanted.
///
/// # Errors
/// An unknown format.
pub fn wanted(headers: &HeaderMap, format: Option<&str>) -> Result<bool, Problem> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(other) => Err(Problem::field("format", format!("'{other}' is not a format; use json or csv"))),
        None => Ok(headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("text/csv"))),
    }
}

/// The answer, as a file to save.
pub fn answer(name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
        .into_response()
}

/// Statements.
pub fn queries(page: &QueriesPage) -> String {
    let header = [
        "id",
        "queryid",
        "query",
        "kind",
        "database",
        "user",
        "calls",
        "calls_per_second",
        "total_ms",
        "total_percent",
        "mean_ms",
        "stddev_ms",
        "max_ms",
        "rows_per_call",
        "hit_percent",
        "read_bytes",
        "temp_bytes",
        "wal_bytes",
        "mean_change_percent",
        "flags",
    ];
    let flags = |row: &QueryRow| row.flags.iter().map(|flag| flag.label()).collect::<Vec<_>>().join(", ");
    write(
        &header,
        page.rows.iter().map(|row| {
            vec![
                row.id.as_str().into(),
                row.fingerprint.as_str().into(),
                row.query.as_str().into(),
                row.kind.as_str().into(),
                row.database.as_str().into(),
                row.user.as_str().into(),
                Cell::Whole(row.calls),
                Cell::Number(Some(row.calls_per_second)),
                Cell::Number(Some(row.total_ms)),
                Cell::Number(Some(row.total_percent)),
                Cell::Number(Some(row.mean_ms)),
                Cell::Number(row.stddev_ms),
                Cell::Number(row.max_ms),
                Cell::Number(Some(row.rows_per_call)),
                Cell::Number(row.hit_percent),
                Cell::Whole(row.read_bytes),
                Cell::Whole(row.temp_bytes),
                Cell::Whole(row.wal_bytes),
                Cell::Number(row.mean_change_percent),
                Cell::Text(flags(row)),
            ]
        }),
    )
}

/// Indexes.
pub fn indexes(page: &IndexesPage) -> String {
    let header = [
        "database",
        "schema",
        "table",
        "index",
        "definition",
        "method",
        "bytes",
        "scans",
        "last_scan",
        "last_seen_rising",
        "bloat_estimate_bytes",
        "rows_read",
        "rows_fetched",
        "hit_percent",
        "labels",
        "findings",
    ];
    let time = |at: Option<domain::Timestamp>| Cell::Text(at.map(|at| at.to_rfc3339()).unwrap_or_default());
    let whole = |number: Option<i64>| Cell::Number(number.map(|number| number as f64));
    write(
        &header,
        page.rows.iter().map(|row| {
            let findings = row.findings.iter().map(finding).collect::<Vec<_>>().join(" ");
            vec![
                row.database.as_str().into(),
                row.schema.as_str().into(),
                row.table.as_str().into(),
                row.name.as_str().into(),
                row.definition.as_str().into(),
                row.method.as_str().into(),
                Cell::Whole(row.bytes),
                Cell::Whole(row.scans),
                time(row.last_scan),
                time(row.last_seen_rising),
                whole(row.bloat_estimate_bytes),
                Cell::Whole(row.rows_read),
                Cell::Whole(row.rows_fetched),
                Cell::Number(row.hit_percent),
                Cell::Text(row.labels.join(" ")),
                Cell::Text(findings),
            ]
        }),
    )
}

fn finding(finding: &domain::view::IndexFinding) -> &'static str {
    use domain::view::IndexFinding;
    match finding {
        IndexFinding::Unused { .. } => "unused",
        IndexFinding::Duplicate { .. } => "duplicate",
        IndexFinding::Invalid { .. } => "invalid",
    }
}

/// Backends.
pub fn activity(page: &ActivityPage) -> String {
    let header = [
        "pid",
        "database",
        "user",
        "application",
        "client_address",
        "backend_type",
        "state",
        "wait_class",
        "wait_event",
        "transaction_seconds",
        "query_seconds",
        "blocked_by",
        "blocks",
        "query",
    ];
    let text = |value: &Option<String>| Cell::Text(value.clone().unwrap_or_default());
    write(
        &header,
        page.rows.iter().map(|row| {
            vec![
                Cell::Whole(i64::from(row.pid)),
                text(&row.database),
                text(&row.user),
                row.application.as_str().into(),
                text(&row.client_address),
                row.backend_type.as_str().into(),
                text(&row.state),
                text(&row.wait_class),
                text(&row.wait_event),
                Cell::Number(row.transaction_seconds),
                Cell::Number(row.query_seconds),
                Cell::Text(row.blocked_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
                Cell::Whole(row.blocks),
                text(&row.query),
            ]
        }),
    )
}

/// Sessions of a moment that is over.
pub fn moment(page: &ActivityMoment) -> String {
    let header = [
        "from",
        "to",
        "wait_class",
        "wait_event",
        "id",
        "queryid",
        "query",
        "database",
        "user",
        "application",
        "host",
        "samples",
        "average_active_sessions",
        "percent",
    ];
    write(
        &header,
        page.rows.iter().map(|row| {
            vec![
                Cell::Text(page.from.to_rfc3339()),
                Cell::Text(page.to.to_rfc3339()),
                row.wait_class.as_str().into(),
                row.wait_event.as_str().into(),
                Cell::Text(row.id.clone().unwrap_or_default()),
                Cell::Text(row.fingerprint.clone().unwrap_or_default()),
                row.query.as_str().into(),
                row.database.as_str().into(),
                row.user.as_str().into(),
                row.application.as_str().into(),
                row.host.as_str().into(),
                Cell::Whole(row.samples),
                Cell::Number(Some(row.average_active_sessions)),
                Cell::Number(Some(row.percent)),
            ]
        }),
    )
}

/// Alerts.
pub fn alerts(page: &AlertsPage) -> String {
    let header = [
        "id",
        "cluster",
        "rule",
        "object",
        "severity",
        "state",
        "title",
        "measured",
        "threshold",
        "since",
        "resolved_at",
        "acknowledged_by",
        "detail",
    ];
    let time = |at: Option<domain::Timestamp>| Cell::Text(at.map(|at| at.to_rfc3339()).unwrap_or_default());
    write(
        &header,
        page.rows.iter().map(|row| {
            vec![
                row.id.as_str().into(),
                row.cluster.as_str().into(),
                row.rule.as_str().into(),
                row.object.as_str().into(),
                row.severity.as_str().into(),
                row.state.as_str().into(),
                row.title.as_str().into(),
                row.measured.as_str().into(),
                row.threshold.as_str().into(),
                time(Some(row.since)),
                time(row.resolved_at),
                Cell::Text(row.acknowledged.as_ref().map(|it| it.by.clone()).unwrap_or_default()),
                Cell::Text(row.detail.clone().unwrap_or_default()),
            ]
        }),
    )
}

/// Waiting sessions, in the order of the trees.
pub fn locks(nodes: &[LockNode]) -> String {
    let header = [
        "depth",
        "pid",
        "blocks",
        "blocked_by",
        "wait_seconds",
        "lock_type",
        "mode",
        "relation",
        "database",
        "user",
        "application",
        "state",
        "transaction_seconds",
        "query",
    ];
    let text = |value: &Option<String>| Cell::Text(value.clone().unwrap_or_default());
    write(
        &header,
        nodes.iter().map(|node| {
            vec![
                Cell::Whole(node.depth.into()),
                Cell::Whole(node.pid.into()),
                Cell::Whole(node.blocks),
                Cell::Text(node.blocked_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
                Cell::Number(node.wait_seconds),
                text(&node.lock_type),
                text(&node.mode),
                text(&node.relation),
                text(&node.database),
                text(&node.user),
                node.application.as_str().into(),
                text(&node.state),
                Cell::Number(node.transaction_seconds),
                text(&node.query),
            ]
        }),
    )
}

/// Sessions by group.
pub fn connections(page: &ConnectionsPage) -> String {
    let header = [
        "by",
        "name",
        "total",
        "active",
        "waiting",
        "idle_in_transaction",
        "longest_idle_in_transaction_seconds",
        "idle",
    ];
    let rows = page.groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group.by.as_str(), row)));
    write(
        &header,
        rows.map(|(by, row)| {
            vec![
                by.into(),
                row.name.as_str().into(),
                Cell::Whole(row.total),
                Cell::Whole(row.active),
                Cell::Whole(row.waiting),
                Cell::Whole(row.idle_in_transaction),
                Cell::Number(row.longest_idle_in_transaction_seconds),
                Cell::Whole(row.idle),
            ]
        }),
    )
}

/// Tables.
pub fn tables(page: &TablesPage) -> String {
    let header = [
        "database",
        "schema",
        "table",
        "total_bytes",
        "heap_bytes",
        "toast_bytes",
        "index_bytes",
        "rows",
        "dead_rows",
        "dead_percent",
        "bloat_estimate_bytes",
        "seq_scans",
        "seq_rows_read",
        "seq_rows_read_per_second",
        "index_scans",
        "writes_per_second",
        "hot_percent",
        "vacuum_percent",
        "xid_age",
        "last_vacuum",
        "last_analyze",
    ];
    let time = |at: Option<domain::Timestamp>| Cell::Text(at.map(|at| at.to_rfc3339()).unwrap_or_default());
    let whole = |number: Option<i64>| Cell::Number(number.map(|number| number as f64));
    write(
        &header,
        page.rows.iter().map(|row| {
            vec![
                row.database.as_str().into(),
                row.schema.as_str().into(),
                row.name.as_str().into(),
                Cell::Whole(row.total_bytes),
                Cell::Whole(row.heap_bytes),
                Cell::Whole(row.toast_bytes),
                Cell::Whole(row.index_bytes),
                Cell::Number(Some(row.rows)),
                Cell::Whole(row.dead_rows),
                Cell::Number(row.dead_percent),
                whole(row.bloat_estimate_bytes),
                Cell::Whole(row.seq_scans),
                Cell::Whole(row.seq_rows_read),
                Cell::Number(row.seq_rows_read_per_second),
                Cell::Whole(row.index_scans),
                Cell::Number(row.writes_per_second),
                Cell::Number(row.hot_percent),
                Cell::Number(Some(row.vacuum.percent)),
                whole(row.xid_age),
                time(row.last_vacuum),
                time(row.last_analyze),
            ]
        }),
    )
}

/// Settings.
pub fn settings(page: &SettingsPage) -> String {
    let text = |value: &Option<String>| Cell::Text(value.clone().unwrap_or_default());
    write(
        &["name", "value", "default", "unit", "source", "pending_restart"],
        page.rows.iter().map(|row| {
            vec![
                row.name.as_str().into(),
                row.value.as_str().into(),
                text(&row.default),
                text(&row.unit),
                row.source.as_str().into(),
                Cell::Text(row.pending_restart.to_string()),
            ]
        }),
    )
}

/// A figure over time: one column a line, and for each time whether samples are missing in a line and whether counters
/// began anew.
pub fn history(series: &TimeSeries) -> String {
    over_time(series, true)
}

/// Load over time: one column a line. It is of samples of its own, and no counter.
pub fn load(series: &TimeSeries) -> String {
    over_time(series, false)
}

fn over_time(series: &TimeSeries, flags: bool) -> String {
    let earlier = series.earlier.iter().map(|line| format!("{}, earlier", line.name)).collect::<Vec<_>>();
    let mut header = vec!["time"];
    header.extend(series.series.iter().map(|line| line.name.as_str()));
    header.extend(earlier.iter().map(String::as_str));
    header.extend(["gap", "reset"].into_iter().filter(|_| flags));
    write(
        &header,
        series.times.iter().enumerate().map(|(i, time)| {
            let lines = series.series.iter().chain(&series.earlier);
            let gap = series.series.iter().any(|line| line.gaps.contains(&i));
            let reset = series.resets.contains(&i);
            let mut row = vec![Cell::Text(time.to_rfc3339())];
            row.extend(lines.map(|line| Cell::Number(line.values.get(i).copied().flatten())));
            row.extend([gap, reset].into_iter().filter(|_| flags).map(|flag| Cell::Text(flag.to_string())));
            row
        }),
    )
}
