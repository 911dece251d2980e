//! A stopped cluster is brought to another state in its own directory: only where the host's configuration lets it, never
//! over a server that runs, and only pages that differ are written.
use crate::support::{Bench, PACE, audited, confirmed, listed_and_streaming, sql, succeeded, until};
use control::{Actor, Confirmation, ControlError, ControlPlane, RestoreAsk};
use domain::view::{JobKind, JobResult};
use recovery::Service;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};
use test_support::{ClusterOptions, LocalCluster, ShutdownMode};
use tokio_util::sync::CancellationToken;

const ROWS: &str = "SELECT count(*)::text FROM orders";

fn delta(directory: &Path) -> RestoreAsk {
    RestoreAsk { directory: directory.display().to_string(), delta: true, ..RestoreAsk::default() }
}

/// What a request is refused with; `None`: it is not.
fn refusal<T>(done: Result<T, ControlError>) -> Option<String> {
    match done {
        Err(error @ (ControlError::Invalid { .. } | ControlError::Conflict(_))) => Some(error.to_string()),
        Err(other) => panic!("{other:?}"),
        Ok(_) => None,
    }
}

/// Neither planned without a word, nor done. Both say why.
async fn refused(control: &ControlPlane, ask: &RestoreAsk, why: &str) {
    let actor = Actor::cli();
    let planned = match control.restore_plan(&actor, None, ask).await {
        Ok(plan) => plan.refusals.join("; "),
        error => refusal(error).unwrap(),
    };
    let started = refusal(control.restore_start(&actor, None, ask, &confirmed()).await);
    for told in [Some(planned), started] {
        assert!(told.as_ref().is_some_and(|told| told.contains(why)), "{why}: {told:?}");
    }
}

