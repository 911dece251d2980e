//! Streaming, and what happens when it is interrupted.
use crate::support::{Bench, oracle, sql, value};
use backup::{
    BackupType, KeySource, Repository, SourceKind,
    format::layout,
    restore::{self, RestoreRequest, Target},
    wal::{Fetched, StreamOptions, StreamStatus, covered_until, stream},
};
use blobs::DirStore;
use domain::Lsn;
use pgphysical::{ShutdownMode, replication::ConnInfo, wal::WalSegment};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// No test: the servers of the other tests call this binary as their `restore_command`.
#[test]
fn acts_as_restore_command() {
    let Some(directory) = std::env::var_os("HOLDFAST_TEST_FETCH").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        let store = Arc::new(DirStore::open(&directory.join("repository")).unwrap());
        let key = KeySource::read_file(&directory.join("key")).unwrap();
        let repository = Repository::open(store, Some(&key)).await.unwrap();
        let (name, to) = (std::env::var("HOLDFAST_TEST_NAME").unwrap(), std::env::var("HOLDFAST_TEST_TO").unwrap());
        match backup::wal::fetch(&repository, &std::env::current_dir().unwrap(), &name, to.as_ref()).await {
            Ok(Fetched::Delivered) => 0,
            Ok(Fetched::Absent) => 1,
            Err(error) => {
                eprintln!("{error}");
                126
            }
        }
    });
    std::process::exit(code);
}

struct Streaming {
    status: Arc<StreamStatus>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), backup::BackupError>>,
}

fn start(bench: &Bench) -> Streaming {
    start_from(bench, bench.source())
}

fn start_from(bench: &Bench, source: ConnInfo) -> Streaming {
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let (repository, inner, token) = (bench.repository.clone(), status.clone(), stop.clone());
    let options = StreamOptions { every: Duration::from_millis(500), ..StreamOptions::default() };
    let task = tokio::spawn(async move { stream(&repository, &source, &options, &inner, &token).await });
    Streaming { status, stop, task }
}

