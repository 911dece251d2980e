//! The figures of the platform's pools and of its remembered answers.
use super::escape;
use crate::http::problem::Problem;
use control::{Actor, ControlPlane};
use domain::view::{PlatformState, PoolNode, PoolsPage};
use pool::HistogramSnapshot;
use std::fmt::Write as _;

/// Upper bounds of the buckets, in microseconds.
const BOUNDS_US: [u64; 12] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

type Figure = (&'static str, &'static str, &'static str, fn(&PoolNode) -> Option<f64>);

const NODES: [Figure; 15] = [
    ("holdfast_pool_connections_in_use", "gauge", "Connections handed out.", |it| Some(f64::from(it.in_use))),
    ("holdfast_pool_connections_idle", "gauge", "Connections open and free.", |it| Some(f64::from(it.idle))),
    ("holdfast_pool_connections_max", "gauge", "Most connections there may be.", |it| Some(f64::from(it.max))),
    ("holdfast_pool_connections_min", "gauge", "Connections kept open though idle.", |it| Some(f64::from(it.min))),
    ("holdfast_pool_concurrency", "gauge", "Short questions at once at most.", |it| Some(f64::from(it.concurrency))),
    ("holdfast_pool_waiting", "gauge", "Callers that wait for a connection or their turn.", |it| {
        Some(it.waiting as f64)
    }),
    ("holdfast_pool_opened_total", "counter", "Connections opened since the server has its role.", |it| {
        Some(it.opened_total as f64)
    }),
    ("holdfast_pool_closed_total", "counter", "Connections closed since then.", |it| Some(it.closed_total as f64)),
    ("holdfast_pool_exhausted_total", "counter", "Callers that waited in vain.", |it| Some(it.exhausted_total as f64)),
    ("holdfast_pool_failures_total", "counter", "Connects that failed, 25006, 57P01-57P03, 08*.", |it| {
        Some(it.failures_total as f64)
    }),
    ("holdfast_pool_failures_in_row", "gauge", "Failures since the last success.", |it| Some(f64::from(it.failures))),
    ("holdfast_pool_retry_seconds", "gauge", "Until a server that failed is tried again.", |it| it.retry_in_seconds),
    ("holdfast_pool_lag_seconds", "gauge", "How far a replica is behind.", |it| it.lag_seconds),
    ("holdfast_pool_lag_bytes", "gauge", "WAL that a replica has not replayed.", |it| it.lag_bytes.map(|it| it as f64)),
    ("holdfast_pool_server_usable", "gauge", "Connections that the server gives to ordinary roles.", |it| {
        it.usable.map(f64::from)
    }),
];

/// Nothing but its state while there is no platform: what is not known is left out.
pub fn write(out: &mut String, control: &ControlPlane, actor: &Actor) -> Result<(), Problem> {
    let page = control.pools_get(actor)?;
    let ready = u8::from(matches!(page.platform, PlatformState::Ready { .. }));
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "# HELP holdfast_platform_ready Whether the platform's data can be worked with.\n# TYPE holdfast_platform_ready gauge\nholdfast_platform_ready {ready}"
    );
    let Some(snapshot) = control.pools_snapshot(actor)? else { return Ok(()) };
    let labels = |node: &PoolNode| format!("pool=\"{}\",server=\"{}\"", escape(&node.name), escape(&node.address));
    for (name, kind, help, value) in NODES {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for node in &page.nodes {
            if let Some(value) = value(node) {
                let _ = writeln!(out, "{name}{{{}}} {value}", labels(node));
            }
        }
    }
    let _ = writeln!(
        out,
        "# HELP holdfast_pool_server_state What a server is used for now.\n# TYPE holdfast_pool_server_state gauge"
    );
    for node in &page.nodes {
        for state in ["primary", "replica", "left", "down"] {
            let is = u8::from(node.state == state);
            let _ = writeln!(out, "holdfast_pool_server_state{{{},state=\"{state}\"}} {is}", labels(node));
        }
    }
    for (name, help, pick) in [
        (
            "holdfast_pool_acquire_seconds",
            "Waits for a connection.",
            (|it| &it.timing.wait) as fn(&pool::NodeSnapshot) -> &HistogramSnapshot,
        ),
        ("holdfast_pool_execute_seconds", "Work on a connection, from the first statement to the last.", |it| {
            &it.timing.execute
        }),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (node, seen) in page.nodes.iter().zip(&snapshot.nodes) {
            let (labels, histogram) = (labels(node), pick(seen));
            for us in BOUNDS_US {
                let count = histogram.count_up_to_us(us);
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {count}", us as f64 / 1e6);
            }
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", histogram.count());
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", histogram.sum_seconds());
            let _ = writeln!(out, "{name}_count{{{labels}}} {}", histogram.count());
        }
    }
    routing(out, &page);
    Ok(())
}

fn routing(out: &mut String, page: &PoolsPage) {
    let it = &page.routing;
    let _ = writeln!(
        out,
        "# HELP holdfast_pool_routed_total Pieces of work by where they went.\n# TYPE holdfast_pool_routed_total counter"
    );
    for (to, why, n) in [
        ("replica", "read", it.replica_reads),
        ("primary", "read_no_replica", it.primary_reads_no_replica),
        ("primary", "read_own_write", it.primary_reads_own_write),
        ("primary", "read_standby_refused", it.primary_reads_standby_refused),
        ("primary", "write", it.writes),
    ] {
        let _ = writeln!(out, "holdfast_pool_routed_total{{to=\"{to}\",why=\"{why}\"}} {n}");
    }
    let split = u64::from(page.split_brain.is_some());
    for (name, kind, help, n) in [
        ("holdfast_pool_retries_total", "counter", "Pieces of work begun anew.", it.retries),
        (
            "holdfast_pool_refused_writes_total",
            "counter",
            "Statements that tried to write in a read.",
            it.refused_writes,
        ),
        ("holdfast_pool_role_changes_total", "counter", "Changes of a server's role.", it.role_changes),
        ("holdfast_pool_split_brain", "gauge", "Whether two servers take writes, or an old primary does.", split),
        ("holdfast_catalog_cache_hits_total", "counter", "Answers from memory.", page.cache_hits),
        ("holdfast_catalog_cache_misses_total", "counter", "Answers from the database.", page.cache_misses),
        (
            "holdfast_catalog_cache_invalidations_total",
            "counter",
            "Changes that made answers worthless.",
            page.cache_invalidations,
        ),
        ("holdfast_catalog_cache_entries", "gauge", "Answers held.", page.cache_entries),
        (
            "holdfast_catalog_cache_listening",
            "gauge",
            "Whether changes of other processes are heard of.",
            u64::from(page.cache_listening),
        ),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {n}");
    }
}
