//! What is late or missing in backups and WAL, on the way to a person and back: no backup, a stream that is held back, room
//! that something else takes, WAL that is lost, backups of what was left.
use crate::{
    alerts::{alert, ended, raised, resolved, set},
    support::{Bench, PACE, listed, listed_and_streaming, over, sql, stored, succeeded, until},
};
use backup::format::layout;
use blobs::{
    BlobStore as _,
    faulty::{Fault, Operation, Rule},
};
use control::{Actor, BackupWanted, ControlPlane, RestoreAsk, ScheduleConfig, ScheduleKind, now};
use domain::{
    alert::{AlertState, Severity},
    view::{JobKind, JobState, JobView},
};
use recovery::{Pace, Service};
use std::{os::unix::fs::symlink, time::Duration};
use test_support::{Room, ShutdownMode};
use tokio_util::sync::CancellationToken;

/// The schedule of the bench is yearly: in seconds, how old its newest backup may be by the rule as shipped.
const ALLOWED: f64 = 366.0 * 86_400.0 * 1.5 + 300.0;

/// What nobody asked for and failed is soon tried again.
const SOON: Pace = Pace { again: Duration::from_secs(3), ..PACE };

/// The newest backup that was asked for by `whom`.
async fn asked(control: &ControlPlane, whom: &str) -> JobView {
    until(&format!("the backup of '{whom}'"), async || {
        let jobs = control.jobs_list(&Actor::cli(), None, Some(JobKind::Backup), None, None, 10).await.unwrap();
        jobs.rows.into_iter().find(|job| job.requested_by == whom)
    })
    .await
}

async fn streaming(control: &ControlPlane) {
    until("the stream to have caught up", async || {
        let wal = control.recovery().slots()[0].wal.load();
        (wal.state == "streaming" && wal.lag_bytes == Some(0)).then_some(())
    })
    .await;
}

