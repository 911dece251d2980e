//! File systems of a server's machine, on the page of its tables.
use super::layout::{available, heads, panel, some, table_with_csv, text};
use crate::panels::{Cell, PanelData};
use domain::{
    format,
    view::{DiskRow, HostPage},
};

/// The file systems and when each will be full; `csv` is where they are had as CSV.
pub fn disks(page: &HostPage, csv: String) -> PanelData {
    let head = heads(&[
        ("What lies there", false),
        ("Used", true),
        ("Free", true),
        ("Size", true),
        ("A day", true),
        ("Full", false),
        ("Directory", false),
    ]);
    let content = table_with_csv(head, page.disks.iter().map(row).collect(), csv);
    let load = match (page.load, page.cpus) {
        (Some(load), Some(cpus)) => {
            format!("load of the machine {load:.2} on {}", format::counted(cpus, "processor", "processors"))
        }
        (Some(load), None) => format!("load of the machine {load:.2}"),
        (None, _) => String::new(),
    };
    panel("Disks", "File systems of the server's machine", 12, available(&page.availability, content))
        .note(load)
        .at(page.collected_at)
}

fn row(row: &DiskRow) -> Vec<Cell> {
    let bytes = |value: Option<u64>| some(value, |bytes| format::bytes(bytes as f64));
    let growth = row.full.as_ref().map(|it| format!("{} points", format::signed_percent(it.percent_per_day)));
    vec![
        text(row.place.clone()),
        some(row.used_percent, |percent| format!("{} %", format::percent(percent))),
        bytes(row.free_bytes),
        bytes(row.total_bytes),
        some(growth, |growth| growth),
        Cell::Muted(row.missing.clone().unwrap_or_else(|| full(row))),
        Cell::Muted(row.path.clone()),
    ]
}

/// `in 43 days, between 31 and 62`.
pub fn full(row: &DiskRow) -> String {
    let Some(forecast) = &row.full else { return row.full_missing.clone().unwrap_or_default() };
    let days = |days: f64| format!("{days:.0}");
    let within = |days: f64| format::counted(days.round() as i64, "day", "days");
    match (forecast.days, forecast.earliest_days, forecast.latest_days) {
        (Some(at), Some(earliest), Some(latest)) => {
            format!("in {}, between {} and {}", within(at), days(earliest), days(latest))
        }
        (Some(at), Some(earliest), None) => {
            format!("in {}, not before {}, perhaps never", within(at), days(earliest))
        }
        (Some(at), None, _) => format!("in {}", within(at)),
        (None, _, _) => format!("not within ten years, by {:.1} days", forecast.history_days),
    }
}
