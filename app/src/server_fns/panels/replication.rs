//! `/database/replication`
use super::layout::{Ask, available, chart, dash, fact, heads, panel, since, size, some, table_with_csv, text};
use crate::{
    chart::build,
    pages::topology,
    panels::{Cell, Content, PanelPage},
    zone::Local as _,
};
use control::ControlError;
use domain::{
    Permission, Timestamp, format,
    reading::ServerRole,
    view::{Metric, ReplicaState, SlotRow, StandbyRow},
};

pub async fn page(ask: &Ask) -> Result<PanelPage, ControlError> {
    let page = ask.control.replication_get(&ask.actor, ask.id())?;
    let role = page.role.map_or("role not known yet", ServerRole::as_str);
    let standbys = if page.standbys.is_empty() {
        let said = match page.role {
            Some(ServerRole::Standby) => "No other standby streams from this one.",
            _ => "No standby streams from here, and none has since Holdfast watches.",
        };
        Content::Fine(said.to_owned())
    } else {
        table_with_csv(
            heads(&[
                ("Standby", false),
                ("State", false),
                ("Sync", false),
                ("Lag", true),
                ("Behind", true),
                ("To send", true),
                ("To write", true),
                ("To flush", true),
                ("To replay", true),
                ("Address", false),
            ]),
            page.standbys.iter().map(standby).collect(),
            ask.csv(&page.cluster, "replication"),
        )
    };
    let slots = if page.slots.is_empty() {
        Content::Fine("There is no replication slot.".to_owned())
    } else {
        table_with_csv(
            heads(&[
                ("Slot", false),
                ("Type", false),
                ("Active", false),
                ("WAL status", false),
                ("Retained", true),
                ("Safe left", true),
                ("Inactive since", true),
                ("Invalidated by", false),
            ]),
            page.slots.iter().map(slot).collect(),
            format!("{}&list=slots", ask.csv(&page.cluster, "replication")),
        )
    };
    let tree = ask.control.replication_tree(&ask.actor, ask.id())?;
    let line = Content::Html(topology::html(ask, &tree, &page.cluster));
    let mut panels = vec![
        panel("Topology", "what each server that Holdfast watches says of its standbys", 12, line)
            .note("behind in seconds and bytes; a cascaded standby is known when its upstream is watched too"),
        panel("Standbys", "pg_stat_replication; lag by the positions of the primary, kept each second", 12, available(&page.availability, standbys))
            .note("idle: nothing new to replay · unknown: cannot be told · gone: missed until it is back or given up, its lag is a lower bound")
            .at(page.collected_at),
    ];
    let gone = page.standbys.iter().filter(|row| row.gone_since.is_some()).collect::<Vec<_>>();
    if !gone.is_empty() && ask.actor.may(Permission::AlertAcknowledge) {
        let buttons = Content::Html(topology::gone(ask, &gone, &page.cluster));
        let note =
            "one that was taken down for good is missed no longer, and its alert ends; written into the audit log";
        panels.push(panel("Gone", "standbys that were seen before", 12, buttons).note(note));
    }
    if let Some(upstream) = &page.upstream {
        let streaming = upstream.status.as_deref().unwrap_or("the receiver does not run: disconnected");
        let conflicts = upstream.conflicts.unwrap_or_default();
        panels.push(panel(
            "Upstream",
            "pg_stat_wal_receiver",
            6,
            Content::Facts(vec![
                fact("Receiver", streaming, "status of pg_stat_wal_receiver"),
                fact("From", upstream.sender_host.clone().unwrap_or_else(dash), ""),
                fact("Received up to", upstream.receive_lsn.map_or_else(dash, |lsn| lsn.to_string()), ""),
                fact("Replayed up to", upstream.replay_lsn.map_or_else(dash, |lsn| lsn.to_string()), ""),
                fact("To replay", upstream.replay_bytes.map_or_else(dash, |bytes| format::bytes(bytes as f64)), ""),
                fact(
                    "Sender last heard",
                    upstream.heard_seconds.map_or_else(dash, |seconds| format!("{} ago", format::age_s(seconds))),
                    "by the standby's clock",
                ),
                fact("Replay", if upstream.paused { "paused" } else { "running" }, ""),
            ]),
        ));
        panels.push(
            panel(
                "Conflicts",
                "pg_stat_database_conflicts",
                6,
                Content::Facts(vec![
                    fact("Row versions removed", conflicts.snapshot.to_string(), "hot_standby_feedback avoids them"),
                    fact("Locks", conflicts.lock.to_string(), ""),
                    fact("Pinned buffers", conflicts.buffer_pin.to_string(), ""),
                    fact("Deadlocks", conflicts.deadlock.to_string(), ""),
                    fact("Tablespaces", conflicts.tablespace.to_string(), ""),
                ]),
            )
            .note("queries that replay cancelled, since the counters began"),
        );
    }
    let parts = ask.history(Metric::ReplicationPartBytes).await?;
    panels.extend([
        ask.chart(
            Metric::ReplicationLagSeconds,
            "Lag",
            "seconds behind",
            "positions of the primary, kept each second",
            6,
        )
        .await?,
        chart(
            "Bytes behind by part",
            "send, write, flush, replay",
            "pg_stat_replication",
            6,
            build::lines(&parts),
            false,
        ),
        ask.chart(Metric::WalBytesPerSecond, "WAL", "written per second", "pg_current_wal_lsn", 6).await?,
        ask.chart(
            Metric::SlotRetainedBytes,
            "Retained by slots",
            "WAL that cannot be removed",
            "pg_replication_slots",
            6,
        )
        .await?,
        panel("Slots", "pg_replication_slots", 12, available(&page.availability, slots)).at(page.collected_at),
    ]);
    let banners = page.slots.iter().filter_map(|slot| match slot.wal_status.as_deref() {
        Some("lost") => Some((
            "critical".to_owned(),
            format!("The slot {} has lost WAL it needs: whoever uses it must be set up anew.", slot.name),
        )),
        Some("unreserved") => Some((
            "critical".to_owned(),
            format!("The slot {} is about to lose WAL at the next checkpoint.", slot.name),
        )),
        _ => None,
    });
    let timeline = page.timeline.map_or_else(String::new, |timeline| format!(", timeline {timeline}"));
    let position = page.current_lsn.map_or_else(String::new, |lsn| format!(", at {lsn}"));
    Ok(PanelPage { subtitle: format!("{role}{timeline}{position}"), banners: banners.collect(), panels })
}

