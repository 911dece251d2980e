//! Killed while it carries a plan out: the run goes on where it was or says why it does not, and none of it is lost.
use crate::bench::{Bench, end, sql};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PLANS: &str = "/api/v1/clusters/main/dr-plans";

/// The step that a run waits at.
fn waits(bench: &Bench, id: &str, action: &str) -> u64 {
    bench.until(&format!("the approval of {action}"), |bench| {
        let job = bench.job(id);
        assert!(!["succeeded", "failed"].contains(&job["state"].as_str().unwrap()), "{job}");
        let waiting = &job["progress"]["waiting"];
        (waiting["action"] == action).then(|| waiting["step"].as_u64().unwrap())
    })
}

fn approve(bench: &Bench, id: &str, action: &str) {
    let step = waits(bench, id, action);
    let body = json!({"step": step, "approve": true, "note": "go", "confirm": "main"});
    bench.ask("POST", &format!("/api/v1/jobs/{id}/decision"), Some(body));
}

fn execute(bench: &Bench, plan: &str) -> String {
    let job = bench.ask("POST", &format!("{PLANS}/{plan}/executions"), Some(json!({"confirm": "main"})));
    job["id"].as_str().unwrap().to_owned()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Kills it, waits until `servers` copies still run, and starts it again.
fn kill_and_serve(bench: &mut Bench, servers: usize) -> Vec<PathBuf> {
    bench.kill();
    let left = bench.until("the copies that are left", |bench| {
        let left = bench.servers_below("restores");
        (left.len() == servers).then_some(left)
    });
    bench.serve();
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_whose_server_is_killed_at_each_step_goes_on_and_at_the_hook_asks_for_a_person() {
    let mut bench = Bench::new().await;
    let url = bench.cluster.url("postgres");
    sql(&url, "CREATE TABLE public.big AS SELECT n AS id, (SELECT string_agg(md5((n * 17 + k)::text), '') FROM generate_series(1, 40) k) AS filler FROM generate_series(1, 60000) n").await;
    // The hook hangs until it is let go.
    let (told, go) = (bench.path("switched"), bench.path("go"));
    bench.more = format!(
        "[backup.hooks]\nmove = '''echo begun >> {0}; while [ ! -e {1} ]; do sleep 0.05; done; echo \"$HOLDFAST_PORT\" >> {0}'''\n",
        told.display(),
        go.display()
    );
    bench.serve();
    bench.listed("the first backup", 1);
    let standard = bench.until("the standard plan", |bench| {
        Some(bench.ask("GET", PLANS, None)["plans"][0]["plan"].clone()).filter(Value::is_object)
    });
    let mut spec = standard;
    spec["name"] = json!("move");
    spec["steps"][5]["connection"] = Value::Null;
    spec["steps"][5]["hook"] = json!("move");
    let plan = bench.ask("POST", PLANS, Some(json!({"plan": spec, "confirm": "main"})))["id"].clone();
    let plan = plan.as_str().unwrap().to_owned();

    // In the middle of the files: what is there does not start, and the next try completes it.
    let id = execute(&bench, &plan);
    bench.until_written(&id);
    bench.kill();
    let root = std::fs::read_dir(bench.path("restores")).unwrap().flatten().map(|it| it.path());
    let root = root.into_iter().find(|path| path.join("data").exists()).unwrap();
    assert!(!root.join("data/global/pg_control").exists(), "a half-written copy must not start");
    bench.serve();
    waits(&bench, &id, "promote");
    let job = bench.job(&id);
    assert_eq!(job["attempt"], 2);
    let written = job["progress"]["steps"][1].clone();
    assert!(written["seconds"].as_f64().is_some_and(|it| it > 0.0) && written["started_at"].is_string(), "{job}");

    // Waiting for a person, with the copy read-only: it ends with the server, and the next try brings it up again.
    kill_and_serve(&mut bench, 0);
    // Not what the try before showed.
    bench.until("the next try", |bench| {
        bench.job(&id)["log"].to_string().contains("done by the try before").then_some(())
    });
    waits(&bench, &id, "promote");
    let job = bench.job(&id);
    assert_eq!(job["attempt"], 3, "{job}");
    assert!(job["log"].to_string().contains("done by the try before"), "{job}");
    // Its time is that of the try which did it.
    assert_eq!(job["progress"]["steps"][1]["seconds"], written["seconds"], "{job}");
    assert_eq!(bench.servers_below("restores"), [root.join("data")]);
    approve(&bench, &id, "promote");

    // Promoted: whoever will be led there does not depend on our process.
    waits(&bench, &id, "switch");
    assert_eq!(kill_and_serve(&mut bench, 1), [root.join("data")]);
    let step = waits(&bench, &id, "switch");
    assert!(!told.exists(), "nothing is switched before its approval");
    let early =
        bench.try_ask("POST", &format!("/api/v1/jobs/{id}/decision"), Some(&json!({"step": step, "approve": true})));
    assert_eq!(early.unwrap().0, 400, "the name was not typed");
    approve(&bench, &id, "switch");

    // In the middle of the hook nobody knows whether it switched: it is not run again, and a person is asked to look.
    bench.until("the hook", |_| told.exists().then_some(()));
    assert_eq!(kill_and_serve(&mut bench, 1), [root.join("data")]);
    let job = bench.over(&id);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("failed"), Some(5)), "{job}");
    assert!(job["error"].as_str().unwrap().contains("whether it switched is not known"), "{job}");
    assert_eq!(lines(&told), ["begun"], "the hook ran once");
    let report = bench.ask("GET", &format!("/api/v1/clusters/main/drills/{id}"), None)["report"].clone();
    assert_eq!(report["steps"][5]["state"], "failed", "{report}");
    for key in ["seconds", "started_at"] {
        assert_eq!(report["steps"][1][key], written[key], "{report}");
    }
    assert_eq!(report["restore_seconds"], written["seconds"], "{report}");
    let next = report["next"].to_string();
    assert!(next.contains(root.to_str().unwrap()) && next.contains("also without Holdfast"), "{next}");

    // The plan is carried out anew beside it, once the hook works.
    std::fs::write(&go, "").unwrap();
    bench.until("the end of the first hook", |_| (lines(&told).len() == 2).then_some(()));
    let second = execute(&bench, &plan);
    approve(&bench, &second, "promote");
    approve(&bench, &second, "switch");
    let job = bench.over(&second);
    assert_eq!((job["state"].as_str(), job["attempt"].as_i64()), (Some("succeeded"), Some(1)), "{job}");
    let report = &job["result"];
    let data = PathBuf::from(report["directory"].as_str().unwrap());
    assert_ne!(data, root.join("data"));
    let port = lines(&told).last().unwrap().parse::<u16>().unwrap();
    let beside = format!("postgres://postgres:secret@127.0.0.1:{port}/postgres");
    assert_eq!(sql(&beside, "SELECT count(*) FROM public.big").await.as_deref(), Some("60000"));
    assert_eq!(sql(&beside, "SELECT current_setting('data_directory')").await, data.to_str().map(str::to_owned));

    // Both stand in the history and in the audit log, whose chain is whole.
    let runs = bench.ask("GET", PLANS, None)["runs"].clone();
    let ok = runs.as_array().unwrap().iter().map(|run| (run["id"].clone(), run["ok"].clone())).collect::<Vec<_>>();
    assert_eq!(ok, [(json!(second), json!(true)), (json!(id), json!(false))], "{runs}");
    let rows = bench.run(&["audit", "export"]);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ends = rows.filter(|row| row["action"] == "execution_finish").map(|row| row["outcome"].clone());
    assert_eq!(ends.collect::<Vec<_>>(), [json!("failed"), json!("ok")]);
    bench.run(&["audit", "verify"]);
    for data in bench.servers_below("restores") {
        end(&data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_stopped_while_its_server_is_dead_ends_with_a_run_and_an_audit_row() {
    let mut bench = Bench::new().await;
    bench.serve();
    bench.listed("the first backup", 1);
    let plan = bench.until("the standard plan", |bench| {
        bench.ask("GET", PLANS, None)["plans"][0]["id"].as_str().map(str::to_owned)
    });
    let id = execute(&bench, &plan);
    waits(&bench, &id, "promote");
    // Nobody has heard of the wish yet.
    let served = nix::unistd::Pid::from_raw(i32::try_from(bench.served.as_ref().unwrap().id()).unwrap());
    bench.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), None);
    nix::sys::signal::kill(served, nix::sys::signal::Signal::SIGKILL).unwrap();
    kill_and_serve(&mut bench, 0);
    let job = bench.over(&id);
    let runs = bench.ask("GET", PLANS, None)["runs"].clone();
    assert_eq!((runs[0]["id"].as_str(), runs[0]["ok"].as_bool()), (Some(id.as_str()), Some(false)), "{job} {runs}");
    assert!(runs[0]["error"].as_str().unwrap().contains("stopped"), "{runs}");
    let rows = bench.run(&["audit", "export"]);
    let ends = rows.lines().filter(|line| line.contains("execution_finish") && line.contains(&id)).count();
    assert_eq!(ends, 1, "{rows}");
    bench.run(&["audit", "verify"]);
}
