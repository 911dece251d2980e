//! Pages that are wrong in the source already: the backup is taken, marked, and never silently good.
use crate::support::{Bench, sql, value};
use backup::{
    BackupType, CreateOptions, SourceKind, Summary,
    retention::{Retention, plan_expire},
};
use pgphysical::replication::ConnInfo;
use std::{os::unix::fs::FileExt as _, sync::Arc};

async fn take(bench: &Bench, source: &ConnInfo, kind: BackupType, from: SourceKind) -> Summary {
    let options = CreateOptions { kind, source: Some(from), ..CreateOptions::default() };
    backup::create(&bench.repository, source, "postgres", &options, &Arc::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_a_wrong_checksum_marks_the_backup_from_either_source() {
    for install in test_support::versions() {
        println!("PostgreSQL {}", install.version);
        let bench = Bench::new(install).await;
        sql(
            &bench.url(),
            "CREATE TABLE victim WITH (autovacuum_enabled = false) AS SELECT n id, repeat('x', 100) t FROM generate_series(1, 2000) n; VACUUM (FREEZE) victim; CHECKPOINT",
        )
        .await;
        let clean = take(&bench, &bench.source(), BackupType::Full, SourceKind::Remote).await;
        assert_eq!(clean.damaged, []);
        assert!(clean.stats.checked_pages > 100, "{:?}", clean.stats);
        let path = value(&bench.url(), "pg_relation_filepath('victim')").await;
        let file =
            std::fs::File::options().read(true).write(true).open(bench.cluster.server.data_dir().join(&path)).unwrap();
        let mut byte = [0];
        let place = 3 * 8_192 + 5_000;
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], place).unwrap();

        // The server alone would have failed the whole backup.
        let remote = take(&bench, &bench.source(), BackupType::Incremental, SourceKind::Remote).await;
        assert_eq!(remote.damaged.len(), 1, "{:?}", remote.damaged);
        assert_eq!((remote.damaged[0].path.as_str(), remote.damaged[0].page), (path.as_str(), 3));
        assert!(!remote.damaged[0].suspected, "the superuser's look was a second one");
        // A role that may not read files cannot look again.
        sql(
            &bench.url(),
            "CREATE ROLE carrier LOGIN REPLICATION PASSWORD 'secret'; GRANT pg_read_all_settings TO carrier",
        )
        .await;
        let carrier = ConnInfo::parse(&bench.cluster.server.url_as("carrier", "secret", "postgres")).unwrap();
        let suspected = take(&bench, &carrier, BackupType::Full, SourceKind::Remote).await;
        assert!(suspected.damaged.len() == 1 && suspected.damaged[0].suspected, "{:?}", suspected.damaged);

        let local = take(&bench, &bench.source(), BackupType::Full, SourceKind::Local).await;
        assert_eq!((local.damaged.len(), local.damaged[0].page, local.damaged[0].suspected), (1, 3, false));
        // Read again and found as it was, the page is still called what it is; one that rotted since is found too, and
        // no other is judged.
        let second = 5 * 8_192 + 5_000;
        file.read_exact_at(&mut byte, second).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], second).unwrap();
        let again = take(&bench, &bench.source(), BackupType::Incremental, SourceKind::Local).await;
        assert_eq!(again.damaged.iter().map(|it| it.page).collect::<Vec<_>>(), [3, 5], "{:?}", again.damaged);
        assert!(again.stats.checked_pages < local.stats.checked_pages / 2, "{:?}", again.stats);
        file.write_all_at(&byte, second).unwrap();
        let mended = take(&bench, &bench.source(), BackupType::Incremental, SourceKind::Local).await;
        assert_eq!(mended.damaged.iter().map(|it| it.page).collect::<Vec<_>>(), [3], "{:?}", mended.damaged);
        // The file is not read again, and its damage is not forgotten.
        tokio::time::sleep(std::time::Duration::from_millis(2_200)).await;
        take(&bench, &bench.source(), BackupType::Incremental, SourceKind::Local).await;
        let unread = take(&bench, &bench.source(), BackupType::Incremental, SourceKind::Local).await;
        assert!(unread.stats.unchanged_files > 100, "{:?}", unread.stats);
        assert_eq!(unread.damaged.len(), 1, "{:?}", unread.damaged);

        // Retention by count of the newest would leave only damaged ones.
        let retention = Retention { keep_full: Some(1), minimum: 1, ..Retention::default() };
        let plan = plan_expire(&bench.repository, clean.cluster.system_identifier, &retention).await.unwrap();
        let kept = plan.verdicts.iter().filter(|it| !it.reasons.is_empty()).map(|it| &it.id).collect::<Vec<_>>();
        assert!(kept.contains(&&clean.id) && kept.contains(&&unread.id), "{:?}", plan.verdicts);
        assert!(plan.verdicts[0].reasons[0].contains("without damage"), "{:?}", plan.verdicts);
        assert_eq!(plan.expiring, [remote.id, suspected.id]);
    }
}
