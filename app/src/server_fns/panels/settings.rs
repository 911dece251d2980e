//! `/database/settings`
use super::layout::{Ask, available, dash, heads, panel, text};
use crate::panels::{Cell, Content, Head, PanelData, PanelPage, TableData};
use crate::zone::Local as _;
use analysis::setting_value::written;
use control::ControlError;
use domain::{
    format,
    view::{GuideVerdict, SettingRow, SettingSeverity, SettingsPage},
};

/// Characters of a value on one line.
const WIDE: usize = 40;

pub async fn page(ask: &Ask) -> Result<PanelPage, ControlError> {
    let page = ask.control.settings_get(&ask.actor, ask.id()).await?;
    let word = ask.get("q").unwrap_or_default().to_lowercase();
    let show = ask.get("show").unwrap_or("changed");
    let pending = page.rows.iter().filter(|row| row.pending_restart).count();
    let changed = page.rows.iter().filter(|row| row.changed).count();
    let matches = |row: &&SettingRow| {
        let kind = match show {
            "all" => true,
            "pending" => row.pending_restart,
            _ => row.changed || row.pending_restart,
        };
        // A search looks everywhere.
        let text = || format!("{} {} {}", row.name, row.value, written(&row.value, row.unit.as_deref()));
        if word.is_empty() { kind } else { text().to_lowercase().contains(&word) }
    };
    let chip = |name: &str, label: String| {
        let value = (name != "changed").then_some(name);
        (label, ask.with("show", value), word.is_empty() && show == name)
    };
    let chips = vec![
        chip("changed", format!("changed {changed}")),
        chip("pending", format!("waiting for a restart {pending}")),
        chip("all", format!("all {}", page.rows.len())),
    ];
    let rows = page.rows.iter().filter(matches).map(row).collect::<Vec<_>>();
    let content = Content::Table(TableData {
        head: heads(&[("Setting", false), ("Value", false), ("Default", false), ("From", false), ("", false)]),
        rows,
        csv: Some(ask.csv(&page.cluster, "settings")),
        search: Some(ask.get("q").unwrap_or_default().to_owned()),
        ..TableData::default()
    });
    let history = if page.changes.is_empty() {
        Content::Fine("No setting has changed in the 90 days that Holdfast remembers.".to_owned())
    } else {
        let rows =
            page.changes.iter().map(|event| vec![Cell::Muted(event.at.local()), Cell::Long(event.title.clone())]);
        super::layout::table(heads(&[("When", false), ("What", false)]), rows.collect())
    };
    let banner = (pending > 0).then(|| {
        (
            "attention".to_owned(),
            format!(
                "{} effect at the next restart only.",
                format::counted(pending, "setting in the files takes", "settings in the files take")
            ),
        )
    });
    Ok(PanelPage {
        subtitle: format!("{changed} of {} differ from what is built in", page.rows.len()),
        banners: banner.into_iter().collect(),
        panels: vec![
            advice(ask, &page),
            guide(&page),
            panel("Settings", "pg_settings", 12, available(&page.availability, content))
                .at(page.collected_at)
                .chips(chips),
            panel("Changes", "seen by Holdfast between two readings", 12, history),
        ],
    })
}

/// What should be another, and why; the statement is there to be copied, nothing is changed from here.
fn advice(ask: &Ask, page: &SettingsPage) -> PanelData {
    let may = ask.actor.may(domain::Permission::AdviceDismiss);
    let rows = page.findings.iter().map(|it| {
        let level = match it.severity {
            SettingSeverity::Critical => "critical",
            SettingSeverity::Warning => "warning",
            SettingSeverity::Info => "",
        };
        let (level, word) = match &it.dismissal {
            Some(_) => ("", "put aside"),
            None => (level, it.severity.as_str()),
        };
        let reason = match &it.dismissal {
            Some(dismissal) => {
                let until = dismissal
                    .until
                    .map_or_else(|| "until it is taken back".to_owned(), |at| format!("until {}", at.local()));
                format!("{} Put aside by {} {until}: {}", it.reason, dismissal.by, dismissal.reason)
            }
            None => it.reason.clone(),
        };
        let mut cells = vec![
            Cell::Badge(level.to_owned(), word.to_owned()),
            text(it.name.clone()),
            text(it.current.clone()),
            text(it.suggested.clone()),
            Cell::Long(reason),
            Cell::Muted(if it.restart { "restart" } else { "reload" }.to_owned()),
            Cell::Sql(it.sql.clone()),
        ];
        if may {
            let aside = it.dismissal.is_some();
            cells.push(Cell::Aside(page.cluster.clone(), it.key.clone(), ask.here(), aside));
        }
        cells
    });
    let rows = rows.collect::<Vec<_>>();
    let content = if rows.is_empty() {
        Content::Fine("Nothing stands out against this machine, the workload and the guide.".to_owned())
    } else {
        let mut head = heads(&[
            ("", false),
            ("Setting", false),
            ("Now", false),
            ("Think of", false),
            ("Why", false),
            ("Needs", false),
            ("To run", false),
        ]);
        head.extend(may.then(Head::default));
        super::layout::table(head, rows)
    };
    let memory = page.memory_bytes.map_or_else(
        || "the memory of its machine cannot be seen from here".to_owned(),
        |bytes| format!("its machine has {}", domain::format::bytes(bytes as f64)),
    );
    PanelData {
        note: memory,
        ..panel("Advice", "pg_settings against machine and workload", 12, available(&page.availability, content))
    }
}

/// The guide's file line by line: what is in use, and why that serves here or not.
fn guide(page: &SettingsPage) -> PanelData {
    let rows = page.guide.iter().map(|it| {
        let level = match it.verdict {
            GuideVerdict::Same | GuideVerdict::Fits => "good",
            GuideVerdict::Advised => "attention",
            GuideVerdict::Absent => "",
        };
        vec![
            text(it.name.clone()),
            text(it.guide.clone()),
            it.current
                .clone()
                .map_or_else(|| text(dash()), |now| value(if now.is_empty() { "''".to_owned() } else { now })),
            Cell::Badge(level.to_owned(), it.verdict.label().to_owned()),
            Cell::Long(it.reason.clone()),
        ]
    });
    let heads = heads(&[("Setting", false), ("Guide", false), ("Now", false), ("Here", false), ("Why", false)]);
    let content = super::layout::table(heads, rows.collect());
    let count = |verdict: GuideVerdict| page.guide.iter().filter(|it| it.verdict == verdict).count();
    let note = format!(
        "of its {} lines {} are in use, {} differ and fit this server, {} are advised otherwise above",
        page.guide.len(),
        count(GuideVerdict::Same),
        count(GuideVerdict::Fits),
        count(GuideVerdict::Advised)
    );
    let content = available(&page.availability, content);
    panel("The guide's postgresql.conf", "pg_settings against the guide, the machine and the workload", 12, content)
        .note(if page.guide.is_empty() { String::new() } else { note })
}

/// A value; a long one wraps.
fn value(value: String) -> Cell {
    if value.chars().nth(WIDE).is_some() { Cell::Long(value) } else { text(value) }
}

fn row(row: &SettingRow) -> Vec<Cell> {
    let pending = if row.pending_restart { "restart" } else { "" };
    let default = row.default.as_deref().map(|value| written(value, row.unit.as_deref())).unwrap_or_default();
    vec![
        text(row.name.clone()),
        value(written(&row.value, row.unit.as_deref())),
        Cell::Muted(default.chars().take(WIDE).collect()),
        text(row.source.clone()),
        Cell::Badge("attention".to_owned(), pending.to_owned()),
    ]
}
