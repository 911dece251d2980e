//! Several at work at once, and a source that goes away: two writers, an expiry beside a backup, lost leases, clocks that step,
//! sessions and servers that are killed.
use crate::support::{Bench, oracle, sql, value};
use backup::{
    BackupError, BackupType, CreateOptions, KeySource, Repository, SourceKind, Summary,
    restore::Target,
    retention::{Retention, expire, plan_expire},
    verify,
    wal::{StreamOptions, StreamStatus, covered_until, stream},
};
use blobs::faulty::{Fault, FaultyStore, Operation, Rule};
use pgphysical::{ShutdownMode, replication::ConnInfo, wal::WalSegment};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use test_support::{ChaosProxy, Weather};
use tokio_util::sync::CancellationToken;

type Task = tokio::task::JoinHandle<Result<Summary, BackupError>>;

/// A repository that writes no pack until it is healed, so that there is time for something to happen.
async fn slow(bench: &Bench) -> (Repository, Arc<FaultyStore>) {
    let store = Arc::new(FaultyStore::new(bench.store.clone()));
    store.add(Rule::new(Fault::Held).on(Operation::Write).key("/packs/"));
    let key = KeySource::read_file(&bench.place("key")).unwrap();
    (Repository::open(store.clone(), Some(&key)).await.unwrap(), store)
}

/// More than the pipeline holds in memory, and nothing that compresses: a backup of it waits for its slow store in the middle
/// of reading.
async fn add_noise(bench: &Bench) {
    let noise = "SELECT string_agg(decode(md5(g || ' ' || k), 'hex'), '') FROM generate_series(1, 480) k";
    sql(
        &bench.url(),
        &format!("CREATE TABLE noise (g int, b bytea); ALTER TABLE noise ALTER b SET STORAGE EXTERNAL; INSERT INTO noise SELECT g, ({noise}) FROM generate_series(1, 5000) g; CHECKPOINT"),
    )
    .await;
}

/// Starts a backup and waits until it writes.
async fn under_way(bench: &Bench, source: &ConnInfo, kind: BackupType) -> (Task, Arc<FaultyStore>) {
    let (repository, store) = slow(bench).await;
    let (source, counted) = (source.clone(), store.clone());
    let options = CreateOptions { kind, source: Some(SourceKind::Local), workers: 1, ..CreateOptions::default() };
    let task =
        tokio::spawn(async move { backup::create(&repository, &source, "postgres", &options, &Arc::default()).await });
    until("the backup writes", async || counted.count(Operation::Write) > 0).await;
    (task, store)
}