impl Streaming {
    async fn durable(&self, lsn: &str) -> Duration {
        let (wanted, begun): (Lsn, _) = (lsn.parse().unwrap(), Instant::now());
        while self.status.durable.load(Ordering::Relaxed) < wanted.0 {
            assert!(begun.elapsed() < Duration::from_secs(200), "not durable: {:?}", self.status);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_committed_seconds_survive_the_loss_of_the_server() {
    for install in test_support::served_versions() {
        println!("PostgreSQL {}", install.version);
        let mut bench = Bench::new(install).await;
        let streaming = start(&bench);
        bench.backup(BackupType::Full, SourceKind::Local).await;
        for seed in 1..6 {
            bench.change(seed).await;
            // Segments are sealed on the way.
            sql(&bench.url(), "SELECT pg_switch_wal()").await;
        }
        // The connection is lost meanwhile; the stream finds the server again without help.
        sql(&bench.url(), "SELECT pg_terminate_backend(pid) FROM pg_stat_replication").await;
        bench.change(7).await;
        let (expected, lsn) = (oracle(&bench.url()).await, value(&bench.url(), "pg_current_wal_flush_lsn()").await);
        streaming.durable(&lsn).await;
        // The slot keeps what is not durable, and only that.
        let kept = value(
            &bench.url(),
            "SELECT restart_lsn <= pg_current_wal_flush_lsn() FROM pg_replication_slots WHERE slot_name = 'holdfast'",
        )
        .await;
        assert_eq!(kept, "true");
        bench.cluster.server.stop(ShutdownMode::Immediate).await.unwrap();
        streaming.end().await;
        let server = bench.restore_and_start("after", Target::Latest).await;
        assert_eq!(oracle(&server.url("postgres")).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_stops_at_a_hole_and_never_ends_early() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    for seed in 1..5 {
        bench.change(seed).await;
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
    }
    crate::restore::push_all(&bench).await;
    let system = bench.repository.clusters().await.unwrap()[0];
    let pieces = bench.repository.wal_pieces(system, 1).await.unwrap();
    let whole = pieces.iter().filter(|piece| piece.end.0 - piece.start.0 == 16 << 20).collect::<Vec<_>>();
    let hole = whole[whole.len() - 2];
    let key = format!("clusters/{system}/wal/00000001/{:016X}-{:016X}-{}", hole.start.0, hole.end.0, hole.id);
    // Lost after the restore was planned: a plan would refuse it.
    let data = bench.place("hole/data");
    bench.restore(Target::Latest, &bench.options(&data)).await;
    bench.store.delete(&key).await.unwrap();
    let name = WalSegment { timeline: 1, number: hole.start.0 >> 24 }.file_name(16 << 20);
    let error = backup::wal::fetch(&bench.repository, &data, &name, &data.join("x")).await.unwrap_err();
    assert!(error.to_string().contains("cannot pass this hole"), "{error}");
    // What nobody ever wrote is absent, and that is certain.
    let after = WalSegment { timeline: 1, number: (hole.start.0 >> 24) + 50 }.file_name(16 << 20);
    assert_eq!(backup::wal::fetch(&bench.repository, &data, &after, &data.join("x")).await.unwrap(), Fetched::Absent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_backed_up_and_its_promotion_is_followed() {
    for install in test_support::versions() {
        println!("PostgreSQL {}", install.version);
        let bench = Bench::new(install).await;
        let standby = bench.cluster.standby("follower").await;
        let source = ConnInfo::parse(&standby.url("postgres")).unwrap();
        let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
        let options = StreamOptions { every: Duration::from_millis(300), ..StreamOptions::default() };
        let (repository, info, inner, token) = (bench.repository.clone(), source.clone(), status.clone(), stop.clone());
        let task = tokio::spawn(async move { stream(&repository, &info, &options, &inner, &token).await });
        // A standby's backup begins at its last restart point, and ends where it has replayed to.
        bench.change(1).await;
        sql(&bench.url(), "CHECKPOINT").await;
        let create = backup::CreateOptions {
            kind: BackupType::Full,
            source: Some(SourceKind::Local),
            ..backup::CreateOptions::default()
        };
        let full = backup::create(&bench.repository, &source, "postgres", &create, &Arc::default()).await.unwrap();
        assert!(full.from_standby);
        bench.change(2).await;
        let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
        let streaming = Streaming { status, stop, task };
        streaming.durable(&lsn).await;
        standby.promote().await.unwrap();
        sql(&standby.url("postgres"), "INSERT INTO history (account, delta) VALUES (1, 1000000)").await;
        let (expected, lsn) = (
            oracle(&standby.url("postgres")).await,
            value(&standby.url("postgres"), "pg_current_wal_flush_lsn()").await,
        );
        streaming.durable(&lsn).await;
        let system = full.cluster.system_identifier;
        let deadline = Instant::now() + Duration::from_secs(200);
        while bench.repository.wal_timelines(system).await.unwrap() != [1, 2] {
            assert!(Instant::now() < deadline, "the new timeline is not followed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        streaming.end().await;
        assert!(bench.repository.history_file(system, 2).await.unwrap().is_some());
        let server = bench.restore_and_start("promoted", Target::Latest).await;
        assert_eq!(oracle(&server.url("postgres")).await, expected);
    }
}

/// The server throws WAL away that the stream had not got: the hole is declared, and the stream goes on behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_is_a_declared_gap() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let streaming = start(&bench);
    bench.change(1).await;
    let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
    streaming.durable(&lsn).await;
    streaming.end().await;
    sql(&bench.url(), "SELECT pg_drop_replication_slot('holdfast')").await;
    for seed in 0..20 {
        bench.change(seed).await;
        sql(&bench.url(), "SELECT pg_switch_wal(); CHECKPOINT").await;
    }
    let streaming = start(&bench);
    bench.change(30).await;
    let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
    streaming.durable(&lsn).await;
    streaming.end().await;
    let system = bench.repository.clusters().await.unwrap()[0];
    let gaps = bench.repository.gaps(system).await.unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].start < gaps[0].end && gaps[0].reason.contains("removed"), "{gaps:?}");
    // A backup from here on is whole again.
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    assert_eq!(backup::verify(&bench.repository, &full, &Arc::default()).await.unwrap().problems, Vec::<String>::new());
}

/// A backup brings the WAL that it needs, however far the stream is behind. Whoever streams then goes on where the stream was:
/// the slot has what lies between, and nobody else would bring it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_a_backup_has_overtaken_goes_on_where_it_was() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let streaming = start(&bench);
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    bench.change(1).await;
    let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
    streaming.durable(&lsn).await;
    streaming.end().await;
    bench.change(2).await;
    let between = value(&bench.url(), "pg_current_wal_flush_lsn()").await.parse::<Lsn>().unwrap();
    for seed in 3..5 {
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
        bench.change(seed).await;
    }
    bench.backup(BackupType::Incremental, SourceKind::Local).await;
    let system = full.cluster.system_identifier;
    let from = WalSegment::containing(1, full.start_lsn, 16 << 20).start(16 << 20);
    let reach = async || covered_until(&bench.repository.wal_pieces(system, 1).await.unwrap(), from);
    let plan = async || {
        let target = Target::Lsn(between);
        let request = RestoreRequest { system: None, backup: None, target, timeline: None };
        backup::restore::plan(&bench.repository, &request).await.map(|(plan, _)| plan.backup.id)
    };
    assert!(reach().await < between, "the backup brought its own WAL alone");
    assert!(plan().await.is_err(), "moments before it cannot be restored yet");

    let streaming = start(&bench);
    bench.change(5).await;
    let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
    streaming.durable(&lsn).await;
    streaming.end().await;
    assert!(reach().await >= lsn.parse::<Lsn>().unwrap(), "there is a hole");
    assert_eq!(plan().await.unwrap(), full.id);
    assert!(bench.repository.gaps(system).await.unwrap().is_empty());
    // With nothing between, the next one goes on in the segment where this one ended.
    let before = bench.repository.wal_pieces(system, 1).await.unwrap();
    let end = before.iter().map(|piece| piece.end).max().unwrap();
    let streaming = start(&bench);
    bench.change(6).await;
    let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
    streaming.durable(&lsn).await;
    streaming.end().await;
    let after = bench.repository.wal_pieces(system, 1).await.unwrap();
    let mut new = after.iter().filter(|piece| !before.contains(piece));
    assert!(new.all(|piece| piece.start >= WalSegment::containing(1, end, 16 << 20).start(16 << 20)), "{after:#?}");
}

/// A cluster that was brought back to an earlier moment has left what came behind it, which the repository has: it is not asked
/// for that, but for what it writes since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_brought_back_is_streamed_from_where_it_left_its_past() {
    let mut bench = Bench::new(test_support::versions().remove(0)).await;
    let streaming = start(&bench);
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    bench.change(1).await;
    let moment = value(&bench.url(), "pg_current_wal_flush_lsn()").await.parse::<Lsn>().unwrap();
    // More than a segment is left behind.
    for seed in 2..5 {
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
        bench.change(seed).await;
    }
    let lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await;
    streaming.durable(&lsn).await;
    streaming.end().await;
    let left = bench.backup(BackupType::Incremental, SourceKind::Local).await;
    bench.cluster.server.stop(ShutdownMode::Immediate).await.unwrap();

    let server = bench.restore_and_start("back", Target::Lsn(moment)).await;
    let url = server.url("postgres");
    let streaming = start_from(&bench, ConnInfo::parse(&url).unwrap());
    sql(&url, "INSERT INTO history (account, delta) VALUES (1, 1000000)").await;
    let (expected, lsn) = (oracle(&url).await, value(&url, "pg_current_wal_flush_lsn()").await);
    streaming.durable(&lsn).await;
    streaming.end().await;
    let system = full.cluster.system_identifier;
    assert_eq!(bench.repository.wal_timelines(system).await.unwrap(), [1, 2]);
    assert!(bench.repository.gaps(system).await.unwrap().is_empty());
    let again = bench.restore_and_start("again", Target::Latest).await;
    assert_eq!(oracle(&again.url("postgres")).await, expected);
    assert_eq!(bench.repository.backup_needed(system).await.unwrap(), None);
    // Without the one from before that moment none leads to what is written now; the other one restores what was left.
    bench.store.delete(&layout::commit(system, &full.id)).await.unwrap();
    let needed = bench.repository.backup_needed(system).await.unwrap();
    assert!(needed.as_ref().is_some_and(|why| why.contains("leads to timeline 2")), "{needed:?}");
    let plan = async |timeline| {
        let request = RestoreRequest { system: None, backup: None, target: Target::Latest, timeline };
        restore::plan(&bench.repository, &request).await.map(|(plan, _)| plan.backup.id)
    };
    assert!(plan(None).await.is_err());
    assert_eq!(plan(Some(1)).await.unwrap(), left.id);
}
