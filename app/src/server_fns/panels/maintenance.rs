//! `/database/maintenance`: vacuum, checkpoints, WAL, I/O, temporary files, progress.
use super::layout::{Ask, available, dash, fact, heads, number, panel, some, table, table_with_csv, text};
use crate::panels::{Cell, Content, PanelPage};
use crate::zone::Local as _;
use control::ControlError;
use domain::{
    format,
    reading::Progress,
    view::{CheckpointsView, IoRow, MaintenancePage, Metric, WalView, XidRow},
};

pub async fn page(ask: &Ask) -> Result<PanelPage, ControlError> {
    let page = ask.control.maintenance_get(&ask.actor, ask.id())?;
    let oldest = page.databases.first();
    let mut banners = Vec::new();
    if let Some(row) = oldest.filter(|row| row.wraparound_percent > 25.0) {
        let level = if row.wraparound_percent > 50.0 { "critical" } else { "attention" };
        banners.push((level.to_owned(), format!("The database {} is {:.0} % of the way to where the server stops to avoid a wraparound: vacuum it, and end what holds back its horizon.", row.database, row.wraparound_percent)));
    }
    let horizon = if page.horizon.is_empty() {
        Content::Fine("Nothing holds back vacuum.".to_owned())
    } else {
        let rows = page.horizon.iter().map(|it| {
            vec![
                text(it.source.clone()),
                text(it.id.clone()),
                number(format::count(it.age as f64)),
                some(it.seconds, format::duration_s),
                Cell::Muted(it.detail.clone()),
            ]
        });
        table_with_csv(
            heads(&[("What", false), ("Which", false), ("Age", true), ("For", true), ("Detail", false)]),
            rows.collect(),
            format!("{}&list=horizon", ask.csv(&page.cluster, "maintenance")),
        )
    };
    let progress = if page.progress.is_empty() {
        Content::Fine("No command with progress runs.".to_owned())
    } else {
        let head = heads(&[
            ("Command", false),
            ("On", false),
            ("Phase", false),
            ("Done", true),
            ("Runs", true),
            ("PID", true),
            ("Database", false),
        ]);
        table(head, page.progress.iter().map(progress_row).collect())
    };
    let databases = table_with_csv(
        heads(&[("Database", false), ("Age", true), ("To forced vacuum", true), ("To wraparound", true)]),
        page.databases.iter().map(database).collect(),
        ask.csv(&page.cluster, "maintenance"),
    );
    let io = table_with_csv(
        heads(&[
            ("Process", false),
            ("Object", false),
            ("Context", false),
            ("Read/s", true),
            ("Written/s", true),
            ("Extended/s", true),
            ("Hits/s", true),
            ("Evictions/s", true),
            ("Syncs/s", true),
            ("Reading", true),
            ("Writing", true),
        ]),
        page.io.iter().filter(|row| is_busy(row)).map(io_row).collect(),
        format!("{}&list=io", ask.csv(&page.cluster, "maintenance")),
    );
    let io = if page.io.is_empty() { Content::Collecting } else { io };
    Ok(PanelPage {
        subtitle: oldest.map_or_else(String::new, |row| {
            format!("oldest transaction id {} transactions old", format::count(row.age as f64))
        }),
        banners,
        panels: vec![
            panel("Progress", "pg_stat_progress_*", 12, available(&page.availability, progress)).at(page.collected_at),
            panel(
                "Vacuum horizon",
                "pg_stat_activity, pg_replication_slots, pg_prepared_xacts, pg_stat_replication",
                6,
                available(&page.availability, horizon),
            )
            .note("who keeps dead rows from being removed")
            .at(page.collected_at),
            panel("Transaction ids", "pg_database", 6, databases).note(multixacts(&page)),
            ask.chart(Metric::XidAge, "Oldest transaction id", "age in transactions", "pg_database.datfrozenxid", 6)
                .await?,
            ask.chart(
                Metric::HorizonAge,
                "Horizon",
                "age of what vacuum must keep",
                "backend_xmin, slots, prepared transactions",
                6,
            )
            .await?,
            panel(
                "Checkpoints",
                "pg_stat_checkpointer (17+), pg_stat_bgwriter",
                4,
                checkpoints(page.checkpoints.as_ref()),
            ),
            panel("WAL", "pg_stat_wal, pg_stat_archiver", 4, wal(page.wal.as_ref())),
            panel("Temporary files", "pg_ls_tmpdir: what is being written now, before counters tell", 4, temp(&page))
                .at(page.collected_at),
            ask.chart(
                Metric::CheckpointsPerHour,
                "Checkpoints an hour",
                "by the clock and asked for",
                "pg_stat_checkpointer (17+), pg_stat_bgwriter",
                6,
            )
            .await?,
            ask.chart(Metric::TempFilesBytes, "Temporary files over time", "in existence", "pg_ls_tmpdir", 6).await?,
            panel(
                "I/O by process",
                "pg_stat_io (16+), pg_stat_bgwriter and pg_stat_database before",
                12,
                available(&page.io_availability, io),
            )
            .note("per second, what did anything since the reading before")
            .at(page.io_collected_at),
            ask.chart(
                Metric::IoBytesPerSecond,
                "I/O",
                "per second",
                "pg_stat_io (16+), pg_stat_bgwriter and pg_stat_database before",
                12,
            )
            .await?,
        ],
    })
}

