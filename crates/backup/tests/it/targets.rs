//! What cannot be restored is said before anything is written: targets out of reach, places that do not fit.
use crate::support::{Bench, oracle, sql, value};
use backup::{
    BackupError, BackupType, SourceKind, Summary,
    restore::{self, RestoreRequest, Target},
    wal::{SlotLimits, StreamOptions, StreamStatus, TimeStop, stream},
};
use blobs::faulty::{Fault, FaultyStore, Rule};
use domain::Lsn;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const CLOCK: &str = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

async fn plan(bench: &Bench, backup: Option<&Summary>, target: Target) -> Result<restore::RestorePlan, BackupError> {
    let request = RestoreRequest { system: None, backup: backup.map(|it| it.id.clone()), target, timeline: None };
    restore::plan(&bench.repository, &request).await.map(|(plan, _)| plan)
}

fn words<T: std::fmt::Debug>(refused: Result<T, BackupError>) -> String {
    match refused.unwrap_err() {
        BackupError::Invalid(text) | BackupError::NotFound(text) | BackupError::Conflict(text) => text,
        other => panic!("{other}"),
    }
}

async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_out_of_reach_is_refused_with_the_nearest_that_can_be_had() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let early = value(&bench.url(), CLOCK).await;
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    let system = full.cluster.system_identifier;
    // Before consistency.
    let said = words(plan(&bench, None, Target::time(&early).unwrap()).await);
    assert!(said.contains("no backup ends before the target") && said.contains("oldest backup ends"), "{said}");
    let said = words(plan(&bench, Some(&full), Target::time(&early).unwrap()).await);
    assert!(said.contains("is before backup"), "{said}");
    let said = words(plan(&bench, Some(&full), Target::Lsn(Lsn(full.stop_lsn.0 - 1))).await);
    assert!(said.contains("is before backup"), "{said}");
    // After the end, by position and by time.
    let said = words(plan(&bench, None, Target::Lsn(Lsn(full.stop_lsn.0 + (1 << 30)))).await);
    assert!(said.contains("ends at"), "{said}");
    for seed in 0..5 {
        bench.change(seed).await;
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
    }
    crate::restore::push_all(&bench).await;
    let late = value(&bench.url(), CLOCK).await;
    let said = words(plan(&bench, None, Target::time(&late).unwrap()).await);
    assert!(said.contains("the last commit is of") && said.contains("--heartbeat"), "{said}");
    let (last, at) = bench.repository.last_commit(system).await.unwrap().unwrap();
    assert!(said.contains(last.to_rfc3339().get(11..19).unwrap()), "{said} knows {last}");
    // Just before the last commit it can be had, and the plan knows how much there is to replay.
    let before = domain::Timestamp(last.0 - 1).to_rfc3339();
    let found = plan(&bench, None, Target::time(&before).unwrap()).await.unwrap();
    assert_eq!(found.last_commit, Some(last));
    assert!(found.wal_bytes > 0 && found.wal_bytes <= at.0 - full.start_lsn.0, "{found:?} {at}");

    // In a gap and behind it.
    let pieces = bench.repository.wal_pieces(system, 1).await.unwrap();
    let whole =
        pieces.iter().filter(|it| it.end.0 - it.start.0 == 16 << 20 && it.start > full.stop_lsn).collect::<Vec<_>>();
    let hole = whole[whole.len() - 2];
    let key = format!("clusters/{system}/wal/00000001/{:016X}-{:016X}-{}", hole.start.0, hole.end.0, hole.id);
    bench.store.delete(&key).await.unwrap();
    for target in
        [Target::Lsn(Lsn(hole.start.0 + 8)), Target::Lsn(hole.end), Target::Latest, Target::time(&before).unwrap()]
    {
        let said = words(plan(&bench, None, target.clone()).await);
        assert!(said.contains("hole from") && said.contains("cannot pass"), "{target:?}: {said}");
    }
    plan(&bench, None, Target::Lsn(hole.start)).await.unwrap();
    plan(&bench, None, Target::Immediate).await.unwrap();
    let needed = bench.repository.backup_needed(system).await.unwrap().unwrap();
    assert!(needed.contains("take a backup"), "{needed}");
    bench.backup(BackupType::Incremental, SourceKind::Local).await;
    assert_eq!(bench.repository.backup_needed(system).await.unwrap(), None);
    plan(&bench, None, Target::Latest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_does_not_fit_is_refused_and_left_as_it_is() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    let request = RestoreRequest { system: None, backup: None, target: Target::Immediate, timeline: None };
    let (mut plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
    let data = bench.place("small/data");
    // More than any disk has.
    let bytes = std::mem::replace(&mut plan.backup.stats.bytes, 1 << 60);
    let refused = restore::restore(&bench.repository, &plan, &manifest, &bench.options(&data), &Arc::default()).await;
    assert!(words(refused).contains("MiB free; the backup needs"));
    assert_eq!(std::fs::read_dir(&data).map_or(0, Iterator::count), 0);
    plan.backup.stats.bytes = bytes;
    // A stopped cluster of another major version.
    std::fs::create_dir_all(data.join("global")).unwrap();
    std::fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    let delta = backup::restore::RestoreOptions { delta: true, ..bench.options(&data) };
    let said = words(restore::restore(&bench.repository, &plan, &manifest, &delta, &Arc::default()).await);
    assert!(said.contains("PostgreSQL 9, the backup is of PostgreSQL"), "{said}");
    assert_eq!(std::fs::read_to_string(data.join("PG_VERSION")).unwrap(), "9\n");
    assert!(bench.store.list("leases/").await.unwrap().is_empty());
}

/// A database in which nobody does anything is restored to a moment, because heartbeats are commits with a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_database_is_restored_to_a_moment_between_two_heartbeats() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    let expected = oracle(&bench.url()).await;
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let options = StreamOptions {
        every: Duration::from_millis(200),
        heartbeat: Some(Duration::from_millis(500)),
        ..StreamOptions::default()
    };
    let (repository, source, inner, token) = (bench.repository.clone(), bench.source(), status.clone(), stop.clone());
    let task = tokio::spawn(async move { stream(&repository, &source, &options, &inner, &token).await });
    until("the first heartbeat", async || status.heartbeat_at()).await;
    let moment = Target::time(&value(&bench.url(), CLOCK).await).unwrap();
    let found = until("a heartbeat after the moment", async || plan(&bench, None, moment.clone()).await.ok()).await;
    assert!(found.last_commit.is_some());
    let slot = until("a look at the slot", async || status.slot()).await;
    assert_eq!(slot.wal_status.as_deref(), Some("reserved"));
    assert!(slot.kept_bytes.is_some() && slot.free_bytes.is_some());
    stop.cancel();
    task.await.unwrap().unwrap();
    let server = bench.restore_and_start("quiet", moment).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);
}

