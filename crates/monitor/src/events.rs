//! What happened between two readings of the same server: restarts, role changes, changed settings.
use domain::{
    Timestamp,
    reading::{ServerReading, SettingsReading},
    view::{Event, EventKind},
};

/// Whether the postmaster was started anew between the two readings: `pg_postmaster_start_time()` never changes else.
pub fn restarted(before: &ServerReading, after: &ServerReading) -> bool {
    after.started_at != before.started_at
}

/// Events that two looks at the server tell of.
pub fn of_server(before: &ServerReading, after: &ServerReading, at: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    if restarted(before, after) {
        let title = if before.version == after.version {
            format!("restarted, PostgreSQL {}", after.version)
        } else {
            format!("restarted, PostgreSQL {} became {}", before.version, after.version)
        };
        events.push(Event::new(after.started_at.min(at), EventKind::Restart, title));
    }
    if before.role != after.role {
        let title = format!("{} became {}", before.role.as_str(), after.role.as_str());
        events.push(Event::new(at, EventKind::RoleChange, title));
    }
    events
}

/// One event for each setting that differs; those that only show a session's or a clock's state are left out.
pub fn of_settings(before: &SettingsReading, after: &SettingsReading, at: Timestamp) -> Vec<Event> {
    // Both are ordered by name, but extensions may add or remove rows: look up rather than zip.
    after
        .rows
        .iter()
        .filter_map(|now| {
            let then =
                before.rows.binary_search_by(|row| row.name.cmp(&now.name)).ok().and_then(|i| before.rows.get(i))?;
            let changed = then.setting != now.setting && now.source != "session" && now.source != "client";
            changed.then(|| {
                Event::new(
                    at,
                    EventKind::SettingChange,
                    format!(
                        "{}: {} became {}",
                        now.name,
                        shown(&then.setting, &now.unit),
                        shown(&now.setting, &now.unit)
                    ),
                )
            })
        })
        .collect()
}

fn shown(value: &str, unit: &Option<String>) -> String {
    match unit {
        _ if value.is_empty() => "''".to_owned(),
        Some(unit) => format!("{value} {unit}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::reading::{ClockSkew, ExtensionState, ServerRole, Setting};

    fn server(started_ms: i64, role: ServerRole) -> ServerReading {
        ServerReading {
            version_num: 150_018,
            version: "15.18".into(),
            role,
            started_at: Timestamp(started_ms),
            clock: ClockSkew::default(),
            lsn: None,
            timeline: None,
            system_identifier: None,
            max_connections: 100,
            usable_connections: 97,
            used_connections: 1,
            role_name: "monitor".into(),
            has_pg_monitor: true,
            statements_extension: ExtensionState::NotCreated,
            track_io_timing: true,
            database: "postgres".into(),
            tls: false,
            provider: None,
        }
    }

    fn settings(rows: &[(&str, &str, &str)]) -> SettingsReading {
        SettingsReading {
            rows: rows
                .iter()
                .map(|(name, setting, source)| Setting {
                    name: (*name).into(),
                    setting: (*setting).into(),
                    unit: None,
                    boot_value: None,
                    source: (*source).into(),
                    pending_restart: false,
                })
                .collect(),
        }
    }

    #[test]
    fn a_restart_and_a_promotion_are_both_told() {
        let before = server(1_000, ServerRole::Standby);
        assert_eq!(of_server(&before, &before, Timestamp(9_000)), []);
        // Also one right after the last.
        assert_eq!(of_server(&before, &server(1_400, ServerRole::Standby), Timestamp(9_000)).len(), 1);
        let after = server(8_000, ServerRole::Primary);
        let kinds =
            of_server(&before, &after, Timestamp(9_000)).into_iter().map(|event| event.kind).collect::<Vec<_>>();
        assert_eq!(kinds, [EventKind::Restart, EventKind::RoleChange]);
    }

    #[test]
    fn only_settings_of_the_server_make_events() {
        let before = settings(&[("application_name", "a", "client"), ("work_mem", "4096", "default")]);
        let after = settings(&[
            ("application_name", "b", "client"),
            ("new_guc", "1", "default"),
            ("work_mem", "8192", "configuration file"),
        ]);
        let titles =
            of_settings(&before, &after, Timestamp(0)).into_iter().map(|event| event.title).collect::<Vec<_>>();
        assert_eq!(titles, ["work_mem: 4096 became 8192"]);
    }
}
