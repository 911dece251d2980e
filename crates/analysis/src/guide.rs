//! The guide's `postgresql.conf`, line by line: what is in use, and what this machine and its workload say about it.
use crate::{
    configuration::{Facts, neat, size},
    setting_value,
};
use domain::{
    format,
    view::{GuideSetting, GuideVerdict, SettingFinding, SettingRow},
};

/// Its lines, in its order.
pub const LINES: [(&str, &str); 16] = [
    ("max_connections", "200"),
    ("shared_buffers", "2GB"),
    ("effective_cache_size", "8GB"),
    ("wal_buffers", "64MB"),
    ("checkpoint_completion_target", "0.9"),
    ("wal_writer_delay", "200ms"),
    ("work_mem", "32MB"),
    ("maintenance_work_mem", "512MB"),
    ("random_page_cost", "1.1"),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.max", "10000"),
    ("pg_stat_statements.track", "all"),
    ("log_min_duration_statement", "1s"),
    ("log_checkpoints", "on"),
    ("log_connections", "on"),
    ("log_disconnections", "on"),
];

const MIB: f64 = 1_048_576.0;

/// Each line against what is in use; `findings` are those of the same settings and facts. Nothing without settings.
pub fn compared(rows: &[SettingRow], facts: Facts, findings: &[SettingFinding]) -> Vec<GuideSetting> {
    if rows.is_empty() {
        return Vec::new();
    }
    LINES.iter().map(|(name, guide)| line(name, guide, rows, facts, findings)).collect()
}

fn line(name: &str, guide: &str, rows: &[SettingRow], facts: Facts, findings: &[SettingFinding]) -> GuideSetting {
    let row = rows.iter().find(|row| row.name == name);
    let finding = findings.iter().find(|it| it.name == name && it.key.starts_with("setting:"));
    let (verdict, reason) = match (row, finding) {
        (None, _) if name.starts_with("pg_stat_statements.") => {
            (GuideVerdict::Absent, "pg_stat_statements is not loaded, so it has no settings.".to_owned())
        }
        (None, _) => (GuideVerdict::Absent, "This server has no such setting.".to_owned()),
        (Some(_), Some(finding)) => {
            (GuideVerdict::Advised, format!("{} Think of {}.", finding.reason, finding.suggested))
        }
        (Some(row), None) => {
            let verdict = if is_as_in(row, guide) { GuideVerdict::Same } else { GuideVerdict::Fits };
            (verdict, reason(row, rows, facts))
        }
    };
    GuideSetting {
        name: name.to_owned(),
        guide: guide.to_owned(),
        current: row.map(|row| setting_value::written(&row.value, row.unit.as_deref())),
        verdict,
        reason,
    }
}

fn is_as_in(row: &SettingRow, guide: &str) -> bool {
    match row.name.as_str() {
        // One of several.
        "shared_preload_libraries" => row.value.split(',').any(|library| library.trim() == guide),
        // From 18 on a list of what is logged.
        "log_connections" => !matches!(row.value.as_str(), "" | "off"),
        _ => setting_value::written(&row.value, row.unit.as_deref()) == guide,
    }
}

