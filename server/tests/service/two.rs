//! Two servers on one store and one repository: what is due is done once, and one that is frozen in the middle of it finds
//! it done by the other.
use crate::{
    bench::{Bench, free_port, signal, sql, sql_in},
    ending::{ended, files},
    frozen::{Frozen, freeze_backup},
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::Child;

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
    bench.lease = "4";
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 30000) n").await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        bench.port = free_port();
        servers.push(Server { process: bench.spawn(), port: bench.port });
        bench.until("the server", |bench| bench.try_ask("GET", "/readyz", None).map(drop));
    }
    bench.until("the first backup", |bench| {
        (!bench.ask("GET", "/api/v1/clusters/main/backups", None)["rows"].as_array()?.is_empty()).then_some(())
    });

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
    let taken = bench.until("the other server", |bench| {
        let job = bench.job(&id);
        assert!(!["succeeded", "failed"].contains(&job["state"].as_str().unwrap()), "{job}");
        job["log"].to_string().contains("waits for the try before").then_some(job)
    });
    // Two never write: the repository is still the frozen one's.
    assert_eq!((taken["state"].as_str(), taken["attempt"].as_i64()), (Some("running"), Some(2)), "{taken}");
    assert!(taken["log"].to_string().contains("vanished"), "{taken}");
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
        signal(server.process.id(), Signal::SIGTERM);
        assert!(ended(&mut server.process).success());
    }

    // Each backup of the repository is what came of one job, and each such job has its backup.
    let in_store = async |text: &str| sql_in(&url, "store", text).await.unwrap();
    let told = "SELECT string_agg(result::json ->> 'id', ' ') FROM job WHERE kind = 'backup' AND state = 'succeeded'";
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
    let once = "SELECT count(*) || ' ' || count(DISTINCT schedule_key) FROM job WHERE schedule_key IS NOT NULL";
    assert_eq!(in_store(once).await, format!("{0} {0}", of("job_schedule")));
    assert_eq!(in_store("SELECT count(*) FROM job WHERE requested_by = 'first backup'").await, "1");
    let over = "SELECT count(*) FROM job WHERE kind = 'backup' AND finished_at IS NOT NULL";
    assert_eq!(in_store(over).await, of("backup_finish"));
    let ends = rows.iter().filter(|row| row["action"] == "backup_finish" && row["object_id"] == id.as_str());
    assert_eq!(ends.map(|row| row["outcome"].as_str().unwrap()).collect::<Vec<_>>(), ["ok"]);
    bench.run(&["audit", "verify"]);
}
