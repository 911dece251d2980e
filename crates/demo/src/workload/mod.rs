//! A workload that never stops: each job has its own connection and application name, and finds its way back after a
//! restart of the server.

mod chains;
mod jobs;

use crate::Estate;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use std::{future::Future, str::FromStr as _, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest wait before the next attempt to connect.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// One kind of work.
trait Job: Send + 'static {
    /// `application_name`.
    const APPLICATION: &'static str;
    /// Does one piece of work and says how long to rest.
    fn step(&mut self, connection: &mut PgConnection) -> impl Future<Output = Result<Duration, sqlx::Error>> + Send;
}

/// The running jobs.
#[derive(Debug)]
pub struct Workload {
    tasks: JoinSet<()>,
}

impl Workload {
    /// Starts all jobs; they end with `stop`.
    pub fn start(estate: &Estate, stop: &CancellationToken) -> Self {
        let mut tasks = JoinSet::new();
        let (primary, replica) = (estate.application_url(), estate.application_replica_url());
        for seed in 0..3 {
            tasks.spawn(run(jobs::Lookups::new(seed), primary.clone(), stop.clone()));
        }
        tasks.spawn(run(jobs::Search::new(10), primary.clone(), stop.clone()));
        tasks.spawn(run(jobs::Unindexed::new(11), primary.clone(), stop.clone()));
        tasks.spawn(run(jobs::Ingest::new(12), primary.clone(), stop.clone()));
        tasks.spawn(run(jobs::Operations::new(13), primary.clone(), stop.clone()));
        tasks.spawn(run(jobs::Reports::default(), primary.clone(), stop.clone()));
        tasks.spawn(run(jobs::BigSorts, primary.clone(), stop.clone()));
        tasks.spawn(run(jobs::Dashboards::new(14), replica, stop.clone()));
        tasks.spawn(run(chains::IdleInTransaction, primary.clone(), stop.clone()));
        tasks.spawn(chains::lock_chains(primary.clone(), stop.clone()));
        tasks.spawn(chains::bursts(primary, stop.clone()));
        Self { tasks }
    }

    /// Waits until all have ended; the caller has cancelled the token.
    pub async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Connects as `application`; nothing is logged by the driver.
async fn connect(url: &str, application: &str) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name(application).disable_statement_logging();
    PgConnection::connect_with(&options).await
}

/// Repeats a job until `stop`. A statement that was cut short by it is cancelled by closing the connection.
async fn run<J: Job>(mut job: J, url: String, stop: CancellationToken) {
    let mut backoff = Duration::from_millis(200);
    let repeated = async {
        loop {
            let error = match connect(&url, J::APPLICATION).await {
                Ok(mut connection) => {
                    backoff = Duration::from_millis(200);
                    loop {
                        match job.step(&mut connection).await {
                            Ok(rest) => tokio::time::sleep(rest).await,
                            Err(error) => break error,
                        }
                    }
                }
                Err(error) => error,
            };
            tracing::debug!(%error, job = J::APPLICATION, "a job of the workload begins anew");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    };
    tokio::select! {
        () = repeated => {}
        () = stop.cancelled() => {}
    }
}
