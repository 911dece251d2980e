//! Backends for people: states, ages, who blocks whom, literals masked.
use crate::{sqltext, waits};
use domain::{
    Timestamp,
    reading::{ActivityReading, Backend, ServerReading},
    view::{ActivityPage, BackendRow, ConnectionsView},
};
use std::collections::{BTreeMap, BTreeSet};

/// The page of backends.
pub fn page(reading: &ActivityReading, at: Timestamp) -> ActivityPage {
    let mut rows = reading
        .rows
        .iter()
        .map(|backend| BackendRow {
            pid: backend.pid,
            started_at: backend.started_at,
            database: backend.database.clone(),
            user: backend.user.clone(),
            application: backend.application.clone(),
            client_address: backend.client_address.clone(),
            backend_type: backend.backend_type.clone(),
            state: backend.state.clone(),
            wait_class: waits::class(backend).map(str::to_owned).or_else(|| backend.wait_event_type.clone()),
            wait_event: backend.wait_event.clone(),
            transaction_seconds: backend.transaction_seconds,
            query_seconds: backend.query_seconds,
            state_seconds: backend.state_seconds,
            query_id: backend.query_id.clone(),
            query: backend
                .query
                .as_deref()
                .map(|query| sqltext::one_line(&sqltext::mask_literals(query), 500))
                .filter(|query| !query.is_empty()),
            blocked_by: backend.blocked_by.clone(),
            blocks: i64::try_from(blocked_by(reading, backend.pid).len()).unwrap_or(i64::MAX),
        })
        .collect::<Vec<_>>();
    let rank = |row: &BackendRow| match (row.backend_type.as_str(), row.state.as_deref()) {
        ("client backend", Some("active")) => 0,
        ("client backend", Some("idle")) => 2,
        ("client backend", _) => 1,
        _ => 3,
    };
    rows.sort_by(|a, b| {
        let age = |row: &BackendRow| row.query_seconds.or(row.state_seconds).unwrap_or(0.0);
        rank(a).cmp(&rank(b)).then(age(b).total_cmp(&age(a))).then(a.pid.cmp(&b.pid))
    });
    ActivityPage { cluster: String::new(), sequence: 0, collected_at: Some(at), rows, hidden: reading.hidden }
}

/// Everybody who waits for `pid`, directly or behind another.
fn blocked_by(reading: &ActivityReading, pid: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut next = vec![pid];
    while let Some(blocker) = next.pop() {
        for waiter in reading.rows.iter().filter(|row| row.blocked_by.contains(&blocker)) {
            if waiter.pid != pid && found.insert(waiter.pid) {
                next.push(waiter.pid);
            }
        }
    }
    found
}

/// Connection slots: client backends by state of what ordinary roles can use.
pub fn connections(reading: &ActivityReading, server: &ServerReading) -> ConnectionsView {
    let mut states = BTreeMap::<String, i64>::new();
    let mut used = 0;
    for backend in reading.rows.iter().filter(|backend| backend.backend_type == "client backend") {
        used += 1;
        *states.entry(backend.state.clone().unwrap_or_else(|| "hidden".to_owned())).or_default() += 1;
    }
    let mut by_state = states.into_iter().collect::<Vec<_>>();
    by_state.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let utilization_percent = 100.0 * used as f64 / server.usable_connections.max(1) as f64;
    ConnectionsView { used, usable: server.usable_connections, utilization_percent, by_state }
}

/// Figures about what runs now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Running {
    /// Sessions that wait for a heavyweight lock.
    pub blocked_sessions: i64,
    /// Longest active statement of a client, vacuum, copies and our own left out.
    pub longest_query_seconds: Option<f64>,
    /// Its process.
    pub longest_query_pid: Option<i32>,
    /// Oldest open transaction of a client.
    pub oldest_transaction_seconds: Option<f64>,
    /// Sessions idle in a transaction for more than five minutes.
    pub idle_in_transaction: i64,
    /// The longest of those.
    pub longest_idle_in_transaction_seconds: Option<f64>,
}

/// Idle in a transaction for longer than this holds back vacuum and keeps locks.
pub const IDLE_IN_TRANSACTION_SECONDS: f64 = 300.0;