/// Why what is in use serves here, by what is known of the machine and the workload.
fn reason(row: &SettingRow, rows: &[SettingRow], facts: Facts) -> String {
    let memory = facts.memory_bytes;
    let unseen = "how much memory the machine has cannot be seen from here";
    match row.name.as_str() {
        "max_connections" => {
            let used = facts.sessions.map_or_else(String::new, |used| format!(" {used:.0} are in use now."));
            format!("Each session costs memory and makes snapshots slower; a pool in front lets few do the work.{used}")
        }
        "shared_buffers" => match (setting_value::bytes(row), memory) {
            (Some(shared), Some(memory)) => format!(
                "It is {:.1} % of this machine's {}; about a quarter, {}, is a good beginning, and less will do where the databases are small. The guide's 2GB is a quarter of 8 GiB.",
                100.0 * shared / memory,
                format::bytes(memory),
                size(neat(memory / 4.0))
            ),
            _ => format!(
                "About a quarter of the memory is a good beginning; {unseen}. The guide's 2GB is a quarter of 8 GiB."
            ),
        },
        "effective_cache_size" => match memory {
            Some(memory) => format!(
                "What the planner takes for cached, and no reservation; three quarters of this machine's {} are {}.",
                format::bytes(memory),
                size(neat(0.75 * memory))
            ),
            None => format!("What the planner takes for cached; three quarters of the memory are usual, and {unseen}."),
        },
        "wal_buffers" => match facts.wal_buffers_full_per_second {
            Some(rate) if rate > 0.1 => {
                format!("Sessions wrote WAL themselves {} because no buffer was free.", format::rate(rate))
            }
            Some(_) => "No session has to write WAL for want of a buffer: more would lie idle.".to_owned(),
            None => "More helps where sessions wait for a buffer of WAL; whether they do is not known here.".to_owned(),
        },
        "checkpoint_completion_target" => {
            let asked = facts.requested_checkpoints_percent.map_or_else(String::new, |percent| {
                format!(" {percent:.0} % of them come because of much WAL, not by the clock.")
            });
            format!("Checkpoints spread their writes over this part of the time between them.{asked}")
        }
        "wal_writer_delay" => {
            "How long WAL of an asynchronous commit may wait to be written; a crash can lose three times that."
                .to_owned()
        }
        "work_mem" => work_mem(rows, facts),
        "maintenance_work_mem" => match memory {
            Some(memory) => format!(
                "For building indexes and for vacuum, few of which run at once; a sixteenth of this machine's memory is {}.",
                size(neat(memory / 16.0))
            ),
            None => "For building indexes and for vacuum, few of which run at once.".to_owned(),
        },
        "random_page_cost" => "1.1 suits SSD and data that is mostly cached; 4 suits turning disks.".to_owned(),
        "shared_preload_libraries" => {
            "pg_stat_statements counts what each statement costs: the pages of queries live on it.".to_owned()
        }
        "pg_stat_statements.max" => match facts.evictions_per_hour {
            Some(rate) if rate > 0.0 => {
                format!("{} entries an hour are thrown out for new ones.", format::count(rate))
            }
            Some(_) => "No entry is thrown out: there is room for each statement.".to_owned(),
            None => "How many statements are told apart before rare ones are thrown out.".to_owned(),
        },
        "pg_stat_statements.track" => {
            "all counts the statements inside functions too; top only what clients send.".to_owned()
        }
        "log_min_duration_statement" => {
            "Statements slower than this are logged; samples on the statements' pages come from there.".to_owned()
        }
        "log_checkpoints" => "What each checkpoint wrote and how long it took stands in the log.".to_owned(),
        "log_connections" => "Who signs in stands in the log.".to_owned(),
        "log_disconnections" => "How long each session lasted stands in the log.".to_owned(),
        _ => String::new(),
    }
}

