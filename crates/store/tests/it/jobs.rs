//! Jobs: claimed once, kept by a lease, never lost.
use domain::{
    Timestamp,
    view::{JobKind, JobProgress, JobResult, JobState, Objectives},
};
use sea_orm::ConnectionTrait as _;
use std::collections::BTreeSet;
use store::{JobFilter, JobRepo, NewJob, ObjectiveRepo, Store};

on_both_databases!(
    jobs_are_claimed_in_order_and_one_of_a_lane_at_a_time,
    a_restore_goes_before_routine_however_much_of_it_waits,
    many_servers_at_once_never_claim_the_same_job_or_lane,
    a_moment_of_a_schedule_has_one_job,
    a_job_whose_lease_ended_is_another_servers,
    an_end_is_written_once_and_only_by_the_holder,
    stopping_is_at_once_for_a_waiting_job_and_told_to_a_running_one,
    objectives_are_kept_and_changed,
);

fn new(lane: &str, key: Option<&str>) -> NewJob {
    NewJob {
        cluster: "main".into(),
        kind: JobKind::Backup,
        lane: lane.into(),
        title: "Full backup".into(),
        params: serde_json::json!({ "do": "backup", "kind": "full" }),
        schedule_key: key.map(str::to_owned),
        requested_by: "ada".into(),
        at: Timestamp(1_000),
    }
}

const LEASE: i64 = 60_000;

async fn jobs_are_claimed_in_order_and_one_of_a_lane_at_a_time(store: Store) {
    let repo = JobRepo(store.db());
    let mut ids = Vec::new();
    for lane in ["write /a", "write /a", "write /b"] {
        ids.push(repo.insert(new(lane, None)).await.unwrap().unwrap());
    }
    let first = repo.claim("one", LEASE).await.unwrap().unwrap();
    assert_eq!((first.id, first.state, first.attempt), (ids[0], JobState::Running, 1));
    assert_eq!(first.params["kind"], "full");
    // The second waits for its lane; the third has one of its own.
    assert_eq!(repo.claim("two", LEASE).await.unwrap().unwrap().id, ids[2]);
    assert_eq!(repo.claim("two", LEASE).await.unwrap(), None);
    repo.finish(ids[0], "one", 1, JobState::Succeeded, &JobProgress::default(), None, None).await.unwrap();
    assert_eq!(repo.claim("two", LEASE).await.unwrap().unwrap().id, ids[1]);
    let running = JobFilter { state: Some(JobState::Running), ..JobFilter::default() };
    let listed = repo.list(&running, 10).await.unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(listed, [ids[2], ids[1]], "the newest first");
    let mut counts = repo.counts("main").await.unwrap();
    counts.sort_by_key(|it| it.1.as_str());
    let expected = [(JobKind::Backup, JobState::Running, 2), (JobKind::Backup, JobState::Succeeded, 1)];
    assert_eq!(counts, expected);
    assert_eq!(repo.counts("other").await.unwrap(), []);
}

async fn a_restore_goes_before_routine_however_much_of_it_waits(store: Store) {
    let repo = JobRepo(store.db());
    for _ in 0..30 {
        repo.insert(new("write /a", None)).await.unwrap();
    }
    repo.claim("one", LEASE).await.unwrap().unwrap();
    let routine = repo.insert(new("write /b", None)).await.unwrap().unwrap();
    let restore = NewJob { kind: JobKind::Restore, ..new("restore main", None) };
    let urgent = repo.insert(restore.clone()).await.unwrap().unwrap();
    let behind = repo.insert(restore).await.unwrap().unwrap();
    assert_eq!(repo.claim("one", LEASE).await.unwrap().unwrap().id, urgent);
    assert_eq!(repo.claim_urgent("one", LEASE).await.unwrap(), None, "its lane is busy, and the rest is routine");
    assert_eq!(repo.claim("one", LEASE).await.unwrap().unwrap().id, routine, "behind 29 of a busy lane");
    repo.finish(urgent, "one", 1, JobState::Succeeded, &JobProgress::default(), None, None).await.unwrap();
    assert_eq!(repo.claim_urgent("one", LEASE).await.unwrap().unwrap().id, behind);
}

async fn many_servers_at_once_never_claim_the_same_job_or_lane(store: Store) {
    for n in 0..12 {
        JobRepo(store.db()).insert(new(&format!("lane {}", n % 3), None)).await.unwrap();
    }
    // Each of eight servers takes what it can: three lanes are three jobs, whoever gets them.
    let claims = (0..8).map(|server| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut got = Vec::new();
            for _ in 0..4 {
                got.extend(JobRepo(store.db()).claim(&format!("server {server}"), LEASE).await.unwrap());
            }
            got
        })
    });
    let mut got = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        got.extend(claim.await.unwrap());
    }
    let lanes = got.iter().map(|row| row.lane.clone()).collect::<BTreeSet<_>>();
    assert_eq!((got.len(), lanes.len()), (3, 3), "{got:?}");
    // The database itself refuses a second one, even to a program that does not ask first.
    let forced = store.db().execute_unprepared("UPDATE job SET state = 'running' WHERE state = 'queued'").await;
    assert!(forced.is_err());
}