fn multixacts(page: &MaintenancePage) -> String {
    match (page.multixact_age, page.multixact_freeze_max_age) {
        (Some(age), Some(most)) => {
            format!("oldest multixact {} of {}", format::count(age as f64), format::count(most as f64))
        }
        _ => String::new(),
    }
}

fn database(row: &XidRow) -> Vec<Cell> {
    vec![
        text(row.database.clone()),
        number(format::count(row.age as f64)),
        some(row.freeze_percent, |percent| format!("{percent:.1} %")),
        Cell::Share(format!("{:.1} %", row.wraparound_percent), row.wraparound_percent.clamp(0.0, 100.0) as u8),
    ]
}

fn progress_row(row: &Progress) -> Vec<Cell> {
    let shown =
        |value: i64| if row.unit == "bytes" { format::bytes(value as f64) } else { format::count(value as f64) };
    let done = match (row.done, row.total) {
        (Some(done), Some(total)) => {
            let percent = (100.0 * done as f64 / total as f64).clamp(0.0, 100.0);
            Cell::Share(format!("{percent:.0} % of {}", shown(total)), percent as u8)
        }
        (Some(done), None) => {
            number(format!("{} {}", shown(done), if row.unit == "bytes" { "" } else { row.unit.as_str() }))
        }
        _ => number(dash()),
    };
    vec![
        text(row.command.clone()),
        text(row.relation.clone().unwrap_or_else(dash)),
        text(row.phase.clone()),
        done,
        some(row.seconds, format::duration_s),
        number(row.pid.to_string()),
        Cell::Muted(row.database.clone().unwrap_or_default()),
    ]
}

fn checkpoints(view: Option<&CheckpointsView>) -> Content {
    let Some(view) = view else { return Content::Collecting };
    Content::Facts(vec![
        fact("By the clock", format::thousands(view.timed), "checkpoint_timeout"),
        fact("Asked for", format::thousands(view.requested), "by max_wal_size, or by hand"),
        fact(
            "Share asked for",
            view.requested_percent.map_or_else(|| "too few to say".to_owned(), |share| format!("{share:.0} %")),
            "more than some percent asks for a larger max_wal_size",
        ),
        fact("Writing, each", view.write_ms_each.map_or_else(dash, format::duration_ms), ""),
        fact("Syncing, each", view.sync_ms_each.map_or_else(dash, format::duration_ms), ""),
        fact("Counted since", view.since.map_or_else(dash, |at| at.local()), ""),
    ])
}

fn wal(view: Option<&WalView>) -> Content {
    let Some(view) = view else { return Content::Collecting };
    let rate = |value: Option<f64>| value.map_or_else(dash, format::rate);
    let archive = match (view.archiving, view.archived, view.archive_failures) {
        (Some(false), ..) => "off".to_owned(),
        (_, Some(archived), Some(failed)) => {
            format!("{} taken, {} failed", format::thousands(archived), format::thousands(failed))
        }
        _ => dash(),
    };
    Content::Facts(vec![
        fact("Written", view.bytes_per_second.map_or_else(dash, |rate| format!("{}/s", format::bytes(rate))), ""),
        fact("Records", rate(view.records_per_second), "14+"),
        fact(
            "Full pages",
            rate(view.full_page_images_per_second),
            "after a checkpoint the first change of a page writes it whole",
        ),
        fact("Waits for a buffer", rate(view.buffers_full_per_second), "more than none asks for larger wal_buffers"),
        fact("Archiver", archive, "pg_stat_archiver"),
        fact("Last segment", view.last_archived_at.map_or_else(dash, |at| at.local()), ""),
    ])
}

fn temp(page: &MaintenancePage) -> Content {
    match page.temp {
        Some(temp) if temp.files == 0 => Content::Fine("No statement writes a temporary file now.".to_owned()),
        Some(temp) => Content::Facts(vec![
            fact("Files", format::thousands(temp.files), ""),
            fact("Size", format::bytes(temp.bytes as f64), "a larger work_mem, or a better plan, avoids them"),
        ]),
        None if page.collected_at.is_none() => Content::Collecting,
        None => Content::Missing(
            "pg_ls_tmpdir is for members of pg_monitor".to_owned(),
            vec!["GRANT pg_monitor TO …;".to_owned()],
        ),
    }
}

/// It did anything between the last two readings.
fn is_busy(row: &IoRow) -> bool {
    [
        row.read_bytes_per_second,
        row.write_bytes_per_second,
        row.extend_bytes_per_second,
        row.hits_per_second,
        row.evictions_per_second,
        row.fsyncs_per_second,
    ]
    .iter()
    .flatten()
    .any(|rate| *rate > 0.0)
}

fn io_row(row: &IoRow) -> Vec<Cell> {
    let rate = |value: Option<f64>| some(value, |rate| format::rate(rate).trim_end_matches("/s").to_owned());
    let bytes = |value: Option<f64>| some(value, format::bytes);
    let time = |value: Option<f64>| some(value, |ms| format!("{ms:.1} ms/s"));
    vec![
        text(row.backend_type.clone()),
        text(row.object.clone()),
        Cell::Muted(row.context.clone()),
        bytes(row.read_bytes_per_second),
        bytes(row.write_bytes_per_second),
        bytes(row.extend_bytes_per_second),
        rate(row.hits_per_second),
        rate(row.evictions_per_second),
        rate(row.fsyncs_per_second),
        time(row.read_ms_per_second),
        time(row.write_ms_per_second),
    ]
}