/// Every file below a directory, its length and when it was last written.
fn files(directory: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let is = entry.metadata().unwrap();
            if is.is_dir() {
                waiting.push(entry.path());
            }
            found.insert(entry.path(), (is.len(), is.modified().unwrap()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_stopped_cluster_is_restored_over_and_no_other_and_no_running_one() {
    // The WAL of the original is there for whoever starts what was restored over.
    let mut bench = Bench::made(&[("wal_keep_size", "400MB")], |_| None).await;
    let wal = bench.cluster.server.data_dir().join("pg_wal");
    bench.restore_command = format!("cp {}/%f \"%p\"", wal.display());
    let root = bench.path("restores").join("over");
    let listed = root.join("data");
    bench.restore_over = vec![listed.clone()];
    let (url, _directory) = test_support::sqlite_url();
    let control = bench.control(&url).await;
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let actor = Actor::cli();
    let restores = async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::Restore), None, None, 10).await.unwrap();
        jobs.rows.len()
    };
    listed_and_streaming(&control, 1).await;

    let nowhere = RestoreAsk { delta: true, ..RestoreAsk::default() };
    refused(&control, &nowhere, "say which stopped cluster is restored over").await;
    // Not even the original, and nothing beside what is listed.
    let only = format!("only these may be restored over: {}", listed.display());
    for other in [bench.cluster.server.data_dir(), bench.path("restores").join("other"), root.clone()] {
        refused(&control, &delta(&other), &only).await;
    }
    refused(&control, &delta(&listed), "holds no cluster to be restored over").await;
    assert_eq!((restores().await, listed.exists()), (0, false), "nothing was begun");

    // A copy runs there, and has rows of its own.
    let beside = RestoreAsk { directory: "over".to_owned(), start: true, ..RestoreAsk::default() };
    let job = succeeded(&control, &control.restore_start(&actor, None, &beside, &confirmed()).await.unwrap()).await;
    let Some(JobResult::Restore { directory, port: Some(port), .. }) = job.result else { panic!("{job:#?}") };
    assert_eq!(directory, listed.display().to_string());
    let copy = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password());
    sql(&copy, "INSERT INTO orders SELECT n, 'written in the copy' FROM generate_series(900001, 900100) n").await;
    sql(&copy, "CREATE TABLE of_the_copy AS SELECT 1 AS a").await;
    refused(&control, &delta(&listed), "a running server is never restored over").await;
    assert_eq!(sql(&copy, "SELECT count(*)::text FROM of_the_copy").await.as_deref(), Some("1"), "it runs on");
    assert_eq!(restores().await, 1);

    // It ends with the service, and stays where it is.
    stop.cancel();
    service.join().await;
    assert!(!listed.join("postmaster.pid").exists() && listed.join("PG_VERSION").exists());
    sql(&bench.url(), "INSERT INTO orders VALUES (5001, 'the last good one')").await;
    let expected = sql(&bench.url(), ROWS).await;
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let plan = control.restore_plan(&actor, None, &delta(&listed)).await.unwrap();
    assert_eq!((plan.refusals.len(), plan.directory), (0, listed.display().to_string()));

    // Whoever runs it starts it: to be started here is refused, not passed over.
    let started = RestoreAsk { start: true, ..delta(&listed) };
    refused(&control, &started, "ask for it without start").await;

    // Without the typed name nothing is begun, and nothing there is touched.
    let before = files(&root);
    for name in ["", "over"] {
        let typed = Confirmation { name: name.to_owned(), password: String::new() };
        let told = refusal(control.restore_start(&actor, None, &delta(&listed), &typed).await);
        assert!(told.as_ref().is_some_and(|told| told.contains("type 'main' to confirm")), "{told:?}");
    }
    assert_eq!(restores().await, 1);
    assert_eq!(files(&root), before);

    let job = control.restore_start(&actor, None, &delta(&listed), &confirmed()).await.unwrap();
    let job = succeeded(&control, &job).await;
    let Some(JobResult::Restore {
        directory, port, files_seconds, rto_seconds, written_bytes, kept_bytes, next, ..
    }) = job.result
    else {
        panic!("{job:#?}")
    };
    assert_eq!((directory, port), (listed.display().to_string(), None));
    // Nobody has started it: that its files are there is no recovery time.
    assert!(files_seconds.is_some_and(|it| it > 0.0) && rto_seconds.is_none(), "{files_seconds:?} {rto_seconds:?}");
    assert!(next.contains("pg_ctl") && next.contains(&listed.display().to_string()), "{next}");
    // Most of it was there already.
    assert!(kept_bytes > 0 && written_bytes > 0 && kept_bytes > written_bytes, "{kept_bytes} {written_bytes}");
    assert!(!listed.join("postmaster.pid").exists(), "who restores over a cluster starts it");

    // A person starts it: it is the original at the end of its WAL, and nothing of the copy is left.
    let original = &bench.cluster.server;
    let options = ClusterOptions::new(original.install().clone(), original.password())
        .setting("max_connections", "60")
        .setting("fsync", "off");
    let mut server = LocalCluster::start_in(&root, options).await.unwrap();
    let at = server.url("postgres");
    until("the end of recovery", async || {
        (sql(&at, "SELECT pg_is_in_recovery()::text").await.as_deref() == Some("false")).then_some(())
    })
    .await;
    assert_eq!(sql(&at, ROWS).await, expected);
    let good = sql(&at, "SELECT count(*)::text FROM orders WHERE item = 'the last good one'").await;
    let foreign = sql(&at, "SELECT count(*)::text FROM orders WHERE item = 'written in the copy'").await;
    assert_eq!((good.as_deref(), foreign.as_deref()), (Some("1"), Some("0")));
    assert_eq!(sql(&at, "SELECT to_regclass('of_the_copy')::text").await, None);
    // Nor is a server restored over that is not ours.
    refused(&control, &delta(&listed), "a running server is never restored over").await;
    server.stop(ShutdownMode::Fast).await.unwrap();

    let filter = store::AuditFilter { action: Some("restore_start".into()), ..Default::default() };
    let rows = control.audit_list(&actor, filter, None, 50).await.unwrap().rows;
    let outcomes = |wanted: &str| rows.iter().filter(|row| row.outcome.as_str() == wanted).count();
    // No directory, three that are not listed, an empty one, two running ones, one to be started, two names that are not
    // the cluster's.
    assert_eq!((outcomes("refused"), outcomes("ok")), (10, 2), "{rows:#?}");
    // What lay there each time: nothing, then the stopped copy.
    let before = audited(&control, "restore_start", "ok").await;
    let before = before.iter().map(|row| row.before.as_ref().unwrap()).collect::<Vec<_>>();
    assert!(before[0]["holds"] == "a cluster" && before[0]["state"] == "shut down", "{before:#?}");
    assert_eq!(before[1]["holds"], "nothing", "{before:#?}");
    assert!(before.iter().all(|it| it["directory"] == listed.display().to_string()), "{before:#?}");
    stop.cancel();
    service.join().await;
}