fn work_mem(rows: &[SettingRow], facts: Facts) -> String {
    let connections = rows.iter().find(|row| row.name == "max_connections");
    let connections = connections.and_then(|row| row.value.parse::<f64>().ok());
    let most = match (connections, facts.memory_bytes) {
        (Some(connections), Some(memory)) => format!(
            " The guide's 32MB, used once by each of {connections:.0} sessions, are {} of this machine's {}.",
            format::bytes(connections * 32.0 * MIB),
            format::bytes(memory)
        ),
        _ => String::new(),
    };
    let spilled = facts.temp_bytes.filter(|_| facts.window_seconds > 600.0).map_or_else(String::new, |bytes| {
        let seen = format::duration_s(facts.window_seconds.round());
        if bytes > 0.0 {
            format!(" Statements wrote {} of temporary files in {seen}.", format::bytes(bytes))
        } else {
            format!(" No statement wrote a temporary file in {seen}.")
        }
    });
    format!("Each sort and hash of a statement may take it.{most}{spilled}")
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::configuration::findings;

    fn row(name: &str, value: &str, unit: Option<&str>) -> SettingRow {
        SettingRow {
            name: name.to_owned(),
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            ..SettingRow::default()
        }
    }

    #[test]
    fn each_line_of_the_guide_is_set_beside_what_is_in_use_and_told_by_figures() {
        let rows = [
            row("max_connections", "100", None),
            row("shared_buffers", "16384", Some("8kB")),
            row("wal_buffers", "512", Some("8kB")),
            row("work_mem", "32768", Some("kB")),
            row("random_page_cost", "1.1", None),
            row("shared_preload_libraries", "auto_explain, pg_stat_statements", None),
            row("log_min_duration_statement", "1000", Some("ms")),
            row("log_connections", "receipt,authorization", None),
            row("log_disconnections", "off", None),
        ];
        let facts = Facts {
            memory_bytes: Some(16.0 * 1_024.0 * MIB),
            databases_bytes: Some(50.0 * 1_024.0 * MIB),
            wal_buffers_full_per_second: Some(0.0),
            temp_bytes: Some(0.0),
            window_seconds: 3_600.0,
            sessions: Some(12.0),
            ..Facts::default()
        };
        let lines = compared(&rows, facts, &findings(&rows, facts));
        assert_eq!(lines.len(), LINES.len());
        let of = |name: &str| lines.iter().find(|line| line.name == name).expect(name);
        let told = |name: &str| (of(name).current.as_deref(), of(name).verdict);
        assert_eq!(told("shared_buffers"), (Some("128MB"), GuideVerdict::Advised));
        assert!(of("shared_buffers").reason.ends_with("Think of 4GB."), "{:?}", of("shared_buffers"));
        assert_eq!(told("max_connections"), (Some("100"), GuideVerdict::Fits));
        assert!(of("max_connections").reason.contains("12 are in use now"), "{:?}", of("max_connections"));
        assert_eq!(told("wal_buffers"), (Some("4MB"), GuideVerdict::Fits));
        assert!(of("wal_buffers").reason.contains("No session has to write WAL"), "{:?}", of("wal_buffers"));
        assert_eq!(told("work_mem"), (Some("32MB"), GuideVerdict::Same));
        assert!(of("work_mem").reason.contains("3.1 GiB of this machine's 16.0 GiB"), "{:?}", of("work_mem"));
        assert!(of("work_mem").reason.contains("No statement wrote a temporary file in 1 h 00 min"));
        assert_eq!(told("random_page_cost"), (Some("1.1"), GuideVerdict::Same));
        assert_eq!(told("shared_preload_libraries").1, GuideVerdict::Same, "one of several");
        assert_eq!(told("log_min_duration_statement"), (Some("1s"), GuideVerdict::Same));
        assert_eq!(told("log_connections").1, GuideVerdict::Same, "a list, as from 18 on");
        assert_eq!(told("log_disconnections").1, GuideVerdict::Advised);
        assert_eq!(told("pg_stat_statements.max"), (None, GuideVerdict::Absent));
        assert_eq!(compared(&[], facts, &[]), []);
    }

    #[test]
    fn what_is_not_known_is_said_so() {
        let rows = [row("shared_buffers", "262144", Some("8kB")), row("wal_buffers", "8192", Some("8kB"))];
        let lines = compared(&rows, Facts::default(), &findings(&rows, Facts::default()));
        let shared = lines.iter().find(|line| line.name == "shared_buffers").expect("a line of the guide");
        assert_eq!((shared.current.as_deref(), shared.verdict), (Some("2GB"), GuideVerdict::Same));
        assert!(shared.reason.contains("cannot be seen from here"), "{shared:?}");
    }
}
