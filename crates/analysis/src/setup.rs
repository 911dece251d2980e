//! What a server needs to be watched: the commands, and how far it is.
use domain::{
    reading::{ClockSkew, ExtensionState, ServerReading},
    view::{Attention, ClusterState},
};

/// The role that watches; `pg_monitor` and nothing else to read.
pub const ROLE_SQL: &str = "CREATE ROLE holdfast_monitor LOGIN PASSWORD '…';\nGRANT pg_monitor TO holdfast_monitor;";
/// What the planner knows of columns, without the values in it; in each database. Without it the role sees nothing of tables that
/// it may not read.
pub const STATISTICS_SQL: &str = "GRANT SELECT (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, stakind1, stakind2, stakind3, stakind4, stakind5,\n  stanumbers1, stanumbers2, stanumbers3, stanumbers4, stanumbers5) ON pg_catalog.pg_statistic TO holdfast_monitor;";
/// Statements, in the database that is connected to.
pub const STATEMENTS_SQL: &str = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;";
/// Before [`STATEMENTS_SQL`]; it takes effect at a restart.
pub const PRELOAD_SQL: &str =
    "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';  -- with what is there already";
/// How long reads and writes take.
pub const TIMING_SQL: &str = "ALTER SYSTEM SET track_io_timing = on;\nSELECT pg_reload_conf();";

/// Clocks that differ by more are told: what is logged and committed at one moment stands at another here.
pub const CLOCK_OFF_SECONDS: f64 = 2.0;

/// Connected, `pg_monitor`, `pg_stat_statements`, `track_io_timing`, the clock: whether it is so, and the cure. Before the
/// first reading of the server the last four are not known.
pub fn checklist(state: &ClusterState, server: Option<&ServerReading>) -> Vec<Attention> {
    vec![connected(state), rights(server), statements(server), timing(server), clock(server.map(|it| it.clock))]
}

fn item(key: &str, level: &str, title: impl Into<String>, detail: impl Into<String>, sql: Option<String>) -> Attention {
    Attention {
        key: key.to_owned(),
        level: level.to_owned(),
        title: title.into(),
        detail: detail.into(),
        sql,
        page: String::new(),
    }
}

fn awaited(key: &str, title: &str) -> Attention {
    item(key, "unknown", format!("{title}: looked for with the first reading"), "", None)
}

fn connected(state: &ClusterState) -> Attention {
    let key = "setup_connected";
    match state {
        ClusterState::Up => item(key, "good", "Connected", "", None),
        ClusterState::Connecting => item(key, "unknown", "Connecting", "", None),
        ClusterState::Unreachable { reason, .. } => item(key, "critical", "The server does not answer", reason, None),
        ClusterState::Refused { reason, .. } => {
            item(key, "critical", "The server refuses us", reason, Some(cure_of_refusal(reason)))
        }
    }
}

/// What to do about the server's words.
fn cure_of_refusal(reason: &str) -> String {
    // 'pg_hba.conf rejects connection for host "10.0.0.7", user "watcher", database "postgres", no encryption'
    let said = |what: &str| {
        let rest = &reason[reason.find(&format!("{what} \""))? + what.len() + 2..];
        rest.split('"').next().filter(|text| !text.is_empty())
    };
    if reason.contains("pg_hba.conf") {
        let (user, database) = (said("user").unwrap_or("holdfast_monitor"), said("database").unwrap_or("all"));
        let host = said("host").map_or_else(
            || "samenet".to_owned(),
            |host| format!("{host}/{}", if host.contains(':') { 128 } else { 32 }),
        );
        let kind = if reason.contains("no encryption") { "host" } else { "hostssl" };
        return format!(
            "-- in pg_hba.conf, before the line that rejects:\n{kind} {database} {user} {host} scram-sha-256\n-- then, as a superuser:\nSELECT pg_reload_conf();"
        );
    }
    if reason.contains("too many connections")
        || reason.contains("too many clients")
        || reason.contains("remaining connection slots")
    {
        return "-- who holds the slots, as a superuser:\nSELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC;"
            .to_owned();
    }
    if reason.contains("password") {
        let user = said("user").unwrap_or("holdfast_monitor").replace('"', "\"\"");
        return format!("ALTER ROLE \"{user}\" PASSWORD '…';  -- the one that Holdfast is configured with");
    }
    ROLE_SQL.to_owned()
}

fn rights(server: Option<&ServerReading>) -> Attention {
    let key = "setup_pg_monitor";
    let Some(server) = server else { return awaited(key, "pg_monitor") };
    if server.has_pg_monitor {
        return item(key, "good", format!("'{}' is a member of pg_monitor", server.role_name), "", None);
    }
    let grant = format!("GRANT pg_monitor TO \"{}\";", server.role_name.replace('"', "\"\""));
    let title = format!("'{}' is no member of pg_monitor", server.role_name);
    item(key, "warning", title, "What other roles do is hidden from it.", Some(grant))
}

