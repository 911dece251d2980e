//! A repository on a file system that is really full: a small one is mounted for it. Nothing that was stored is damaged,
//! WAL waits in the slot, a person is told, and with room again all goes on by itself.
use crate::{
    alerts::{alert, ended, raised},
    support::{Bench, PACE, confirmed, over, sql, stored, succeeded, until, written},
};
use control::{Actor, BackupWanted, ControlPlane, RestoreAsk, ScheduleConfig, ScheduleKind};
use domain::view::{JobKind, JobResult, JobState, Objectives};
use std::{os::unix::fs::symlink, path::Path};
use test_support::Room;

/// Mebibytes of the room, and how many of them something else takes: where the next whole segment does not fit any more,
/// the room is nearly full as the alert counts it.
const ROOM: usize = 110;
const TAKEN: usize = 72;
/// What is left of it for WAL: little, so that it is full long before the schedule comes round.
const LEFT: usize = 8;
/// More than the server can have waiting.
const MORE: usize = 100;

/// Rows, and how many there must be: both in one transaction.
async fn write(bench: &Bench, rows: usize) {
    let text = format!(
        "WITH new AS (INSERT INTO orders SELECT n, md5(random()::text) FROM generate_series(1, {rows}) n RETURNING 1) \
         INSERT INTO written SELECT count(*) FROM new"
    );
    sql(&bench.url(), &text).await;
}

const HELD: &str = "SELECT wal_status || ' ' || restart_lsn FROM pg_replication_slots WHERE slot_name = 'holdfast'";
const KEPT: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint::text FROM pg_replication_slots WHERE slot_name = 'holdfast'";
const ROWS: &str = "SELECT count(*)::text FROM orders";

