//! The server's settings against its machine, its workload and the guide's `postgresql.conf`. Each finding says by which
//! figures it was found; what is not known is not judged.
use crate::setting_value;
use domain::{
    format,
    reading::Provider,
    view::{SettingFinding, SettingRow, SettingSeverity},
};

/// What settings are judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Memory of the machine, where it is known.
    pub memory_bytes: Option<f64>,
    /// `server_version_num`.
    pub version_num: Option<i32>,
    /// All databases together.
    pub databases_bytes: Option<f64>,
    /// Temporary files written by statements in the window.
    pub temp_bytes: Option<f64>,
    /// The window of it.
    pub window_seconds: f64,
    /// Checkpoints asked for by WAL or by hand, of all, in percent; `None` with too few.
    pub requested_checkpoints_percent: Option<f64>,
    /// WAL written per second.
    pub wal_bytes_per_second: Option<f64>,
    /// Waits for a WAL buffer per second.
    pub wal_buffers_full_per_second: Option<f64>,
    /// Whole pages in WAL per second.
    pub full_page_images_per_second: Option<f64>,
    /// Entries that `pg_stat_statements` threw out per hour.
    pub evictions_per_hour: Option<f64>,
    /// Rows of the largest table.
    pub largest_table_rows: Option<f64>,
    /// Client sessions now.
    pub sessions: Option<f64>,
    /// The service that runs the server, which has its own way to change a setting.
    pub provider: Option<Provider>,
}

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
/// Temporary files of a day from which more `work_mem` is worth a thought.
const TEMP_A_DAY: f64 = GIB;

/// Settings that take effect at a restart only.
const RESTART: [&str; 10] = [
    "shared_buffers",
    "max_connections",
    "wal_buffers",
    "shared_preload_libraries",
    "huge_pages",
    "wal_level",
    "autovacuum_max_workers",
    "pg_stat_statements.max",
    "track_activity_query_size",
    "data_checksums",
];

struct Judge<'a> {
    rows: &'a [SettingRow],
    provider: Option<Provider>,
    found: Vec<SettingFinding>,
}

impl Judge<'_> {
    fn row(&self, name: &str) -> Option<&SettingRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.row(name).is_some_and(|row| row.value == value)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.row(name)?.value.parse().ok()
    }

    /// In bytes.
    fn bytes(&self, name: &str) -> Option<f64> {
        setting_value::bytes(self.row(name)?)
    }

    fn add(&mut self, name: &str, severity: SettingSeverity, suggested: &str, reason: String) {
        let Some(row) = self.row(name) else { return };
        let current = self.bytes(name).filter(|bytes| *bytes > 0.0).map_or_else(
            || match &row.unit {
                Some(unit) if row.value != "-1" && row.value != "0" => format!("{} {unit}", row.value),
                _ if row.value.is_empty() => "''".to_owned(),
                _ => row.value.clone(),
            },
            size,
        );
        let sql = if let Some(provider) = self.provider.filter(|_| name != "data_checksums") {
            provider.set(name, suggested, RESTART.contains(&name))
        } else if name == "data_checksums" {
            "-- with the server stopped:\n-- pg_checksums --enable -D DATA_DIRECTORY".to_owned()
        } else {
            let end =
                if RESTART.contains(&name) { " -- then restart the server" } else { "\nSELECT pg_reload_conf();" };
            format!("ALTER SYSTEM SET {name} = '{}';{end}", suggested.replace('\'', "''"))
        };
        self.found.push(SettingFinding {
            key: format!("setting:{name}"),
            name: name.to_owned(),
            severity,
            reason,
            current,
            suggested: suggested.to_owned(),
            sql,
            restart: RESTART.contains(&name),
            dismissal: None,
        });
    }
}

/// As `postgresql.conf` writes sizes.
pub(crate) fn size(bytes: f64) -> String {
    let whole = |unit: f64| bytes >= unit && (bytes / unit).fract() == 0.0;
    if whole(GIB) {
        format!("{:.0}GB", bytes / GIB)
    } else if bytes >= MIB {
        format!("{:.0}MB", bytes / MIB)
    } else {
        format!("{:.0}kB", bytes / 1_024.0)
    }
}

