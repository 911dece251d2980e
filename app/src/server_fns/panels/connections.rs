//! `/database/connections`
use super::layout::{Ask, chart, heads, number, panel, some, text};
use crate::{
    chart::build,
    panels::{Cell, Content, PanelPage, TableData},
};
use control::ControlError;
use domain::{
    format,
    view::{Metric, TimeSeriesLine},
};

pub async fn page(ask: &Ask) -> Result<PanelPage, ControlError> {
    let page = ask.control.connections_get(&ask.actor, ask.id(), ask.get("database"))?;
    let mut states = ask.history(Metric::ConnectionsByState).await?;
    let usable = page.usable.map_or_else(String::new, |usable| format!(" of {usable} usable"));
    let share = page.usable.filter(|usable| *usable > 0).map(|usable| 100.0 * page.used as f64 / usable as f64);
    let mut used = ask.history(Metric::ConnectionsUsed).await?;
    for line in &mut used.series {
        line.name = "Used".to_owned();
    }
    if let Some(usable) = page.usable {
        let values = vec![Some(usable as f64); used.times.len()];
        used.series.push(TimeSeriesLine { name: "Usable".to_owned(), values, gaps: Vec::new() });
    }
    // What happened stands in the chart beside it.
    states.events.clear();
    states.resets.clear();
    let by = ask.get("by").filter(|by| page.groups.iter().any(|group| group.by == *by)).unwrap_or("user");
    let groups =
        page.groups.iter().map(|group| (group.by.clone(), ask.with("by", Some(&group.by)), group.by == by)).collect();
    let choices = vec![("Group by", groups), ("Database", ask.databases()?)];
    let rows = page.groups.iter().find(|group| group.by == by).map(|group| &group.rows[..]).unwrap_or_default();
    let most = rows.iter().map(|row| row.total).max().unwrap_or(1).max(1);
    let lines = rows.iter().map(|row| {
        vec![
            text(row.name.clone()),
            Cell::Share(row.total.to_string(), u8::try_from(100 * row.total / most).unwrap_or(100)),
            number(row.active.to_string()),
            number(row.waiting.to_string()),
            number(row.idle_in_transaction.to_string()),
            some(row.longest_idle_in_transaction_seconds, format::age_s),
            number(row.idle.to_string()),
            super::layout::since(row.oldest_started_at),
        ]
    });
    let head = heads(&[
        (by, false),
        ("Sessions", true),
        ("Active", true),
        ("Waiting for a lock", true),
        ("Idle in transaction", true),
        ("Longest of those", true),
        ("Idle", true),
        ("Oldest session", true),
    ]);
    let content = if page.collected_at.is_none() {
        Content::Collecting
    } else {
        let rows = lines.collect();
        Content::Table(TableData {
            head,
            rows,
            csv: Some(ask.csv_of_database(&page.cluster, "connections")),
            ..TableData::default()
        })
    };
    let banner = share.filter(|share| *share > 80.0).map(|share| {
        let level = if share > 90.0 { "critical" } else { "attention" };
        (level.to_owned(), format!("{share:.0} % of the slots that ordinary roles can use are taken."))
    });
    let mut banners = banner.into_iter().collect::<Vec<_>>();
    let mut panels = vec![
        chart("Sessions by state", &ask.phrase(), "pg_stat_activity", 6, build::stacked(&states), true),
        chart(
            "Used and usable",
            "walsenders and workers take no slot",
            "pg_stat_activity, max_connections less what is reserved",
            6,
            build::lines(&used),
            false,
        ),
        panel("Sessions", "pg_stat_activity", 12, content)
            .note(format!("by {by}"))
            .at(page.collected_at)
            .rows_of_chips(choices),
    ];
    super::pools::strip(ask, &page.cluster, &mut banners, &mut panels)?;
    Ok(PanelPage {
        subtitle: format!("{}{usable}", format::counted(page.used, "client session", "client sessions")),
        banners,
        panels,
    })
}
