//! A backup whose server was killed between its commit and the end of its job.
use crate::support::{Bench, PACE, sql, succeeded, until};
use blobs::faulty::{Fault, Operation, Rule};
use control::{Actor, ControlPlane};
use domain::view::{JobKind, JobResult, JobView};
use recovery::Service;
use tokio_util::sync::CancellationToken;

/// Milliseconds, by the store's clock.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Leaves the row of a finished job as a server of this host does that was killed before it could write the end: it runs,
/// its lease lasts, and its process is gone. `moments`: what its `started_at` and `requested_at` become.
async fn unfinished(store: &str, job: &JobView, moments: [&str; 2]) {
    let [started, requested] = moments;
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let update = format!(
        "UPDATE job SET state = 'running', holder = '{host}/99999999/00000000', lease_until = {NOW} + 600000, \
         started_at = {started}, requested_at = {requested}, finished_at = NULL, result = NULL WHERE id = {} AND state = 'succeeded' RETURNING id::text",
        job.id
    );
    assert_eq!(sql(store, &update).await.as_deref(), Some(job.id.as_str()));
}

/// The backup that came of a job.
fn made(job: &JobView) -> &str {
    match &job.result {
        Some(JobResult::Backup { id, .. }) => id,
        _ => panic!("{job:#?}"),
    }
}

/// What the repository itself holds, oldest first.
async fn held(control: &ControlPlane) -> Vec<String> {
    let repository = control.recovery().slots()[0].repository().await.unwrap();
    repository.all_backups().await.unwrap().into_iter().map(|one| one.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_the_try_before_had_committed_is_what_came_of_its_job_and_no_older_one_is() {
    let bench = Bench::new().await;
    let store = test_support::database().await;
    let control = bench.control(&store.url).await;
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let first = until("the job of the first backup", async || {
        let jobs = control.jobs_list(&Actor::cli(), None, Some(JobKind::Backup), None, None, 10).await.unwrap();
        jobs.rows.into_iter().next()
    })
    .await;
    let first = succeeded(&control, &first).await;
    let committed = made(&first).to_owned();
    stop.cancel();
    service.join().await;

    // The next server does not know yet what is in the repository, and could not take another. The store's clock is an hour
    // ahead of this machine's: by the clocks the backup was there before its job began.
    unfinished(&store.url, &first, ["started_at + 3600000", "requested_at"]).await;
    bench.faulty.add(Rule::new(Fault::Denied).on(Operation::Writer).key("/packs/"));
    let control = bench.control(&store.url).await;
    let stop = CancellationToken::new();
    let service = Service::start(&control, PACE, &stop);
    let job = succeeded(&control, &first).await;
    assert_eq!((job.attempt, made(&job)), (2, committed.as_str()), "{job:#?}");
    assert_eq!(
        job.started_at.map(|at| at.0),
        first.started_at.map(|at| at.0 + 3_600_000),
        "a try keeps the job's start"
    );
    let told = format!("the try before had committed {committed}, and was ended before it could say so");
    assert!(job.log.iter().any(|line| line.line == told), "{job:#?}");
    assert_eq!(held(&control).await, [committed.as_str()]);

    // A job of the same number that was asked for at another time is another job, as a new store would count it: what is there
    // did not come of it, and the clocks say nothing against that this time either.
    bench.faulty.heal();
    unfinished(&store.url, &job, ["started_at - 7200000", NOW]).await;
    let job = succeeded(&control, &job).await;
    assert_eq!(job.attempt, 3, "{job:#?}");
    assert_eq!(held(&control).await, [committed.as_str(), made(&job)]);
    stop.cancel();
    service.join().await;
}
