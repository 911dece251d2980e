//! Killed in the middle of what proves and of what removes.
use crate::{
    bench::{Bench, sql},
    ending::files,
    frozen::{Hung, freeze_backup},
};
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio};

/// Done by the server that came after the one that was killed.
fn done_again(bench: &Bench, id: &str) -> Value {
    let job = bench.over(id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(2)), "{job}");
    assert!(job["log"].to_string().contains("vanished") && job["error"].is_null(), "{job}");
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_a_restore_test_and_an_expiry_are_done_by_the_next_server() {
    let mut bench = Bench::new().await;
    bench.more = "expire = \"off\"\nkeep_full = 1\ngrace_hours = 0\n".to_owned();
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 60000) n").await;
    bench.serve();
    let first = bench.listed("the first backup", 1);
    let repository = bench.path("repository");

    // A verification: it hangs at an object whose bytes do not come.
    let hung = Hung::new(&bench);
    let verify = format!("/api/v1/clusters/main/backups/{first}/verify");
    let id = bench.ask("POST", &verify, None)["id"].as_str().unwrap().to_owned();
    bench.until("the reader", |bench| {
        let job = bench.job(&id);
        (job["state"] == "running" && !files(&repository, "leases/read-").is_empty()).then_some(())
    });
    bench.kill();
    drop(hung);
    bench.serve();
    let job = done_again(&bench, &id);
    assert_eq!((&job["result"]["id"], &job["result"]["problems"]), (&json!(first), &json!([])), "{job}");

    // A restore test, while PostgreSQL of its copy runs: that ends without us, and its directory goes.
    let test = format!("/api/v1/clusters/main/backups/{first}/test-restore");
    let id = bench.ask("POST", &test, Some(json!({"latest": true})))["id"].as_str().unwrap().to_owned();
    bench.until("the copy's server", |bench| {
        let job = bench.job(&id);
        assert!(!["succeeded", "failed"].contains(&job["state"].as_str().unwrap()), "it was too quick: {job}");
        (!bench.servers_below("restores/tests").is_empty()).then_some(())
    });
    bench.kill();
    bench.until("the end of the copy without its server", |bench| {
        bench.servers_below("restores/tests").is_empty().then_some(())
    });
    let copy = bench.path(&format!("restores/tests/restore-test-{id}"));
    assert!(copy.join("data").exists(), "nobody was there to remove it");
    bench.serve();
    let job = done_again(&bench, &id);
    assert_eq!((&job["result"]["backup"], &job["result"]["ok"]), (&json!(first), &json!(true)), "{job}");
    assert_eq!(std::fs::read_dir(bench.path("restores/tests")).unwrap().count(), 0, "the copies are gone");

    // An expiry, wherever it is by then ('strikes.rs' kills one at each step).
    let next = bench.ask("POST", "/api/v1/clusters/main/backups", Some(json!({"kind": "full"})));
    assert_eq!(bench.over(next["id"].as_str().unwrap())["state"], "succeeded");
    bench.listed("the second backup", 2);
    // What is shown is what is agreed to: the newest full backup stays.
    let plan = bench.ask("GET", "/api/v1/clusters/main/expire-plan", None);
    let goes = |verdict: &Value| verdict["reasons"].as_array().is_some_and(Vec::is_empty);
    let going = plan["verdicts"].as_array().unwrap().iter().filter(|it| goes(it)).collect::<Vec<_>>();
    let listed_now = || bench.ask("GET", "/api/v1/clusters/main/backups", None);
    assert!(going.len() == 1 && going[0]["id"] == json!(first), "{plan:#} {:#}", listed_now());
    let expire = json!({"backups": [first], "confirm": "main"});
    let id = bench.ask("POST", "/api/v1/clusters/main/expire", Some(expire))["id"].as_str().unwrap().to_owned();
    bench.kill();
    bench.serve();
    let job = bench.over(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    let stays = bench.listed("the end of the first backup", 1);
    assert_ne!(stays, first);
    bench.run(&["backup", "verify", "--all"]);
    // What was read by those who were killed is held by nobody.
    let plan = bench.ask("GET", "/api/v1/clusters/main/expire-plan", None);
    assert_eq!(plan["verdicts"].as_array().map(Vec::len), Some(1), "{plan}");
    assert_eq!(files(&repository, "leases/read-"), Vec::<PathBuf>::new());
    bench.run(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_killed_in_its_middle_was_begun_in_the_log_and_a_refused_one_was_refused() {
    let bench = Bench::new().await;
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 30000) n").await;
    let create = ["backup", "create", "--type", "full"];
    let mut command = bench.command(&create);
    let mut killed = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let source = freeze_backup(&url).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(source);
    let told = |action: &str| {
        let log = bench.run(&["audit", "export"]);
        let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter(|row| row["action"] == action).collect::<Vec<_>>()
    };
    let begun = told("backup_start");
    assert_eq!((begun.len(), told("backup_finish").len()), (1, 0), "{begun:#?}");
    assert_eq!((&begun[0]["outcome"], &begun[0]["object_id"]), (&json!("ok"), &json!("main")), "{begun:#?}");
    assert_eq!(begun[0]["after"]["what"], json!({"do": "backup", "kind": "full"}), "{begun:#?}");
    assert_eq!(bench.run(&["backup", "list", "--json"]).trim(), "[]");

    // The next one has its end beside its beginning.
    bench.run(&create);
    let (begun, ended) = (told("backup_start"), told("backup_finish"));
    assert_eq!((begun.len(), ended.len()), (2, 1), "{begun:#?} {ended:#?}");
    assert!(ended[0]["outcome"] == "ok" && ended[0]["request_id"] == begun[1]["request_id"], "{ended:#?}");
    assert_ne!(begun[0]["request_id"], begun[1]["request_id"]);

    // What is refused before it begins says why.
    for (arguments, action, object, reason) in [
        (&["backup", "create", "--cluster", "nobody"][..], "backup_start", "nobody", "no cluster 'nobody'"),
        (
            &["restore", "--to", "x", "--time", "2001-01-01T00:00:00Z"][..],
            "restore_start",
            "main",
            "no backup ends before",
        ),
        (&["repo", "key", "add"][..], "repository_key_add", "main", "say what to add"),
    ] {
        let output = bench.command(arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
        let rows = told(action);
        let row = rows.last().unwrap();
        assert_eq!((&row["outcome"], &row["object_id"]), (&json!("refused"), &json!(object)), "{row}");
        assert!(row["after"]["reason"].as_str().is_some_and(|it| it.contains(reason)), "{row}");
    }
    assert!(!bench.path("x").exists());
    bench.run(&["audit", "verify"]);
}
