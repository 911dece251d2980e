//! The commands of backup and recovery as a DBA types them, on a real cluster: repository, backup, WAL, restore.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use pgphysical::{ClusterOptions, Install, LocalCluster};
use serde_json::Value;
use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

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
    assert_eq!(bench.json(&["backup", "test"])["write, read, delete"], "good");

    bench
        .sql(
            &bench.cluster,
            "CREATE TABLE public.orders AS SELECT n AS id, md5(n::text) AS item FROM generate_series(1, 5000) n",
        )
        .await;
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
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let plan = bench.run(&["restore", "--to", "nowhere", "--lsn", &after, "--plan"]);
        if plan.status.success() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&plan.stderr));
        std::thread::sleep(Duration::from_millis(200));
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(streaming.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    assert!(streaming.wait().unwrap().success());

    assert_eq!(bench.json(&["backup", "list"]).as_array().unwrap().len(), 2);
    let verified = bench.json(&["backup", "verify"]);
    assert_eq!(verified["problems"].as_array().unwrap().len(), 0);
    bench.hand_over();
    let place = bench.directory.path().display().to_string();
    let proof = bench.json(&["backup", "test-restore", "--latest", "--directory", &place]);
    assert_eq!(proof["problems"].as_array().unwrap().len(), 0, "{proof}");
    assert!(proof["databases"].as_array().unwrap().iter().any(|it| it == "postgres") && proof["checksums"] == true);
    // The copy is gone.
    let left = std::fs::read_dir(bench.directory.path())
        .unwrap()
        .any(|it| it.unwrap().file_name().to_string_lossy().contains("test-restore"));
    assert!(!left);
    let data = bench.path("restored/data");
    let restored = bench.json(&["restore", "--to", data.to_str().unwrap(), "--lsn", &before, "--exclusive"]);
    assert_eq!(restored["plan"]["backup"]["id"], incremental["id"]);
    assert!(bench.refused(1, &["restore", "--to", data.to_str().unwrap()]).contains("not empty"));
    let copy = start(&bench.path("restored"), &install).await;
    let deadline = Instant::now() + Duration::from_secs(30);
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
}
