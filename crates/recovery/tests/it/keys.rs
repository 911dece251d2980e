//! A data key that the command line makes, or another server, is followed by a server that runs.
use crate::support::{Bench, audited, confirmed, listed_and_streaming, sql, succeeded, until};
use backup::{Repository, format::object::Header};
use blobs::BlobStore as _;
use control::{Actor, BackupWanted, RestoreTestParams};
use domain::view::JobResult;
use std::collections::BTreeSet;

/// The data keys that the objects below a prefix are sealed with.
async fn sealed_with(bench: &Bench, part: &str) -> BTreeSet<[u8; 8]> {
    let mut keys = BTreeSet::new();
    for info in bench.faulty.list("clusters/").await.unwrap() {
        if !info.key.contains(part) {
            continue;
        }
        // A piece may be joined to its segment meanwhile.
        let Ok(bytes) = bench.faulty.get(&info.key).await else { continue };
        keys.insert(Header::decode(&bytes).unwrap().key_id);
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_process_made_is_used_by_the_running_stream_and_jobs() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    listed_and_streaming(&control, 1).await;
    let before = sealed_with(&bench, "/wal/").await;
    assert_eq!(before.len(), 1);

    let elsewhere: Repository = (bench.protected().open.0)().await.unwrap();
    assert_eq!(elsewhere.rotate_key().await.unwrap(), 2);
    // The stream that runs goes on with it, without being interrupted.
    until("WAL under the new key", async || {
        sql(&bench.url(), "INSERT INTO orders VALUES (7001, 'after the new key')").await;
        (sealed_with(&bench, "/wal/").await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(control.recovery().slots()[0].wal.load().state, "streaming");

    // A backup by another process, sealed with a key that this server has never read, is in its list and is restored.
    let third = elsewhere.rotate_key().await.unwrap();
    assert_eq!(third, 3);
    let source = bench.protected().source;
    let options = backup::CreateOptions::default();
    let taken =
        backup::create(&elsewhere, &source, &source.database, &options, &std::sync::Arc::default()).await.unwrap();
    until("the backup of the other process", async || {
        let overview = control.recovery_overview(&actor, None).await.unwrap();
        assert_eq!(overview.repository.error, None);
        overview.backups.iter().any(|row| row.id == taken.id).then_some(())
    })
    .await;
    let params = RestoreTestParams { backup: Some(taken.id.clone()), latest: true };
    let tested = succeeded(&control, &control.backup_test_restore(&actor, None, params).await.unwrap()).await;
    assert!(matches!(tested.result, Some(JobResult::RestoreTest(ref proof)) if proof.ok), "{tested:#?}");
    // And what this server writes is sealed with it too.
    let own = succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap()).await;
    let Some(JobResult::Backup { id, .. }) = own.result else { panic!("{own:#?}") };
    let newest = sealed_with(&bench, &format!("/backups/{id}/")).await;
    assert_eq!(newest, sealed_with(&bench, &format!("/backups/{}/", taken.id)).await);
    // A printed code stands beside the keys there were, and both are told.
    let named = Actor { idempotency_key: Some("one code".to_owned()), ..actor.clone() };
    assert!(!control.repository_key_add(&named, None, "safe", &confirmed()).await.unwrap().is_empty());
    // Sent again, the request makes no second one.
    let again = control.repository_key_add(&named, None, "safe", &confirmed()).await.unwrap_err().to_string();
    assert!(again.contains("shown once"), "{again}");
    let slots = elsewhere.key_slots().await.unwrap();
    assert_eq!(slots.iter().filter(|slot| slot.label == "safe").count(), 1, "{slots:#?}");
    assert_eq!(audited(&control, "repository_key_add", "refused").await.len(), 1);
    assert_eq!(audited(&control, "repository_key_add_asked", "ok").await.len(), 1);
    let told = audited(&control, "repository_key_add", "ok").await.remove(0);
    let before = told.before.unwrap();
    let kinds = before["keys"].as_array().unwrap().iter().map(|key| key["kind"].as_str().unwrap());
    assert_eq!(kinds.collect::<BTreeSet<_>>(), BTreeSet::from(["file", "recovery"]), "{before:#}");
    let added = told.after.unwrap();
    assert_eq!(added["label"], "safe");
    // It is taken away again, and the data key changed: as it was and as it is.
    let id = added["id"].as_str().unwrap();
    until("the code in the list", async || {
        let catalogue = control.recovery().slots()[0].catalogue.load_full();
        catalogue.keys.iter().any(|key| key.label == "safe").then_some(())
    })
    .await;
    control.repository_key_remove(&actor, None, id, &confirmed()).await.unwrap();
    let told = audited(&control, "repository_key_remove", "ok").await.remove(0);
    assert_eq!(told.before.unwrap(), serde_json::json!({ "kind": "recovery", "label": "safe" }));
    assert_eq!(told.after.unwrap()["removed"], id);
    assert_eq!(control.repository_key_rotate(&actor, None, &confirmed()).await.unwrap(), 4);
    let told = audited(&control, "repository_key_rotate", "ok").await.remove(0);
    let (before, after) = (told.before.unwrap(), told.after.unwrap());
    assert_eq!((before["data_key"].as_u64(), after["data_key"].as_u64()), (Some(3), Some(4)));
    running.end().await;
}
