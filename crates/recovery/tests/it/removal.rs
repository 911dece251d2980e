//! A backup is taken away by a person; what was shown of the others outlives the store; a request that is sent again.
use crate::support::{Bench, confirmed, listed, succeeded, until};
use control::{
    Actor, BackupWanted, Confirmation, ControlError, RebuiltBackup, RestoreAsk, RestoreTestParams, TargetAsk,
};
use domain::view::{JobKind, JobResult, JobState};

fn conflict<T: std::fmt::Debug>(done: Result<T, ControlError>) -> String {
    match done {
        Err(ControlError::Conflict(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_when_nothing_needs_it_and_what_stays_is_whole() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    let full = listed(&control, 1).await.remove(0);
    // The last one stays, whoever asks.
    let plan = control.backup_removal_plan(&actor, None, &full.id).await.unwrap();
    assert!(plan.refusals.len() == 1 && plan.refusals[0].contains("at least 1 is kept"), "{plan:#?}");
    let refused = conflict(control.backup_remove(&actor, None, &full.id, &confirmed()).await);
    assert!(refused.contains("take another backup first"), "{refused}");

    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap()).await;
    let rows = listed(&control, 2).await;
    let incremental = rows[0].clone();
    assert_eq!((rows[1].id.as_str(), incremental.lineage.as_str()), (full.id.as_str(), full.lineage.as_str()));
    // One after the other by the cursor, and a cursor of a backup that is gone is still a place.
    let first = control.backups_list(&actor, None, None, 1).await.unwrap();
    assert_eq!(first.rows, std::slice::from_ref(&incremental));
    let cursor = first.next_cursor.unwrap();
    let second = control.backups_list(&actor, None, Some(&cursor), 1).await.unwrap();
    assert_eq!((second.rows[0].id.as_str(), second.next_cursor), (full.id.as_str(), None));

    // What the incremental refers to stays; moments before it are lost, and the plan says so.
    let plan = control.backup_removal_plan(&actor, None, &full.id).await.unwrap();
    assert_eq!((plan.refusals.len(), plan.others_of_lineage), (0, 1), "{plan:#?}");
    assert_eq!((plan.lost_from, plan.lost_to), (Some(full.stopped_at), Some(incremental.stopped_at)));
    assert_eq!(control.backup_removal_plan(&actor, None, &incremental.id).await.unwrap().lost_from, None);

    // A hold is stronger.
    let repository = control.recovery().slots()[0].repository().await.unwrap();
    let held = repository.all_backups().await.unwrap().remove(0);
    repository.hold(&held, "audit", None).await.unwrap();
    let refused = conflict(control.backup_remove(&actor, None, &full.id, &confirmed()).await);
    assert!(refused.contains("held (audit)") && refused.contains("backup release"), "{refused}");
    repository.release(&held).await.unwrap();
    // So is a name that is not typed.
    assert!(control.backup_remove(&actor, None, &full.id, &Confirmation::default()).await.is_err());
    assert!(matches!(
        control.backup_remove(&actor, None, "nothing", &confirmed()).await,
        Err(ControlError::NotFound { .. })
    ));

    let named = Actor { idempotency_key: Some("away with it".to_owned()), ..actor.clone() };
    let job = control.backup_remove(&named, None, &full.id, &confirmed()).await.unwrap();
    assert_eq!(job.title, format!("Removal of {}", full.id));
    let job = succeeded(&control, &job).await;
    assert!(
        matches!(job.result, Some(JobResult::Expire { ref removed, .. }) if *removed == [full.id.clone()]),
        "{job:#?}"
    );
    assert_eq!(listed(&control, 1).await[0].id, incremental.id);
    // Sent again it is the same job, although the backup is gone by now; a key names one request.
    assert_eq!(control.backup_remove(&named, None, &full.id, &confirmed()).await.unwrap().id, job.id);
    conflict(control.backup_remove(&named, None, &incremental.id, &confirmed()).await);
    // Until its grace time is over it can be recalled.
    let system = control.recovery().slots()[0].catalogue.load().system.unwrap();
    assert_eq!(repository.expired(system).await.unwrap().len(), 1);
    // What stays is whole: every byte of it, and a server that starts from it.
    succeeded(&control, &control.backup_verify(&actor, None, None).await.unwrap()).await;
    let params = RestoreTestParams { backup: Some(incremental.id.clone()), latest: false };
    let tested = succeeded(&control, &control.backup_test_restore(&actor, None, params).await.unwrap()).await;
    assert!(matches!(tested.result, Some(JobResult::RestoreTest(ref proof)) if proof.ok), "{tested:#?}");

    let filter = store::AuditFilter { action: Some("backup_remove".into()), ..Default::default() };
    let audit = control.audit_list(&actor, filter, None, 20).await.unwrap().rows;
    let outcomes = audit.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>();
    assert_eq!(outcomes.iter().filter(|it| **it == "ok").count(), 1, "{audit:#?}");
    // The last one, the held one, no name, no such backup, the key of another request.
    assert_eq!(outcomes.iter().filter(|it| **it == "refused").count(), 5, "{audit:#?}");
    let done = audit.iter().find(|row| row.outcome.as_str() == "ok").unwrap();
    let before = serde_json::to_string(&done.before).unwrap();
    assert!(before.contains(&full.id) && before.contains("stored_bytes"), "{before}");

    // The store is lost: what was shown comes back from the repository alone, once.
    let records = until("two records", async || {
        let records = repository.records(system).await.unwrap();
        (records.len() == 2).then_some(records)
    })
    .await;
    running.end().await;
    let (url, _other_directory) = test_support::sqlite_url();
    let empty = bench.control(&url).await;
    recovery::read_once(&empty, "main").await.unwrap();
    assert_eq!(empty.backups_list(&actor, None, None, 50).await.unwrap().rows[0].proof, None);
    let known = RebuiltBackup {
        id: incremental.id.clone(),
        kind: incremental.kind.clone(),
        started_at: incremental.started_at,
        stopped_at: incremental.stopped_at,
        stored_bytes: incremental.stored_bytes,
        damaged_pages: 0,
    };
    let rebuilt = empty.backups_rebuild(&actor, "main", std::slice::from_ref(&known), &records).await.unwrap();
    assert_eq!((rebuilt.backups, rebuilt.records), (1, 2));
    let again = empty.backups_rebuild(&actor, "main", &[known], &records).await.unwrap();
    assert_eq!((again.backups, again.records), (0, 0));
    let row = empty.backups_list(&actor, None, None, 50).await.unwrap().rows.remove(0);
    assert!(row.proof.is_some_and(|proof| proof.ok) && row.verified.is_some_and(|it| it.checked_bytes > 0));
    let window = empty.recovery_window(&actor, None).await.unwrap();
    assert_eq!(window.proofs.len(), 1);
    let tests =
        empty.jobs_list(&actor, None, Some(JobKind::RestoreTest), Some(JobState::Succeeded), None, 10).await.unwrap();
    assert_eq!(tests.rows[0].title, format!("Restore test of {}", incremental.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_into_a_named_directory_that_is_sent_again_is_the_same_job() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    listed(&control, 1).await;
    let ask = RestoreAsk {
        target: TargetAsk { kind: "immediate".into(), value: String::new() },
        directory: "named".to_owned(),
        ..RestoreAsk::default()
    };
    let named = Actor { idempotency_key: Some("one restore".to_owned()), ..actor.clone() };
    let job = control.restore_start(&named, None, &ask, &confirmed()).await.unwrap();
    let job = succeeded(&control, &job).await;
    let again = control.restore_start(&named, None, &ask, &confirmed()).await.unwrap();
    assert_eq!((again.id, again.state), (job.id, JobState::Succeeded));
    // Without the key it is another request, and with it no other may be asked for.
    let refused = conflict(control.restore_start(&actor, None, &ask, &confirmed()).await);
    assert!(refused.contains("is not empty"), "{refused}");
    let elsewhere = RestoreAsk { directory: "elsewhere".to_owned(), ..ask.clone() };
    let refused = conflict(control.restore_start(&named, None, &elsewhere, &confirmed()).await);
    assert!(refused.contains("Idempotency-Key"), "{refused}");
    // It is no way around the typed name.
    assert!(control.restore_start(&named, None, &ask, &Confirmation::default()).await.is_err());
    let jobs = control.jobs_list(&actor, None, Some(JobKind::Restore), None, None, 10).await.unwrap();
    assert_eq!(jobs.rows.len(), 1);
    running.end().await;
}
