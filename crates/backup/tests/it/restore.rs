//! Backups under change, restored to every kind of target.
use crate::support::{Bench, assert_sound, oracle, sql, value};
use backup::{
    BackupError, BackupType, Progress, SourceKind,
    restore::{self, RestoreRequest, Target},
    verify,
};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_and_incrementals_restore_to_every_kind_of_target() {
    for install in test_support::served_versions() {
        println!("PostgreSQL {}", install.version);
        // Where only the server is there, as of the versions between the oldest and the newest, two targets say whether the
        // way as a whole holds: what differs between the targets is the same in all versions.
        let wanted: &[&str] =
            if install.is_complete() { &["latest", "time", "name", "lsn", "xid"] } else { &["latest", "time"] };
        let bench = Bench::new(install).await;
        // Files of the last two seconds are never trusted by their time stamps.
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        let full = bench.backup(BackupType::Full, SourceKind::Local).await;
        assert_eq!((full.kind, full.damaged.len()), (BackupType::Full, 0));
        assert!(full.stats.checked_pages > 100, "{:?}", full.stats);
        bench.change(1).await;
        sql(&bench.url(), "VACUUM FULL accounts; CREATE DATABASE other; CHECKPOINT").await;
        bench.change(2).await;
        let first = bench.backup(BackupType::Incremental, SourceKind::Local).await;
        assert_eq!((first.kind, first.lineage), (BackupType::Incremental, full.lineage));
        assert!(first.stats.unchanged_files > 100, "{:?}", first.stats);
        assert!(first.stats.stored_bytes < full.stats.stored_bytes);

        bench.change(3).await;
        let by_name = oracle(&bench.url()).await;
        sql(&bench.url(), "SELECT pg_create_restore_point('here')").await;
        bench.change(4).await;
        let (by_lsn, lsn) = (oracle(&bench.url()).await, value(&bench.url(), "pg_current_wal_insert_lsn()").await);
        bench.change(5).await;
        let second = bench.backup(BackupType::Incremental, SourceKind::Local).await;
        let by_time = oracle(&bench.url()).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let time =
            value(&bench.url(), "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                .await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let xid = value(&bench.url(), "pg_current_xact_id()").await;
        bench.change(6).await;
        sql(&bench.url(), "DROP TABLE scratch").await;
        let latest = oracle(&bench.url()).await;
        // The WAL after the last backup comes by archive_command here.
        sql(&bench.url(), "SELECT pg_switch_wal()").await;
        push_all(&bench).await;

        for backup in [&full, &first, &second] {
            let verified = verify(&bench.repository, backup, &Arc::new(Progress::default())).await.unwrap();
            assert_eq!(verified.problems, Vec::<String>::new());
            assert!(verified.pages > 100);
        }
        for (name, target, expected) in [
            ("latest", Target::Latest, &latest),
            ("time", Target::time(&time).unwrap(), &by_time),
            ("name", Target::Name("here".to_owned()), &by_name),
            ("lsn", Target::Lsn(lsn.parse().unwrap()), &by_lsn),
            ("xid", Target::Xid(xid.parse().unwrap()), &by_time),
        ]
        .into_iter()
        .filter(|(name, ..)| wanted.contains(name))
        {
            // A named point and a transaction may be before the newest backup: the one before it is named.
            let server = if name == "name" {
                let root = bench.place(name);
                let request = RestoreRequest { system: None, backup: Some(first.id.clone()), target, timeline: None };
                let (plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
                restore::restore(
                    &bench.repository,
                    &plan,
                    &manifest,
                    &bench.options(&root.join("data")),
                    &Arc::default(),
                )
                .await
                .unwrap();
                bench.start(&root).await
            } else {
                bench.restore_and_start(name, target).await
            };
            assert_eq!(&oracle(&server.url("postgres")).await, expected, "{name}");
            assert_sound(&server).await;
        }
    }
}

/// What `archive_command = 'holdfast wal push %p'` would have done.
pub async fn push_all(bench: &Bench) {
    let data = bench.cluster.server.data_dir();
    let mut files = std::fs::read_dir(data.join("pg_wal")).unwrap().map(|it| it.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    let current = value(&bench.url(), "pg_walfile_name(pg_current_wal_lsn() + 1)").await;
    for file in files.into_iter().filter(|file| file.is_file()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        // Recycled segments have later names and older content.
        if name.len() == 24 && name < current {
            backup::wal::push(&bench.repository, &data, &file).await.unwrap();
            // Twice is once.
            backup::wal::push(&bench.repository, &data, &file).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_backup_with_a_tablespace_is_the_same_as_a_local_one() {
    for install in test_support::versions() {
        println!("PostgreSQL {}", install.version);
        let bench = Bench::new(install).await;
        let space = bench.place("space");
        std::fs::create_dir(&space).unwrap();
        std::process::Command::new("chown").arg("postgres").arg(&space).status().unwrap();
        sql(&bench.url(), &format!("CREATE TABLESPACE elsewhere LOCATION '{}'", space.display())).await;
        sql(
            &bench.url(),
            "CREATE TABLE spaced TABLESPACE elsewhere AS SELECT n id, md5(n::text) t FROM generate_series(1, 5000) n",
        )
        .await;
        let full = bench.backup(BackupType::Full, SourceKind::Remote).await;
        assert_eq!(full.source, SourceKind::Remote);
        assert_eq!(full.tablespaces.len(), 1);
        bench.change(1).await;
        let incremental = bench.backup(BackupType::Incremental, SourceKind::Remote).await;
        assert!(incremental.stats.changed_bytes * 4 < full.stats.changed_bytes, "{:?}", incremental.stats);
        let expected = oracle(&bench.url()).await;
        let spaced = value(&bench.url(), "SELECT md5(string_agg(t, ',' ORDER BY id)) FROM spaced").await;
        let root = bench.place("remote");
        let options = backup::restore::RestoreOptions {
            tablespaces: vec![(space.display().to_string(), bench.place("moved"))],
            ..bench.options(&root.join("data"))
        };
        bench.restore(Target::Immediate, &options).await;
        let server = bench.start(&root).await;
        assert_eq!(oracle(&server.url("postgres")).await, expected);
        assert_eq!(
            value(&server.url("postgres"), "SELECT md5(string_agg(t, ',' ORDER BY id)) FROM spaced").await,
            spaced
        );
        assert!(
            value(
                &server.url("postgres"),
                "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'elsewhere'"
            )
            .await
            .ends_with("/moved")
        );
        assert_sound(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta_restore_writes_only_what_differs_and_places_that_must_not_be_touched_are_refused() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    let expected = oracle(&bench.url()).await;
    let root = bench.place("delta");
    let data = root.join("data");
    let plain = bench.options(&data);
    let whole = bench.restore(Target::Immediate, &plain).await;
    let mut server = bench.start(&root).await;
    sql(
        &server.url("postgres"),
        "DELETE FROM accounts WHERE id < 5000; CREATE TABLE foreign_table AS SELECT * FROM history",
    )
    .await;

    let request = RestoreRequest { system: None, backup: None, target: Target::Immediate, timeline: None };
    let (plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
    let delta = backup::restore::RestoreOptions { delta: true, ..plain.clone() };
    let attempt = async |options: &backup::restore::RestoreOptions| {
        restore::restore(&bench.repository, &plan, &manifest, options, &Arc::default()).await
    };
    assert!(matches!(attempt(&delta).await, Err(BackupError::Conflict(text)) if text.contains("a server runs")));
    server.stop(pgphysical::ShutdownMode::Fast).await.unwrap();
    // The guardian of an ephemeral cluster takes the directory with it: make it again for the delta.
    if !data.exists() {
        let _ = attempt(&plain).await.unwrap();
        let table = std::fs::read_dir(data.join("base/5")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&table, b"other bytes").unwrap();
        std::fs::write(data.join("base/5/99999"), b"of another time").unwrap();
    }
    assert!(matches!(attempt(&plain).await, Err(BackupError::Conflict(text)) if text.contains("not empty")));
    let again = attempt(&delta).await.unwrap();
    assert!(again.removed_files >= 1);
    assert!(again.fetched_bytes < whole.fetched_bytes / 2, "{again:?} after {whole:?}");
    let server = bench.start(&root).await;
    assert_eq!(oracle(&server.url("postgres")).await, expected);

    // Two never write to one directory.
    let twice = backup::restore::RestoreOptions { to: bench.place("twice"), ..plain.clone() };
    std::fs::create_dir_all(&twice.to).unwrap();
    let mark = std::fs::File::create(twice.to.join("holdfast.restoring")).unwrap();
    mark.lock().unwrap();
    assert!(matches!(attempt(&twice).await, Err(BackupError::Busy(text)) if text.contains("another restore")));
    assert_eq!(std::fs::read_dir(&twice.to).unwrap().count(), 1, "nothing was written");
    drop(mark);
    attempt(&twice).await.unwrap();
    assert!(!twice.to.join("holdfast.restoring").exists());

    let other = bench.place("full-of-letters");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("letter"), b"dear").unwrap();
    let foreign = backup::restore::RestoreOptions { to: other.clone(), delta: true, ..plain };
    assert!(matches!(attempt(&foreign).await, Err(BackupError::Conflict(text)) if text.contains("no cluster")));
    assert_eq!(std::fs::read(other.join("letter")).unwrap(), b"dear");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_found_and_named_and_an_expired_lineage_leaves_the_other_whole() {
    use backup::retention::{Retention, expire, plan_expire};
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let old = bench.backup(BackupType::Full, SourceKind::Local).await;
    bench.change(1).await;
    let new = bench.backup(BackupType::Full, SourceKind::Local).await;
    let system = new.cluster.system_identifier;
    let plan = plan_expire(
        &bench.repository,
        system,
        &Retention { keep_full: Some(1), grace_hours: Some(0), ..Retention::default() },
    )
    .await
    .unwrap();
    assert_eq!(
        plan.verdicts.iter().filter(|it| it.reasons.is_empty()).map(|it| it.id.as_str()).collect::<Vec<_>>(),
        [old.id.as_str()]
    );
    expire(&bench.repository, &plan).await.unwrap();
    assert_eq!(bench.repository.backups(system).await.unwrap().len(), 1);
    assert!(bench.store.list(&format!("clusters/{system}/lineages/{}/", old.lineage)).await.unwrap().is_empty());
    let clean = verify(&bench.repository, &new, &Arc::default()).await.unwrap();
    assert_eq!(clean.problems, Vec::<String>::new());

    // One bit in the middle of a pack.
    let pack = bench.store.list(&format!("clusters/{system}/lineages/{}/packs/", new.lineage)).await.unwrap().remove(0);
    let path = bench.place("repository").join(&pack.key);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let found = verify(&bench.repository, &new, &Arc::default()).await.unwrap();
    assert!(
        found.problems.iter().any(|it| it.contains("changed or damaged") && it.contains("pages are lost")),
        "{:?}",
        found.problems
    );
    let request = RestoreRequest { system: None, backup: None, target: Target::Immediate, timeline: None };
    let (plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
    let data = bench.place("damaged/data");
    let error = restore::restore(&bench.repository, &plan, &manifest, &bench.options(&data), &Arc::default())
        .await
        .unwrap_err();
    assert!(error.is_damage(), "{error}");
    // Half a restore does not start: it has no control file.
    assert!(!data.join("global/pg_control").exists());
}
