//! What stays and what goes: holds, grace, readers, recall, and the WAL of what stays.
use crate::support::{Bench, oracle, sql};
use backup::{
    BackupError, BackupType, CreateOptions, ExportOptions, Progress, Repository, SourceKind, Summary, export,
    restore::{self, RestoreRequest, Target},
    retention::{Retention, expire, plan_expire},
    verify,
};
use blobs::{
    DirStore,
    faulty::{Fault, FaultyStore, Operation, Rule},
};
use std::{sync::Arc, time::Duration};
use test_support::Room;

fn newest(grace_hours: u32) -> Retention {
    Retention { keep_full: Some(1), grace_hours: Some(grace_hours), ..Retention::default() }
}

async fn expire_now(repository: &Repository, system: u64, retention: &Retention) -> Vec<String> {
    let plan = plan_expire(repository, system, retention).await.unwrap();
    expire(repository, &plan).await.unwrap();
    plan.expiring
}

async fn lineage_objects(bench: &Bench, one: &Summary) -> usize {
    let prefix = format!("clusters/{}/lineages/{}/", one.cluster.system_identifier, one.lineage);
    bench.store.list(&prefix).await.unwrap().len()
}

async fn problems(bench: &Bench, one: &Summary) -> Vec<String> {
    verify(&bench.repository, one, &Arc::default()).await.unwrap().problems
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_backup_can_be_recalled_until_its_grace_time_is_over_and_a_held_one_stays() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let old = bench.backup(BackupType::Full, SourceKind::Local).await;
    let system = old.cluster.system_identifier;
    bench.change(1).await;
    let new = bench.backup(BackupType::Full, SourceKind::Local).await;

    // Held: named in the plan, and it stays.
    let hold = bench.repository.hold(&old, "audit 2026", None).await.unwrap();
    let plan = plan_expire(&bench.repository, system, &newest(0)).await.unwrap();
    assert!(plan.verdicts[0].reasons.iter().any(|it| it.contains("held (audit 2026)")), "{:?}", plan.verdicts);
    assert!(!plan.verdicts[0].keeps_wal && plan.verdicts[1].keeps_wal);
    assert_eq!(expire_now(&bench.repository, system, &newest(0)).await, Vec::<String>::new());
    assert_eq!(problems(&bench, &old).await, Vec::<String>::new());
    assert_eq!(bench.repository.holds(system).await.unwrap(), [hold]);
    let passed = bench.repository.hold(&old, "", Some(domain::Timestamp(1))).await;
    assert!(matches!(passed, Err(BackupError::Invalid(text)) if text.contains("passed")));
    assert_eq!(bench.repository.release(&old).await.unwrap(), 1);
    assert!(matches!(bench.repository.release(&old).await, Err(BackupError::NotFound(_))));

    // Expired with a grace time: not listed, all there, and it comes back whole.
    assert_eq!(expire_now(&bench.repository, system, &newest(24)).await, [old.id.as_str()]);
    assert_eq!(bench.repository.backups(system).await.unwrap().len(), 1);
    assert_eq!(bench.repository.expired(system).await.unwrap()[0].id, old.id);
    assert!(matches!(verify(&bench.repository, &old, &Arc::default()).await, Err(BackupError::NotFound(_))));
    let again = plan_expire(&bench.repository, system, &newest(24)).await.unwrap();
    assert_eq!((again.expiring.len(), again.objects.len(), again.waiting.len()), (0, 0, 1));
    let recalled = bench.repository.recall(system, &old.id).await.unwrap();
    assert_eq!(recalled, old);
    assert_eq!(problems(&bench, &old).await, Vec::<String>::new());
    assert!(bench.repository.expired(system).await.unwrap().is_empty());

    // Over: everything of it goes, and nothing of the other.
    expire_now(&bench.repository, system, &newest(24)).await;
    assert!(lineage_objects(&bench, &old).await > 0);
    expire_now(&bench.repository, system, &newest(0)).await;
    assert_eq!(lineage_objects(&bench, &old).await, 0);
    assert!(matches!(bench.repository.recall(system, &old.id).await, Err(BackupError::NotFound(_))));
    assert!(bench.repository.expired(system).await.unwrap().is_empty());
    assert_eq!(problems(&bench, &new).await, Vec::<String>::new());
}