/// Rounded down to what people write: powers of two below a GiB, whole and half GiB above.
pub(crate) fn neat(bytes: f64) -> f64 {
    if bytes >= GIB { (bytes / (GIB / 2.0)).floor() * (GIB / 2.0) } else { 2_f64.powf(bytes.max(1.0).log2().floor()) }
}

/// All findings, the worst first.
pub fn findings(rows: &[SettingRow], facts: Facts) -> Vec<SettingFinding> {
    let mut judge = Judge { rows, provider: facts.provider, found: Vec::new() };
    safety(&mut judge);
    memory(&mut judge, facts);
    wal(&mut judge, facts);
    planner(&mut judge);
    vacuum(&mut judge, facts);
    watching(&mut judge, facts);
    judge.found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.name.cmp(&b.name)));
    judge.found
}

fn safety(judge: &mut Judge<'_>) {
    use SettingSeverity::{Critical, Info, Warning};
    if judge.is("fsync", "off") {
        judge.add(
            "fsync",
            Critical,
            "on",
            "After a crash of the machine the whole cluster may be unreadable: nothing is known to be on disk."
                .to_owned(),
        );
    }
    if judge.is("full_page_writes", "off") {
        judge.add(
            "full_page_writes",
            Critical,
            "on",
            "A page that was half written in a crash cannot be mended from WAL.".to_owned(),
        );
    }
    if judge.is("autovacuum", "off") {
        judge.add("autovacuum", Critical, "on", "Dead rows stay, statistics age, and in the end the server stops to save itself from transaction ids that wrap around.".to_owned());
    }
    if judge.is("track_counts", "off") {
        judge.add(
            "track_counts",
            Critical,
            "on",
            "Autovacuum and this product see no changes of tables without it.".to_owned(),
        );
    }
    if judge.is("wal_level", "minimal") {
        judge.add("wal_level", Warning, "replica", "Neither standbys nor continuous backups are possible.".to_owned());
    }
    if judge.is("synchronous_commit", "off") {
        judge.add("synchronous_commit", Info, "on", "Transactions that were confirmed in the last moments are lost in a crash; right only where that is agreed.".to_owned());
    }
    if judge.is("password_encryption", "md5") {
        judge.add("password_encryption", Warning, "scram-sha-256", "Hashes of MD5 can be used to sign in by whoever reads them, and new PostgreSQL versions do away with them.".to_owned());
    }
    if judge.is("data_checksums", "off") {
        judge.add(
            "data_checksums",
            Info,
            "on",
            "Damage by the storage is not noticed when it is read. Backups check the pages' structure only.".to_owned(),
        );
    }
    if judge.is("idle_in_transaction_session_timeout", "0") {
        judge.add(
            "idle_in_transaction_session_timeout",
            Info,
            "10min",
            "A session that forgets its transaction holds its locks and keeps vacuum from its work, without an end."
                .to_owned(),
        );
    }
    let waiting = judge.rows.iter().filter(|row| row.pending_restart).map(|row| row.name.clone()).collect::<Vec<_>>();
    for name in waiting {
        let value = judge.row(&name).map(|row| row.value.clone()).unwrap_or_default();
        judge.add(
            &name,
            Info,
            &value,
            "Its file was changed; the value in use stays until the server is restarted.".to_owned(),
        );
        if let Some(last) = judge.found.last_mut() {
            last.key = format!("pending:{name}");
            last.sql = "-- restart the server; the new value is in its file already".to_owned();
            last.restart = true;
            "the file's".clone_into(&mut last.suggested);
        }
    }
}