/// Something else takes the room that the next full backup needs, and gives it back.
async fn room_is_taken(bench: &Bench, control: &ControlPlane) {
    let full = until("the backup in the list", async || {
        let catalogue = control.recovery().slots()[0].catalogue.load();
        catalogue.backups.last().map(|one| one.stats.stored_bytes)
    })
    .await;
    assert!(alert(control, "repository_room").is_none(), "there is room yet");
    let room = bench.path("room");
    let take = |name: &str, bytes: u64| {
        std::fs::write(room.join(name), vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    };
    let free = backup::free_bytes(&room).unwrap();
    take("other", free.checked_sub(full + full / 2).expect("room for one and a half of it"));
    let little = raised(control, "repository_room").await;
    assert_eq!((little.severity, little.state), (Severity::Warning, AlertState::Firing), "{little:#?}");
    assert!(little.measured.contains(" free, the newest full backup is "), "{little:#?}");
    take("more", full);
    let none = until("the alert that the next backup does not fit", async || {
        alert(control, "repository_room").filter(|it| it.severity == Severity::Critical)
    })
    .await;
    assert_eq!(none.id, little.id, "it is the same, and worse");
    for name in ["other", "more"] {
        std::fs::remove_file(room.join(name)).unwrap();
    }
    let story = resolved(control, &little).await;
    assert_eq!(story[..2], ["fired", "raised"], "{story:?}");
    assert_eq!(story.last().map(String::as_str), Some("resolved"), "{story:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_or_missing_is_raised_and_over_when_it_is_there() {
    let mut mounted = None;
    let bench = Bench::made(&[], |directory| {
        mounted = Room::mount_or_skip(&directory.join("room"), "120m");
        std::fs::create_dir_all(directory.join("room/repository")).unwrap();
        symlink(directory.join("room/repository"), directory.join("repository")).unwrap();
        None
    })
    .await;
    // Given back before the directory that it is mounted in.
    let room = mounted;
    let (url, _directory) = test_support::sqlite_url();
    let control = bench.control(&url).await;
    let actor = Actor::cli();
    set(&control, "backup_overdue", Severity::Critical, 1.0).await;
    set(&control, "wal_behind", Severity::Warning, 2.0).await;
    let refuse = |operation, part: &str| bench.faulty.add(Rule::new(Fault::Denied).on(operation).key(part));
    refuse(Operation::PutNew, "/wal/");
    refuse(Operation::Writer, "/packs/");
    let (stop, halt) = (CancellationToken::new(), CancellationToken::new());
    let monitor = bench.watch(&control, &stop);
    let service = Service::start(&control, SOON, &halt);

    // A store that can be read and not written: there is no backup, and no WAL was ever stored.
    let none = raised(&control, "backup_overdue").await;
    assert_eq!((none.severity, none.state), (Severity::Critical, AlertState::Firing), "{none:#?}");
    assert_eq!(none.measured, "no backup at all");
    let failed = over(&control, &asked(&control, "first backup").await.id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");
    let never = until("the alert wal_behind with its reason", async || {
        alert(&control, "wal_behind").filter(|it| it.detail.as_ref().is_some_and(|it| it.contains("refuses to write")))
    })
    .await;
    assert_eq!((never.severity, never.state), (Severity::Warning, AlertState::Firing), "{never:#?}");
    assert!(never.measured.contains(" behind, RPO "), "{never:#?}");
    let wal = control.recovery().slots()[0].wal.load_full();
    assert_eq!((wal.durable_lsn, wal.lag_bytes), (None, None), "nothing was stored: {wal:?}");
    for rule in ["repository_unreachable", "wal_gap"] {
        assert!(alert(&control, rule).is_none(), "{rule}: it is read as ever, and nothing is lost");
    }
    // With its rights back all comes by itself.
    bench.faulty.heal();
    for alert in [&none, &never] {
        assert_eq!(resolved(&control, alert).await, ["fired", "resolved"], "{}", alert.rule);
    }
    succeeded(&control, &asked(&control, "first backup").await).await;
    streaming(&control).await;

    if room.is_some() {
        room_is_taken(&bench, &control).await;
    }

    // A store that takes its time: the stream goes on, and comes too late.
    bench.faulty.add(Rule::new(Fault::Slow(Duration::from_secs(4))).on(Operation::PutNew).key("/wal/"));
    let behind = until("the alert wal_behind", async || {
        sql(&bench.url(), "INSERT INTO orders VALUES (6000, 'late')").await;
        alert(&control, "wal_behind")
    })
    .await;
    assert_ne!(behind.id, never.id);
    let wal = control.recovery().slots()[0].wal.load_full();
    assert_eq!((wal.state.as_str(), wal.error.as_ref()), ("streaming", None), "{wal:?}");
    bench.faulty.heal();
    assert_eq!(resolved(&control, &behind).await, ["fired", "resolved"]);

    // The server throws WAL away that nobody took, and the backup that would end the gap does not come about.
    halt.cancel();
    service.join().await;
    refuse(Operation::Writer, "/packs/");
    bench.lose_wal().await;
    let halt = CancellationToken::new();
    let service = Service::start(&control, SOON, &halt);
    let gap = raised(&control, "wal_gap").await;
    assert_eq!((gap.severity, gap.state), (Severity::Critical, AlertState::Firing), "{gap:#?}");
    assert!(gap.detail.as_ref().is_some_and(|it| it.contains("the slot was dropped")), "{gap:#?}");
    let failed = over(&control, &asked(&control, "gap in the WAL").await.id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");
    // Meanwhile the last backup grows old: by a setting of this cluster ten seconds are too many.
    set(&control, "backup_overdue", Severity::Critical, 10.0 / ALLOWED).await;
    let old = raised(&control, "backup_overdue").await;
    assert!(old.measured.contains(" old, at most "), "{old:#?}");
    assert_ne!(old.id, none.id);
    assert!(alert(&control, "wal_gap").is_some_and(|it| it.id == gap.id), "it is open until a backup is there");

    // It is tried again.
    bench.faulty.heal();
    for alert in [&gap, &old] {
        assert_eq!(resolved(&control, alert).await, ["fired", "resolved"], "{}", alert.rule);
    }
    succeeded(&control, &asked(&control, "gap in the WAL").await).await;
    ended(&control, "backup_failed").await;
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (2, 1), "{window:#?}");
    for token in [&halt, &stop] {
        token.cancel();
    }
    service.join().await;
    monitor.join().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_backups_that_do_not_come_are_told_although_incrementals_do() {
    let mut bench = Bench::new().await;
    bench.schedules.push(ScheduleConfig { kind: ScheduleKind::Incremental, cron: "0 0 1 1 *".to_owned() });
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();
    listed_and_streaming(&control, 1).await;
    // By a setting of this cluster a quarter of a minute without one is too long.
    set(&control, "backup_overdue", Severity::Critical, 15.0 / ALLOWED).await;
    let told = |object: &str| {
        let mut open = control.alerts().open(Some("main"), now()).into_iter();
        open.find(|it| it.rule == "backup_overdue" && it.object == object && it.state == AlertState::Firing)
    };
    let any = until("the alert that no backup came", async || told("")).await;
    let full = until("the alert that no full backup came", async || told("full backup")).await;
    assert!(full.measured.contains(" old, at most "), "{full:#?}");

    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap()).await;
    assert_eq!(resolved(&control, &any).await, ["fired", "resolved"]);
    assert_eq!(told("full backup").map(|it| it.id), Some(full.id.clone()), "an incremental is no full backup");
    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap()).await;
    assert_eq!(resolved(&control, &full).await, ["fired", "resolved"]);
    running.end().await;
}

/// A segment's length.
const SEGMENT: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_that_vanished_from_the_repository_is_a_gap_until_a_backup_ends_it() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.watched(SOON).await;
    let actor = Actor::cli();
    listed_and_streaming(&control, 1).await;
    bench.faulty.add(Rule::new(Fault::Denied).on(Operation::Writer).key("/packs/"));
    for _ in 0..3 {
        sql(&bench.url(), "INSERT INTO orders VALUES (7000, 'streamed')").await;
        sql(&bench.url(), "SELECT pg_switch_wal()::text").await;
    }
    sql(&bench.url(), "INSERT INTO orders VALUES (7001, 'behind it')").await;
    stored(&bench, &control).await;
    assert!(alert(&control, "wal_gap").is_none(), "nothing is missing");

    // Somebody makes room by hand: a segment goes, and the WAL behind it is there.
    let all = bench.faulty.list("clusters/").await.unwrap();
    let pieces = all.iter().filter_map(|info| Some((&info.key, layout::parse_wal_piece(&info.key)?)));
    let pieces = pieces.collect::<Vec<_>>();
    let whole = pieces.iter().filter(|(_, piece)| piece.end.0 - piece.start.0 == SEGMENT);
    let (start, end) = whole.map(|(_, piece)| (piece.start, piece.end)).max().unwrap();
    assert!(pieces.iter().any(|(_, piece)| piece.start >= end), "{pieces:#?}");
    for (key, _) in pieces.iter().filter(|(_, piece)| piece.start >= start && piece.end <= end) {
        bench.faulty.delete(key).await.unwrap();
    }
    let gap = raised(&control, "wal_gap").await;
    assert_eq!((gap.severity, gap.state), (Severity::Critical, AlertState::Firing), "{gap:#?}");
    assert!(gap.detail.as_ref().is_some_and(|it| it.contains("was deleted there")), "{gap:#?}");
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (1, 1), "{window:#?}");
    let hole = &window.gaps[0];
    assert_eq!((hole.start_lsn, hole.end_lsn, hole.to, hole.declared), (start, Some(end), None, false), "{window:#?}");
    // Nobody asked for the backup that would end it, and it cannot be written yet.
    let failed = over(&control, &asked(&control, "gap in the WAL").await.id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");

    bench.faulty.heal();
    assert_eq!(resolved(&control, &gap).await, ["fired", "resolved"]);
    succeeded(&control, &asked(&control, "gap in the WAL").await).await;
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (2, 1), "{window:#?}");
    assert!(window.gaps[0].to.is_some() && !window.gaps[0].declared, "{window:#?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_begun_where_none_leads_to_the_timeline_of_a_standby_that_was_behind() {
    let mut bench = Bench::new().await;
    let mut other = bench.cluster.standby("behind").await;
    let there = other.url("postgres");
    let receivers = async |count: &str| {
        until(&format!("{count} receivers of WAL"), async || {
            let found = sql(&there, "SELECT count(*)::text FROM pg_stat_wal_receiver").await;
            (found.as_deref() == Some(count)).then_some(())
        })
        .await;
    };
    receivers("1").await;
    sql(&there, "ALTER SYSTEM SET primary_conninfo = ''").await;
    sql(&there, "SELECT pg_reload_conf()::text").await;
    receivers("0").await;
    sql(&bench.url(), "INSERT INTO orders VALUES (8000, 'never on the standby')").await;
    sql(&bench.url(), "SELECT pg_switch_wal()::text").await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    listed_and_streaming(&control, 1).await;
    let backup = listed(&control, 1).await.remove(0).id;
    running.end().await;

    // It takes over, and nobody has backed up what it goes on from.
    other.promote().await.unwrap();
    std::mem::swap(&mut bench.cluster.server, &mut other);
    other.stop(ShutdownMode::Immediate).await.unwrap();
    bench.faulty.add(Rule::new(Fault::Denied).on(Operation::Writer).key("/packs/"));
    let (control, mut running) = bench.watched(SOON).await;
    sql(&bench.url(), "INSERT INTO orders VALUES (8001, 'on the new timeline')").await;
    let gap = raised(&control, "wal_gap").await;
    assert_eq!((gap.severity, gap.state), (Severity::Critical, AlertState::Firing), "{gap:#?}");
    assert!(gap.detail.as_ref().is_some_and(|it| it.contains("no backup leads to timeline 2")), "{gap:#?}");
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (0, 1), "{window:#?}");
    let failed = over(&control, &asked(&control, "gap in the WAL").await.id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:#?}");
    // What was left is there for whoever asks for it.
    let left = RestoreAsk { timeline: Some(1), start: true, ..RestoreAsk::default() };
    let plan = control.restore_plan(&actor, None, &left).await.unwrap();
    assert_eq!((plan.timeline, plan.backup, plan.refusals), (1, backup, Vec::new()));

    bench.faulty.heal();
    assert_eq!(resolved(&control, &gap).await, ["fired", "resolved"]);
    succeeded(&control, &asked(&control, "gap in the WAL").await).await;
    let window = control.recovery_window(&actor, None).await.unwrap();
    assert_eq!((window.intervals.len(), window.gaps.len()), (1, 0), "{window:#?}");
    assert_eq!(window.intervals[0].timeline, 2, "{window:#?}");
    running.end().await;
}