/// A restore is under way while everything it reads expires, without any grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_restore_keeps_what_it_reads() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    sql(&bench.url(), "CREATE TABLE noise AS SELECT md5(random()::text) t FROM generate_series(1, 100000)").await;
    let old = bench.backup(BackupType::Full, SourceKind::Local).await;
    let expected = oracle(&bench.url()).await;
    let system = old.cluster.system_identifier;
    bench.change(1).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;

    let faulty = Arc::new(FaultyStore::new(bench.store.clone()));
    let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
    let slow = Repository::open(faulty.clone(), Some(&key)).await.unwrap();
    let request =
        RestoreRequest { system: None, backup: Some(old.id.clone()), target: Target::Immediate, timeline: None };
    let (plan, manifest) = restore::plan(&slow, &request).await.unwrap();
    let root = bench.place("running");
    let options = bench.options(&root.join("data"));
    // Its reads of packs wait.
    faulty.add(Rule::new(Fault::Held).on(Operation::GetRange).key("/packs/"));
    let progress = Arc::new(Progress::default());
    let (inner, inner_plan) = (slow.clone(), plan.clone());
    let task = tokio::spawn(async move { restore::restore(&inner, &inner_plan, &manifest, &options, &progress).await });
    let deadline = std::time::Instant::now() + Duration::from_secs(200);
    while bench.store.list(&format!("leases/read-{system}-")).await.unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "no lease of the restore");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(expire_now(&bench.repository, system, &newest(0)).await, [old.id.as_str()]);
    let waiting = plan_expire(&bench.repository, system, &newest(0)).await.unwrap().waiting;
    assert_eq!(waiting[0].readers, [format!("restore of {}", old.id)]);
    faulty.heal();
    task.await.unwrap().unwrap();
    let server = bench.start(&root).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);

    // A reader that comes after the expiry is told so, and does not begin.
    let late = restore::restore(
        &slow,
        &plan,
        &bench.repository.manifest(&old).await.unwrap(),
        &bench.options(&bench.place("late/data")),
        &Arc::default(),
    )
    .await;
    assert!(matches!(late, Err(BackupError::NotFound(text)) if text.contains("expired meanwhile")));
    let out = ExportOptions { to: bench.place("out"), ..ExportOptions::default() };
    assert!(matches!(export(&slow, &old, &out, &Arc::default()).await, Err(BackupError::NotFound(_))));
    // And nobody reads any more.
    expire_now(&bench.repository, system, &newest(0)).await;
    assert_eq!(lineage_objects(&bench, &old).await, 0);
}

/// Incrementals go one by one; what only they had goes with them, and the others stay whole. Interrupted anywhere, no
/// backup that is listed has a hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_incremental_takes_only_what_nobody_else_has() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let mut all = vec![bench.backup(BackupType::Full, SourceKind::Local).await];
    for seed in 0..3 {
        // The same pages each time, so that a later delta replaces an earlier one.
        sql(
            &bench.url(),
            &format!("UPDATE accounts SET balance = {seed} WHERE id < 3000; VACUUM accounts; CHECKPOINT"),
        )
        .await;
        all.push(bench.backup(BackupType::Incremental, SourceKind::Local).await);
    }
    let system = all[0].cluster.system_identifier;
    let last = all.pop().unwrap();
    let before = lineage_objects(&bench, &last).await;
    // Only the last by count of days is kept: the minimum.
    let retention = Retention { keep_days: Some(0), minimum: 1, grace_hours: Some(0), ..Retention::default() };
    let faulty = Arc::new(FaultyStore::new(bench.store.clone()));
    let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
    let repository = Repository::open(faulty.clone(), Some(&key)).await.unwrap();
    for nth in [1, 2, 4, 7] {
        faulty.heal();
        faulty.add(Rule::new(Fault::Unavailable).on(Operation::Delete).key("clusters/").nth(nth));
        let plan = plan_expire(&repository, system, &retention).await.unwrap();
        let _ = expire(&repository, &plan).await;
        for one in bench.repository.backups(system).await.unwrap() {
            assert_eq!(problems(&bench, &one).await, Vec::<String>::new(), "interrupted at delete {nth}");
        }
    }
    expire_now(&bench.repository, system, &retention).await;
    let left = bench.repository.backups(system).await.unwrap();
    assert_eq!(left.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), [last.id.as_str()]);
    assert!(lineage_objects(&bench, &last).await <= before);
    assert_eq!(problems(&bench, &last).await, Vec::<String>::new());
    let server = bench.restore_and_start("last", Target::Latest).await;
    assert_eq!(oracle(&server.url("postgres")).await, oracle(&bench.url()).await);
}