fn memory(judge: &mut Judge<'_>, facts: Facts) {
    use SettingSeverity::{Info, Warning};
    let shared = judge.bytes("shared_buffers");
    if let (Some(shared), Some(memory)) = (shared, facts.memory_bytes) {
        let wanted = neat(memory / 4.0).max(128.0 * MIB);
        let part = 100.0 * shared / memory;
        // A database that fits twice needs no more.
        let fits = facts.databases_bytes.is_some_and(|all| all < shared / 2.0);
        if part < 15.0 && !fits && wanted > shared {
            judge.add(
                "shared_buffers",
                Warning,
                &size(wanted),
                format!("It is {part:.1} % of this machine's {}; a quarter is a good beginning for a machine that is the database's alone.", format::bytes(memory)),
            );
        } else if part > 45.0 {
            judge.add(
                "shared_buffers",
                Warning,
                &size(wanted),
                format!("It is {part:.1} % of this machine's {}: what the system caches is kept twice, and sessions have little left.", format::bytes(memory)),
            );
        }
    } else if let (Some(shared), Some(all)) = (shared, facts.databases_bytes)
        && shared <= 128.0 * MIB
        && all > GIB
    {
        judge.add(
            "shared_buffers",
            Warning,
            "2GB",
            format!("It has its built-in value and the databases are {}. A quarter of the memory is usual (how much there is cannot be seen from here); the guide has 2GB.", format::bytes(all)),
        );
    }
    if let (Some(cache), Some(memory)) = (judge.bytes("effective_cache_size"), facts.memory_bytes) {
        let wanted = neat(0.75 * memory);
        if cache < 0.4 * memory || cache > memory {
            judge.add(
                "effective_cache_size",
                if cache > memory { Warning } else { Info },
                &size(wanted),
                format!("The planner takes this for the memory that caches data; of {} about three quarters do. It reserves nothing.", format::bytes(memory)),
            );
        }
    }
    let connections = judge.number("max_connections").unwrap_or(100.0);
    if let Some(work) = judge.bytes("work_mem") {
        // A statement may use it several times; not all sessions do at once.
        let room = facts.memory_bytes.map(|memory| (memory - shared.unwrap_or(0.0)).max(0.0) / (connections * 2.0));
        let a_day = facts
            .temp_bytes
            .filter(|_| facts.window_seconds > 600.0)
            .map(|temp| temp * 86_400.0 / facts.window_seconds);
        if let Some(memory) = facts.memory_bytes
            && work * connections > memory
        {
            judge.add(
                "work_mem",
                Warning,
                &size(neat(room.unwrap_or(4.0 * MIB)).clamp(4.0 * MIB, 256.0 * MIB)),
                format!("{} sessions that each use it once need {} of this machine's {}: it can run out of memory. Give more to single statements or roles instead.", connections, format::bytes(work * connections), format::bytes(memory)),
            );
        } else if let Some(a_day) = a_day.filter(|a_day| *a_day > TEMP_A_DAY) {
            let wanted = room.map_or(32.0 * MIB, neat).min(4.0 * work).min(256.0 * MIB);
            if wanted > work {
                judge.add(
                    "work_mem",
                    Warning,
                    &size(wanted),
                    format!("Statements write {} of temporary files a day: sorts and hashes that do not fit. The guide has 32MB; the statements that spill most are in the list of queries (sort by temp).", format::bytes(a_day)),
                );
            }
        }
    }
    if let Some(maintenance) = judge.bytes("maintenance_work_mem") {
        let wanted = facts.memory_bytes.map_or(512.0 * MIB, |memory| neat(memory / 16.0)).clamp(64.0 * MIB, 2.0 * GIB);
        if maintenance < 128.0 * MIB && wanted > maintenance && facts.databases_bytes.is_none_or(|all| all > GIB) {
            judge.add("maintenance_work_mem", Info, &size(wanted), "Indexes are built and vacuum cleans them in as many rounds as this memory makes necessary. The guide has 512MB.".to_owned());
        }
    }
    if connections > 500.0 {
        let now = facts.sessions.map_or_else(String::new, |now| format!(" {now:.0} are in use now."));
        judge.add("max_connections", Info, "200", format!("Each session costs memory and makes snapshots slower; a pool in front lets few of them do the work.{now} The guide has 200."));
    }
    if judge.is("huge_pages", "off") && shared.is_some_and(|shared| shared >= 8.0 * GIB) {
        judge.add(
            "huge_pages",
            Info,
            "try",
            "With this much shared memory, small pages cost each session memory for its page table.".to_owned(),
        );
    }
}