/// Lets it go on at full speed.
async fn end((task, store): (Task, Arc<FaultyStore>)) -> Result<Summary, BackupError> {
    store.heal();
    task.await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(200);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: waited in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_whole(bench: &Bench, one: &Summary) {
    let verified = verify(&bench.repository, one, &Arc::default()).await.unwrap();
    assert_eq!(verified.problems, Vec::<String>::new(), "{}", one.id);
}

async fn forget_leases(bench: &Bench) {
    for info in bench.store.list("leases/").await.unwrap() {
        bench.store.delete(&info.key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_and_an_expiry_at_once_do_no_harm() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let source = bench.source();
    let first = under_way(&bench, &source, BackupType::Full).await;
    let options = CreateOptions { kind: BackupType::Full, source: Some(SourceKind::Local), ..CreateOptions::default() };
    let second = || async { backup::create(&bench.repository, &source, "postgres", &options, &Arc::default()).await };
    let refused = second().await.unwrap_err();
    assert!(matches!(&refused, BackupError::Busy(text) if text.contains("by process")), "{refused}");
    // The first one's lease is lost, as after a long sleep of its machine: both go on, and both are whole.
    forget_leases(&bench).await;
    let second = second().await.unwrap();
    let first = end(first).await.unwrap();
    assert_ne!(first.lineage, second.lineage);
    for one in [&first, &second] {
        assert_whole(&bench, one).await;
    }
    // The later of them took the lease away from nobody: given back once, it is not taken from the next.
    let counting = Arc::new(FaultyStore::new(bench.store.clone()));
    let key = KeySource::read_file(&bench.place("key")).unwrap();
    let repository = Repository::open(counting.clone(), Some(&key)).await.unwrap();
    backup::create(&repository, &source, "postgres", &options, &Arc::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(counting.count(Operation::Delete), 1, "{:?}", counting.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_beside_an_incremental_loses_nothing_that_can_be_restored() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let system = bench.backup(BackupType::Full, SourceKind::Local).await.cluster.system_identifier;
    add_noise(&bench).await;
    let keep_one = Retention { keep_full: Some(1), ..Retention::default() };
    let incremental = under_way(&bench, &bench.source(), BackupType::Incremental).await;
    let plan = plan_expire(&bench.repository, system, &keep_one).await.unwrap();
    assert!(matches!(expire(&bench.repository, &plan).await, Err(BackupError::Busy(_))));
    // Its lease is lost. A newer full backup comes, and the parent goes.
    forget_leases(&bench).await;
    let newer = bench.backup(BackupType::Full, SourceKind::Local).await;
    let plan = plan_expire(&bench.repository, system, &keep_one).await.unwrap();
    forget_leases(&bench).await;
    expire(&bench.repository, &plan).await.unwrap();
    let error = end(incremental).await.unwrap_err();
    assert!(error.to_string().contains("was expired while an incremental of it was taken"), "{error}");
    let listed = bench.repository.backups(system).await.unwrap();
    assert_eq!(listed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&newer.id]);
    assert_whole(&bench, &newer).await;
    let next = bench.backup(BackupType::Incremental, SourceKind::Local).await;
    assert_eq!(next.lineage, newer.lineage);

    // A plan that has become old: a backup was taken on what it would remove.
    let other = bench.backup(BackupType::Full, SourceKind::Local).await;
    let stale = plan_expire(&bench.repository, system, &Retention { grace_hours: Some(0), ..keep_one }).await.unwrap();
    let key = |one: &Summary| format!("clusters/{system}/backups/{}/commit", one.id);
    let hidden = bench.store.get(&key(&other)).await.unwrap();
    bench.store.delete(&key(&other)).await.unwrap();
    let late = bench.backup(BackupType::Incremental, SourceKind::Local).await;
    assert_eq!(late.lineage, newer.lineage);
    bench.store.put_new(&key(&other), hidden).await.unwrap();
    expire(&bench.repository, &stale).await.unwrap();
    for one in [&late, &other] {
        assert_whole(&bench, one).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_neither_blocks_for_ever_nor_hides_a_change() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    let system = full.cluster.system_identifier;
    let lease = bench.place("repository").join(format!("leases/backup-{system}"));
    let at = |seconds: i64| {
        let now = std::time::SystemTime::now();
        let step = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - step } else { now + step }
    };
    let leave_a_lease = |age: i64| {
        std::fs::create_dir_all(lease.parent().unwrap()).unwrap();
        let text =
            r#"{"holder":"elsewhere","process":1,"since":"2026-11-25T00:00:00Z","heartbeat":"2026-11-25T00:00:00Z"}"#;
        std::fs::write(&lease, text).unwrap();
        std::fs::File::options().write(true).open(&lease).unwrap().set_modified(at(-age)).unwrap();
    };
    let options = CreateOptions { source: Some(SourceKind::Local), ..CreateOptions::default() };
    let source = bench.source();
    let attempt = || async { backup::create(&bench.repository, &source, "postgres", &options, &Arc::default()).await };
    leave_a_lease(30);
    assert!(matches!(attempt().await, Err(BackupError::Busy(_))));
    // The clock went ahead, or the holder died; and it went back, and nobody gives a sign of life since.
    for age in [130, 90_000, -90_000] {
        leave_a_lease(age);
        attempt().await.unwrap();
    }

    // A file that changes and is given its old time again, as by a restore of a file or a clock that went back.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    bench.backup(BackupType::Incremental, SourceKind::Local).await;
    let file = bench.cluster.server.data_dir().join(value(&bench.url(), "pg_relation_filepath('accounts')").await);
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    sql(&bench.url(), "UPDATE accounts SET balance = balance + 1 WHERE id = 77; CHECKPOINT").await;
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();
    let expected = oracle(&bench.url()).await;
    bench.backup(BackupType::Incremental, SourceKind::Local).await;
    let server = bench.restore_and_start("stepped", Target::Immediate).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_goes_away_ends_the_backup_with_words() {
    let mut bench = Bench::new(test_support::versions().remove(0)).await;
    add_noise(&bench).await;
    let good = bench.backup(BackupType::Full, SourceKind::Local).await;
    let expected = oracle(&bench.url()).await;
    // The session that holds the backup open.
    let task = under_way(&bench, &bench.source(), BackupType::Full).await;
    let ended = value(&bench.url(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()").await;
    assert_ne!(ended, "0");
    let error = end(task).await.unwrap_err();
    assert!(matches!(error, BackupError::Server(_)), "{error}");
    // The one that keeps the WAL: the backup may fail or do without, and is whole if it says so.
    let task = under_way(&bench, &bench.source(), BackupType::Full).await;
    value(
        &bench.url(),
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'walsender'",
    )
    .await;
    match end(task).await {
        Ok(one) => assert_whole(&bench, &one).await,
        Err(error) => assert!(matches!(error, BackupError::Server(_)), "{error}"),
    }
    assert_eq!(oracle(&bench.url()).await, expected);
    // The whole server, as in a crash.
    let home = tempfile::tempdir().unwrap();
    let mut bench = {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        bench.cluster.server.stop(ShutdownMode::Immediate).await.unwrap();
        assert_whole(&bench, &good).await;
        let install = bench.cluster.server.install().clone();
        let options = pgphysical::ClusterOptions::new(install, "secret").setting("fsync", "off");
        let server = pgphysical::LocalCluster::start_in(&home.path().join("source"), options).await.unwrap();
        Bench::with(test_support::TestCluster { server, root: home.path().join("source") }).await
    };
    add_noise(&bench).await;
    let expected = oracle(&bench.url()).await;
    let task = under_way(&bench, &bench.source(), BackupType::Full).await;
    bench.cluster.server.stop(ShutdownMode::Immediate).await.unwrap();
    let error = end(task).await.unwrap_err();
    assert!(matches!(error, BackupError::Server(_)), "{error}");
    assert!(bench.repository.all_backups().await.unwrap().is_empty());
    bench.cluster.server.start().await.unwrap();
    assert_eq!(oracle(&bench.url()).await, expected);
    let next = bench.backup(BackupType::Full, SourceKind::Local).await;
    assert_whole(&bench, &next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_promoted_under_its_backup_is_refused() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    add_noise(&bench).await;
    let standby = bench.cluster.standby("follower").await;
    let source = ConnInfo::parse(&standby.url("postgres")).unwrap();
    sql(&bench.url(), "CHECKPOINT").await;
    let task = under_way(&bench, &source, BackupType::Full).await;
    standby.promote().await.unwrap();
    let error = end(task).await.unwrap_err();
    assert!(error.to_string().contains("promoted"), "{error}");
    assert!(bench.repository.all_backups().await.unwrap().is_empty());
    let options = CreateOptions { source: Some(SourceKind::Local), ..CreateOptions::default() };
    let next = backup::create(&bench.repository, &source, "postgres", &options, &Arc::default()).await.unwrap();
    assert_eq!((next.timeline, next.from_standby), (2, false));
    assert_whole(&bench, &next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_fails_within_a_segment_leaves_no_hole() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let proxy = ChaosProxy::start(bench.cluster.server.port()).await;
    let url = bench.url().replace(&bench.cluster.server.port().to_string(), &proxy.port().to_string());
    let source = ConnInfo::parse(&url).unwrap();
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let (repository, inner, token) = (bench.repository.clone(), status.clone(), stop.clone());
    let task = tokio::spawn(async move {
        let options = StreamOptions { every: Duration::from_millis(200), ..StreamOptions::default() };
        stream(&repository, &source, &options, &inner, &token).await
    });
    until("the stream has begun", async || {
        status.durable.load(Ordering::Relaxed) > 0 || {
            bench.change(1).await;
            false
        }
    })
    .await;
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    let mut connections = proxy.accepted();
    for round in 0..3 {
        let before = status.received.load(Ordering::Relaxed);
        bench.change(round).await;
        until("something comes", async || status.received.load(Ordering::Relaxed) > before).await;
        // In the middle of a segment, and while more is on its way.
        proxy.set(Weather::Cut);
        bench.change(round + 10).await;
        until("the loss is noticed", async || status.error.lock().unwrap().is_some()).await;
        proxy.set(if round == 1 { Weather::Slow(Duration::from_millis(30)) } else { Weather::Fair });
        let end = value(&bench.url(), "pg_current_wal_flush_lsn()").await.parse::<domain::Lsn>().unwrap();
        until("it has caught up", async || status.durable.load(Ordering::Relaxed) >= end.0).await;
        assert!(proxy.accepted() > connections, "it came again by a new connection");
        connections = proxy.accepted();
    }
    let end = value(&bench.url(), "pg_current_wal_flush_lsn()").await.parse::<domain::Lsn>().unwrap();
    stop.cancel();
    task.await.unwrap().unwrap();
    let system = full.cluster.system_identifier;
    let pieces = bench.repository.wal_pieces(system, 1).await.unwrap();
    let from = WalSegment::containing(1, full.start_lsn, 16 << 20).start(16 << 20);
    assert!(covered_until(&pieces, from) >= end);
    let expected = oracle(&bench.url()).await;
    let server = bench.restore_and_start("after", Target::Latest).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);
}

/// A pause ends with whoever asked for the backup: its threads, the file they read and the session that holds the server in
/// backup mode are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_backup_that_nobody_waits_for_any_more_ends() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let progress = Arc::new(backup::Progress::default());
    progress.paused.store(true, Ordering::Relaxed);
    let (repository, source, counted) = (bench.repository.clone(), bench.source(), progress.clone());
    let source = source.with_application_name("paused");
    let options = CreateOptions { source: Some(SourceKind::Local), ..CreateOptions::default() };
    let task = tokio::spawn(async move { backup::create(&repository, &source, "postgres", &options, &counted).await });
    until("the backup has listed its files", async || progress.total.load(Ordering::Relaxed) > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(progress.read.load(Ordering::Relaxed), 0, "it reads nothing meanwhile");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'paused'";
    assert_ne!(value(&bench.url(), sessions).await, "0");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    // Each thread holds the counters.
    until("its threads end", async || Arc::strong_count(&progress) == 1).await;
    until("its session ends", async || value(&bench.url(), sessions).await == "0").await;
}