async fn a_moment_of_a_schedule_has_one_job(store: Store) {
    let asks = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { JobRepo(store.db()).insert(new("write /a", Some("main full 02:00"))).await.unwrap() })
    });
    let mut made = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        made.extend(ask.await.unwrap());
    }
    assert_eq!(made.len(), 1);
    let repo = JobRepo(store.db());
    assert!(repo.insert(new("write /a", Some("main full 03:00"))).await.unwrap().is_some());
    assert!(repo.insert(new("write /a", None)).await.unwrap().is_some());
    assert!(repo.insert(new("write /a", None)).await.unwrap().is_some(), "without a moment there may be several");
}

async fn a_job_whose_lease_ended_is_another_servers(store: Store) {
    let repo = JobRepo(store.db());
    let id = repo.insert(new("write /a", None)).await.unwrap().unwrap();
    // Over at once.
    let row = repo.claim("one", -1).await.unwrap().unwrap();
    let orphans = repo.orphans(|_| false).await.unwrap();
    assert_eq!(orphans.len(), 1);
    // A sign of life after all: it is no orphan, and nobody takes it.
    assert_eq!(repo.heartbeat(id, "one", 1, LEASE, &JobProgress::default()).await.unwrap(), Some(false));
    assert_eq!(repo.orphans(|_| false).await.unwrap(), []);
    // Its process is known to be gone: it need not wait for the lease.
    assert_eq!(repo.orphans(|holder| holder == "one").await.unwrap().len(), 1);
    assert!(repo.take_back(&row, true, "").await.unwrap());
    assert!(!repo.take_back(&row, true, "").await.unwrap(), "only one server takes it back");
    let again = repo.claim("two", LEASE).await.unwrap().unwrap();
    assert_eq!((again.id, again.attempt, again.started_at), (id, 2, row.started_at));
    // The first one wakes up and hears that it is late.
    assert_eq!(repo.heartbeat(id, "one", 1, LEASE, &JobProgress::default()).await.unwrap(), None);
    let late = repo.finish(id, "one", 1, JobState::Succeeded, &JobProgress::default(), None, None).await.unwrap();
    assert!(!late);
    // Given up for good, with the reason.
    assert!(repo.take_back(&again, false, "vanished").await.unwrap());
    let over = repo.get(id).await.unwrap().unwrap();
    assert_eq!(
        (over.state, over.error.as_deref(), over.finished_at.is_some()),
        (JobState::Failed, Some("vanished"), true)
    );
}

async fn an_end_is_written_once_and_only_by_the_holder(store: Store) {
    let repo = JobRepo(store.db());
    let id = repo.insert(new("write /a", None)).await.unwrap().unwrap();
    repo.claim("one", LEASE).await.unwrap().unwrap();
    let result =
        JobResult::Backup { id: "b1".into(), kind: "full".into(), stored_bytes: u64::MAX / 2, damaged_pages: 0 };
    let progress = JobProgress { done_bytes: Some(7), ..JobProgress::default() };
    let end =
        async |holder| repo.finish(id, holder, 1, JobState::Succeeded, &progress, Some(&result), None).await.unwrap();
    assert!(!end("two").await);
    assert!(end("one").await);
    assert!(!end("one").await);
    repo.log(id, Timestamp(5), "grün").await.unwrap();
    repo.log(id, Timestamp(4), "second").await.unwrap();
    let row = repo.get(id).await.unwrap().unwrap();
    assert_eq!((row.result.clone(), row.progress.done_bytes), (Some(result), Some(7)));
    let lines = repo.log_of(id).await.unwrap().into_iter().map(|line| line.line).collect::<Vec<_>>();
    assert_eq!(lines, ["grün", "second"], "in the order they were written");
    // The store's clock gave the moments.
    let age = row.finished_at.unwrap().0 - row.started_at.unwrap().0;
    assert!((0..60_000).contains(&age), "{row:?}");
    assert_eq!(repo.prune(row.finished_at.unwrap().plus_ms(1)).await.unwrap(), 1);
    assert_eq!(repo.log_of(id).await.unwrap(), []);
}

async fn stopping_is_at_once_for_a_waiting_job_and_told_to_a_running_one(store: Store) {
    let repo = JobRepo(store.db());
    let waiting = repo.insert(new("write /a", None)).await.unwrap().unwrap();
    assert!(repo.request_cancel(waiting).await.unwrap());
    assert_eq!(repo.get(waiting).await.unwrap().unwrap().state, JobState::Cancelled);
    assert!(!repo.request_cancel(waiting).await.unwrap(), "it is over");
    let running = repo.insert(new("write /a", None)).await.unwrap().unwrap();
    repo.claim("one", LEASE).await.unwrap().unwrap();
    assert!(repo.request_cancel(running).await.unwrap());
    assert_eq!(repo.get(running).await.unwrap().unwrap().state, JobState::Running);
    assert_eq!(repo.heartbeat(running, "one", 1, LEASE, &JobProgress::default()).await.unwrap(), Some(true));
}

async fn objectives_are_kept_and_changed(store: Store) {
    let repo = ObjectiveRepo(store.db());
    assert_eq!(repo.get("main").await.unwrap(), None);
    for seconds in [5.0, 0.5] {
        let to = Objectives { rpo_seconds: seconds, rto_seconds: 900.0 };
        repo.set("main", to, "ada", Timestamp(1)).await.unwrap();
        assert_eq!(repo.get("main").await.unwrap(), Some(to));
    }
}