fn wal(judge: &mut Judge<'_>, facts: Facts) {
    use SettingSeverity::{Info, Warning};
    if let (Some(percent), Some(largest)) =
        (facts.requested_checkpoints_percent.filter(|it| *it > 10.0), judge.bytes("max_wal_size"))
    {
        let timeout = judge.number("checkpoint_timeout").unwrap_or(300.0);
        // WAL of more than one checkpoint is kept; twice the need leaves room.
        let needed = facts.wal_bytes_per_second.map_or(2.0 * largest, |rate| (2.5 * rate * timeout).max(2.0 * largest));
        judge.add(
            "max_wal_size",
            Warning,
            &size(neat(needed).max(GIB)),
            format!("{percent:.0} % of the checkpoints come because this much WAL was written, not by the clock: pages are written and logged in full more often than need be."),
        );
    }
    if judge.number("checkpoint_completion_target").is_some_and(|target| target < 0.85) {
        judge.add(
            "checkpoint_completion_target",
            Warning,
            "0.9",
            "Checkpoints write in a burst instead of over the time between them.".to_owned(),
        );
    }
    if facts.wal_buffers_full_per_second.is_some_and(|rate| rate > 0.1)
        && judge.bytes("wal_buffers").is_some_and(|bytes| bytes < 64.0 * MIB)
    {
        judge.add(
            "wal_buffers",
            Warning,
            "64MB",
            format!(
                "Sessions had to write WAL themselves {} because no buffer was free.",
                format::rate(facts.wal_buffers_full_per_second.unwrap_or(0.0))
            ),
        );
    }
    let busy = facts.full_page_images_per_second.is_some_and(|rate| rate > 10.0)
        || facts.wal_bytes_per_second.is_some_and(|rate| rate > MIB);
    if judge.is("wal_compression", "off") && busy {
        let method = if facts.version_num.is_some_and(|version| version >= 150_000) { "lz4" } else { "on" };
        judge.add(
            "wal_compression",
            Info,
            method,
            "Whole pages make much of the WAL; compressed they cost less disk, network and archive for a little CPU."
                .to_owned(),
        );
    }
    if judge.number("wal_writer_delay").is_some_and(|delay| delay > 1_000.0) {
        judge.add("wal_writer_delay", Info, "200ms", "Up to three times this is lost in a crash of transactions that commit asynchronously. The guide has 200ms.".to_owned());
    }
}

fn planner(judge: &mut Judge<'_>) {
    use SettingSeverity::Info;
    if judge.number("random_page_cost").is_some_and(|cost| cost >= 3.0) {
        judge.add("random_page_cost", Info, "1.1", "It is the ratio of turning disks. On SSD, or when most is cached, index scans are taken for dearer than they are. The guide has 1.1.".to_owned());
    }
    if judge.number("effective_io_concurrency").is_some_and(|it| it <= 1.0) {
        judge.add(
            "effective_io_concurrency",
            Info,
            "200",
            "Bitmap scans fetch one page after the other; SSD and network storage answer many at once.".to_owned(),
        );
    }
}

fn vacuum(judge: &mut Judge<'_>, facts: Facts) {
    use SettingSeverity::{Info, Warning};
    if let (Some(rows), Some(factor)) =
        (facts.largest_table_rows.filter(|rows| *rows > 1e7), judge.number("autovacuum_vacuum_scale_factor"))
        && factor >= 0.1
    {
        judge.add(
            "autovacuum_vacuum_scale_factor",
            Warning,
            "0.02",
            format!("The largest table has {} rows: vacuum waits for {} dead ones. A table's own setting (ALTER TABLE … SET) does as well.", format::count(rows), format::count(rows * factor)),
        );
    }
    if judge.number("autovacuum_vacuum_cost_delay").is_some_and(|delay| delay >= 20.0) {
        judge.add(
            "autovacuum_vacuum_cost_delay",
            Info,
            "2ms",
            "Vacuum sleeps ten times longer than it does by default since PostgreSQL 12, and may not keep up."
                .to_owned(),
        );
    }
}

