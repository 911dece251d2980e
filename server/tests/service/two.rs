//! Two servers on one store and one repository: what is due is done once, and one that is frozen in the middle of it finds
//! it done by the other.
use crate::{
    bench::{Bench, free_port, signal, sql, sql_in},
    ending::{ended, files},
    frozen::{Frozen, Hung, freeze_backup},
    memory::assert_few_arenas,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{path::Path, process::Child};

/// `holdfast serve`, one of several.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two of them, and the first backup.
fn serve_two(bench: &mut Bench) -> [Server; 2] {
    let servers = [(); 2].map(|()| {
        bench.port = free_port();
        let server = Server { process: bench.spawn(), port: bench.port };
        bench.until("the server", |bench| bench.try_ask("GET", "/readyz", None).map(drop));
        server
    });
    bench.until("the first backup", |bench| {
        (!bench.ask("GET", "/api/v1/clusters/main/backups", None)["rows"].as_array()?.is_empty()).then_some(())
    });
    servers
}

/// Waits until the other server has the job and waits for the frozen one.
fn taken_over(bench: &Bench, id: &str) -> Value {
    let taken = bench.until("the other server", |bench| {
        let job = bench.job(id);
        assert!(!["succeeded", "failed"].contains(&job["state"].as_str().unwrap()), "{job}");
        job["log"].to_string().contains("waits for the try before").then_some(job)
    });
    assert_eq!((taken["state"].as_str(), taken["attempt"].as_i64()), (Some("running"), Some(2)), "{taken}");
    assert!(taken["log"].to_string().contains("vanished"), "{taken}");
    taken
}

/// Whether a process has a file open.
fn has_open(process: u32, path: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    open.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

/// The process that the repository has for the one who takes backups.
fn writer(bench: &Bench) -> u64 {
    let leases = files(&bench.path("repository"), "leases/backup-");
    assert_eq!(leases.len(), 1, "{leases:?}");
    let lease = std::fs::read(&leases[0]).unwrap();
    serde_json::from_slice::<Value>(&lease).unwrap()["process"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_one_does_what_is_due_and_a_frozen_one_finds_its_backup_taken_over() {
    let mut bench = Bench::with_shared_store().await;
    bench.more = "full = \"* * * * *\"\njitter_seconds = 0\n".to_owned();
    bench.lease = "8";
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 30000) n").await;
    let mut servers = serve_two(&mut bench);

    // Due at the next full minute, for both.
    let source = freeze_backup(&url).await;
    let jobs = bench.ask("GET", "/api/v1/jobs?kind=backup", None)["rows"].clone();
    let job = jobs.as_array().unwrap().iter().find(|job| job["state"] == "running").unwrap();
    assert_eq!((job["requested_by"].as_str(), job["attempt"].as_i64()), (Some("schedule"), Some(1)), "{jobs}");
    let id = job["id"].as_str().unwrap().to_owned();
    let process = writer(&bench);
    let at = servers.iter().position(|server| u64::from(server.process.id()) == process).unwrap();
    let frozen = Frozen::new(servers[at].process.id());
    bench.port = servers[1 - at].port;
    taken_over(&bench, &id);
    // Two never write: the repository is still the frozen one's.
    assert_eq!(writer(&bench), process);

    // When it is back, the answer that it waited for is there, and the commit is next.
    drop(source);
    drop(frozen);
    let job = bench.over(&id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    assert!(job["error"].is_null(), "{job}");
    bench.until("the word of the server that was frozen", |bench| {
        bench.job(&id)["log"].to_string().contains("try 1 was taken over").then_some(())
    });
    // Both go on, and end when they are asked to.
    for server in &mut servers {
        bench.port = server.port;
        assert_eq!(bench.try_ask("GET", "/readyz", None).unwrap().0, 200);
        assert_eq!(bench.job(&id)["result"], job["result"]);
        assert_few_arenas(server.process.id());
        signal(server.process.id(), Signal::SIGTERM);
        assert!(ended(&mut server.process).success());
    }

    // Each backup of the repository is what came of one job, and each such job has its backup.
    let in_store = async |text: &str| sql_in(&url, "store", text).await.unwrap();
    let told =
        "SELECT string_agg(result::json ->> 'id', ' ') FROM public.job WHERE kind = 'backup' AND state = 'succeeded'";
    let told = in_store(told).await;
    let backups = serde_json::from_str::<Value>(&bench.run(&["backup", "list", "--json"])).unwrap();
    let mut listed = backups.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>();
    let mut done = told.split(' ').collect::<Vec<_>>();
    listed.sort_unstable();
    done.sort_unstable();
    assert_eq!(listed, done);
    assert!(told.contains(job["result"]["id"].as_str().unwrap()));
    bench.run(&["backup", "verify", "--all"]);
    // Each moment of the schedule, and the first backup, made one job, whoever saw it; and each has one end.
    let rows = bench.run(&["audit", "export"]);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let of = |action: &str| rows.iter().filter(|row| row["action"] == action).count().to_string();
    let once = "SELECT count(*) || ' ' || count(DISTINCT schedule_key) FROM public.job WHERE schedule_key IS NOT NULL";
    assert_eq!(in_store(once).await, format!("{0} {0}", of("job_schedule")));
    assert_eq!(in_store("SELECT count(*) FROM public.job WHERE requested_by = 'first backup'").await, "1");
    let over = "SELECT count(*) FROM public.job WHERE kind = 'backup' AND finished_at IS NOT NULL";
    assert_eq!(in_store(over).await, of("backup_finish"));
    let ends = rows.iter().filter(|row| row["action"] == "backup_finish" && row["object_id"] == id.as_str());
    assert_eq!(ends.map(|row| row["outcome"].as_str().unwrap()).collect::<Vec<_>>(), ["ok"]);
    bench.run(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_taken_over_does_not_write_beside_the_server_that_was_frozen() {
    let mut bench = Bench::with_shared_store().await;
    bench.lease = "8";
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.kept AS SELECT n FROM generate_series(1, 4321) n").await;
    let servers = serve_two(&mut bench);
    let hung = Hung::new(&bench);
    let ask =
        json!({"restore": {"target": {"kind": "latest"}, "start": true, "directory": "beside"}, "confirm": "main"});
    let job = bench.ask("POST", "/api/v1/clusters/main/restores", Some(ask));
    let id = job["id"].as_str().unwrap().to_owned();
    let root = bench.path("restores").join("beside");
    let mark = root.join("data/holdfast.restoring");
    let at = bench.until("the restore", |_| servers.iter().position(|server| has_open(server.process.id(), &mark)));
    let frozen = Frozen::new(servers[at].process.id());
    bench.port = servers[1 - at].port;
    let taken = taken_over(&bench, &id);
    assert!(taken["log"].to_string().contains("another restore writes to"), "{taken}");
    assert!(!has_open(servers[1 - at].process.id(), &mark) && !root.join("data/global/pg_control").exists());

    drop(hung);
    drop(frozen);
    let job = bench.over(&id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    assert_eq!(bench.servers_below("restores"), [root.join("data")]);
    let beside = format!("postgres://postgres:secret@127.0.0.1:{}/postgres", job["result"]["port"]);
    assert_eq!(sql(&beside, "SELECT count(*) FROM public.kept").await.as_deref(), Some("4321"));
}