/// Every backup that was begun, once none is under way.
async fn backups(control: &ControlPlane) -> Vec<String> {
    until("the end of the backups under way", async || {
        let jobs = control.jobs_list(&Actor::cli(), None, Some(JobKind::Backup), None, None, 200).await.unwrap().rows;
        let over = jobs.iter().all(|job| job.state.is_over());
        over.then(|| jobs.into_iter().map(|job| job.id).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_whose_file_system_is_full_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let mut mounted = None;
    let mut bench = Bench::made(&[], |directory| {
        mounted = Room::mount_or_skip(&directory.join("room"), &format!("{ROOM}m"));
        std::fs::create_dir_all(directory.join("room/repository")).unwrap();
        if mounted.is_some() {
            std::fs::write(directory.join("room/other"), vec![0; TAKEN << 20]).unwrap();
        }
        symlink(directory.join("room/repository"), directory.join("repository")).unwrap();
        None
    })
    .await;
    let Some(room) = mounted else { return };
    sql(&bench.url(), "CREATE TABLE written (rows bigint)").await;
    sql(&bench.url(), "INSERT INTO written SELECT count(*) FROM orders").await;
    bench.probes = vec!["postgres: SELECT count(*) = (SELECT sum(rows) FROM written) FROM orders".to_owned()];
    // So that nobody need ask when there is room again.
    bench.schedules = vec![ScheduleConfig { kind: ScheduleKind::Incremental, cron: "* * * * *".to_owned() }];
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();
    let slot = &control.recovery().slots()[0];
    raised(&control, "backup_finished").await;
    until("the stream", async || (slot.wal.load().state == "streaming").then_some(())).await;
    let first = until("the first backup", async || Some(slot.catalogue.load().backups.first()?.id.clone())).await;
    assert!(alert(&control, "repository_full").is_none(), "there is room yet");
    let to = Objectives { rpo_seconds: 3.0, rto_seconds: 900.0 };
    control.objectives_set(&actor, None, to, &confirmed()).await.unwrap();

    // WAL that does not shrink fills it while it is streamed.
    let mut size = ROOM;
    let interrupted = loop {
        let before = backups(&control).await;
        let free = backup::free_bytes(&bench.path("room")).unwrap() >> 20;
        size = size - usize::try_from(free).unwrap() + LEFT;
        room.resize(&format!("{size}m"));
        let interrupted = until("the end of the room", async || {
            let wal = slot.wal.load_full();
            if wal.error.as_ref().is_some_and(|error| error.contains("no space is left")) {
                return Some(wal);
            }
            write(&bench, 20_000).await;
            None
        })
        .await;
        if backups(&control).await == before {
            break interrupted;
        }
        // One of the schedule came between. Where it fails it gives room back, and the stream goes on.
        size += MORE;
        room.resize(&format!("{size}m"));
        stored(&bench, &control).await;
    };
    assert!(interrupted.error.as_ref().unwrap().contains("raise the quota or expire old backups"), "{interrupted:?}");
    // A backup has no room either, were it only for its WAL. It says so and what to do, and takes back what it wrote: WAL
    // needs the room.
    let failed = over(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap().id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");
    assert!(failed.error.as_ref().unwrap().contains("no space is left"), "{failed:#?}");
    assert_eq!(lineages(&bench.path("repository")), 1, "what the failed backup wrote is gone");

    let full = raised(&control, "repository_full").await;
    assert!(full.measured.contains("free"), "{full:#?}");
    // While the stream tries again it says no reason; what was said stays.
    until("the alert rpo_exceeded with its reason", async || {
        alert(&control, "rpo_exceeded")
            .filter(|it| it.detail.as_ref().is_some_and(|it| it.contains("no space is left")))
    })
    .await;
    raised(&control, "backup_failed").await;
    // What is there is whole, and can be restored while nothing can be written.
    let verified = control.backup_verify(&actor, None, Some(first.clone())).await.unwrap();
    succeeded(&control, &verified).await;
    let test = control::RestoreTestParams { backup: Some(first), latest: false };
    let proof = succeeded(&control, &control.backup_test_restore(&actor, None, test).await.unwrap()).await;
    assert!(matches!(proof.result, Some(JobResult::RestoreTest(ref proof)) if proof.ok), "{proof:#?}");
    // The server keeps what could not be stored, however much comes.
    write(&bench, 20_000).await;
    // The stream has been offered it, and could not store it.
    let end = written(&bench).await;
    let wal = until("the next try of the stream", async || {
        let wal = slot.wal.load_full();
        let full = wal.error.as_ref().is_some_and(|error| error.contains("no space is left"));
        (full && wal.server_lsn >= Some(end)).then_some(wal)
    })
    .await;
    assert_eq!(wal.state, "interrupted", "{wal:?}");
    assert!(wal.lag_bytes.is_some_and(|lag| lag > 1 << 20), "{wal:?}");
    // A few small pieces may still find room, what was written now does not.
    let kept = sql(&bench.url(), KEPT).await.unwrap().parse::<u64>().unwrap();
    assert!(kept > 1 << 20, "the slot stands where the repository ends: {kept} bytes behind");
    let held = sql(&bench.url(), HELD).await;
    assert!(held.as_ref().is_some_and(|it| it.starts_with("reserved") || it.starts_with("extended")), "{held:?}");

    room.resize(&format!("{}m", size + 400));
    stored(&bench, &control).await;
    for rule in ["repository_full", "rpo_exceeded", "backup_failed"] {
        ended(&control, rule).await;
    }
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (1, 0), "nothing was lost: {window:#?}");
    write(&bench, 10).await;
    let rows = sql(&bench.url(), ROWS).await;
    stored(&bench, &control).await;
    let ask = RestoreAsk { start: true, ..RestoreAsk::default() };
    let job = succeeded(&control, &control.restore_start(&actor, None, &ask, &confirmed()).await.unwrap()).await;
    let Some(JobResult::Restore { port: Some(port), problems, .. }) = job.result else { panic!("{job:#?}") };
    let beside = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password());
    assert_eq!((sql(&beside, ROWS).await, problems.len()), (rows, 0), "every row is there");
    running.end().await;
}

fn lineages(repository: &Path) -> usize {
    let clusters = std::fs::read_dir(repository.join("clusters")).unwrap().flatten();
    clusters.map(|cluster| std::fs::read_dir(cluster.path().join("lineages")).unwrap().count()).sum()
}
