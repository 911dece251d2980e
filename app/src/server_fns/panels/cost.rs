//! `/database/cost`: what Holdfast itself costs.
use super::layout::{Ask, chart, dash, fact, heads, number, panel, some, table_with_csv, text};
use crate::{
    chart::build,
    panels::{Cell, Content, PanelPage},
    zone::Local as _,
};
use control::ControlError;
use domain::{
    format,
    reading::{CollectorState, CollectorStatus},
    view::{Metric, StoreTier},
};

pub async fn page(ask: &Ask) -> Result<PanelPage, ControlError> {
    let page = ask.control.cost_get(&ask.actor, ask.id())?;
    let (process, watching, store) = (&page.process, &page.watching, &page.process.store);
    let percent = |value: Option<f64>| value.map_or_else(dash, |percent| format!("{percent:.1} %"));
    let bytes = |value: Option<i64>| value.map_or_else(dash, |bytes| format::bytes(bytes as f64));
    let of_process = Content::Facts(vec![
        fact("Processor", percent(process.cpu_percent), "100 % is one processor"),
        fact("Memory", bytes(process.memory_bytes), "resident set"),
        fact("Most memory so far", bytes(process.memory_peak_bytes), ""),
        fact("Runs for", format::age_s(process.uptime_seconds), ""),
    ]);
    let of_watching = Content::Facts(vec![
        fact(
            "Connections held",
            watching.connections.map_or_else(dash, |held| format!("{held} of at most 5")),
            "one more for the length of a cancel or terminate",
        ),
        fact(
            "Statements",
            watching.calls_per_second.map_or_else(dash, format::rate),
            "of our role, by pg_stat_statements",
        ),
        fact(
            "Time of the server",
            watching.database_ms_per_second.map_or_else(dash, |ms| format!("{ms:.2} ms/s")),
            "of our role, by pg_stat_statements",
        ),
        fact("Of all statements' time", percent(watching.database_percent), "in the last interval"),
        fact(
            "Ticks left out",
            format::thousands(i64::try_from(watching.ticks_skipped).unwrap_or(i64::MAX)),
            "because the one before took too long",
        ),
        fact(
            "Samples left out",
            format::thousands(i64::try_from(watching.samples_skipped).unwrap_or(i64::MAX)),
            "of sessions, one is due each second",
        ),
        fact("Last tick", format::duration_ms(watching.tick_ms), ""),
    ]);
    let budget = if store.budget_bytes > 0 {
        format!("{} of {}", bytes(store.bytes), format::bytes(store.budget_bytes as f64))
    } else {
        bytes(store.bytes)
    };
    let of_store = Content::Facts(vec![
        fact("Kind", store.kind.clone(), ""),
        fact("Size", budget, "of the budget for history; the oldest is given up to keep it"),
        fact("Written", store.rows_per_second.map_or_else(dash, |rate| format!("{} rows/s", format::count(rate))), ""),
        fact(
            "Waiting to be written",
            format::thousands(store.queued),
            "batches; they wait while the store does not answer",
        ),
        fact(
            "Given up",
            format::thousands(i64::try_from(store.dropped).unwrap_or(i64::MAX)),
            "batches lost because the store did not answer for too long: history has a gap there",
        ),
    ]);
    let csv = ask.csv(&page.cluster, "cost");
    let mut panels = vec![
        panel("This process", "/proc", 4, of_process).at(process.at),
        panel("Watching this cluster", "pg_stat_statements, pg_stat_activity", 4, of_watching).at(page.collected_at),
        panel("Store", "Holdfast's own records", 4, of_store),
    ];
    if !store.tiers.is_empty() {
        let head = heads(&[
            ("History", false),
            ("Rows", true),
            ("Oldest", false),
            ("Kept for", true),
            ("Would be kept for", true),
        ]);
        panels.push(panel(
            "What is kept",
            "Holdfast's own records",
            12,
            table_with_csv(head, store.tiers.iter().map(tier).collect(), format!("{csv}&list=history")),
        ));
    }
    let durations = ask.history(Metric::CollectorDurationMs).await?;
    let head = heads(&[
        ("Collector", false),
        ("State", false),
        ("Last run", true),
        ("Every", true),
        ("Share of its time", true),
    ]);
    let own = |metric, title: &'static str, note: &'static str, source: &'static str| async move {
        let mut series = ask.control.own_history_get(&ask.actor, metric, ask.range).await?;
        for line in &mut series.series {
            line.name = title.to_owned();
        }
        Ok::<_, ControlError>(chart(title, note, source, 6, build::lines(&series), false))
    };
    panels.extend([
        panel(
            "Collectors",
            "our own clock",
            6,
            table_with_csv(head, page.collectors.iter().map(collector).collect(), csv),
        )
        .at(page.collected_at),
        chart("Duration of collectors", "each run", "our own clock", 6, build::lines(&durations), false),
        ask.chart(
            Metric::OwnDatabaseMs,
            "Time of the server",
            "milliseconds a second on our statements",
            "pg_stat_statements",
            6,
        )
        .await?,
        ask.chart(Metric::OwnCallsPerSecond, "Our statements", "per second", "pg_stat_statements", 6).await?,
        own(Metric::OwnCpuPercent, "Processor", "of this process, all clusters", "/proc/self/stat").await?,
        own(Metric::OwnMemoryBytes, "Memory", "of this process, all clusters", "/proc/self/status").await?,
        own(Metric::StoreBytes, "Size of the store", "all clusters", "Holdfast's own records").await?,
        own(Metric::StoreRowsPerSecond, "Rows written", "into the store, all clusters", "Holdfast's own records")
            .await?,
    ]);
    let mut banners = Vec::new();
    if store.dropped > 0 {
        banners.push((
            "critical".to_owned(),
            format!(
                "{} lost because the store did not answer for too long.",
                format::counted(store.dropped, "batch of history was", "batches of history were")
            ),
        ));
    }
    if store.queued > 50 {
        banners.push((
            "attention".to_owned(),
            format!("{} batches wait for the store: it is slow or does not answer; nothing is lost yet.", store.queued),
        ));
    }
    Ok(PanelPage { subtitle: "what Holdfast itself costs".to_owned(), banners, panels })
}

fn tier(tier: &StoreTier) -> Vec<Cell> {
    let days = |seconds: f64| format::age_s(seconds);
    vec![
        text(tier.name.clone()),
        number(format::thousands(tier.rows)),
        Cell::Muted(tier.from.map_or_else(dash, |at| at.local())),
        number(days(tier.keep_seconds)),
        number(days(tier.wanted_seconds)),
    ]
}

fn collector(status: &CollectorStatus) -> Vec<Cell> {
    let level = match status.state {
        CollectorState::Fresh => "good",
        CollectorState::Pending => "",
        CollectorState::Stale => "attention",
        _ => "warning",
    };
    vec![
        text(status.name.as_str()),
        Cell::Badge(level.to_owned(), status.state.as_str().replace('_', " ")),
        some(status.duration_ms, format::duration_ms),
        number(format::age_s(status.interval_seconds)),
        some(status.share_percent(), |share| format!("{share:.2} %")),
    ]
}
