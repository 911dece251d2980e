//! The program itself, struck at each of its steps: killed, or out of space, or with a disk that does not flush. After
//! each: a clear end, a repository that reads, a source that was not touched, and a next run that works.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use nix::errno::Errno;
use pgphysical::{ClusterOptions, Install, LocalCluster, replication::ConnInfo, replication::ReplicationConnection};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use test_support::tracer::{Step, Strike, Traced, Tracer};

struct Bench {
    directory: tempfile::TempDir,
    cluster: LocalCluster,
}

impl Bench {
    /// A cluster with a table, a repository with a full backup of it.
    async fn new() -> Self {
        let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
        println!("PostgreSQL {}", install.version);
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        // The server's user calls it as restore_command, and need not reach where it was built.
        std::fs::copy(env!("CARGO_BIN_EXE_holdfast"), directory.path().join("holdfast")).unwrap();
        let options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install, "secret") };
        let options = options.setting("fsync", "off").setting("autovacuum", "off");
        let cluster = LocalCluster::start_in(&directory.path().join("source"), options).await.unwrap();
        let bench = Self { directory, cluster };
        bench.json(&["repo", "init"]);
        bench.sql("CREATE TABLE public.kept AS SELECT g id, md5(g::text) t FROM generate_series(1, 20000) g").await;
        bench.json(&["backup", "create", "--type", "full"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("holdfast"));
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

    async fn sql(&self, text: &str) -> Option<String> {
        let info = ConnInfo::parse(&self.cluster.url("postgres")).unwrap();
        let mut sql = ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
        sql.query(text).await.unwrap().into_iter().next()?.into_iter().next()?
    }

    /// The server's user reads what this process wrote, as it would be if both were one user.
    fn hand_over(&self) {
        let files = [self.path("repository"), self.path("key")];
        Command::new("chown").args(["-R", "postgres"]).args(files).status().unwrap();
    }

    fn listed(&self) -> Vec<String> {
        let all = self.json(&["backup", "list"]);
        all.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    fn verify_all(&self) {
        let output = self.run(&["backup", "verify", "--all", "--json"]);
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Nothing of a dead backup stays in the server: neither its slot nor its session.
    async fn source_is_untouched(&self) {
        let deadline = Instant::now() + Duration::from_secs(100);
        while self.sql("SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name LIKE 'holdfast%')").await.as_deref()
            != Some("0")
        {
            assert!(Instant::now() < deadline, "a slot or a session of a dead backup is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
        let hash = "SELECT count(*) || ' ' || md5(string_agg(t, '' ORDER BY id)) FROM public.kept WHERE id <= 20000";
        assert_eq!(
            self.sql(hash).await,
            self.sql(
                "SELECT '20000 ' || md5(string_agg(md5(g::text), '' ORDER BY g)) FROM generate_series(1, 20000) g"
            )
            .await
        );
    }
}

/// Every step, or so many of them that are spread evenly, the first and the last always.
fn spread(steps: usize, most: usize) -> Vec<usize> {
    let count = steps.min(most);
    let mut all = (0..count).map(|n| 1 + n * (steps - 1) / (count - 1).max(1)).collect::<Vec<_>>();
    all.dedup();
    all
}

fn said(traced: &Traced) -> &str {
    assert!(!traced.stderr.contains("panicked"), "{}", traced.stderr);
    &traced.stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_killed_at_any_step_harms_nothing() {
    let bench = Bench::new().await;
    let tracer = Tracer::new(Step::Change, &bench.path("repository"));
    let command = bench.command(&["backup", "create"]);
    let whole = tracer.count(&command);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert!(whole.steps > 20, "{whole:?}");
    let mut known = bench.listed();
    let places = spread(whole.steps, 24);
    println!("{} steps, killed at {} of them", whole.steps, places.len());
    let mut late = 0;
    for (turn, place) in places.into_iter().enumerate() {
        bench.sql(&format!("UPDATE public.kept SET t = t WHERE id % 100 = {turn}")).await;
        let killed = tracer.strike(&command, place, Strike::Kill);
        // A run may have a step less than the first one had.
        assert!(killed.struck || place > whole.steps - 6, "at {place}: {killed:?}");
        assert!(killed.code.is_none() || !killed.struck, "at {place}: {killed:?}");
        let listed = bench.listed();
        assert!(known.iter().all(|one| listed.contains(one)), "at {place} a backup was lost");
        late += usize::from(listed.len() > known.len());
        known = listed;
        bench.source_is_untouched().await;
    }
    // Only a kill behind the commit leaves a backup, and those are whole.
    assert!(late < 12, "{late} of the killed runs are listed");
    let next = bench.json(&["backup", "create"]);
    assert_eq!(next["type"], "incremental");
    bench.verify_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_or_one_that_does_not_flush_is_told_at_any_step() {
    let bench = Bench::new().await;
    let command = bench.command(&["backup", "create", "--type", "full"]);
    for (step, strike) in [
        (Step::Write, Strike::FailFrom(Errno::ENOSPC)),
        (Step::Write, Strike::Fail(Errno::ENOSPC)),
        (Step::Flush, Strike::Fail(Errno::EIO)),
    ] {
        let tracer = Tracer::new(step, &bench.path("repository"));
        let whole = tracer.count(&command);
        assert_eq!(whole.code, Some(0), "{whole:?}");
        let mut known = bench.listed();
        for place in spread(whole.steps, 8) {
            let failed = tracer.strike(&command, place, strike);
            let listed = bench.listed();
            assert!(known.iter().all(|one| listed.contains(one)), "{strike:?} at {place}: a backup was lost");
            if failed.struck && failed.code != Some(0) {
                assert_eq!(failed.code, Some(1), "{strike:?} at {place}: {failed:?}");
                let words = if step == Step::Write { "no space is left" } else { "sync" };
                assert!(said(&failed).contains(words), "{strike:?} at {place}: {failed:?}");
            }
            // A run that says that it did not work out has left no backup, unless only the flush of its name failed: that is
            // among the last steps, also of those that write; runs differ by a step or two.
            let name_only = step == Step::Flush || place + 2 >= failed.steps.min(whole.steps);
            assert!(failed.code == Some(0) || name_only || listed == known, "{strike:?} at {place}: {failed:?}");
            known = listed;
        }
        bench.source_is_untouched().await;
    }
    bench.json(&["backup", "create"]);
    bench.verify_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_killed_at_any_step_takes_nothing_from_what_stays() {
    let bench = Bench::new().await;
    let tracer = Tracer::new(Step::Change, &bench.path("repository"));
    let expire = ["backup", "expire", "--keep-full", "1", "--grace", "0", "--yes"];
    let command = bench.command(&expire);
    let full = || bench.json(&["backup", "create", "--type", "full"])["id"].as_str().unwrap().to_owned();
    full();
    let whole = tracer.count(&command);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert_eq!(bench.listed().len(), 1, "{whole:?}");
    let places = spread(whole.steps, 5);
    println!("{} steps, killed at {} of them", whole.steps, places.len());
    for place in places {
        let newest = full();
        let killed = tracer.strike(&command, place, Strike::Kill);
        // A run may have a step less than the first one had.
        assert!(killed.struck || place + 6 > whole.steps, "at {place}: {killed:?}");
        assert!(killed.code.is_none() || !killed.struck, "at {place}: {killed:?}");
        // Whatever is listed is whole, and what was to stay is listed.
        assert!(bench.listed().contains(&newest), "at {place}");
        bench.verify_all();
    }
    let stays = full();
    assert!(bench.run(&expire).status.success());
    assert_eq!(bench.listed(), [stays]);
    bench.verify_all();
    // What the killed ones left without a name is garbage a day later, and goes.
    let old = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
    let clusters = bench.path("repository").join("clusters");
    for (path, _) in snapshot(&clusters) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    assert!(bench.run(&expire).status.success());
    let cluster = std::fs::read_dir(&clusters).unwrap().next().unwrap().unwrap().path();
    // By what holds a file: killed between an object and its directory, a delete leaves that, empty.
    let holders = |part: &str| {
        let files = snapshot(&cluster.join(part)).into_iter();
        files
            .map(|(path, _)| path.strip_prefix(cluster.join(part)).unwrap().iter().next().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    for part in ["backups", "lineages"] {
        assert_eq!(holders(part).len(), 1, "{part}: {:?}", holders(part));
    }
    bench.verify_all();
}

/// What is in a directory, by path.
fn snapshot(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_killed_at_any_step_does_not_start_and_goes_on() {
    let bench = Bench::new().await;
    let install = bench.cluster.install().clone();
    let root = bench.path("restored");
    let data = root.join("data");
    std::fs::create_dir(&root).unwrap();
    let to = data.to_str().unwrap();
    for delta in [false, true] {
        let mut arguments = vec!["restore", "--to", to, "--immediate"];
        arguments.extend(delta.then_some("--delta"));
        let command = bench.command(&arguments);
        bench.hand_over();
        if delta {
            // A later state of the same cluster, with files that must go.
            let mut server = start(&root, &install).await;
            run_sql(
                &server,
                "UPDATE public.kept SET t = 'other'; CREATE TABLE public.foreign_table AS SELECT 1 a; CHECKPOINT",
            )
            .await;
            server.stop(pgphysical::ShutdownMode::Fast).await.unwrap();
        }
        let tracer = Tracer::new(Step::Change, &root);
        let before = if delta { snapshot(&data) } else { Vec::new() };
        let aside = bench.path("aside");
        if delta {
            copy(&data, &aside);
        }
        let whole = tracer.count(&command);
        assert_eq!(whole.code, Some(0), "{whole:?}");
        let control = data.join("global/pg_control");
        for (turn, place) in spread(whole.steps, 9).into_iter().enumerate() {
            std::fs::remove_dir_all(&data).unwrap();
            if delta {
                copy(&aside, &data);
            }
            let killed = tracer.strike(&command, place, Strike::Kill);
            assert!(killed.struck || place + 3 > whole.steps, "at {place}: {killed:?}");
            let mark = data.join("holdfast.restoring").exists();
            if control.exists() && mark && delta {
                // Not begun: it is what it was.
                let now = snapshot(&data);
                let now = now.into_iter().filter(|(path, _)| !path.ends_with("holdfast.restoring")).collect::<Vec<_>>();
                let done = data.join("recovery.signal").exists();
                assert!(done || now == before, "at {place}: it changed, and it would start");
            } else if control.exists() {
                assert!(data.join("backup_label").exists() || delta, "at {place}: it would start without its label");
            } else if turn % 4 == 1 && data.join("PG_VERSION").exists() {
                let refused = LocalCluster::start_in(&root, options(&install)).await.map(drop).unwrap_err().to_string();
                assert!(!refused.is_empty(), "at {place}: {refused}");
            }
            let again = bench.run(&arguments);
            // Killed behind its last step it was whole, and is not taken for half.
            let text = String::from_utf8_lossy(&again.stderr);
            assert!(again.status.success() || text.contains("is not empty"), "at {place}: {text}");
        }
        let mut server = start(&root, &install).await;
        let kept =
            run_sql(&server, "SELECT count(*) || ' ' || count(*) FILTER (WHERE t = md5(id::text)) FROM public.kept")
                .await;
        assert_eq!(kept.as_deref(), Some("20000 20000"));
        assert_eq!(run_sql(&server, "SELECT to_regclass('public.foreign_table')::text").await, None);
        server.stop(pgphysical::ShutdownMode::Fast).await.unwrap();
        // The next round begins with an empty place, or with a stopped server's.
        let _ = std::fs::remove_dir_all(&aside);
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

fn options(install: &Install) -> ClusterOptions {
    let options = ClusterOptions::new(install.clone(), "secret");
    options.setting("fsync", "off").setting("autovacuum", "off").setting("restore_command", "false")
}

async fn start(root: &Path, install: &Install) -> LocalCluster {
    let server = LocalCluster::start_in(root, options(install)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(200);
    while run_sql(&server, "SELECT pg_is_in_recovery()").await.as_deref() != Some("f") {
        assert!(Instant::now() < deadline, "{}", server.log_tail(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

async fn run_sql(server: &LocalCluster, text: &str) -> Option<String> {
    let info = ConnInfo::parse(&server.url("postgres")).unwrap();
    let mut sql = ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
    let mut last = None;
    for statement in text.split("; ") {
        last = sql.query(statement).await.unwrap().into_iter().next().and_then(|row| row.into_iter().next().flatten());
    }
    last
}
