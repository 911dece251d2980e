//! The way out: what is exported is judged by PostgreSQL's own programs, and started.
use crate::support::{Bench, assert_sound, oracle, sql, value};
use backup::{BackupError, BackupType, ExportFormat, ExportOptions, SourceKind, export};
use pgphysical::Install;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

fn verify(install: &Install, arguments: &[&str], directory: &Path) -> Output {
    Command::new(install.program("pg_verifybackup")).args(arguments).arg(directory).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn unpack(archive: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let done = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

fn give_to_postgres(path: &Path) {
    assert!(Command::new("chown").args(["-Rh", "postgres"]).arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_what_pg_basebackup_would_have_written() {
    for install in test_support::versions() {
        println!("PostgreSQL {}", install.version);
        let bench = Bench::new(install.clone()).await;
        let space = bench.place("space");
        fs::create_dir(&space).unwrap();
        give_to_postgres(&space);
        sql(&bench.url(), &format!("CREATE TABLESPACE elsewhere LOCATION '{}'", space.display())).await;
        sql(&bench.url(), "CREATE TABLE spaced TABLESPACE elsewhere AS SELECT n id FROM generate_series(1, 5000) n")
            .await;
        bench.backup(BackupType::Full, SourceKind::Local).await;
        // Pages from several packs: whole windows and deltas.
        bench.change(1).await;
        let one = bench.backup(BackupType::Incremental, SourceKind::Local).await;
        let expected = oracle(&bench.url()).await;
        let oid = one.tablespaces[0].oid;

        let tar = bench.place("tar");
        let options = ExportOptions { to: tar.clone(), workers: 2, ..ExportOptions::default() };
        let done = export(&bench.repository, &one, &options, &Arc::default()).await.unwrap();
        assert_eq!((done.files, done.bytes), (one.stats.files, one.stats.bytes));
        let mut names = fs::read_dir(&tar).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, [format!("{oid}.tar").as_str(), "backup_manifest", "base.tar", "pg_wal.tar"]);
        if install.major >= 18 {
            let judged = verify(&install, &["--no-parse-wal"], &tar);
            assert!(judged.status.success(), "{}", said(&judged));
            assert!(said(&judged).contains("successfully verified"));
        }

        let root = bench.place("unpacked");
        let (data, spaced) = (root.join("data"), bench.place("unpacked-space"));
        unpack(&tar.join("base.tar"), &data);
        unpack(&tar.join("pg_wal.tar"), &data.join("pg_wal"));
        unpack(&tar.join(format!("{oid}.tar")), &spaced);
        fs::copy(tar.join("backup_manifest"), data.join("backup_manifest")).unwrap();
        let link = data.join(format!("pg_tblspc/{oid}"));
        assert_eq!(fs::read_link(&link).unwrap(), space);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&spaced, &link).unwrap();
        let judged = verify(&install, &[], &data);
        assert!(judged.status.success(), "{}", said(&judged));
        assert!(said(&judged).contains("successfully verified"));
        // The judge is one: a changed byte is told.
        let table = value(&bench.url(), "pg_relation_filepath('accounts')").await;
        let bytes = fs::read(data.join(&table)).unwrap();
        fs::write(data.join(&table), [&[bytes[0] ^ 1], &bytes[1..]].concat()).unwrap();
        assert!(!verify(&install, &[], &data).status.success());
        fs::write(data.join(&table), bytes).unwrap();

        fs::write(data.join("tablespace_map"), format!("{oid} {}\n", spaced.display())).unwrap();
        fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        give_to_postgres(&root);
        give_to_postgres(&spaced);
        let server = bench.start(&root).await;
        assert_eq!(oracle(&server.url("postgres")).await, expected);
        assert_eq!(value(&server.url("postgres"), "SELECT count(*) FROM spaced").await, "5000");
        assert_sound(&server).await;

        let root = bench.place("plain");
        let options = ExportOptions { to: root.join("data"), format: ExportFormat::Plain, ..ExportOptions::default() };
        let refused = export(&bench.repository, &one, &options, &Arc::default()).await;
        assert!(matches!(refused, Err(BackupError::Invalid(text)) if text.contains("--tablespace")));
        let options = ExportOptions { tablespaces: vec![(oid.to_string(), bench.place("plain-space"))], ..options };
        export(&bench.repository, &one, &options, &Arc::default()).await.unwrap();
        let judged = verify(&install, &[], &root.join("data"));
        assert!(judged.status.success(), "{}", said(&judged));
        fs::write(root.join("data/tablespace_map"), format!("{oid} {}\n", bench.place("plain-space").display()))
            .unwrap();
        give_to_postgres(&root);
        let server = bench.start(&root).await;
        assert_eq!(oracle(&server.url("postgres")).await, expected);
        // Nothing in the repository says any more that somebody reads.
        assert!(bench.store.list("leases/").await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_damaged_backup_or_into_a_full_directory_is_refused() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let one = bench.backup(BackupType::Full, SourceKind::Remote).await;
    let full = bench.place("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("letter"), b"dear").unwrap();
    let options = ExportOptions { to: full.clone(), ..ExportOptions::default() };
    let refused = export(&bench.repository, &one, &options, &Arc::default()).await;
    assert!(matches!(refused, Err(BackupError::Conflict(text)) if text.contains("not empty")));
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);

    let pack = bench.store.list(&format!("clusters/{}/lineages/", one.cluster.system_identifier)).await.unwrap();
    let pack = pack.iter().find(|it| it.key.contains("/packs/")).unwrap();
    let path = bench.place("repository").join(&pack.key);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let options = ExportOptions { to: bench.place("out"), ..ExportOptions::default() };
    let error = export(&bench.repository, &one, &options, &Arc::default()).await.unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert!(!bench.place("out/backup_manifest").exists(), "half an export must not look whole");
}
