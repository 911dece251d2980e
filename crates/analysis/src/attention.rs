//! The list of what needs attention, as PgHero has it: fine things in a line, others with what to do.
use crate::{activity::Running, health::HealthInput};
use domain::{
    format,
    reading::Provider,
    view::{Attention, Health, IndexTotals},
};

/// Makes the list from what the score already found, the costliest first, then what is fine.
pub fn list(
    health: &Health,
    input: &HealthInput,
    indexes: Option<&IndexTotals>,
    running: Option<&Running>,
    provider: Option<Provider>,
) -> Vec<Attention> {
    let mut found = health
        .lines
        .iter()
        .map(|line| Attention {
            key: line.rule.clone(),
            level: level(line.points).to_owned(),
            title: line.title.clone(),
            detail: format!("{}, threshold {}", line.measured, line.threshold),
            sql: sql(&line.rule, running, provider),
            page: line.page.clone(),
        })
        .collect::<Vec<_>>();
    if let Some(totals) = indexes {
        for (key, count, title) in [
            ("index_invalid", totals.invalid, "Invalid indexes cost writes and serve no query"),
            ("index_unused", totals.unused, "Indexes without a scan"),
            ("index_duplicate", totals.duplicate, "Indexes that another one covers"),
            ("index_foreign_key", totals.missing_foreign_key, "Foreign keys without an index"),
        ] {
            if count > 0 {
                let level = if key == "index_invalid" { "warning" } else { "attention" };
                found.push(item(
                    key,
                    level,
                    title,
                    &format!("{count} found, with the SQL to mend it"),
                    "/database/performance#indexes",
                ));
            }
        }
    }
    let lost = |rule: &str| health.lines.iter().any(|line| line.rule == rule);
    let good = [
        (
            "connections_high",
            input.connections_percent.map(|percent| format!("{} % of the slots used", format::percent(percent))),
            "Connections",
            "/database/connections",
        ),
        (
            "query_long",
            input.longest_query_seconds.map(|seconds| format!("the longest runs for {}", format::duration_s(seconds))),
            "No long-running statement",
            "/database/activity",
        ),
        (
            "sessions_blocked",
            input.blocked_sessions.map(|_| "nobody waits for long".to_owned()),
            "No blocking",
            "/database/locks",
        ),
        (
            "cache_hit_low",
            input.cache_hit_percent.map(|percent| format!("{} % of the blocks", format::percent(percent))),
            "Cache hits",
            "/database/performance#queries",
        ),
        (
            "xid_age",
            input.xid_age.map(|age| format!("the oldest is {} transactions old", format::count(age as f64))),
            "Transaction ids",
            "/database/maintenance",
        ),
    ];
    for (rule, detail, title, page) in good {
        match detail {
            Some(detail) if !lost(rule) => found.push(item(rule, "good", title, &detail, page)),
            Some(_) => {}
            None if health.score > 0 => found.push(item(rule, "unknown", title, "not known yet", page)),
            None => {}
        }
    }
    found
}

fn item(key: &str, level: &str, title: &str, detail: &str, page: &str) -> Attention {
    Attention {
        key: key.to_owned(),
        level: level.to_owned(),
        title: title.to_owned(),
        detail: detail.to_owned(),
        sql: None,
        page: page.to_owned(),
    }
}

const fn level(points: u8) -> &'static str {
    match points {
        0..=2 => "attention",
        3..=7 => "warning",
        _ => "critical",
    }
}

/// Something to copy, where a statement helps. It is never run by us.
fn sql(rule: &str, running: Option<&Running>, provider: Option<Provider>) -> Option<String> {
    match rule {
        "query_long" => running.and_then(|running| running.longest_query_pid).map(|pid| format!("SELECT pg_cancel_backend({pid});")),
        "sessions_blocked" => Some(
            "SELECT pid, pg_blocking_pids(pid) AS blocked_by, now() - query_start AS waits, left(query, 80) AS query\n\
             FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0;"
                .to_owned(),
        ),
        "idle_in_transaction" => Some(provider.map_or_else(
            || "ALTER SYSTEM SET idle_in_transaction_session_timeout = '5min';\nSELECT pg_reload_conf();".to_owned(),
            |provider| provider.set("idle_in_transaction_session_timeout", "300000", false),
        )),
        "slot_inactive" => Some("SELECT slot_name, wal_status, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS kept\nFROM pg_replication_slots WHERE NOT active;".to_owned()),
        "dead_rows" => Some("SELECT relid::regclass, n_dead_tup, last_autovacuum FROM pg_stat_user_tables\nWHERE n_dead_tup > 0.2 * n_live_tup AND n_dead_tup > 10000 ORDER BY n_dead_tup DESC;".to_owned()),
        "connections_high" => Some("SELECT usename, application_name, client_addr, state, count(*) FROM pg_stat_activity\nWHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;".to_owned()),
        "transaction_old" => Some("SELECT pid, usename, state, now() - xact_start AS age, age(backend_xmin), left(query, 80) AS query\nFROM pg_stat_activity WHERE xact_start < now() - interval '15 min' ORDER BY xact_start;".to_owned()),
        "horizon_held" => Some("SELECT 'session ' || pid AS holder, age(backend_xmin) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL\n\
             UNION ALL SELECT 'slot ' || slot_name, greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots\n\
             UNION ALL SELECT 'prepared ' || gid, age(transaction) FROM pg_prepared_xacts ORDER BY 2 DESC NULLS LAST;"
            .to_owned()),
        "xid_age" => Some("SELECT datname, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database ORDER BY 2 DESC;\n-- in the oldest database:\nVACUUM (FREEZE, VERBOSE);".to_owned()),
        "cache_hit_low" => Some("SELECT relid::regclass, heap_blks_read, heap_blks_hit FROM pg_statio_user_tables\nORDER BY heap_blks_read DESC LIMIT 20;".to_owned()),
        "sequence_running_out" => Some("SELECT schemaname, sequencename, data_type, last_value, max_value FROM pg_sequences\nWHERE last_value > 0.8 * max_value ORDER BY last_value::numeric / max_value DESC;\n-- an integer column that has run out of numbers needs bigint; that rewrites the table.".to_owned()),
        "archiver_failing" => Some("SELECT last_failed_wal, last_failed_time, failed_count FROM pg_stat_archiver;\nSHOW archive_command;".to_owned()),
        _ => None,
    }
}