/// What the first transaction behind the moment did besides its rows must not be replayed: the files of a database that it
/// dropped. PostgreSQL, given the time, stops only before that transaction's commit, where the database is a ruin. What was
/// prepared for two phases before the moment is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_before_a_dropped_database_has_the_database() {
    for install in test_support::versions() {
        let mut settings = crate::support::SETTINGS.to_vec();
        settings.extend([("autovacuum", "off"), ("max_prepared_transactions", "4")]);
        let bench = Bench::with(test_support::private_cluster_of(install, &settings).await).await;
        sql(&bench.url(), "CREATE DATABASE precious").await;
        let precious = bench.cluster.server.url("precious");
        sql(&precious, "CREATE TABLE jewels AS SELECT g id FROM generate_series(1, 1000) g").await;
        bench.backup(BackupType::Full, SourceKind::Local).await;
        sql(&precious, "INSERT INTO jewels VALUES (1001)").await;
        sql(
            &bench.url(),
            "BEGIN; INSERT INTO accounts VALUES (-1, 0, 'in two phases'); PREPARE TRANSACTION 'half way'",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let moment = value(&bench.url(), CLOCK).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        // The checkpoint that comes with it recycles what is behind.
        crate::restore::push_all(&bench).await;
        sql(&bench.url(), "DROP DATABASE precious WITH (FORCE); SELECT pg_switch_wal()").await;
        crate::restore::push_all(&bench).await;
        let target = Target::time(&moment).unwrap();
        let found = plan(&bench, None, target.clone()).await.unwrap();
        assert!(
            matches!(found.time_stop, Some(TimeStop::Behind { end, .. }) if Some(end) == found.stops_at),
            "{found:?}"
        );
        let root = bench.place("before");
        bench.restore(target, &bench.options(&root.join("data"))).await;
        let auto = std::fs::read_to_string(root.join("data/postgresql.auto.conf")).unwrap();
        assert!(auto.contains("recovery_target_lsn") && !auto.contains("recovery_target_time ="), "{auto}");
        let server = bench.start(&root).await;
        assert_eq!(value(&server.url("precious"), "SELECT count(*) FROM jewels").await, "1001");
        assert_eq!(
            value(&server.url("postgres"), "SELECT string_agg(gid, ',') FROM pg_prepared_xacts").await,
            "half way"
        );
    }
}