fn watching(judge: &mut Judge<'_>, facts: Facts) {
    use SettingSeverity::{Info, Warning};
    if let Some(row) = judge.row("shared_preload_libraries")
        && !row.value.contains("pg_stat_statements")
    {
        let all = if row.value.is_empty() {
            "pg_stat_statements".to_owned()
        } else {
            format!("{}, pg_stat_statements", row.value)
        };
        judge.add(
            "shared_preload_libraries",
            Warning,
            &all,
            "Without pg_stat_statements nobody knows which statements cost the time.".to_owned(),
        );
    }
    if let Some(evictions) = facts.evictions_per_hour.filter(|it| *it > 0.0)
        && judge.number("pg_stat_statements.max").is_some_and(|max| max < 10_000.0)
    {
        judge.add(
            "pg_stat_statements.max",
            Warning,
            "10000",
            format!(
                "{} entries an hour are thrown out for new ones: figures are lost. The guide has 10000.",
                format::count(evictions)
            ),
        );
    }
    if judge.is("pg_stat_statements.track", "none") {
        judge.add("pg_stat_statements.track", Warning, "all", "No statement is counted.".to_owned());
    } else if judge.is("pg_stat_statements.track", "top") {
        judge.add(
            "pg_stat_statements.track",
            Info,
            "all",
            "Statements inside functions are counted with their caller only. The guide has all.".to_owned(),
        );
    }
    if judge.is("track_io_timing", "off") {
        judge.add("track_io_timing", Info, "on", "How long reads and writes take is not measured; on today's clocks it costs next to nothing (pg_test_timing tells).".to_owned());
    }
    if judge.is("compute_query_id", "off") {
        judge.add("compute_query_id", Warning, "auto", "Sessions cannot be told by their statement.".to_owned());
    }
    if judge.is("log_min_duration_statement", "-1") && judge.is("log_min_duration_sample", "-1") {
        judge.add(
            "log_min_duration_statement",
            Info,
            "1s",
            "Slow statements leave no trace in the log with their values. The guide has 1000 (ms).".to_owned(),
        );
    }
    for (name, reason) in [
        ("log_checkpoints", "What checkpoints wrote and how long they took is not logged."),
        ("log_lock_waits", "Sessions that wait long for a lock, and for whom, are not logged."),
        ("log_connections", "Who signs in is not logged; the guide asks for it."),
        ("log_disconnections", "How long sessions lasted is not logged; the guide asks for it."),
    ] {
        if judge.is(name, "off") || judge.is(name, "") {
            judge.add(name, Info, "on", reason.to_owned());
        }
    }
    if judge.is("log_temp_files", "-1") {
        judge.add("log_temp_files", Info, "10MB", "Which statements spill to disk is not logged.".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: &str, unit: Option<&str>) -> SettingRow {
        SettingRow {
            name: name.to_owned(),
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            ..SettingRow::default()
        }
    }

    /// As `initdb` leaves PostgreSQL 15.
    fn built_in() -> Vec<SettingRow> {
        vec![
            row("shared_buffers", "16384", Some("8kB")),
            row("effective_cache_size", "524288", Some("8kB")),
            row("work_mem", "4096", Some("kB")),
            row("maintenance_work_mem", "65536", Some("kB")),
            row("max_connections", "100", None),
            row("max_wal_size", "1024", Some("MB")),
            row("checkpoint_timeout", "300", Some("s")),
            row("checkpoint_completion_target", "0.9", None),
            row("wal_buffers", "512", Some("8kB")),
            row("wal_compression", "off", None),
            row("random_page_cost", "4", None),
            row("fsync", "on", None),
            row("autovacuum", "on", None),
            row("track_io_timing", "off", None),
        ]
    }

    fn of<'a>(found: &'a [SettingFinding], name: &str) -> Option<&'a SettingFinding> {
        found.iter().find(|it| it.name == name)
    }

    #[test]
    fn the_machine_and_the_workload_decide() {
        let facts = Facts {
            memory_bytes: Some(16.0 * GIB),
            version_num: Some(150_018),
            databases_bytes: Some(50.0 * GIB),
            temp_bytes: Some(GIB),
            window_seconds: 3_600.0,
            requested_checkpoints_percent: Some(60.0),
            wal_bytes_per_second: Some(20.0 * MIB),
            wal_buffers_full_per_second: Some(3.0),
            ..Facts::default()
        };
        let found = findings(&built_in(), facts);
        let told = |name: &str| of(&found, name).map(|it| (it.current.as_str(), it.suggested.as_str(), it.restart));
        assert_eq!(told("shared_buffers"), Some(("128MB", "4GB", true)));
        assert_eq!(told("effective_cache_size"), Some(("4GB", "12GB", false)));
        assert_eq!(told("work_mem"), Some(("4MB", "16MB", false)));
        assert_eq!(told("maintenance_work_mem"), Some(("64MB", "1GB", false)));
        assert_eq!(told("max_wal_size"), Some(("1GB", "14848MB", false)));
        assert_eq!(told("wal_buffers"), Some(("4MB", "64MB", true)));
        assert_eq!(told("wal_compression"), Some(("off", "lz4", false)));
        assert_eq!(told("random_page_cost"), Some(("4", "1.1", false)));
        let sql = of(&found, "shared_buffers").map(|it| it.sql.as_str());
        assert_eq!(sql, Some("ALTER SYSTEM SET shared_buffers = '4GB'; -- then restart the server"));
        let sql = of(&found, "work_mem").map(|it| it.sql.as_str());
        assert_eq!(sql, Some("ALTER SYSTEM SET work_mem = '16MB';\nSELECT pg_reload_conf();"));
        // A service has a way of its own.
        let hosted = findings(&built_in(), Facts { provider: Some(Provider::Rds), ..facts });
        let sql = of(&hosted, "shared_buffers").map_or("", |it| it.sql.as_str());
        assert!(sql.contains("modify-db-parameter-group") && sql.contains("pending-reboot"), "{sql}");
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        let found = findings(&built_in(), Facts::default());
        for name in
            ["shared_buffers", "effective_cache_size", "work_mem", "max_wal_size", "wal_buffers", "wal_compression"]
        {
            assert_eq!(of(&found, name), None, "{name}");
        }
        assert_eq!(findings(&[], Facts::default()), []);
        // A small database is served well by little.
        let small = Facts { memory_bytes: Some(16.0 * GIB), databases_bytes: Some(20.0 * MIB), ..Facts::default() };
        assert_eq!(of(&findings(&built_in(), small), "shared_buffers"), None);
    }

    #[test]
    fn what_endangers_data_comes_first() {
        let mut rows = built_in();
        rows.retain(|it| it.name != "fsync");
        rows.push(row("fsync", "off", None));
        rows.push(SettingRow { pending_restart: true, ..row("max_worker_processes", "8", None) });
        let found = findings(&rows, Facts::default());
        assert_eq!((found[0].name.as_str(), found[0].severity), ("fsync", SettingSeverity::Critical));
        assert_eq!(of(&found, "max_worker_processes").map(|it| it.key.as_str()), Some("pending:max_worker_processes"));
        // Much work_mem for many sessions is no gift.
        let many = [row("work_mem", "1048576", Some("kB")), row("max_connections", "200", None)];
        let facts = Facts { memory_bytes: Some(8.0 * GIB), ..Facts::default() };
        let suggested = findings(&many, facts).into_iter().next().map(|it| it.suggested);
        assert_eq!(suggested.as_deref(), Some("16MB"));
    }
}
