//! Killed in the middle of a backup, a restore, a drill; the loss of the whole host.
use crate::{
    bench::{Bench, sql},
    shown::{evidence_is_what_was_hashed, figures_are_true},
};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, TcpStream},
    process::{Command, Stdio},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_goes_on_when_it_is_back() {
    let mut bench = Bench::new().await;
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 120000) n").await;
    bench.serve();
    let first = bench.until("the first backup", |bench| {
        bench.ask("GET", "/api/v1/jobs?kind=backup", None)["rows"][0]["id"].as_str().map(str::to_owned)
    });
    bench.until_under_way(&first);
    bench.kill();
    assert_eq!(bench.run(&["backup", "list", "--json"]).trim(), "[]", "a backup that was not committed is none");
    bench.serve();
    // Who watches hears of each change and of the end, which is the last.
    let told = bench.events(&first);
    let (job, before) = told.split_last().unwrap();
    assert!(before.iter().all(|job| ["queued", "running"].contains(&job["state"].as_str().unwrap())), "{before:#?}");
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:#?}");
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    assert!(job["log"].to_string().contains("vanished"), "{job}");
    bench.listed("the catalogue", 1);

    let body =
        json!({"restore": {"target": {"kind": "latest"}, "start": true, "directory": "beside"}, "confirm": "main"});
    let restore = bench.ask("POST", "/api/v1/clusters/main/restores", Some(body));
    let id = restore["id"].as_str().unwrap();
    bench.until_written(id);
    bench.kill();
    let control = bench.path("restores/beside/data/global/pg_control");
    assert!(!control.exists(), "a half-written copy must not start");
    bench.serve();
    let job = bench.over(id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    let port = job["result"]["port"].as_u64().unwrap();
    let beside = format!("postgres://postgres:secret@127.0.0.1:{port}/postgres");
    assert_eq!(sql(&beside, "SELECT count(*) FROM public.big").await.as_deref(), Some("120000"));
    // Asked to end, it takes the copy with it.
    let served = bench.served.as_ref().unwrap().id();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(served).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    bench.served.take().unwrap().wait().unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap())).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_whose_server_is_killed_begins_again_and_leaves_nothing_and_the_host_may_be_lost() {
    let mut bench = Bench::new().await;
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 60000) n").await;
    let added = bench.run(&["repo", "key", "add", "--recovery", "--label", "kit", "--json"]);
    let added = serde_json::from_str::<Value>(&added).unwrap();
    let code = added["added"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    bench.interval = "1000";
    bench.serve();
    bench.listed("the first backup", 1);
    let plan = bench.until("the standard plan", |bench| {
        let overview = bench.ask("GET", "/api/v1/clusters/main/dr-plans", None);
        overview["plans"][0]["id"].as_str().map(str::to_owned)
    });
    let drills = format!("/api/v1/clusters/main/dr-plans/{plan}/drills");
    let id = bench.ask("POST", &drills, Some(json!({"kind": "test"})))["id"].as_str().unwrap().to_owned();
    // In the middle of replay: PostgreSQL of the copy runs.
    bench.until("the copy's server", |bench| {
        let job = bench.job(&id);
        assert!(!["succeeded", "failed"].contains(&job["state"].as_str().unwrap()), "it was too quick: {job}");
        (!bench.servers_below("restores/tests").is_empty()).then_some(())
    });
    bench.kill();
    bench.until("the end of the copy without its server", |bench| {
        bench.servers_below("restores/tests").is_empty().then_some(())
    });
    bench.serve();
    let job = bench.over(&id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    assert!(job["log"].to_string().contains("vanished"), "{job}");
    assert_eq!(std::fs::read_dir(bench.path("restores/tests")).unwrap().count(), 0, "the copies are gone");
    let shown = bench.ask("GET", &format!("/api/v1/clusters/main/drills/{id}"), None);
    assert_eq!(shown["report"]["ok"].as_bool(), Some(true), "{shown}");
    figures_are_true(&bench, &shown["report"]);
    evidence_is_what_was_hashed(&bench, &id);

    // Killed in a drill that somebody stops meanwhile: it is over, and what it left is swept.
    let id = bench.ask("POST", &drills, Some(json!({"kind": "test"})))["id"].as_str().unwrap().to_owned();
    bench.until("the copy's directory", |bench| {
        bench.path(&format!("restores/tests/drill-{id}/data")).exists().then_some(())
    });
    bench.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), None);
    bench.kill();
    bench.serve();
    let job = bench.over(&id);
    assert!(["failed", "cancelled"].contains(&job["state"].as_str().unwrap()), "{job}");
    bench.until("the sweep", |bench| (!bench.path(&format!("restores/tests/drill-{id}")).exists()).then_some(()));

    // The whole host is lost: server, store, configuration, key file, cluster. The repository and the printed code are left.
    bench.kill();
    bench.cluster.stop(pgphysical::ShutdownMode::Immediate).await.unwrap();
    for name in ["store.db", "key", "holdfast.toml"] {
        let _ = std::fs::remove_file(bench.path(name));
    }
    let evidence = bench.path("evidence.html");
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--json", "--repo"])
        .arg(bench.path("repository"))
        .args(["dr", "full-test", "--probe", "postgres: SELECT count(*) = 60000 FROM public.big"])
        .args(["--rto-seconds", "900", "--directory"])
        .arg(bench.path("elsewhere"))
        .arg("--evidence")
        .arg(&evidence)
        .current_dir("/")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOLDFAST_PG_BIN", std::env::var_os("HOLDFAST_PG_BIN").unwrap_or_default())
        .env("HOLDFAST_RECOVERY_CODE", &code)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice::<Value>(&output.stdout).unwrap();
    assert_eq!(report["from_recovery_kit"].as_bool(), Some(true), "{report}");
    let rto = report["rto_seconds"].as_f64().unwrap();
    assert!(rto > 0.0 && rto < 900.0, "{report}");
    eprintln!("RTO after the loss of the host: {rto:.2} s for {} bytes", report["bytes"]);
    assert!(!bench.path("elsewhere").exists(), "the copy is thrown away");
    assert!(std::fs::read_to_string(&evidence).unwrap().contains("opened by the recovery code alone"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"progress\":\"full_test\""));
}
