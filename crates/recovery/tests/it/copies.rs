//! What the copy of a restore test is kept from doing, and what it finds of an original that is damaged.
use crate::support::{Bench, over, sql, succeeded, until};
use control::{Actor, BackupWanted, RestoreTestParams};
use domain::view::{JobResult, JobState, JobView, ProofView};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

/// What a copy must not take over, asked in the copy itself.
const TAME: [&str; 9] = [
    "SELECT NOT pg_is_in_recovery() AND current_setting('data_directory') LIKE '%/tests/restore-test-%'",
    "SELECT current_setting('primary_conninfo') = '' AND current_setting('primary_slot_name') = ''",
    "SELECT current_setting('archive_mode') = 'off' AND current_setting('shared_preload_libraries') = ''",
    "SELECT current_setting('recovery_end_command') = '' AND current_setting('archive_cleanup_command') = ''",
    "SELECT current_setting('ssl') = 'off' AND current_setting('listen_addresses') = '' AND inet_server_addr() IS NULL",
    "SELECT bool_and(type = 'local' AND auth_method = 'trust') FROM pg_hba_file_rules",
    "SELECT count(*) = 0 FROM pg_replication_slots",
    "SELECT current_setting('max_logical_replication_workers') = '0' AND (SELECT subenabled FROM pg_subscription)",
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('archiver', 'walreceiver', 'walsender', \
     'autovacuum launcher') OR backend_type LIKE 'logical replication%'",
];

fn proof(job: &JobView) -> &ProofView {
    match &job.result {
        Some(JobResult::RestoreTest(proof)) => proof,
        _ => panic!("{job:#?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_tame_whatever_the_original_was_told_and_a_damaged_page_fails_its_test_by_name() {
    let mut bench = Bench::new().await;
    bench.probes = TAME.iter().map(|probe| format!("postgres: {probe}")).collect();
    let reached = bench.path("reached");
    std::fs::create_dir(&reached).unwrap();
    std::fs::set_permissions(&reached, std::fs::Permissions::from_mode(0o777)).unwrap();
    let touch = |name: &str| format!("touch {}", reached.join(name).display());
    // Written down, never loaded here: a copy that took them over would not start, follow somebody, or do harm.
    for (name, value) in [
        ("primary_conninfo", "host=127.0.0.1 port=1".to_owned()),
        ("primary_slot_name", "of_the_original".to_owned()),
        ("archive_mode", "on".to_owned()),
        ("archive_command", touch("archived")),
        ("recovery_end_command", touch("ended")),
        ("archive_cleanup_command", touch("cleaned")),
        ("shared_preload_libraries", "no_such_cron".to_owned()),
        ("listen_addresses", "*".to_owned()),
    ] {
        sql(&bench.url(), &format!("ALTER SYSTEM SET {name} = '{value}'")).await;
    }
    // A server without the library refuses to be told; the file can say it all the same.
    let configuration = bench.cluster.server.data_dir().join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, format!("{text}ssl = 'on'\n")).unwrap();
    for text in [
        "CREATE SUBSCRIPTION drain CONNECTION 'host=127.0.0.1 port=1 dbname=postgres' PUBLICATION orders WITH (connect = false)",
        "ALTER SUBSCRIPTION drain ENABLE",
        "SELECT pg_create_physical_replication_slot('of_a_standby', true)",
        "CREATE TABLE victim WITH (autovacuum_enabled = false) AS SELECT n AS id, repeat('x', 100) AS t FROM generate_series(1, 2000) n",
        "VACUUM (FREEZE) victim",
        "CHECKPOINT",
    ] {
        sql(&bench.url(), text).await;
    }
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    let listed = async |id: Option<&str>| {
        until("the backup", async || {
            let backups = control.recovery_overview(&actor, None).await.unwrap().backups;
            backups.into_iter().map(|it| it.id).find(|it| id.is_none_or(|id| id == it))
        })
        .await
    };
    let test = async |backup: String, latest: bool| {
        let params = RestoreTestParams { backup: Some(backup), latest };
        control.backup_test_restore(&actor, None, params).await.unwrap()
    };

    let clean = listed(None).await;
    let good = succeeded(&control, &test(clean, true).await).await;
    for probe in TAME {
        let told = format!("postgres: {probe}: t");
        assert!(proof(&good).checks.contains(&told), "{told} {good:#?}");
    }
    let left = || std::fs::read_dir(&reached).unwrap().flatten().map(|it| it.file_name()).collect::<Vec<_>>();
    assert!(left().is_empty(), "commands of the original were run by the copy: {:?}", left());

    // A bit of a page falls over on the original's disk. The backup is taken and says so, and its test does not hold.
    let path = sql(&bench.url(), "SELECT pg_relation_filepath('victim')").await.unwrap();
    let file = bench.cluster.server.data_dir().join(&path);
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let (mut byte, place) = ([0], 3 * 8_192 + 5_000);
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], place).unwrap();
    let taken = succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap()).await;
    let Some(JobResult::Backup { id, damaged_pages: 1, .. }) = &taken.result else { panic!("{taken:#?}") };
    let named = format!("page 3 of {path}");
    assert!(taken.log.iter().any(|line| line.line.contains(&named)), "{taken:#?}");
    let failed = over(&control, &test(listed(Some(id.as_str())).await, false).await.id).await;
    assert_eq!((failed.state, proof(&failed).ok), (JobState::Failed, false), "{failed:#?}");
    let error = failed.error.as_ref().unwrap();
    assert!(error.contains("postgres.public.victim cannot be read") && error.contains("block 3"), "{error}");
    let problems = &proof(&failed).problems;
    // PostgreSQL's own program finds it too, in tables that nobody reads as well.
    let found = problems.iter().find(|it| it.contains("checksum verification failed"));
    assert!(found.is_some_and(|it| it.contains(&path) && it.contains("block 3")), "{problems:#?}");
    assert!(failed.log.iter().any(|line| line.line.contains(&path)), "it was known before: {failed:#?}");
    until("the judgement", async || {
        let status = control.recovery().slots()[0].status.load();
        status.problems.iter().any(|it| it.rule == "restore_test_failed").then_some(())
    })
    .await;
    assert!(left().is_empty(), "{:?}", left());
    running.end().await;
    assert_eq!(std::fs::read_dir(bench.path("tests")).unwrap().count(), 0, "the copies are thrown away");
}
