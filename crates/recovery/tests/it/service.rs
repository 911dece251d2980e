//! Jobs, streaming, restores, gaps, and two servers on one store.
use crate::support::{Bench, PACE, audited, listed_and_streaming, over, sql, succeeded, until};
use blobs::faulty::{Fault, Rule};
use control::{Actor, BackupWanted, Confirmation, RestoreAsk, RestoreTestParams, TargetAsk};
use domain::view::{JobKind, JobResult, JobState};
use recovery::Service;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use store::{JobRepo, NewJob};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_lost_found_on_the_time_bar_and_restored_beside_and_tests_prove_it() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();

    // Nobody asked: a cluster without a backup gets one at once, and its WAL is streamed.
    let first = until("the first backup", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::Backup), None, None, 10).await.unwrap();
        jobs.rows.into_iter().next()
    })
    .await;
    assert_eq!(first.requested_by, "first backup");
    let first = succeeded(&control, &first).await;
    assert!(matches!(first.result, Some(JobResult::Backup { ref kind, .. }) if kind == "full"), "{first:#?}");
    assert!(first.progress.steps.iter().all(|step| step.seconds.is_some()) && first.log.len() >= 2, "{first:#?}");
    sql(&bench.url(), "INSERT INTO orders VALUES (5001, 'the last good one')").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let moment = control::now();
    sql(&bench.url(), "DROP TABLE orders").await;
    let dropped = control::now();
    // Seconds later the window reaches beyond the loss.
    let window = until("the window", async || {
        let window = control.recovery_window(&actor, None).await.unwrap();
        window.intervals.last().is_some_and(|it| it.to > dropped).then_some(window)
    })
    .await;
    assert_eq!((window.intervals.len(), window.gaps.len(), window.wal.state.as_str()), (1, 0, "streaming"));

    let ask = RestoreAsk {
        target: TargetAsk { kind: "time".into(), value: moment.to_rfc3339() },
        start: true,
        ..RestoreAsk::default()
    };
    // The commit behind the moment may be a piece of WAL away.
    let plan = until("the plan", async || control.restore_plan(&actor, None, &ask).await.ok()).await;
    assert_eq!((plan.refusals.len(), plan.expected_seconds), (0, None), "{plan:#?}");
    let confirmed = Confirmation { name: "main".into(), password: String::new() };
    assert!(
        control.restore_start(&actor, None, &ask, &Confirmation::default()).await.is_err(),
        "the name was not typed"
    );
    let job = control.restore_start(&actor, None, &ask, &confirmed).await.unwrap();
    let job = succeeded(&control, &job).await;
    let restored = job.id.clone();
    let Some(JobResult::Restore { directory, port: Some(port), rpo_seconds, last_commit_at, problems, .. }) =
        job.result
    else {
        panic!("{job:#?}")
    };
    assert!(problems.is_empty() && last_commit_at.is_some_and(|at| at <= moment));
    assert_eq!(rpo_seconds, None, "what came after a chosen moment is left out on purpose");
    let beside = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password());
    assert_eq!(
        sql(&beside, "SELECT count(*)::text FROM orders WHERE item = 'the last good one'").await.as_deref(),
        Some("1")
    );
    assert_eq!(
        sql(&beside, "SELECT current_setting('archive_mode') || current_setting('max_logical_replication_workers')")
            .await
            .as_deref(),
        Some("off0")
    );
    // No secret and no repository in what it was started with; the original goes on.
    let settings = std::fs::read_to_string(format!("{directory}/postgresql.auto.conf")).unwrap();
    assert!(settings.contains("restore_command = '/bin/sh") && !settings.contains("key"), "{settings}");
    assert_eq!(sql(&bench.url(), "SELECT to_regclass('orders')::text").await, None);
    // A running server is never restored over, nor is its directory taken.
    let again = RestoreAsk { directory: job.title.clone(), ..ask.clone() };
    assert!(control.restore_plan(&actor, None, &RestoreAsk { directory: "/etc".into(), ..again }).await.is_err());
    let name = std::path::Path::new(&directory).parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let taken = control.restore_plan(&actor, None, &RestoreAsk { directory: name, ..ask.clone() }).await.unwrap();
    assert!(taken.refusals[0].contains("a server runs in"), "{taken:#?}");

    // The probe names what was lost, so the test of the end of the WAL fails and says why; that of the backup holds.
    let latest = RestoreTestParams { backup: None, latest: true };
    let failed = over(&control, &control.backup_test_restore(&actor, None, latest.clone()).await.unwrap().id).await;
    assert!(
        failed.state == JobState::Failed && failed.error.as_ref().is_some_and(|it| it.contains("orders")),
        "{failed:#?}"
    );
    let good = RestoreTestParams { latest: false, ..latest };
    let good = succeeded(&control, &control.backup_test_restore(&actor, None, good).await.unwrap()).await;
    let Some(JobResult::RestoreTest(proof)) = good.result else { panic!("{good:#?}") };
    assert!(
        proof.ok && proof.rto_seconds > 0.0 && proof.checks.iter().any(|it| it.contains("pg_amcheck")),
        "{proof:#?}"
    );
    // Each row of the backup was read, of the one table that there is.
    let counted = "postgres: 5,000 rows in its only table".to_owned();
    assert!(proof.checks.contains(&counted), "{proof:#?}");
    assert_eq!(std::fs::read_dir(bench.path("tests")).unwrap().count(), 0, "copies of tests are thrown away");
    let overview = control.recovery_overview(&actor, None).await.unwrap();
    assert!(overview.window.proofs.len() == 2 && overview.backups[0].proof.is_some());

    let verified = control.backup_verify(&actor, None, None).await.unwrap();
    succeeded(&control, &verified).await;
    // What there was when it was asked for, and how far it was at its end.
    let Some(JobResult::Backup { id: only, .. }) = &first.result else { panic!("{first:#?}") };
    for (asked, ended) in [("backup_test_restore", "restore_test_finish"), ("backup_verify", "verify_finish")] {
        let before = audited(&control, asked, "ok").await.remove(0).before.unwrap();
        assert!(before["newest_backup"] == only.as_str() && before["restorable_to"].is_string(), "{before:#}");
        let before = audited(&control, ended, "ok").await.remove(0).before.unwrap();
        assert_eq!(before, serde_json::json!({ "state": "running", "attempt": 1 }));
    }
    // A second full backup lets retention drop the first, as its plan says.
    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap()).await;
    let plan = until("the plan", async || {
        let plan = control.expire_plan(&actor, None).await.unwrap();
        (plan.verdicts.len() == 2).then_some(plan)
    })
    .await;
    assert!(plan.verdicts[0].reasons.is_empty() && plan.objects > 0, "{plan:#?}");
    let shown = plan.verdicts.iter().filter(|it| it.reasons.is_empty()).map(|it| it.id.clone()).collect::<Vec<_>>();
    assert!(control.expire(&actor, None, Some(&[]), &confirmed).await.is_err(), "it was not shown");
    let expired = succeeded(&control, &control.expire(&actor, None, Some(&shown), &confirmed).await.unwrap()).await;
    assert!(
        matches!(expired.result, Some(JobResult::Expire { ref removed, .. }) if *removed == [plan.verdicts[0].id.clone()])
    );
    let before = audited(&control, "expire", "ok").await.remove(0).before.unwrap();
    assert!(before["backups"] == 2 && before["expiring"][0] == plan.verdicts[0].id.as_str(), "{before:#}");
    assert!(before["restorable_from"].is_string() && before["bytes"].is_u64(), "{before:#}");
    assert_eq!(control.audit_verify(&actor).await.unwrap().broken, None);

    // A copy is stopped and removed when somebody says so; what stays ends with us, and is removed just so.
    let ask = RestoreAsk { start: true, ..RestoreAsk::default() };
    // Its probe finds the lost table missing, and it runs all the same.
    let second = over(&control, &control.restore_start(&actor, None, &ask, &confirmed).await.unwrap().id).await;
    let Some(JobResult::Restore { files_seconds, rto_seconds, rpo_seconds, unproved, .. }) = &second.result else {
        panic!("{second:#?}")
    };
    // To the newest moment: the stream knows how little it had still to bring.
    // The files were there before it could be used.
    let took = files_seconds.is_some_and(|files| rto_seconds.is_some_and(|all| files > 0.0 && all > files));
    let measured = took && rpo_seconds.is_some_and(|it| (0.0..60.0).contains(&it));
    assert!(measured && unproved.is_empty(), "{second:#?}");
    let copy = control.job_get(&actor, &second.id).await.unwrap().copy.unwrap();
    assert!(copy.runs && std::fs::exists(&copy.directory).unwrap(), "{copy:?}");
    assert!(control.copy_remove(&actor, &second.id, &Confirmation::default()).await.is_err(), "no name was typed");
    let removed = control.copy_remove(&actor, &second.id, &confirmed).await.unwrap();
    assert!(removed.copy.is_none() && !std::fs::exists(&copy.directory).unwrap(), "{removed:#?}");
    assert!(control.copy_remove(&actor, &second.id, &confirmed).await.is_err(), "it is gone");
    let before = audited(&control, "restore_copy_remove", "ok").await.remove(0).before.unwrap();
    assert!(before["copy"]["directory"] == copy.directory.as_str() && before["copy"]["runs"] == true, "{before:#}");
    assert!(control.copy_remove(&actor, "999999", &confirmed).await.is_err(), "there is no such job");
    let refused = audited(&control, "restore_copy_remove", "refused").await;
    assert_eq!((refused.len(), refused[0].object_id.as_str()), (2, "999999"), "{refused:#?}");
    running.end().await;
    let gone = PgConnection::connect(&beside).await;
    assert!(gone.is_err(), "the copy ends with us");
    let first = control.job_get(&actor, &restored).await.unwrap().copy.unwrap();
    assert!(!first.runs, "{first:?}");
    assert!(control.copy_remove(&actor, &restored, &confirmed).await.unwrap().copy.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_store_never_run_the_same_job_and_take_over_from_a_vanished_one() {
    let bench = Bench::new().await;
    let store = test_support::database().await;
    let (one, two) = (bench.control(&store.url).await, bench.control(&store.url).await);
    let actor = Actor::cli();
    // A third server had a job and vanished: it begins again elsewhere, at once, since its process is known to be gone.
    let repo = JobRepo(one.store().db());
    let new = NewJob {
        cluster: "main".into(),
        kind: JobKind::Backup,
        lane: format!("write {}", bench.path("repository").display()),
        title: "Full backup".into(),
        params: serde_json::json!({ "do": "backup", "kind": "full" }),
        schedule_key: None,
        requested_by: "ada".into(),
        at: control::now(),
    };
    let orphan = repo.insert(new).await.unwrap().unwrap();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    repo.claim(&format!("{host}/99999999/00000000"), 600_000).await.unwrap().unwrap();

    let stop = CancellationToken::new();
    let services = [Service::start(&one, PACE, &stop), Service::start(&two, PACE, &stop)];
    let orphan = over(&two, &orphan.to_string()).await;
    assert_eq!((orphan.state, orphan.attempt), (JobState::Succeeded, 2), "{orphan:#?}");
    assert!(orphan.log.iter().any(|line| line.line.contains("vanished")));

    let mut asked = Vec::new();
    for n in 0..6 {
        let control = if n % 2 == 0 { &one } else { &two };
        asked.push(control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap().id);
    }
    let mut runs = Vec::new();
    for id in &asked {
        let job = over(&one, id).await;
        assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1), "{job:#?}");
        runs.push((job.started_at.unwrap(), job.finished_at.unwrap()));
    }
    runs.sort();
    assert!(runs.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two writers of one repository at once: {runs:?}");
    // One has the stream, the other knows.
    until("one stream", async || {
        let mut states = [&one, &two].map(|control| control.recovery().slots()[0].wal.load().state.clone());
        states.sort();
        (states == ["elsewhere", "streaming"]).then_some(())
    })
    .await;
    let filter = store::AuditFilter { action: Some("backup_finish".into()), ..Default::default() };
    assert_eq!(one.audit_list(&actor, filter, None, 100).await.unwrap().rows.len(), 7, "each end is written once");

    // A job that runs hears that it is stopped; one that waits is over at once.
    stop.cancel();
    for service in services {
        service.join().await;
    }
    let waiting = one.backup_start(&actor, None, BackupWanted::Full).await.unwrap();
    assert_eq!(two.job_cancel(&actor, &waiting.id).await.unwrap().state, JobState::Cancelled);
    assert!(one.job_cancel(&actor, &waiting.id).await.is_err());
    let cancels = store::AuditFilter { action: Some("job_cancel".to_owned()), ..store::AuditFilter::default() };
    let rows = one.audit_list(&actor, cancels, None, 10).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>(), ["failed", "ok"], "{rows:#?}");

    // Sent again under the same name it is the same job, whoever hears it; another request is refused.
    let named = Actor { idempotency_key: Some("night".to_owned()), ..actor.clone() };
    let once = one.backup_start(&named, None, BackupWanted::Full).await.unwrap();
    assert_eq!(two.backup_start(&named, None, BackupWanted::Full).await.unwrap().id, once.id);
    let other = one.backup_start(&named, None, BackupWanted::Incremental).await;
    assert!(matches!(other, Err(control::ControlError::Conflict(text)) if text.contains("Idempotency-Key")));
    assert_eq!(audited(&one, "backup_start", "refused").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_shown_and_ended_by_a_backup() {
    let bench = Bench::new().await;
    let (url, _directory) = test_support::sqlite_url();
    let control = bench.control(&url).await;
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let actor = Actor::cli();
    listed_and_streaming(&control, 1).await;
    stop.cancel();
    service.join().await;
    bench.lose_wal().await;
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let window = until("the gap", async || {
        let window = control.recovery_window(&actor, None).await.unwrap();
        window.gaps.last().is_some_and(|gap| gap.to.is_some()).then_some(window)
    })
    .await;
    assert_eq!((window.intervals.len(), window.gaps.len()), (2, 1), "{window:#?}");
    assert!(window.gaps[0].declared && window.gaps[0].reason.contains("slot"), "{window:#?}");
    let jobs = control.jobs_list(&actor, None, Some(JobKind::Backup), None, None, 10).await.unwrap();
    assert_eq!(jobs.rows[0].requested_by, "gap in the WAL");
    // A moment in the gap is refused before anybody types a password.
    let inside = TargetAsk { kind: "time".into(), value: window.gaps[0].from.plus_ms(1).to_rfc3339() };
    let plan =
        control.restore_plan(&actor, None, &RestoreAsk { target: inside, start: true, ..RestoreAsk::default() }).await;
    let refused = match plan {
        Ok(plan) => plan.refusals.join(" "),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("not reached") || refused.contains("missing"), "{refused}");
    stop.cancel();
    service.join().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_cut_off_or_full_loses_nothing_and_is_shown() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    let slot = &control.recovery().slots()[0];
    listed_and_streaming(&control, 1).await;
    for fault in [Fault::Unavailable, Fault::NoSpace] {
        bench.faulty.add(Rule::new(fault));
        sql(
            &bench.url(),
            "INSERT INTO orders SELECT n, 'written while the store was away' FROM generate_series(6000, 9000) n",
        )
        .await;
        let wal = until("the interruption", async || {
            let wal = slot.wal.load_full();
            (wal.state == "interrupted" && wal.lag_seconds.is_some_and(|lag| lag > 1.0)).then_some(wal)
        })
        .await;
        assert!(wal.error.is_some() && wal.lag_bytes.is_some(), "{wal:?}");
        until("the judgement", async || {
            slot.status.load().problems.iter().any(|it| it.rule == "wal_behind").then_some(())
        })
        .await;
        if fault == Fault::NoSpace {
            // A backup fails with the reason; nothing half-made is listed.
            let failed =
                over(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap().id).await;
            assert!(
                failed.state == JobState::Failed && failed.error.as_ref().is_some_and(|it| it.contains("space")),
                "{failed:#?}"
            );
        }
        bench.faulty.heal();
        until("the end of the interruption", async || {
            let wal = slot.wal.load_full();
            (wal.state == "streaming" && wal.lag_bytes == Some(0)).then_some(())
        })
        .await;
    }
    let full = control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap();
    succeeded(&control, &full).await;
    let window = until("the window", async || {
        let overview = control.recovery_overview(&actor, None).await.unwrap();
        (overview.backups.len() == 2 && overview.problems.iter().all(|it| it.rule == "restore_test_overdue"))
            .then_some(overview.window)
    })
    .await;
    assert_eq!((window.intervals.len(), window.gaps.len()), (1, 0), "nothing was lost: {window:#?}");
    running.end().await;
}
