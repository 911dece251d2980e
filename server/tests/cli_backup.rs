//! The commands of backup and recovery as a DBA types them, on a real cluster: repository, backup, WAL, restore.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "cli_backup/log.rs"]
mod log;
#[path = "cli_backup/plans.rs"]
mod plans;

use domain::{Timestamp, view::Objectives};
use pgphysical::{ClusterOptions, Install, LocalCluster, ShutdownMode};
use serde_json::Value;
use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use store::{ObjectiveRepo, Store};

struct Bench {
    directory: tempfile::TempDir,
    program: PathBuf,
    cluster: LocalCluster,
}

impl Bench {
    async fn new(install: Install) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        // The server's user calls it as restore_command, and need not reach where it was built.
        let program = directory.path().join("holdfast");
        std::fs::copy(env!("CARGO_BIN_EXE_holdfast"), &program).unwrap();
        let options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install, "secret") };
        let cluster =
            LocalCluster::start_in(&directory.path().join("source"), options.setting("fsync", "off")).await.unwrap();
        Self { directory, program, cluster }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATABASE_URL", self.cluster.url("postgres"))
            .env("BACKUP_STORAGE_PATH", self.path("repository"))
            .env("BACKUP_ENCRYPTION_KEY_PATH", self.path("key"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{error}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}"))
    }

    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.starts_with("holdfast: ") && !said.contains("panicked"), "{said}");
        said
    }

    async fn sql(&self, cluster: &LocalCluster, text: &str) -> Option<String> {
        let info = pgphysical::replication::ConnInfo::parse(&cluster.url("postgres")).unwrap();
        let mut sql = pgphysical::replication::ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
        sql.query(text).await.unwrap().into_iter().next()?.into_iter().next()?
    }

    /// Another RPO is promised, as by the form of the page; the store is made when there is none.
    async fn promise(&self, rpo_seconds: f64) {
        let store = Store::connect(&format!("sqlite://{}", self.path("holdfast.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let to = Objectives { rpo_seconds, rto_seconds: 900.0 };
        ObjectiveRepo(store.db()).set("main", to, "a DBA", Timestamp(0)).await.unwrap();
    }

    /// The server's user reads what this process wrote, as it would be if both were one user.
    fn hand_over(&self) {
        Command::new("chown")
            .args(["-R", "postgres"])
            .arg(self.path("repository"))
            .arg(self.path("key"))
            .status()
            .unwrap();
    }
}

async fn start(root: &Path, install: &Install) -> LocalCluster {
    let options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install.clone(), "secret") };
    LocalCluster::start_in(root, options.setting("fsync", "off")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dba_loses_a_table_and_gets_it_back() {
    let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
    println!("PostgreSQL {}", install.version);
    let bench = Bench::new(install.clone()).await;
    assert!(bench.refused(1, &["backup", "list"]).contains("repo init"));
    let made = bench.json(&["repo", "init"]);
    assert_eq!(made["encryption"], "aes-256-gcm");
    assert_eq!(std::fs::metadata(bench.path("key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(bench.refused(1, &["repo", "init"]).contains("already"));
    let tested = bench.json(&["backup", "test"]);
    assert_eq!(
        (tested["write, read, delete"].as_str(), tested["rights"].as_str()),
        (Some("good"), Some("may back up and replicate"))
    );
    let slot = &tested["slot"];
    assert_eq!((slot["name"].as_str(), slot["exists"].as_bool()), (Some("holdfast"), Some(false)), "{tested}");
    assert!(slot["free_slots"].as_i64().unwrap() > 0 && slot["free_wal_senders"].as_i64().unwrap() > 1, "{tested}");

    bench
        .sql(
            &bench.cluster,
            "CREATE TABLE public.orders AS SELECT n AS id, md5(n::text) AS item FROM generate_series(1, 5000) n",
        )
        .await;
    bench.sql(&bench.cluster, "CREATE TABLE public.kept AS SELECT n FROM generate_series(1, 4321) n").await;
    let full = bench.json(&["backup", "create", "--type", "full"]);
    assert_eq!((full["type"].as_str(), full["source"].as_str()), (Some("full"), Some("local")));
    let mut streaming = bench.command(&["wal", "stream", "--every", "0.5"]).stdout(Stdio::null()).spawn().unwrap();
    bench.sql(&bench.cluster, "INSERT INTO public.orders VALUES (5001, 'the last good one')").await;
    let incremental = bench.json(&["backup", "create"]);
    assert_eq!(incremental["type"], "incremental");
    let before = bench.sql(&bench.cluster, "SELECT pg_current_wal_insert_lsn()").await.unwrap();
    bench.sql(&bench.cluster, "DROP TABLE public.orders").await;
    let after = bench.sql(&bench.cluster, "SELECT pg_current_wal_flush_lsn()").await.unwrap();
    // Seconds later all of it is in the repository, without any switch of a segment.
    let deadline = Instant::now() + Duration::from_secs(200);
    loop {
        let plan = bench.run(&["restore", "--to", "nowhere", "--lsn", &after, "--plan"]);
        if plan.status.success() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&plan.stderr));
        std::thread::sleep(Duration::from_millis(200));
    }
    // The stream made the slot, and what it holds back is told.
    let slot = bench.json(&["backup", "test"])["slot"].clone();
    assert_eq!((slot["exists"].as_bool(), slot["active"].as_bool()), (Some(true), Some(true)), "{slot}");
    assert!(slot["wal_status"] == "reserved" && slot["kept_bytes"].is_u64(), "{slot}");
    let said = bench.run(&["backup", "test"]);
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("holdfast is in use, reserved, keeps "), "{said}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(streaming.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    assert!(streaming.wait().unwrap().success());

    assert_eq!(bench.json(&["backup", "list"]).as_array().unwrap().len(), 2);
    let verified = bench.json(&["backup", "verify"]);
    assert_eq!(verified["problems"].as_array().unwrap().len(), 0);
    bench.hand_over();
    let place = bench.directory.path().display().to_string();
    // No stream of ours and no heartbeat tells what was lost: the age of the last transaction proves that the objective is
    // kept, or proves nothing. The configured minute it would keep.
    bench.promise(0.01).await;
    // In the newest state the table is gone.
    let probe = "postgres: SELECT to_regclass('public.orders') IS NULL";
    let proof = bench.json(&["backup", "test-restore", "--latest", "--directory", &place, "--probe", probe]);
    assert_eq!(proof["problems"].as_array().unwrap().len(), 0, "{proof}");
    let checked = |what: &str| proof["checks"].as_array().unwrap().iter().any(|it| it.as_str().unwrap().contains(what));
    assert!(checked("pg_amcheck") && checked("pg_checksums") && checked("to_regclass"), "{proof}");
    // Each row of what is left was read.
    assert!(checked("postgres: 4,321 rows in its only table"), "{proof}");
    let unproved = proof["unproved"][0].as_str().unwrap_or_default();
    assert!(proof["rpo_seconds"].is_null() && unproved.contains("at most, limit 10"), "{proof}");
    // What was shown stands beside the backup.
    let clusters = bench.json(&["repo", "info", "--rebuild"])["clusters"].clone();
    assert_eq!(clusters[0]["records"], 2, "a verification and a restore test: {clusters}");
    // The copy is gone.
    let left = std::fs::read_dir(bench.directory.path())
        .unwrap()
        .any(|it| it.unwrap().file_name().to_string_lossy().contains("test-restore"));
    assert!(!left);
    let data = bench.path("restored/data");
    let restored = bench.json(&["restore", "--to", data.to_str().unwrap(), "--lsn", &before, "--exclusive"]);
    assert_eq!(restored["plan"]["backup"]["id"], incremental["id"]);
    assert!(bench.refused(1, &["restore", "--to", data.to_str().unwrap()]).contains("not empty"));
    // Both stand in the log of the store, with what lay there before.
    let log = String::from_utf8(bench.run(&["audit", "export"]).stdout).unwrap();
    let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let of = |action: &str| rows.iter().filter(|row| row["action"] == action).collect::<Vec<_>>();
    let (told, ended) = (of("restore_start"), of("restore_finish"));
    assert_eq!((told.len(), ended.len()), (2, 2), "{rows:#?}");
    assert!(told[0]["before"]["holds"] == "nothing" && told[1]["before"]["holds"] == "a cluster", "{told:#?}");
    assert_eq!(told[0]["after"]["what"]["backup"], incremental["id"]);
    assert!(ended[0]["outcome"] == "ok" && ended[1]["outcome"] == "failed", "{ended:#?}");
    assert!(ended[1]["after"]["error"].as_str().unwrap().contains("not empty"), "{ended:#?}");
    let copy = start(&bench.path("restored"), &install).await;
    let deadline = Instant::now() + Duration::from_secs(200);
    while bench.sql(&copy, "SELECT pg_is_in_recovery()").await.as_deref() != Some("f") {
        assert!(Instant::now() < deadline, "{}", copy.log_tail(20));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(
        bench.sql(&copy, "SELECT count(*) || ' ' || max(item) FROM public.orders").await.as_deref(),
        Some("5001 the last good one")
    );
    // The live cluster was not touched.
    assert_eq!(bench.sql(&bench.cluster, "SELECT to_regclass('public.orders')::text").await, None);

    // A byte of the repository is changed: the test says why it failed, and leaves that beside the backup too.
    let packs = Command::new("find").arg(bench.path("repository")).args(["-path", "*/packs/*", "-type", "f"]).output();
    let packs = String::from_utf8(packs.unwrap().stdout).unwrap();
    let pack = packs.lines().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(pack, bytes).unwrap();
    let output = bench.run(&["backup", "test-restore", full["id"].as_str().unwrap(), "--directory", &place]);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let reason = out.lines().find_map(|line| line.strip_prefix("  WRONG: ")).unwrap_or_else(|| panic!("{out}{error}"));
    let last = error.lines().last().unwrap_or_default();
    assert!(out.contains("NOT RESTORED") && last.starts_with(&format!("holdfast: {reason}")), "{out}{error}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(bench.json(&["repo", "info", "--rebuild"])["clusters"][0]["records"], 3);
    let log = String::from_utf8(bench.run(&["audit", "export"]).stdout).unwrap();
    let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let of = |action: &str| rows.iter().filter(|row| row["action"] == action).collect::<Vec<_>>();
    let (begun, ended) = (of("backup_test_restore"), of("restore_test_finish"));
    assert_eq!((begun.len(), ended.len()), (2, 2), "{rows:#?}");
    assert!(begun[0]["after"]["what"]["latest"] == true && ended[0]["outcome"] == "ok", "{rows:#?}");
    assert_eq!(begun[1]["after"]["what"]["backup"], full["id"], "{begun:#?}");
    let told = ended[1]["after"]["error"].as_str().unwrap();
    assert!(ended[1]["outcome"] == "failed" && told.starts_with(reason), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_use_of_the_backup_commands_says_what_to_do() {
    let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
    let bench = Bench::new(install).await;
    bench.json(&["repo", "init"]);
    assert!(bench.refused(2, &["restore", "--to", "x", "--time", "yesterday"]).contains("2026-11-24T02:00:00Z"));
    assert!(bench.refused(1, &["restore", "--to", "x"]).contains("no backup"));
    assert!(bench.refused(2, &["backup", "create", "--cluster", "nobody"]).contains("nobody"));
    std::fs::write(bench.path("other"), "not a key").unwrap();
    let other = bench.path("other").display().to_string();
    assert!(bench.refused(2, &["backup", "list", "--key-file", &other]).contains("not a key file"));
    // WAL that cannot be asked for stops recovery: no code that PostgreSQL takes for "not there".
    let fetch = bench
        .command(&["wal", "fetch", "000000010000000000000001", "x"])
        .env("BACKUP_STORAGE_PATH", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(fetch.status.code(), Some(126));
    let expire = bench.run(&["backup", "expire", "--keep-full", "1"]);
    assert!(expire.status.success());

    // What a backup and a stream would miss is told before: rights, then room for the slot.
    let refused_as_plain = || {
        let url = bench.cluster.url_as("plain", "secret", "postgres");
        let output = bench.command(&["backup", "test"]).env("HOLDFAST_BACKUP_URL", url).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    bench.sql(&bench.cluster, "CREATE ROLE plain LOGIN PASSWORD 'secret'").await;
    assert!(refused_as_plain().contains("may not start a backup"), "{}", refused_as_plain());
    bench
        .sql(
            &bench.cluster,
            "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO plain",
        )
        .await;
    assert!(refused_as_plain().contains("no REPLICATION"), "{}", refused_as_plain());
    bench
        .sql(
            &bench.cluster,
            "SELECT count(pg_create_physical_replication_slot('full_' || n)) FROM generate_series(1, current_setting('max_replication_slots')::int) AS n",
        )
        .await;
    let full = bench.refused(1, &["backup", "test"]);
    assert!(full.contains("no replication slot is free for 'holdfast': 10 of 10") && full.contains("raise"), "{full}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_held_expired_recalled_and_exported_by_their_commands() {
    let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
    let bench = Bench::new(install.clone()).await;
    let kit = bench.json(&["repo", "init"])["recovery_kit"].as_str().unwrap().to_owned();
    for word in ["RECOVERY KIT", "HFR1-", "format         1", "repo key add --file", "restore --to"] {
        assert!(kit.contains(word), "{word}: {kit}");
    }
    // From here on there is a store, and so a log of what is done.
    bench.json(&["audit", "verify"]);
    bench
        .sql(
            &bench.cluster,
            "CREATE TABLE public.noise AS SELECT md5(random()::text) t FROM generate_series(1, 200000)",
        )
        .await;
    let first = bench.json(&["backup", "create", "--type", "full", "--cpu", "0.5"]);
    // Measured by the process itself: within the budget, but for what comes before and after the pages.
    let (cpu, wall) = (first["stats"]["cpu_ms"].as_f64().unwrap(), first["stats"]["duration_ms"].as_f64().unwrap());
    assert!(cpu <= wall * 0.5 + 250.0, "{cpu} ms in {wall} ms");
    let id = first["id"].as_str().unwrap();
    let wrong = bench.run(&["backup", "create", "--cpu", "many"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("a number of cores like 0.5"));
    bench.json(&["backup", "create", "--type", "full"]);

    bench.json(&["backup", "hold", id, "--reason", "audit", "--until", "2099-01-01T00:00:00Z"]);
    assert!(bench.refused(2, &["backup", "hold", id, "--until", "2001-01-01T00:00:00Z"]).contains("passed"));
    assert!(bench.refused(1, &["backup", "hold", "nothing"]).contains("backup list"));
    assert_eq!(bench.json(&["backup", "show", id])["holds"][0]["reason"], "audit");
    assert!(String::from_utf8_lossy(&bench.run(&["backup", "list"]).stdout).contains("held"));
    let plan = bench.json(&["backup", "expire", "--keep-full", "1", "--yes"]);
    assert_eq!(plan["plan"]["expiring"].as_array().unwrap().len(), 0, "{plan}");
    assert_eq!(bench.json(&["backup", "release", id])["holds"], 1);
    assert!(bench.refused(1, &["backup", "release", id]).contains("not held"));

    // Only shown, then done, then taken back.
    let shown = bench.run(&["backup", "expire", "--keep-full", "1"]);
    assert!(String::from_utf8_lossy(&shown.stderr).contains("--yes"));
    assert_eq!(bench.json(&["backup", "list"]).as_array().unwrap().len(), 2);
    bench.json(&["backup", "expire", "--keep-full", "1", "--yes"]);
    assert_eq!(bench.json(&["backup", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(bench.json(&["backup", "list", "--expired"])[0]["id"], id);
    bench.json(&["backup", "recall", id]);
    assert!(bench.refused(1, &["backup", "recall", id]).contains("--expired"));
    assert_eq!(bench.json(&["backup", "verify", id])["problems"].as_array().unwrap().len(), 0);
    let key = bench.json(&["repo", "key", "add", "--recovery", "--label", "safe"]);
    let key = key["slot"].as_str().unwrap();
    bench.json(&["repo", "key", "rotate"]);
    bench.json(&["repo", "key", "remove", key]);
    log::holds_all_of_it(&bench, id, key);

    let out = bench.path("out");
    let export = bench.run(&["backup", "export", id, "--to", out.to_str().unwrap(), "--json"]);
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let done: Value = serde_json::from_slice(&export.stdout).unwrap();
    assert_eq!(done["files"], first["stats"]["files"]);
    // Progress, one JSON object a line, ends with all of it.
    let lines = String::from_utf8_lossy(&export.stderr).into_owned();
    let last: Value = serde_json::from_str(lines.lines().rfind(|line| line.contains("progress")).unwrap()).unwrap();
    assert_eq!((&last["progress"], &last["done_bytes"]), (&Value::from("export"), &last["total_bytes"]));
    assert!(bench.refused(1, &["backup", "export", id, "--to", out.to_str().unwrap()]).contains("not empty"));
    let judge = |directory: &Path, arguments: &[&str]| {
        Command::new(install.program("pg_verifybackup")).args(arguments).arg(directory).output().unwrap()
    };
    let plain = bench.path("plain");
    bench.json(&["backup", "export", id, "--to", plain.to_str().unwrap(), "--format", "plain"]);
    let judged = judge(&plain, &[]);
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    if install.major >= 18 {
        assert!(judge(&out, &["--no-parse-wal"]).status.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_says_where_it_stands_and_the_recovery_code_is_enough() {
    let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
    let bench = Bench::new(install).await;
    let code = bench.json(&["repo", "init"])["recovery_code"].as_str().unwrap().to_owned();
    bench.json(&["backup", "create", "--type", "full"]);
    assert!(bench.refused(2, &["wal", "stream", "--heartbeat", "0"]).contains("0.5"));
    let mut stream = bench
        .command(&["wal", "stream", "--every", "0.5", "--heartbeat", "1", "--drop-slot-above", "10GB", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(200);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream.stdout.take().unwrap()));
    let line = loop {
        assert!(Instant::now() < deadline, "no status with a heartbeat");
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if line["heartbeat_at"].is_string() && line["slot"]["wal_status"].is_string() && line["durable"].is_string() {
            break line;
        }
    };
    assert!(line["behind_bytes"].is_i64() && line["error"].is_null() && line["slot_given_up"].is_null(), "{line}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(stream.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    assert!(stream.wait().unwrap().success());
    let info = bench.json(&["repo", "info"]);
    assert!(info["clusters"][0]["last_commit"].is_string() && info["clusters"][0]["backup_needed"].is_null(), "{info}");

    // As the kit says: with the code alone, a new key, and with that everything.
    std::fs::remove_file(bench.path("key")).unwrap();
    let with_code = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command.env_remove("BACKUP_ENCRYPTION_KEY_PATH").env("HOLDFAST_RECOVERY_CODE", &code);
        command.output().unwrap()
    };
    assert!(with_code(&["backup", "list"]).status.success());
    let refused = with_code(&["restore", "--to", bench.path("r/data").to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--key-file"));
    let made =
        with_code(&["repo", "key", "add", "--file", bench.path("key").to_str().unwrap(), "--label", "after the fire"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let slots = bench.json(&["repo", "key", "list"]);
    assert_eq!(slots.as_array().unwrap().len(), 3);
    // A passphrase, a rotation, and all slots but the last can go.
    let added = bench
        .command(&["repo", "key", "add", "--passphrase"])
        .env("HOLDFAST_NEW_PASSPHRASE", "a long enough one")
        .output()
        .unwrap();
    assert!(added.status.success());
    assert!(bench.refused(2, &["repo", "key", "add", "--passphrase"]).contains("HOLDFAST_NEW_PASSPHRASE"));
    assert!(bench.refused(2, &["repo", "key", "add"]).contains("--recovery"));
    assert_eq!(bench.json(&["repo", "key", "rotate"])["epoch"], 2);
    bench.json(&["backup", "create"]);
    let slots = bench.json(&["repo", "key", "list"]);
    // The one in use goes last.
    let mut going = slots.as_array().unwrap().iter().filter(|it| it["type"] != "passphrase").collect::<Vec<_>>();
    going.sort_by_key(|it| it["label"] == "after the fire");
    for slot in going {
        bench.json(&["repo", "key", "remove", slot["id"].as_str().unwrap()]);
    }
    let with_passphrase = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command.env_remove("BACKUP_ENCRYPTION_KEY_PATH").env("HOLDFAST_REPOSITORY_PASSPHRASE", "a long enough one");
        command.output().unwrap()
    };
    let last = slots.as_array().unwrap().iter().find(|it| it["type"] == "passphrase").unwrap();
    let kept = with_passphrase(&["repo", "key", "remove", last["id"].as_str().unwrap()]);
    assert_eq!(kept.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("last key slot"));
    assert!(bench.refused(2, &["backup", "list"]).contains("does not open this repository"));
    assert!(with_passphrase(&["backup", "verify", "--all"]).status.success());
    // Without encryption only when that was said.
    let plain = bench
        .command(&["repo", "init"])
        .env("BACKUP_STORAGE_PATH", bench.path("plain"))
        .env_remove("BACKUP_ENCRYPTION_KEY_PATH")
        .output()
        .unwrap();
    assert_eq!(plain.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&plain.stderr).contains("--no-encryption") && !bench.path("plain/repo.json").exists()
    );
}

/// Ends a server that nobody here started.
struct Left {
    program: PathBuf,
    data: PathBuf,
    as_postgres: bool,
}

impl Drop for Left {
    fn drop(&mut self) {
        let mut command = as_postgres(self.as_postgres, &self.program);
        let _ = command.arg("-D").arg(&self.data).args(["-m", "immediate", "stop"]).current_dir("/").output();
    }
}

/// PostgreSQL does not run as root.
fn as_postgres(is_root: bool, program: &Path) -> Command {
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_kit_restores_by_the_commands_it_prints() {
    let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
    let mut bench = Bench::new(install.clone()).await;
    let kit = bench.json(&["repo", "init"])["recovery_kit"].as_str().unwrap().to_owned();
    bench.sql(&bench.cluster, "CREATE TABLE public.kept AS SELECT n FROM generate_series(1, 4321) n").await;
    bench.json(&["backup", "create", "--type", "full"]);
    bench.hand_over();
    // The disaster.
    std::fs::remove_file(bench.path("key")).unwrap();
    bench.cluster.stop(ShutdownMode::Immediate).await.unwrap();
    // It went with its cluster; on another machine it would be there.
    std::fs::create_dir_all(bench.cluster.socket_dir()).unwrap();
    std::fs::set_permissions(bench.cluster.socket_dir(), std::fs::Permissions::from_mode(0o777)).unwrap();

    let (home, as_root) = (bench.path("home"), std::fs::metadata(bench.directory.path()).unwrap().uid() == 0);
    std::fs::create_dir(&home).unwrap();
    if as_root {
        Command::new("chown").arg("postgres").arg(&home).status().unwrap();
    }
    let typed = ["export ", "holdfast ", "pg_ctl "];
    let script = kit
        .lines()
        .map(str::trim)
        .filter(|line| typed.iter().any(|word| line.starts_with(word)))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("/var/lib/postgresql", home.to_str().unwrap());
    let programs = install.program("pg_ctl").parent().unwrap().display().to_string();
    let before = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{programs}:{before}", bench.directory.path().display());
    let _left = Left { program: install.program("pg_ctl"), data: home.join("restored"), as_postgres: as_root };
    let mut shell = as_postgres(as_root, Path::new("/bin/sh"));
    shell.args(["-e", "-c", &script]).current_dir(&home).env_clear().env("PATH", path);
    let done = shell.stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script}\n{said}");
    // It has the original's configuration, its port and its socket.
    let deadline = Instant::now() + Duration::from_secs(200);
    while bench.sql(&bench.cluster, "SELECT pg_is_in_recovery()").await.as_deref() != Some("f") {
        assert!(Instant::now() < deadline, "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(bench.sql(&bench.cluster, "SELECT count(*) FROM public.kept").await.as_deref(), Some("4321"));
}
