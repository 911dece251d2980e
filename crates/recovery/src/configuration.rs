//! The original's configuration for a copy that takes over: what of it holds here, and what stays different, with why.
//!
//! The files are the original's own; what stays different stands in one file that is read last, and in the report.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What stays different: read last by `postgresql.conf`.
pub(crate) const COPY_FILE: &str = "holdfast-copy.conf";
/// The end of the name under which a file of the original waits.
pub(crate) const RESTORED: &str = ".restored";
/// The settings of `ALTER SYSTEM`.
pub(crate) const AUTO: &str = "postgresql.auto.conf";
/// Files of the original that a tamed copy has its own of. The last is the mark that all are set aside.
pub(crate) const FILES: [&str; 3] = ["holdfast.conf", "pg_hba.conf", "postgresql.conf"];

/// Files include files; a circle ends here.
const DEPTH: usize = 8;
/// A machine without the memory of the original still serves; with more than that share of it for one cache it may not.
const MEMORY_SHARE: f64 = 0.5;

/// What the copy has around it.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub port: u16,
    pub listen: String,
    pub socket: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Of the machine.
    pub memory_bytes: Option<u64>,
    /// Where its PostgreSQL has its libraries.
    pub libraries: Option<PathBuf>,
    /// Subscriptions that would begin to pull.
    pub subscriptions: u64,
}

/// The original's settings, as far as the files say them.
#[derive(Debug, Default)]
pub(crate) struct Original {
    settings: BTreeMap<String, String>,
    /// Included files that are not here.
    missing: BTreeSet<String>,
}

/// What is made of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// In the file that is read last.
    pub overrides: BTreeMap<String, String>,
    /// For people, one line each.
    pub differences: Vec<String>,
    /// Settings of the original that hold.
    pub kept: usize,
    /// Its `archive_command` or `archive_library` works again.
    pub archives: bool,
    missing: BTreeSet<String>,
}

/// `name = value`; `None` for a comment or what is none.
fn parse(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_.$".contains(c)))?;
    let (name, rest) = line.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let mut value = String::new();
    if let Some(quoted) = rest.strip_prefix('\'') {
        let mut chars = quoted.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('\'', Some('\'')) => value.extend(chars.next()),
                ('\\', Some(_)) => value.extend(chars.next()),
                ('\'', _) => break,
                _ => value.push(c),
            }
        }
    } else {
        value.extend(rest.chars().take_while(|c| !c.is_whitespace() && *c != '#'));
    }
    Some((name.to_ascii_lowercase(), value))
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

impl Original {
    /// Of a data directory whose files may be set aside.
    pub fn read(data: &Path) -> Self {
        let mut found = Self::default();
        found.file(data, &data.join("postgresql.conf"), 0);
        found.file(data, &data.join(AUTO), 0);
        found
    }