fn statements(server: Option<&ServerReading>) -> Attention {
    let key = "setup_pg_stat_statements";
    let Some(server) = server else { return awaited(key, "pg_stat_statements") };
    let all = format!("{PRELOAD_SQL}\n-- then restart the server\n{STATEMENTS_SQL}");
    let (mut title, mut sql) = match &server.statements_extension {
        ExtensionState::Installed { version } => {
            return item(key, "good", format!("pg_stat_statements {version}"), "", None);
        }
        ExtensionState::NotCreated => {
            (format!("pg_stat_statements is not created in '{}'", server.database), STATEMENTS_SQL.to_owned())
        }
        ExtensionState::NotPreloaded => ("pg_stat_statements is not preloaded".to_owned(), all),
        ExtensionState::NotAvailable => {
            ("pg_stat_statements is not installed: it is in the package postgresql-contrib".to_owned(), all)
        }
    };
    if let Some(provider) = server.provider {
        if server.statements_extension == ExtensionState::NotAvailable {
            title = format!("pg_stat_statements is not offered by {} on this server", provider.to_human());
        }
        sql = provider.statements(server.statements_extension == ExtensionState::NotCreated);
    }
    item(key, "warning", title, "Without it there are no statements and no latency.", Some(sql))
}

fn timing(server: Option<&ServerReading>) -> Attention {
    let key = "setup_track_io_timing";
    match server {
        None => awaited(key, "track_io_timing"),
        Some(server) if server.track_io_timing => item(key, "good", "track_io_timing is on", "", None),
        Some(server) => {
            let detail = "How long reads and writes take is not measured.";
            let sql = server
                .provider
                .map_or_else(|| TIMING_SQL.to_owned(), |provider| provider.set("track_io_timing", "on", false));
            item(key, "attention", "track_io_timing is off", detail, Some(sql))
        }
    }
}

fn clock(clock: Option<ClockSkew>) -> Attention {
    let key = "setup_clock";
    match clock {
        None => awaited(key, "its clock"),
        Some(clock) if clock.at_least_seconds() <= CLOCK_OFF_SECONDS => {
            item(key, "good", "Its clock is ours", "", None)
        }
        Some(clock) => {
            let detail = "Commits, logs and the moment of a restore are by its clock, figures and alerts by that of Holdfast's machine: have both follow the same time servers (NTP).";
            item(key, "warning", format!("Its clock is {}", clock.to_human()), detail, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    #[test]
    fn before_the_first_reading_only_the_connection_is_judged() {
        let levels = |state| checklist(&state, None).into_iter().map(|item| item.level).collect::<Vec<_>>();
        assert_eq!(levels(ClusterState::Connecting), ["unknown"; 5]);
        let refused = ClusterState::Refused { reason: "no role".to_owned(), since: Timestamp(0) };
        assert_eq!(levels(refused.clone()), ["critical", "unknown", "unknown", "unknown", "unknown"]);
        let cure = checklist(&refused, None).swap_remove(0).sql.unwrap_or_default();
        assert!(cure.starts_with("CREATE ROLE"), "{cure}");
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_its_side() {
        let of = |ahead_ms| {
            let item = clock(Some(ClockSkew { ahead_ms, within_ms: 4 }));
            (item.level, item.title)
        };
        assert_eq!(of(-2_000).0, "good", "the answer may have been slow");
        assert_eq!(of(-90_000), ("warning".to_owned(), "Its clock is 1 min 30 s behind ours".to_owned()));
        assert_eq!(of(7_200_000), ("warning".to_owned(), "Its clock is 2 h 00 min ahead of ours".to_owned()));
    }

    #[test]
    fn each_refusal_comes_with_what_to_do() {
        let reject = "db:5432 refuses the role \"watcher\": pg_hba.conf rejects connection for host \"10.0.0.7\", user \"watcher\", database \"shop\", no encryption";
        assert!(
            cure_of_refusal(reject).contains("\nhost shop watcher 10.0.0.7/32 scram-sha-256\n"),
            "{}",
            cure_of_refusal(reject)
        );
        let missing = "no pg_hba.conf entry for host \"::1\", user \"watcher\", database \"shop\", SSL encryption";
        assert!(cure_of_refusal(missing).contains("hostssl shop watcher ::1/128"), "{}", cure_of_refusal(missing));
        assert!(cure_of_refusal("password authentication failed for user \"w\"").contains("ALTER ROLE \"w\""));
        assert!(cure_of_refusal("sorry, too many clients already").contains("pg_stat_activity"));
        assert_eq!(cure_of_refusal("anything else"), ROLE_SQL);
    }

    #[test]
    fn the_commands_are_those_of_the_readme() {
        let readme = include_str!("../../../README.md");
        for line in ROLE_SQL.lines().chain(STATISTICS_SQL.lines()).chain([STATEMENTS_SQL]) {
            assert!(readme.contains(line), "{line}");
        }
    }
}
