//! What of the platform waits or failed: roll-ups, archive, erasures, bulk operations.
use crate::http::problem::Problem;
use control::{Actor, ControlPlane, analytics::Backlog};
use std::fmt::Write as _;

type Figure = (&'static str, &'static str, fn(&Backlog) -> Option<f64>);

const FIGURES: [Figure; 5] = [
    ("holdfast_analytics_marked_hours", "Hours that wait to be rolled up, of events and of metrics.", |it| {
        Some(it.marked_hours as f64)
    }),
    ("holdfast_analytics_oldest_marked_hour_timestamp_seconds", "The oldest hour that waits to be rolled up.", |it| {
        it.oldest_marked.map(super::seconds)
    }),
    ("holdfast_analytics_months_due", "Months past retention that are not archived.", |it| Some(it.months_due as f64)),
    ("holdfast_analytics_erasures_pending", "Erasures that have not reached the archive.", |it| {
        Some(it.erasures_pending as f64)
    }),
    ("holdfast_analytics_rows_without_partition", "Rows in no month's partition.", |it| {
        Some(it.rows_without_partition as f64)
    }),
];

/// What is not known is left out.
pub fn write(out: &mut String, control: &ControlPlane, actor: &Actor) -> Result<(), Problem> {
    let failed = control.plugin_bulks_failed(actor)?;
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "# HELP holdfast_bulks_failed_total Bulk operations that failed, or items of them, since this server started.\n# TYPE holdfast_bulks_failed_total counter\nholdfast_bulks_failed_total {failed}"
    );
    let Some(backlog) = control.analytics_backlog(actor)? else { return Ok(()) };
    for (name, help, value) in FIGURES {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        if let Some(value) = value(&backlog) {
            let _ = writeln!(out, "{name} {value}");
        }
    }
    Ok(())
}
