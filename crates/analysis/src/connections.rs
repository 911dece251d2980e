//! Who holds the connection slots, grouped.
use domain::{
    Timestamp,
    reading::{ActivityReading, Backend, ServerReading},
    view::{BackendRow, ConnectionGroup, ConnectionRow, ConnectionsPage},
};
use std::collections::BTreeMap;

/// Rows of one group; the rest of a server with a name for each connection is put together.
const ROWS_AT_MOST: usize = 100;

type Key = fn(&Backend) -> String;

const GROUPS: [(&str, Key); 5] = [
    ("state", |it| it.state.clone().unwrap_or_else(|| "hidden".to_owned())),
    ("user", |it| it.user.clone().unwrap_or_else(|| "(none)".to_owned())),
    ("application", |it| if it.application.is_empty() { "(no name)".to_owned() } else { it.application.clone() }),
    ("host", |it| it.client_address.clone().unwrap_or_else(|| "local".to_owned())),
    ("database", |it| it.database.clone().unwrap_or_else(|| "(none)".to_owned())),
];

/// The page.
pub fn page(reading: &ActivityReading, server: Option<&ServerReading>, at: Timestamp) -> ConnectionsPage {
    let clients = reading.rows.iter().filter(|row| row.backend_type == "client backend").collect::<Vec<_>>();
    ConnectionsPage {
        collected_at: Some(at),
        used: i64::try_from(clients.len()).unwrap_or(i64::MAX),
        usable: server.map(|server| server.usable_connections),
        max_connections: server.map(|server| server.max_connections),
        groups: all(&clients),
        ..ConnectionsPage::default()
    }
}

/// The groups of some of the sessions that a page shows, as of one database.
pub fn groups(rows: &[&BackendRow]) -> Vec<ConnectionGroup> {
    let clients = rows.iter().filter(|row| row.backend_type == "client backend").map(|row| Backend {
        database: row.database.clone(),
        user: row.user.clone(),
        application: row.application.clone(),
        client_address: row.client_address.clone(),
        state: row.state.clone(),
        state_seconds: row.state_seconds,
        started_at: row.started_at,
        wait_event_type: row.wait_class.clone(),
        ..Backend::default()
    });
    all(&clients.collect::<Vec<_>>().iter().collect::<Vec<_>>())
}

fn all(clients: &[&Backend]) -> Vec<ConnectionGroup> {
    GROUPS.map(|(by, key)| ConnectionGroup { by: by.to_owned(), rows: group(clients, key) }).into()
}

fn group(clients: &[&Backend], key: Key) -> Vec<ConnectionRow> {
    let mut groups = BTreeMap::<String, ConnectionRow>::new();
    for client in clients {
        let name = key(client);
        let row = groups.entry(name.clone()).or_insert_with(|| ConnectionRow { name, ..ConnectionRow::default() });
        add(row, client);
    }
    let mut rows = groups.into_values().collect::<Vec<_>>();
    rows.sort_by(|a, b| b.total.cmp(&a.total).then(a.name.cmp(&b.name)));
    if rows.len() > ROWS_AT_MOST {
        let rest = rows.split_off(ROWS_AT_MOST);
        let mut other = ConnectionRow {
            name: format!("({})", domain::format::counted(rest.len(), "other", "others")),
            ..ConnectionRow::default()
        };
        for row in rest {
            other.total += row.total;
            other.active += row.active;
            other.idle += row.idle;
            other.idle_in_transaction += row.idle_in_transaction;
            other.waiting += row.waiting;
        }
        rows.push(other);
    }
    rows
}

fn add(row: &mut ConnectionRow, client: &Backend) {
    row.total += 1;
    match client.state.as_deref() {
        Some("active") => row.active += 1,
        Some("idle") => row.idle += 1,
        Some(state) if state.starts_with("idle in transaction") => {
            row.idle_in_transaction += 1;
            let longest = row.longest_idle_in_transaction_seconds;
            row.longest_idle_in_transaction_seconds =
                client.state_seconds.map(|seconds| longest.map_or(seconds, |longest| longest.max(seconds))).or(longest);
        }
        _ => {}
    }
    if client.wait_event_type.as_deref() == Some("Lock") {
        row.waiting += 1;
    }
    row.oldest_started_at = match (row.oldest_started_at, client.started_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_every_client_once() {
        let client = |user: &str, state: &str, seconds: f64| Backend {
            backend_type: "client backend".into(),
            user: Some(user.into()),
            state: Some(state.into()),
            state_seconds: Some(seconds),
            ..Backend::default()
        };
        let rows = vec![
            client("ada", "active", 1.0),
            client("ada", "idle in transaction", 70.0),
            client("bob", "idle in transaction (aborted)", 9.0),
            Backend { backend_type: "checkpointer".into(), ..Backend::default() },
        ];
        let page = page(&ActivityReading { rows, hidden: 0 }, None, Timestamp(0));
        assert_eq!((page.used, page.groups.len()), (3, 5));
        for group in &page.groups {
            assert_eq!(group.rows.iter().map(|row| row.total).sum::<i64>(), 3, "{}", group.by);
            assert_eq!(group.rows.iter().map(|row| row.idle_in_transaction).sum::<i64>(), 2, "{}", group.by);
        }
        assert_eq!(page.groups[1].rows[0].longest_idle_in_transaction_seconds, Some(70.0));
    }

    #[test]
    fn the_groups_of_one_database_are_those_of_its_sessions() {
        let rows = vec![
            Backend {
                backend_type: "client backend".into(),
                database: Some("shop".into()),
                user: Some("ada".into()),
                state: Some("active".into()),
                wait_event_type: Some("Lock".into()),
                ..Backend::default()
            },
            Backend { backend_type: "client backend".into(), database: Some("other".into()), ..Backend::default() },
        ];
        let shown = crate::activity::page(&ActivityReading { rows, hidden: 0 }, Timestamp(0)).rows;
        let of = shown.iter().filter(|row| row.database.as_deref() == Some("shop")).collect::<Vec<_>>();
        let groups = groups(&of);
        assert_eq!(groups.len(), 5);
        for group in &groups {
            let row = &group.rows[0];
            assert_eq!((group.rows.len(), row.total, row.active, row.waiting), (1, 1, 1, 1), "{}", group.by);
        }
    }
}
