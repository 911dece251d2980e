//! The evidence of a drill or an execution as a document for people: one file that needs nothing else.

use domain::{
    Timestamp, format,
    view::{DrReport, DrStepReport},
};
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}\
h1{margin-bottom:.2rem}h2{margin-top:2rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ccc}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}code{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}\
.good{color:#0a6b2d;font-weight:600}.bad{color:#a40e26;font-weight:600}.wide{overflow-x:auto}@media print{body{margin:0}}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "—".to_owned(), format::duration_s)
}

fn verdict(measured: Option<f64>, limit: Option<f64>) -> String {
    // At the command line one of the two limits may be set alone.
    match measured.zip(limit.filter(|it| *it < f64::MAX)) {
        Some((measured, limit)) if measured <= limit => {
            format!("<span class=\"good\">kept</span>, limit {}", format::limit_s(limit))
        }
        Some((_, limit)) => format!("<span class=\"bad\">missed</span>, limit {}", format::limit_s(limit)),
        None => "no objective was set".to_owned(),
    }
}

/// A figure and whether it keeps its limit.
fn judged(measured: Option<f64>, limit: Option<f64>, text: fn(f64) -> String) -> String {
    measured
        .map_or_else(|| "not measured".to_owned(), |value| format!("{}, {}", text(value), verdict(Some(value), limit)))
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(out, "<h2>{title}</h2><ul>");
    for line in lines {
        let _ = write!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ul>");
}

fn step(out: &mut String, number: usize, step: &DrStepReport) {
    let decided = step.decided_by.as_ref().map_or_else(String::new, |who| {
        let note = step.note.as_ref().map_or_else(String::new, |note| format!(": {}", escape(note)));
        let waited = step.waited_seconds.map_or_else(String::new, |it| format!(" after {}", format::duration_s(it)));
        format!("<br>decided by {}{waited}{note}", escape(who))
    });
    let class = if step.state == "done" { "good" } else { "bad" };
    let _ = write!(
        out,
        "<tr><td>{number}</td><td>{}</td><td class=\"{class}\">{}</td><td>{}</td><td class=\"n\">{}</td><td>{}{decided}</td></tr>",
        step.action.label(),
        escape(&step.state),
        step.started_at.map_or_else(|| "—".to_owned(), Timestamp::to_human),
        seconds(step.seconds),
        escape(&step.detail),
    );
}

/// The document; `sha256` is the hash of the same evidence as JSON.
pub fn html(report: &DrReport, sha256: &str) -> String {
    // Writing into a String cannot fail.
    let mut out = String::new();
    let title = format!("{} of plan '{}'", report.kind.label(), report.plan.name);
    let objectives = report.objectives;
    let _ = write!(
        out,
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title><style>{STYLE}</style>\
         <h1>{0}</h1><p>{1}, cluster {2}, {3} to {4} on host {5}</p>",
        escape(&title),
        if report.ok { "<span class=\"good\">Sound</span>" } else { "<span class=\"bad\">Not sound</span>" },
        escape(&report.cluster),
        report.started_at.to_human(),
        report.finished_at.to_human(),
        escape(&report.host),
    );
    let rows = [
        ("Recovery time (RTO)", judged(report.rto_seconds, objectives.map(|it| it.rto_seconds), format::duration_s)),
        ("Of which it waited for people", format::lag_s(report.waited_seconds)),
        ("Lost work (RPO)", judged(report.rpo_seconds, objectives.map(|it| it.rpo_seconds), format::lag_s)),
        ("Restored to", escape(&report.target)),
        ("Newest transaction in the copy", report.last_commit_at.map_or_else(|| "—".to_owned(), Timestamp::to_human)),
        ("From backup", format!("<code>{}</code>", escape(report.backup.as_deref().unwrap_or("—")))),
        (
            "Written",
            format!("{} in {}", format::bytes(report.bytes as f64), format::duration_s(report.restore_seconds)),
        ),
        (
            "Replayed and promoted",
            format!(
                "up to {} of WAL in {}",
                format::bytes(report.wal_bytes as f64),
                format::duration_s(report.recovery_seconds)
            ),
        ),
        ("Checked in", format::duration_s(report.check_seconds)),
        (
            "Repository",
            format!(
                "{} (id <code>{}</code>){}",
                escape(&report.repository),
                escape(&report.repository_id),
                if report.from_recovery_kit { ", opened by the recovery code alone" } else { "" }
            ),
        ),
        ("System identifier", escape(report.system_identifier.as_deref().unwrap_or("—"))),
        ("Holdfast", escape(&report.version)),
    ];
    out.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    out.push_str("</table><h2>Steps</h2><div class=\"wide\"><table><tr><th>#</th><th>Step</th><th>State</th><th>Begun</th><th>Took</th><th>What came of it</th></tr>");
    for (index, one) in report.steps.iter().enumerate() {
        step(&mut out, index + 1, one);
    }
    out.push_str("</table></div>");
    list(&mut out, "What is wrong", &report.problems);
    list(&mut out, "What was checked and found good", &report.checks);
    list(&mut out, "What was looked at and proves neither good nor bad", &report.unproved);
    list(&mut out, "The original's configuration in a copy that takes over", &report.configuration);
    list(&mut out, "What a person does next or takes back", &report.next);
    let hashes = &report.hashes;
    let none = || "—".to_owned();
    out.push_str("<h2>What it rests on</h2><p>SHA-256 each. The hash of the evidence stands in Holdfast's audit log, whose rows are a chain.</p><table>");
    for (name, value) in [
        ("This evidence as JSON", sha256.to_owned()),
        ("The plan as it was run", hashes.plan.clone()),
        ("Commit object of the backup", hashes.backup_commit.clone().unwrap_or_else(none)),
        ("Manifest object of the backup", hashes.backup_manifest.clone().unwrap_or_else(none)),
        (
            "Head of the audit log",
            hashes
                .audit_head
                .as_ref()
                .map_or_else(none, |head| format!("{head} (row {})", hashes.audit_seq.unwrap_or_default())),
        ),
    ] {
        let _ = write!(out, "<tr><th scope=\"row\">{name}</th><td><code>{}</code></td></tr>", escape(&value));
    }
    out.push_str("</table></html>\n");
    out
}