fn standby(row: &StandbyRow) -> Vec<Cell> {
    let level = match row.state {
        ReplicaState::Streaming | ReplicaState::Idle => "good",
        ReplicaState::CatchingUp => "attention",
        ReplicaState::Disconnected => "critical",
        ReplicaState::Receiving | ReplicaState::Unknown => "",
    };
    let lag = row.lag_seconds.map(|seconds| {
        let at_least = if row.state == ReplicaState::Disconnected { "≥ " } else { "" };
        format!("{at_least}{}", format::duration_s(seconds))
    });
    let since = |at: Timestamp| format!("gone since {}", at.local());
    let state = row.gone_since.map_or_else(|| row.state.as_str().to_owned(), since);
    vec![
        text(row.name.clone()),
        Cell::Badge(level.to_owned(), state),
        text(if row.logical { format!("{}, logical", row.sync_state) } else { row.sync_state.clone() }),
        some(lag, |lag| lag),
        size(row.lag_bytes),
        size(row.send_bytes),
        size(row.write_bytes),
        size(row.flush_bytes),
        size(row.replay_bytes),
        Cell::Muted(row.address.clone().unwrap_or_else(|| "local".to_owned())),
    ]
}

fn slot(row: &SlotRow) -> Vec<Cell> {
    let status = row.wal_status.clone().unwrap_or_else(dash);
    let level = match status.as_str() {
        "lost" | "unreserved" => "critical",
        "extended" => "attention",
        _ => "",
    };
    let active = if row.active { ("good", "active") } else { ("attention", "inactive") };
    vec![
        text(row.name.clone()),
        text(row.slot_type.clone()),
        Cell::Badge(active.0.to_owned(), active.1.to_owned()),
        Cell::Badge(level.to_owned(), status),
        size(row.retained_bytes),
        some(row.safe_wal_bytes, |bytes| format::bytes(bytes as f64)),
        since(row.inactive_since),
        text(row.invalidation_reason.clone().unwrap_or_default()),
    ]
}