    fn file(&mut self, data: &Path, path: &Path, depth: usize) {
        // A tamed copy has its own under the name.
        let (aside, is_ours) = (aside_of(data, path), aside_of(data, &data.join("postgresql.conf")).exists());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = match path.parent() == Some(data) {
            true if aside.exists() => aside,
            true if is_ours && FILES.contains(&name) => return,
            _ => path.to_owned(),
        };
        let Ok(text) = fs::read_to_string(&path) else { return };
        for (name, value) in text.lines().filter_map(parse) {
            let target = path.parent().unwrap_or(data).join(&value);
            match name.as_str() {
                "include" | "include_dir" if !target.exists() && !aside_of(data, &target).exists() => {
                    self.missing.insert(value);
                }
                _ if depth >= DEPTH => {}
                "include" | "include_if_exists" => self.file(data, &target, depth + 1),
                "include_dir" => {
                    let mut files = fs::read_dir(&target).map_or_else(
                        |_| Vec::new(),
                        |entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>(),
                    );
                    files.retain(|file| file.extension().is_some_and(|ending| ending == "conf"));
                    files.sort();
                    for file in files {
                        self.file(data, &file, depth + 1);
                    }
                }
                // Of the recovery of the original, if it came from one.
                _ if name.starts_with("recovery_target") => {}
                _ => _ = self.settings.insert(name, value),
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What of it holds here.
    pub fn judge(&self, here: &Here) -> Judged {
        let mut judged = Judged { missing: self.missing.clone(), ..Judged::default() };
        let mut differ = |name: &str, value: &str, why: &str| {
            if let Some(original) = self.get(name).filter(|original| *original != value) {
                let value = if value.is_empty() { "empty" } else { value };
                judged.differences.push(format!("{name} is {value} instead of {original}: {why}"));
            }
            judged.overrides.insert(name.to_owned(), value.to_owned());
        };
        let (port, socket) = (here.port.to_string(), here.socket.display().to_string());
        differ("port", &port, "the original may still have its own");
        differ("listen_addresses", &here.listen, "as [backup] of the host's configuration says");
        differ("unix_socket_directories", &socket, "its owner alone gets in there");
        for (name, file) in [("data_directory", ""), ("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")] {
            if self.get(name).is_some() {
                let place = if file.is_empty() { here.data.clone() } else { here.data.join(file) };
                differ(name, &place.display().to_string(), "the copy lies elsewhere");
            }
        }
        if self.get("unix_socket_group").is_some() {
            differ("unix_socket_group", "", "the socket is its owner's alone");
        }
        if self.get("external_pid_file").is_some() {
            differ("external_pid_file", "", "the original may still have it");
        }
        if self.get("synchronous_standby_names").is_some() {
            differ(
                "synchronous_standby_names",
                "",
                "no standby follows the copy yet, and each commit would wait for one; set it again when one does",
            );
        }
        if here.subscriptions > 0 && self.get("max_logical_replication_workers") != Some("0") {
            judged.overrides.insert("max_logical_replication_workers".to_owned(), "0".to_owned());
            judged.differences.push(format!(
                "max_logical_replication_workers is 0: {} would begin to pull, and what the publisher sent to the original would be missing; look at them, then set it again and restart",
                if here.subscriptions == 1 { "a subscription".to_owned() } else { format!("{} subscriptions", here.subscriptions) }
            ));
        }
        self.files(here, &mut judged);
        self.libraries(here, &mut judged);
        self.memory(here, &mut judged);
        for name in &self.missing {
            judged.differences.push(format!("{name} was included and is not here: its settings are missing"));
        }
        let overridden = |name: &&String| !judged.overrides.contains_key(*name);
        judged.kept = self.settings.keys().filter(overridden).count();
        let archives = matches!(self.get("archive_mode"), Some("on" | "always" | "true" | "yes" | "1"));
        judged.archives = archives && (self.get("archive_command").is_some() || self.get("archive_library").is_some());
        judged
    }

    /// Files and directories that only the original has.
    fn files(&self, here: &Here, judged: &mut Judged) {
        let is_there = |value: &str| here.data.join(value).exists();
        let mut differ = |name: &str, value: &str, why: String| {
            judged.overrides.insert(name.to_owned(), value.to_owned());
            judged.differences.push(why);
        };
        let is_on = |name: &str| matches!(self.get(name), Some("on" | "true" | "yes" | "1"));
        if is_on("ssl") {
            let certificate = self.get("ssl_cert_file").unwrap_or("server.crt");
            let key = self.get("ssl_key_file").unwrap_or("server.key");
            if let Some(missing) = [certificate, key].into_iter().find(|file| !is_there(file)) {
                differ(
                    "ssl",
                    "off",
                    format!("ssl is off instead of on: {missing} is not here; bring it and set ssl again"),
                );
            }
        }
        for name in ["ssl_ca_file", "ssl_crl_file", "ssl_crl_dir", "ssl_dh_params_file"] {
            if let Some(missing) = self.get(name).filter(|file| !is_there(file)) {
                differ(
                    name,
                    "",
                    format!("{name} is empty instead of {missing}: it is not here; bring it and set it again"),
                );
            }
        }
        for (name, instead) in [("log_directory", "log"), ("stats_temp_directory", "pg_stat_tmp")] {
            // The server makes one of its own below its data.
            let outside = self.get(name).filter(|place| Path::new(place).is_absolute() && !is_there(place));
            if let Some(missing) = outside {
                differ(
                    name,
                    instead,
                    format!("{name} is {instead} instead of {missing}: there is no such directory here"),
                );
            }
        }
    }

    /// A library that is not installed stops the start, or each session.
    fn libraries(&self, here: &Here, judged: &mut Judged) {
        let Some(directory) = &here.libraries else { return };
        // Others may be found elsewhere.
        if self.get("dynamic_library_path").is_some_and(|path| path != "$libdir") {
            return;
        }
        let is_there = |name: &str| {
            let plain = name.strip_prefix("$libdir/").unwrap_or(name);
            let path = directory.join(plain);
            path.exists()
                || path.with_file_name(format!("{}.so", path.file_name().unwrap_or_default().display())).exists()
        };
        for name in
            ["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries", "archive_library"]
        {
            let Some(original) = self.get(name) else { continue };
            let all = original.split(',').map(|library| library.trim().trim_matches('"')).filter(|it| !it.is_empty());
            let (there, missing) = all.partition::<Vec<_>, _>(|library| is_there(library));
            if !missing.is_empty() {
                judged.overrides.insert(name.to_owned(), there.join(","));
                judged.differences.push(format!(
                    "{name} is without {}: not installed here; install it, set it again and restart",
                    missing.join(", ")
                ));
            }
        }
    }

    fn memory(&self, here: &Here, judged: &mut Judged) {
        if self.get("huge_pages") == Some("on") {
            judged.overrides.insert("huge_pages".to_owned(), "try".to_owned());
            judged.differences.push("huge_pages is try instead of on: this machine may have set none aside".to_owned());
        }
        let wanted = self.get("shared_buffers").and_then(bytes);
        if let (Some(wanted), Some(memory)) = (wanted, here.memory_bytes)
            && wanted as f64 > memory as f64 * MEMORY_SHARE
        {
            let instead = format!("{}MB", (memory / 4) >> 20);
            judged.differences.push(format!(
                "shared_buffers is {instead} instead of {}: this machine has {} of memory",
                self.get("shared_buffers").unwrap_or_default(),
                domain::format::bytes(memory as f64)
            ));
            judged.overrides.insert("shared_buffers".to_owned(), instead);
        }
    }
}

/// A size as PostgreSQL writes it; a bare number is in pages.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" => 8_192.0,
        "B" => 1.0,
        "kB" => 1_024.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        "TB" => 1_099_511_627_776.0,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * factor) as u64)
}

