//! Faults of the store while backups are taken, and of the process that takes them.
use crate::support::{Bench, oracle, sql};
use backup::{
    BackupError, BackupType, CreateOptions, Progress, Repository, SourceKind,
    restore::{self, RestoreRequest, Target},
    verify,
};
use blobs::faulty::{Fault, FaultyStore, Operation, Rule};
use std::sync::{Arc, atomic::Ordering};

/// After each: a clear error, nothing listed that cannot be restored, and the next backup works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_at_any_step_leaves_a_readable_repository() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    let options = CreateOptions { kind: BackupType::Full, source: Some(SourceKind::Local), ..CreateOptions::default() };
    let system = bench.repository.clusters().await.unwrap()[0];
    for part in ["/packs/", "/maps/", "/wal/", "/manifest", "/commit", "leases/"] {
        let faulty = Arc::new(FaultyStore::new(bench.store.clone()));
        let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
        let repository = Repository::open(faulty.clone(), Some(&key)).await.unwrap();
        faulty.add(Rule::new(Fault::NoSpace).key(part));
        let error =
            backup::create(&repository, &bench.source(), "postgres", &options, &Arc::default()).await.unwrap_err();
        assert!(error.to_string().contains("no space"), "{part}: {error}");
        assert_eq!(bench.repository.backups(system).await.unwrap().len(), 1, "{part}");
    }
    let good = bench.backup(BackupType::Full, SourceKind::Local).await;
    assert_eq!(verify(&bench.repository, &good, &Arc::default()).await.unwrap().problems, Vec::<String>::new());
    // Nothing of ours stays behind in the server.
    let sessions = crate::support::value(&bench.url(), "SELECT count(*) FROM pg_replication_slots").await;
    assert_eq!(sessions, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passing_fault_of_the_store_is_survived() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let faulty = Arc::new(FaultyStore::new(bench.store.clone()));
    let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
    let repository = Repository::open(faulty.clone(), Some(&key)).await.unwrap();
    // The answer to the writing of the manifest is lost, and the commit is refused once.
    faulty.add(Rule::new(Fault::AnswerLost).on(Operation::PutNew).key("/manifest").times(1));
    faulty.add(Rule::new(Fault::Throttled).on(Operation::PutNew).key("/commit").times(1));
    let options = CreateOptions { kind: BackupType::Full, source: Some(SourceKind::Local), ..CreateOptions::default() };
    let one = backup::create(&repository, &bench.source(), "postgres", &options, &Arc::default()).await.unwrap();
    assert!(faulty.count(Operation::PutNew) > 2);
    assert_eq!(verify(&bench.repository, &one, &Arc::default()).await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_backup_is_no_backup_and_a_half_restore_goes_on() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let progress = Arc::new(Progress::default());
    progress.cancelled.store(true, Ordering::Relaxed);
    let options = CreateOptions { kind: BackupType::Full, source: Some(SourceKind::Local), ..CreateOptions::default() };
    let error = backup::create(&bench.repository, &bench.source(), "postgres", &options, &progress).await.unwrap_err();
    assert!(matches!(error, BackupError::Cancelled), "{error}");
    // Large enough for several reads of 8 MiB.
    sql(
        &bench.url(),
        "CREATE TABLE noise AS SELECT md5(random()::text) || md5(random()::text) t FROM generate_series(1, 600000)",
    )
    .await;
    let full = bench.backup(BackupType::Full, SourceKind::Local).await;
    assert_eq!(bench.repository.all_backups().await.unwrap().len(), 1);
    let expected = oracle(&bench.url()).await;
    sql(&bench.url(), "TRUNCATE accounts").await;

    // The store goes away in the middle of a restore.
    let faulty = Arc::new(FaultyStore::new(bench.store.clone()));
    let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
    let repository = Repository::open(faulty.clone(), Some(&key)).await.unwrap();
    let request = RestoreRequest { system: None, backup: Some(full.id), target: Target::Immediate, timeline: None };
    let (plan, manifest) = restore::plan(&repository, &request).await.unwrap();
    faulty.add(Rule::new(Fault::Unavailable).on(Operation::GetRange).key("/packs/").nth(6));
    let root = bench.place("half");
    let options = backup::restore::RestoreOptions { workers: 1, ..bench.options(&root.join("data")) };
    let error = restore::restore(&repository, &plan, &manifest, &options, &Arc::default()).await.unwrap_err();
    assert!(error.to_string().contains("not available"), "{error}");
    assert!(!root.join("data/global/pg_control").exists(), "half a restore must not start");
    // The same command goes on.
    faulty.heal();
    let again = restore::restore(&repository, &plan, &manifest, &options, &Arc::default()).await.unwrap();
    assert!(again.kept_bytes > 0, "{again:?}");
    let server = bench.start(&root).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);
}