/// No transaction ended between the backup and the moment: the copy is the backup as soon as it is consistent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_before_the_first_commit_is_the_backup_itself() {
    let mut settings = crate::support::SETTINGS.to_vec();
    settings.push(("autovacuum", "off"));
    let install = test_support::versions().remove(0);
    let bench = Bench::with(test_support::private_cluster_of(install, &settings).await).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    let expected = oracle(&bench.url()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let moment = Target::time(&value(&bench.url(), CLOCK).await).unwrap();
    bench.change(3).await;
    sql(&bench.url(), "SELECT pg_switch_wal()").await;
    crate::restore::push_all(&bench).await;
    assert_eq!(plan(&bench, None, moment.clone()).await.unwrap().time_stop, Some(TimeStop::Consistent));
    let server = bench.restore_and_start("itself", moment).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);
}

/// The repository takes nothing, WAL gathers on the server: at the limit that was set the slot is given up, which ends as a
/// declared gap, and a new backup is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_over_its_limit_is_given_up_and_the_gap_is_declared() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    let system = full.cluster.system_identifier;
    let faulty = Arc::new(FaultyStore::new(bench.store.clone()));
    let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
    let repository = backup::Repository::open(faulty.clone(), Some(&key)).await.unwrap();
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let options = StreamOptions {
        every: Duration::from_millis(200),
        limits: SlotLimits { most_kept: Some(40 << 20), least_free: None },
        ..StreamOptions::default()
    };
    let (source, inner, token) = (bench.source(), status.clone(), stop.clone());
    let task = tokio::spawn(async move { stream(&repository, &source, &options, &inner, &token).await });
    until("the first piece", async || (status.durable.load(Ordering::Relaxed) > 0).then_some(())).await;
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'holdfast'";
    assert_eq!(value(&bench.url(), slots).await, "1");

    faulty.add(Rule::new(Fault::NoSpace));
    let reason = until("giving the slot up", async || {
        bench.change(1).await;
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
        status.given_up()
    })
    .await;
    assert!(reason.contains("limit of 40 MiB"), "{reason}");
    // No new one while the repository takes nothing; the server removes what nobody keeps.
    for seed in 0..20 {
        bench.change(seed).await;
        sql(&bench.url(), "SELECT pg_switch_wal(); CHECKPOINT").await;
    }
    assert_eq!(value(&bench.url(), slots).await, "0");
    until("the reason", async || status.error().filter(|it| it.contains("no space"))).await;
    faulty.heal();
    let gap = until("the declared gap", async || bench.repository.gaps(system).await.unwrap().pop()).await;
    assert!(gap.reason.contains("given up") && gap.reason.contains("40 MiB"), "{gap:?}");
    assert!(bench.repository.backup_needed(system).await.unwrap().unwrap().contains("given up"));
    let lsn: Lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await.parse().unwrap();
    until("streaming again", async || (status.durable.load(Ordering::Relaxed) >= lsn.0).then_some(())).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    bench.backup(BackupType::Incremental, SourceKind::Local).await;
    assert_eq!(bench.repository.backup_needed(system).await.unwrap(), None);
    // Of the gap is told whoever restores from before it; behind it nobody need know.
    let lost = |plan: restore::RestorePlan| plan.notes.iter().filter(|note| note.contains("given up")).count();
    assert_eq!(lost(plan(&bench, Some(&full), Target::Immediate).await.unwrap()), 1);
    assert_eq!(lost(plan(&bench, None, Target::Latest).await.unwrap()), 0);
    let server = bench.restore_and_start("after", Target::Latest).await;
    assert_eq!(oracle(&server.url("postgres")).await, oracle(&bench.url()).await);
}
