//! The service of backup and recovery: WAL streaming, schedules, jobs and the catalogue, beside the monitoring loop.
//!
//! Each task is a reconciler: its input is what stands in the store and in the repository, its next round is its
//! retry, and none stops another. Jobs belong to the store: a server holds one by a lease and may vanish at any moment.
mod alone;
mod catalogue;
mod conditions;
mod configuration;
mod copy;
mod dr;
mod execute;
mod loss;
mod pressure;
mod restore;
mod restore_test;
mod runner;
mod schedule;
mod scheduler;
mod status;
mod throwaway;
mod wal;
mod walserver;
mod work;

pub use alone::Alone;
pub use catalogue::{Held, read_once};
pub use dr::DrillAlone;
pub use restore_test::TestAlone;
pub use schedule::{Schedule, upcoming};

use control::ControlPlane;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How quick the tasks are; tests make them quicker.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at schedules and jobs.
    pub look: Duration,
    /// A job whose holder gave no sign for so long is another's.
    pub lease: Duration,
    /// An incremental is brought forward for the forecast at most so often.
    pub forecast_pause: Duration,
    /// A backup that nobody asked for, the first or that for a gap, is tried again so long after it failed.
    pub again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(2),
            lease: Duration::from_secs(30),
            forecast_pause: Duration::from_secs(600),
            again: Duration::from_secs(600),
        }
    }
}

/// The running tasks.
#[derive(Debug)]
pub struct Service {
    tasks: JoinSet<()>,
    control: ControlPlane,
}

impl Service {
    /// Starts them. Nothing need be reachable yet.
    pub fn start(control: &ControlPlane, pace: Pace, stop: &CancellationToken) -> Self {
        let mut tasks = JoinSet::new();
        if control.recovery().slots().is_empty() {
            return Self { tasks, control: control.clone() };
        }
        for (index, slot) in control.recovery().slots().iter().enumerate() {
            if slot.config.stream {
                tasks.spawn(wal::supervise(control.clone(), index, stop.clone()));
            }
            tasks.spawn(catalogue::keep(control.clone(), index, stop.clone()));
            tasks.spawn(plan(control.clone(), slot.config.cluster.clone(), stop.clone()));
        }
        tasks.spawn(scheduler::run(control.clone(), pace, stop.clone()));
        tasks.spawn(runner::run(control.clone(), pace, stop.clone()));
        Self { tasks, control: control.clone() }
    }

    /// Waits until all have ended; the caller has cancelled the token. Copies that were started end too.
    pub async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.control.recovery().copies().stop_all().await;
    }
}

/// A cluster of which nobody wrote a plan gets one: who needs it has no time to write it.
async fn plan(control: ControlPlane, cluster: String, stop: CancellationToken) {
    while let Err(error) = control.dr_plan_ensure(&cluster).await {
        tracing::warn!(%error, cluster, "the standard recovery plan could not be written; it is tried again");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
            () = stop.cancelled() => return,
        }
    }
}