/// Of a backup that is only held, the WAL after it goes; the backup restores to its own end, and to later moments not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_only_backup_keeps_the_wal_that_makes_it_consistent() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let old = bench.backup(BackupType::Full, SourceKind::Local).await;
    let expected = oracle(&bench.url()).await;
    let system = old.cluster.system_identifier;
    for seed in 0..4 {
        bench.change(seed).await;
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
    }
    crate::restore::push_all(&bench).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    let pieces = bench.repository.wal_pieces(system, 1).await.unwrap().len();
    bench.repository.hold(&old, "yearly", None).await.unwrap();
    expire_now(&bench.repository, system, &newest(0)).await;
    assert!(bench.repository.wal_pieces(system, 1).await.unwrap().len() + 2 < pieces);
    assert_eq!(problems(&bench, &old).await, Vec::<String>::new());

    let request =
        RestoreRequest { system: None, backup: Some(old.id.clone()), target: Target::Immediate, timeline: None };
    let (plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
    let root = bench.place("held");
    restore::restore(&bench.repository, &plan, &manifest, &bench.options(&root.join("data")), &Arc::default())
        .await
        .unwrap();
    let server = bench.start(&root).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);
    // To the end it cannot go, and that is said before anything is written.
    let request = RestoreRequest { target: Target::Latest, ..request };
    let refused = restore::plan(&bench.repository, &request).await;
    assert!(matches!(refused, Err(BackupError::Invalid(text)) if text.contains("--immediate")));
}

/// To delete, an expiry must write first. On a file system without a free byte it lives on the room kept back for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_free_byte_can_still_be_expired() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let Some(room) = Room::mount_or_skip(&bench.place("small"), "100m") else { return };
    let root = bench.place("small/repository");
    let repository = Repository::init(Arc::new(DirStore::create(&root).unwrap()), None).await.unwrap();
    let take = async || {
        let options = CreateOptions { kind: BackupType::Full, source: Some(SourceKind::Local), ..Default::default() };
        backup::create(&repository, &bench.source(), "postgres", &options, &Arc::default()).await
    };
    let (old, reserve) = (take().await.unwrap(), root.join("tmp/reserve"));
    let system = old.cluster.system_identifier;
    assert!(reserve.exists(), "room is kept back by the first backup");
    let new = take().await.unwrap();
    room.fill("filler");
    let refused = take().await.unwrap_err();
    assert!(refused.to_string().contains("no space is left"), "{refused}");
    assert!(reserve.exists(), "it is for expiry alone");

    let plan = plan_expire(&repository, system, &newest(0)).await.unwrap();
    assert_eq!(plan.expiring, [old.id.as_str()]);
    expire(&repository, &plan).await.unwrap();
    assert!(!reserve.exists(), "that is what it took");
    assert_eq!(repository.backups(system).await.unwrap().len(), 1);
    let prefix = format!("clusters/{system}/lineages/{}/", old.lineage);
    assert!(repository.store().list(&prefix).await.unwrap().is_empty(), "its objects are gone");
    assert_eq!(verify(&repository, &new, &Arc::default()).await.unwrap().problems, Vec::<String>::new());

    // With room again it is kept again.
    std::fs::remove_file(bench.place("small/filler")).unwrap();
    take().await.unwrap();
    assert!(reserve.exists());
}