impl Judged {
    /// The file that is read last.
    pub fn copy_file(&self) -> String {
        let mut text =
            "# What stays different from the original's configuration; the report of the plan says why.\n".to_owned();
        for (name, value) in &self.overrides {
            text += &format!("{name} = {}\n", quoted(value));
        }
        text
    }

    /// `postgresql.conf`: the original's text, and at its end the file that is read last.
    pub fn main_file(&self, original: &str) -> String {
        let mut text = String::new();
        for line in original.lines() {
            let missing = parse(line).is_some_and(|(name, value)| {
                ["include", "include_dir"].contains(&name.as_str()) && self.missing.contains(&value)
            });
            text += if missing { "# not here: " } else { "" };
            text += line;
            text.push('\n');
        }
        text + "\n# Added by Holdfast when the copy took over: what stays different.\ninclude_if_exists = '"
            + COPY_FILE
            + "'\n"
    }

    /// `postgresql.auto.conf`, which is read behind all others: without what stays different, and without a recovery's.
    pub fn auto_file(&self, original: &str) -> String {
        let goes = |line: &&str| {
            parse(line).is_none_or(|(name, _)| {
                !self.overrides.contains_key(&name) && !name.starts_with("recovery_target") && name != "restore_command"
            })
        };
        original.lines().filter(goes).map(|line| format!("{line}\n")).collect()
    }
}

/// Where a file of the original waits.
pub(crate) fn aside_of(data: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    data.join(format!("{name}{RESTORED}"))
}

