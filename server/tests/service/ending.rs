//! Asked to end in the middle of a backup, of a server that does not answer at that.
use crate::{
    bench::{Bench, signal, sql},
    frozen::freeze_backup,
};
use nix::sys::signal::Signal;
use std::{
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

/// Waits until it has ended by itself.
pub fn ended(server: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(200);
    loop {
        if let Some(status) = server.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = server.kill();
            panic!("the server does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Files below a directory whose path from there begins so.
pub fn files(root: &Path, begin: &str) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.strip_prefix(root).unwrap().to_str().unwrap().starts_with(begin) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_end_gives_its_backup_back_and_leaves_nothing_of_it() {
    let mut bench = Bench::new().await;
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 30000) n").await;
    // Looked for before there is anybody who takes it: the first one comes at once.
    let freezing = std::thread::spawn({
        let url = url.clone();
        move || tokio::runtime::Runtime::new().unwrap().block_on(freeze_backup(&url))
    });
    bench.serve();
    let source = freezing.join().unwrap();
    let first = bench.ask("GET", "/api/v1/jobs?kind=backup", None)["rows"][0].clone();
    assert_eq!((first["state"].as_str(), first["attempt"].as_i64()), (Some("running"), Some(1)), "{first}");
    let id = first["id"].as_str().unwrap().to_owned();
    let mut served = bench.served.take().unwrap();
    signal(served.id(), Signal::SIGTERM);
    // Without the answer that its backup waits for.
    let status = ended(&mut served);
    let log = std::fs::read_to_string(bench.path("serve.log")).unwrap();
    assert!(status.success(), "{status}: {log}");

    // Nothing that it wrote of the backup is left, and nobody is taken for the one who does it.
    assert_eq!(bench.run(&["backup", "list", "--json"]).trim(), "[]");
    let repository = bench.path("repository");
    let of_backups = |path: &PathBuf| {
        let path = path.to_str().unwrap();
        ["/packs/", "/maps/", "/backups/"].iter().any(|part| path.contains(part))
    };
    let left = files(&repository, "clusters/").into_iter().filter(of_backups).collect::<Vec<_>>();
    for left in [left, files(&repository, "tmp/"), files(&repository, "leases/backup-")] {
        assert_eq!(left, Vec::<PathBuf>::new());
    }
    drop(source);
    // The slot of the stream stays, so that no WAL is missed.
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE active OR slot_name <> 'holdfast') \
                + (SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name LIKE 'holdfast%')";
    let deadline = Instant::now() + Duration::from_secs(200);
    while sql(&url, left).await.as_deref() != Some("0") {
        assert!(Instant::now() < deadline, "a slot or a session of an ended backup is still there");
        std::thread::sleep(Duration::from_millis(20));
    }

    bench.serve();
    let job = bench.over(&id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    assert!(job["log"].to_string().contains("this server ends; the job begins again"), "{job}");
    assert!(job["error"].is_null(), "{job}");
    let backups = bench.run(&["backup", "list", "--json"]);
    let backups = serde_json::from_str::<serde_json::Value>(&backups).unwrap();
    assert_eq!(backups.as_array().map(Vec::len), Some(1), "{backups}");
    assert_eq!(backups[0]["id"], job["result"]["id"], "{job}");
    bench.run(&["audit", "verify"]);
}