/// What runs now.
pub fn running(reading: &ActivityReading) -> Running {
    let mut running = Running::default();
    let longer = |longest: &mut Option<f64>, seconds: Option<f64>| {
        let is_longer = seconds.is_some_and(|seconds| longest.is_none_or(|longest| seconds > longest));
        if is_longer {
            *longest = seconds;
        }
        is_longer
    };
    for backend in reading
        .rows
        .iter()
        .filter(|backend| backend.backend_type == "client backend" && backend.application != "holdfast")
    {
        if backend.wait_event_type.as_deref() == Some("Lock") {
            running.blocked_sessions += 1;
        }
        longer(&mut running.oldest_transaction_seconds, backend.transaction_seconds);
        match backend.state.as_deref() {
            Some("active") if !is_maintenance(backend) => {
                if longer(&mut running.longest_query_seconds, backend.query_seconds) {
                    running.longest_query_pid = Some(backend.pid);
                }
            }
            Some(state) if state.starts_with("idle in transaction") => {
                longer(&mut running.longest_idle_in_transaction_seconds, backend.state_seconds);
                running.idle_in_transaction +=
                    i64::from(backend.state_seconds.is_some_and(|seconds| seconds > IDLE_IN_TRANSACTION_SECONDS));
            }
            _ => {}
        }
    }
    running
}

/// Statements that are long by nature: an alert about them is noise.
pub(crate) fn is_maintenance(backend: &Backend) -> bool {
    let query = backend.query.as_deref().unwrap_or_default().trim_start();
    ["vacuum", "analyze", "create index", "reindex", "cluster", "copy", "start_replication", "base_backup"]
        .iter()
        .any(|word| query.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(pid: i32, state: &str, query: &str, blocked_by: &[i32]) -> Backend {
        Backend {
            pid,
            backend_type: "client backend".into(),
            state: Some(state.into()),
            query: Some(query.into()),
            query_seconds: Some(f64::from(pid)),
            state_seconds: Some(f64::from(pid) * 100.0),
            blocked_by: blocked_by.to_vec(),
            wait_event_type: (!blocked_by.is_empty()).then(|| "Lock".into()),
            ..Backend::default()
        }
    }

    #[test]
    fn a_chain_counts_everybody_behind_its_root() {
        let reading = ActivityReading {
            rows: vec![
                client(1, "idle in transaction", "UPDATE t SET a = 5", &[]),
                client(2, "active", "UPDATE t SET a = 'x'", &[1]),
                client(3, "active", "x", &[2]),
            ],
            hidden: 0,
        };
        let page = page(&reading, Timestamp(0));
        let blocks = |pid| page.rows.iter().find(|row| row.pid == pid).map(|row| row.blocks);
        assert_eq!([blocks(1), blocks(2), blocks(3)], [Some(2), Some(1), Some(0)]);
        assert_eq!(
            page.rows.iter().find(|row| row.pid == 2).and_then(|row| row.query.as_deref()),
            Some("UPDATE t SET a = ?")
        );
        let running = running(&reading);
        assert_eq!(running.blocked_sessions, 2);
    }

    #[test]
    fn the_busy_come_first_and_of_them_the_oldest_statement() {
        let background = |pid| Backend { pid, backend_type: "checkpointer".into(), ..Backend::default() };
        let rows = vec![
            background(99),
            client(3, "active", "SELECT 3", &[]),
            client(7, "active", "SELECT 7", &[]),
            client(5, "idle", "SELECT 5", &[]),
            client(6, "idle in transaction", "SELECT 6", &[]),
            Backend { query_seconds: None, state_seconds: None, ..client(8, "active", "", &[]) },
        ];
        let page = page(&ActivityReading { rows, hidden: 0 }, Timestamp(0));
        let order = page.rows.iter().map(|row| row.pid).collect::<Vec<_>>();
        assert_eq!(order, [7, 3, 8, 6, 5, 99], "active, in a transaction, idle, and what is no client behind all");
    }

    #[test]
    fn maintenance_is_not_a_long_query() {
        let reading = ActivityReading {
            rows: vec![
                client(90, "active", "VACUUM t", &[]),
                client(5, "active", "SELECT 1", &[]),
                client(4, "idle in transaction", "", &[]),
            ],
            hidden: 0,
        };
        let running = running(&reading);
        assert_eq!(
            (running.longest_query_seconds, running.longest_query_pid, running.idle_in_transaction),
            (Some(5.0), Some(5), 1)
        );
    }
}
