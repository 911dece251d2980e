//! The strip of the platform's pools on `/database/connections`.
use super::layout::{Ask, fact, heads, number, panel, some, text};
use crate::panels::{Cell, Content, PanelData, TableData};
use control::ControlError;
use domain::{
    format,
    view::{PlatformState, PoolNode, PoolsPage},
};

/// Adds warnings and panels to the page of the cluster that holds the platform: in front when there are pools, and
/// behind everything when there are none, which most databases never have.
pub fn strip(
    ask: &Ask,
    cluster: &str,
    banners: &mut Vec<(String, String)>,
    panels: &mut Vec<PanelData>,
) -> Result<(), ControlError> {
    if ask.control.platform().cluster() != Some(cluster) {
        return Ok(());
    }
    let page = ask.control.pools_get(&ask.actor)?;
    if !matches!(page.platform, PlatformState::Ready { .. }) {
        let reason = format!("{}.", crate::server_fns::sentence(page.message.as_deref().unwrap_or_default()));
        let missing = Content::Missing(reason, page.platform.cure());
        panels.push(panel("Pools of the platform", "Holdfast's own pools", 12, missing));
        return Ok(());
    }
    banners.extend(page.split_brain.iter().map(|said| ("critical".to_owned(), said.clone())));
    banners.extend(
        page.warnings.iter().map(|said| ("attention".to_owned(), format!("{}.", crate::server_fns::sentence(said)))),
    );
    panels.splice(0..0, [servers(&page), routing(&page)]);
    Ok(())
}

fn servers(page: &PoolsPage) -> PanelData {
    let mut head = heads(&[
        ("Pool", false),
        ("Server", false),
        ("State", false),
        ("In use", true),
        ("Idle", true),
        ("Waiting", true),
        ("Acquire P50, ms", true),
        ("Acquire P99, ms", true),
        ("Work P99, ms", true),
        ("Behind", true),
        ("Failures", true),
        ("Tried again in", true),
    ]);
    for (column, hint) in [
        (3, "handed out of at most: DB_POOL_MAX, DB_REPLICA_POOL_MAX"),
        (4, "open and free; DB_POOL_MIN stay open"),
        (5, "callers that wait for a connection, or for the turn of a short question: DB_POOL_CONCURRENCY at once"),
        (6, "wait for a connection since the server has its role"),
        (8, "from the first statement to the last, since the server has its role"),
        (10, "connects that failed, 25006, 57P01 to 57P03, class 08: since the start"),
    ] {
        head[column].hint = hint.to_owned();
    }
    let rows = page.nodes.iter().map(row).collect();
    let table = Content::Table(TableData { head, rows, ..TableData::default() });
    let limits = page.nodes.iter().map(limits).collect::<Vec<_>>();
    panel("Pools of the platform", "Holdfast's own pools, now", 12, table).note(limits.join(", "))
}

fn limits(node: &PoolNode) -> String {
    // Without a turn of its own a question counts as any other work.
    let short = (node.concurrency < node.max).then(|| format!(" ({} short questions at once)", node.concurrency));
    format!("{} at most {}{}", node.name, node.max, short.unwrap_or_default())
}

fn row(node: &PoolNode) -> Vec<Cell> {
    let used = node.state == "primary" || node.state == "replica";
    let level = match node.state.as_str() {
        "primary" | "replica" => "good",
        "left" => "attention",
        _ => "critical",
    };
    let state = node.reason.as_ref().map_or_else(|| node.state.clone(), |reason| format!("{}: {reason}", node.state));
    let of_used = |n: u64| if used { number(n.to_string()) } else { some(None::<u64>, |n| n.to_string()) };
    let share = u8::try_from(100 * node.in_use / node.max.max(1)).unwrap_or(100);
    vec![
        text(node.name.clone()),
        Cell::Muted(node.address.clone()),
        Cell::Badge(level.to_owned(), state),
        if used {
            Cell::Share(format!("{} of {}", node.in_use, node.max), share)
        } else {
            some(None::<u32>, |n| n.to_string())
        },
        of_used(u64::from(node.idle)),
        of_used(node.waiting),
        some(node.acquire_p50_ms, milliseconds),
        some(node.acquire_p99_ms, milliseconds),
        some(node.execute_p99_ms, milliseconds),
        match (node.lag_seconds, node.lag_bytes) {
            (None, None) => some(None::<u32>, |n| n.to_string()),
            (seconds, bytes) => number(format!(
                "{}{}",
                seconds.map(format::duration_s).unwrap_or_default(),
                bytes.map_or_else(String::new, |it| format!(" {}", format::bytes(it as f64)))
            )),
        },
        number(node.failures_total.to_string()),
        some(node.retry_in_seconds, |it| format::duration_s((it * 10.0).round() / 10.0)),
    ]
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

fn routing(page: &PoolsPage) -> PanelData {
    let it = &page.routing;
    let count = |n: u64| format::count(n as f64);
    let asked = page.cache_hits + page.cache_misses;
    let hit = if asked == 0 {
        super::layout::dash()
    } else {
        format!("{:.1} %", 100.0 * page.cache_hits as f64 / asked as f64)
    };
    let facts = vec![
        fact("Reads on a replica", count(it.replica_reads), ""),
        fact(
            "Reads on the primary, no replica was fit",
            count(it.primary_reads_no_replica),
            "or the primary was asked for",
        ),
        fact(
            "Reads on the primary, for one's own write",
            count(it.primary_reads_own_write),
            "the replica had not replayed what the session wrote",
        ),
        fact("Reads repeated on the primary", count(it.primary_reads_standby_refused), "a standby could not do them"),
        fact("Writes committed", count(it.writes), ""),
        fact("Begun anew", count(it.retries), "after a lost connection, a changed role or a deadlock"),
        fact("Writes refused in a read", count(it.refused_writes), "SQLSTATE 25006: a mistake in a program"),
        fact("Changes of a role", count(it.role_changes), ""),
        fact(
            "Answers from memory",
            hit,
            if page.cache_listening {
                "changes of other processes are heard of"
            } else {
                "off: changes of other processes are not heard of now"
            },
        ),
    ];
    panel("Routing", "Holdfast's own pools, since its start", 12, Content::Facts(facts))
}