/// Memory of this machine.
pub(crate) fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn here(data: &Path) -> Here {
        Here {
            port: 6_000,
            listen: "127.0.0.1".to_owned(),
            socket: data.join("socket"),
            data: data.to_owned(),
            memory_bytes: Some(8 << 30),
            libraries: Some(data.join("lib")),
            subscriptions: 0,
        }
    }

    #[test]
    fn lines_are_read_as_postgresql_reads_them() {
        let of = |line: &str| parse(line);
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(of("  Work_Mem = 64MB   # much"), pair("work_mem", "64MB"));
        assert_eq!(of("archive_command 'cp \"%p\" ''/x y''/%f'  # c"), pair("archive_command", "cp \"%p\" '/x y'/%f"));
        assert_eq!(of(r"search_path = 'it\'s'"), pair("search_path", "it's"));
        assert_eq!(of("pg_stat_statements.max=10"), pair("pg_stat_statements.max", "10"));
        assert_eq!((of("# port = 1"), of(""), of("port")), (None, None, None));
        assert_eq!(bytes("16384"), Some(128 << 20));
        assert_eq!((bytes("1.5GB"), bytes("much")), (Some(3 << 29), None));
    }

    #[test]
    fn what_holds_here_holds_and_what_does_not_is_named_with_why() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        fs::create_dir(data.join("lib")).unwrap();
        fs::create_dir(data.join("conf.d")).unwrap();
        fs::write(data.join("lib/pg_stat_statements.so"), "").unwrap();
        fs::write(data.join("conf.d/10.conf"), "work_mem = 12MB\nlog_directory = '/not/here'\n").unwrap();
        // The copy's own is under the name, the original's beside it.
        fs::write(data.join("postgresql.conf"), "work_mem = 1MB\n").unwrap();
        fs::write(
            data.join("postgresql.conf.restored"),
            "port = 5432\nmax_connections = 300\nshared_buffers = 64GB\nssl = on\narchive_mode = on\narchive_command = 'true'\n\
             shared_preload_libraries = 'pg_stat_statements, timescaledb'\ninclude_dir 'conf.d'\ninclude '/etc/gone.conf'\n",
        )
        .unwrap();
        let auto =
            "work_mem = '24MB'\nsynchronous_standby_names = 'a'\nport = '5433'\nrecovery_target_timeline = '3'\n";
        fs::write(data.join("postgresql.auto.conf.restored"), auto).unwrap();
        let original = Original::read(data);
        assert_eq!(original.get("work_mem"), Some("24MB"), "ALTER SYSTEM wins");
        let judged = original.judge(&Here { subscriptions: 2, ..here(data) });
        let of = |name: &str| judged.overrides.get(name).map(String::as_str);
        assert_eq!((of("port"), of("ssl"), of("shared_buffers")), (Some("6000"), Some("off"), Some("2048MB")));
        assert_eq!(
            (of("shared_preload_libraries"), of("synchronous_standby_names")),
            (Some("pg_stat_statements"), Some(""))
        );
        assert_eq!((of("max_logical_replication_workers"), of("log_directory")), (Some("0"), Some("log")));
        assert_eq!((of("work_mem"), of("max_connections"), of("archive_mode")), (None, None, None));
        assert!(judged.archives);
        let told = judged.differences.join("\n");
        for word in
            ["5433", "timescaledb", "server.crt", "/not/here", "64GB", "/etc/gone.conf", "each commit would wait"]
        {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(!told.contains("listen_addresses"), "the original did not say it: {told}");
        // work_mem, max_connections, archive_mode, archive_command
        assert_eq!(judged.kept, 4, "{judged:#?}");
        assert_eq!(judged.auto_file(auto), "work_mem = '24MB'\n");
        let text = judged.main_file(&fs::read_to_string(data.join("postgresql.conf.restored")).unwrap());
        assert!(
            text.contains("# not here: include '/etc/gone.conf'\n") && text.contains("\ninclude_dir 'conf.d'\n"),
            "{text}"
        );
        assert!(text.ends_with("include_if_exists = 'holdfast-copy.conf'\n"));
        assert!(judged.copy_file().contains("synchronous_standby_names = ''\n"));
    }

    #[test]
    fn an_original_that_fits_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        fs::write(data.join("postgresql.conf"), "shared_buffers = 1GB\nmax_wal_size = '4GB'\nssl = off\n").unwrap();
        let judged = Original::read(data).judge(&here(data));
        assert_eq!((judged.differences.len(), judged.kept, judged.archives), (0, 3, false), "{judged:#?}");
    }
}
