//! A job that is under way is stopped by a person: it ends soon, leaves nothing, and the next of its kind is done.
use crate::support::{Bench, confirmed, listed_and_streaming, over, sql, succeeded, until};
use blobs::{
    BlobStore as _,
    faulty::{Fault, Operation, Rule},
};
use control::{Actor, BackupWanted, ControlPlane, RestoreAsk, RestoreTestParams};
use domain::view::{JobProgress, JobResult, JobState, JobView};
use std::{collections::BTreeSet, time::Duration};

/// What no compression makes small: there is time to stop what reads or writes it.
const FILLER: &str = "CREATE TABLE filler AS SELECT n, (SELECT string_agg(sha512((n::text || ' ' || i)::bytea), '') \
                      FROM generate_series(1, 120) i) AS bytes FROM generate_series(1, 3000) n";

/// Packs and maps: what backups write and nobody else does.
async fn written(bench: &Bench) -> BTreeSet<String> {
    let all = bench.faulty.list("clusters/").await.unwrap();
    all.into_iter().map(|info| info.key).filter(|key| key.contains("/packs/") || key.contains("/maps/")).collect()
}

fn copies_of_tests(bench: &Bench) -> usize {
    std::fs::read_dir(bench.path("tests")).map_or(0, Iterator::count)
}

/// Waits until the job is well under way, has it stopped, and sees it end. The repository is as it was again then.
async fn cancelled(bench: &Bench, control: &ControlPlane, job: JobView, under_way: fn(&JobProgress) -> bool) {
    let actor = Actor::cli();
    let running = until(&format!("'{}' under way", job.title), async || {
        let job = control.job_get(&actor, &job.id).await.unwrap();
        assert!(!job.state.is_over(), "it was to be slow: {job:#?}");
        (job.state == JobState::Running && under_way(&job.progress)).then_some(job)
    })
    .await;
    assert!(!running.cancel_requested && running.started_at.is_some(), "{running:#?}");
    assert!(control.job_cancel(&actor, &job.id).await.unwrap().cancel_requested);
    let ended = over(control, &job.id).await;
    bench.faulty.heal();
    assert_eq!((ended.state, ended.attempt), (JobState::Cancelled, 1), "{ended:#?}");
    assert!(ended.result.is_none() && ended.error.is_none() && ended.finished_at.is_some(), "{ended:#?}");
    assert!(ended.progress.steps.iter().any(|step| step.seconds.is_none()), "not all of it was done: {ended:#?}");
    // Its log says who stopped it.
    let who = actor.identity.as_ref().map(|identity| format!("{} asked to stop it", identity.name)).unwrap();
    assert_eq!(ended.log.iter().filter(|line| line.line == who).count(), 1, "{ended:#?}");
    assert_eq!(copies_of_tests(bench), 0, "{}", job.title);
    let audited = async |action: String| {
        let object = Some(format!("job/{}", job.id));
        let filter = store::AuditFilter { action: Some(action), object, ..Default::default() };
        let rows = control.audit_list(&actor, filter, None, 10).await.unwrap().rows;
        rows.into_iter().map(|row| row.outcome).collect::<Vec<_>>()
    };
    assert_eq!(audited("job_cancel".to_owned()).await, ["ok"]);
    // It did not do what was asked for, and its end is written as every other is.
    assert_eq!(audited(format!("{}_finish", job.kind.as_str())).await, ["failed"]);
    // Over is over.
    assert!(control.job_cancel(&actor, &job.id).await.is_err());
}

/// Bytes of the present step are done.
fn has_done_bytes(progress: &JobProgress) -> bool {
    progress.done_bytes.is_some_and(|done| done > 0)
}

/// The files are being written.
fn writes_files(progress: &JobProgress) -> bool {
    progress.steps.iter().any(|it| it.name == "Write the files" && it.started_at.is_some() && it.seconds.is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_of_each_kind_is_stopped_leaves_nothing_and_can_be_asked_for_again() {
    let bench = Bench::new().await;
    sql(&bench.url(), FILLER).await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    listed_and_streaming(&control, 1).await;
    let slow = |operation: Operation, milliseconds: u64| {
        let fault = Fault::Slow(Duration::from_millis(milliseconds));
        bench.faulty.add(Rule::new(fault).on(operation).key("/packs/"));
    };

    // A backup, while the store lets it wait: what it wrote is gone, and it is in no list.
    let before = written(&bench).await;
    slow(Operation::Writer, 6_000);
    slow(Operation::Write, 1_000);
    let job = control.backup_start(&actor, None, BackupWanted::Full).await.unwrap();
    cancelled(&bench, &control, job, has_done_bytes).await;
    assert_eq!(written(&bench).await, before);
    listed_and_streaming(&control, 1).await;
    let slots = "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name LIKE 'holdfast\\_backup%'";
    until("the end of its slot", async || (sql(&bench.url(), slots).await.as_deref() == Some("0")).then_some(())).await;
    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Full).await.unwrap()).await;
    listed_and_streaming(&control, 2).await;

    // A verification, at one of its many reads.
    slow(Operation::GetRange, 1_500);
    let job = control.backup_verify(&actor, None, None).await.unwrap();
    cancelled(&bench, &control, job, has_done_bytes).await;
    let verified = succeeded(&control, &control.backup_verify(&actor, None, None).await.unwrap()).await;
    assert!(matches!(verified.result, Some(JobResult::Verify { ref problems, .. }) if problems.is_empty()));

    // A restore test, while its files are written.
    let params = RestoreTestParams { backup: None, latest: false };
    slow(Operation::GetRange, 4_000);
    let job = control.backup_test_restore(&actor, None, params.clone()).await.unwrap();
    cancelled(&bench, &control, job, writes_files).await;
    let tested = succeeded(&control, &control.backup_test_restore(&actor, None, params).await.unwrap()).await;
    assert!(matches!(tested.result, Some(JobResult::RestoreTest(ref proof)) if proof.ok), "{tested:#?}");
    assert_eq!(copies_of_tests(&bench), 0);

    // A restore: nothing starts in what it wrote so far.
    let ask = |name: &str| RestoreAsk { directory: name.to_owned(), start: true, ..RestoreAsk::default() };
    slow(Operation::GetRange, 4_000);
    let job = control.restore_start(&actor, None, &ask("stopped"), &confirmed()).await.unwrap();
    cancelled(&bench, &control, job, writes_files).await;
    let half = bench.path("restores").join("stopped/data");
    assert!(half.is_dir(), "it was under way");
    for name in ["global/pg_control", "postmaster.pid"] {
        assert!(!half.join(name).exists(), "{name}");
    }
    let ask = ask("whole");
    let job = succeeded(&control, &control.restore_start(&actor, None, &ask, &confirmed()).await.unwrap()).await;
    let Some(JobResult::Restore { port: Some(port), .. }) = job.result else { panic!("{job:#?}") };
    let beside = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password());
    assert_eq!(sql(&beside, "SELECT count(*)::text FROM filler").await.as_deref(), Some("3000"));

    assert_eq!(control.audit_verify(&actor).await.unwrap().broken, None);
    running.end().await;
}
