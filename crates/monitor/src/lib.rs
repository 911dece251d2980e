//! Background tasks. Each is a reconciler: it needs no input, its next period is its retry, and one that fails stops
//! no other. All end by one cancellation token.

mod advisor;
mod agent;
mod alerts;
mod backoff;
mod batch;
mod cadence;
mod collector;
mod disk;
mod events;
mod history;
mod host;
mod housekeeping;
mod log_samples;
mod own_cost;
mod pages;
mod recorder;
mod sampler;
mod snapshot;
mod state;
mod watch;

pub use advisor::{Review, WorkStatement, review};
pub use cadence::Cadence;

use control::{ClusterConfig, ClusterSnapshot, ControlPlane};
use pgstat::{Cluster, Limits, Target};
use state::Shared;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A cluster to be watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// As configured.
    pub config: ClusterConfig,
    /// How to reach it.
    pub target: Target,
}

/// The running tasks.
#[derive(Debug)]
pub struct Monitor {
    tasks: JoinSet<()>,
}

impl Monitor {
    /// Starts watching. Nothing need be reachable yet.
    pub fn start(control: &ControlPlane, watched: Vec<Watched>, interval: Duration, stop: &CancellationToken) -> Self {
        let cadence = Cadence::new(interval);
        let mut tasks = JoinSet::new();
        let shared = Arc::new(Shared::default());
        let counters = Arc::default();
        let alerts = alerts::start(&mut tasks, control, interval, &shared, stop);
        for one in watched {
            let recorder = recorder::start(&mut tasks, control.clone(), one.config.id.clone(), &counters, stop.clone());
            if let Some(bytes) = one.target.is_local().then(host::memory_bytes).flatten() {
                control.clusters().set_memory(&one.config.id, bytes);
            }
            if let Some(cpus) = one.target.is_local().then(host::cpus).flatten() {
                control.clusters().set_cpus(&one.config.id, cpus);
            }
            let cluster = Arc::new(Cluster::new(one.target, limits(cadence)));
            let review = Arc::<tokio::sync::Notify>::default();
            let agent = agent::Agent {
                cluster: cluster.clone(),
                review: review.clone(),
                id: one.config.id.clone(),
                shared: shared.clone(),
            };
            control.clusters().set_agent(&one.config.id, Arc::new(agent));
            tasks.spawn(advisor::run(
                control.clone(),
                cluster.clone(),
                one.config.id.clone(),
                cadence,
                review,
                stop.clone(),
            ));
            let sampler = sampler::Sampler::default();
            tasks.spawn(sampler::run(sampler.clone(), cluster.clone(), stop.clone()));
            let sinks = watch::Sinks { recorder, alerts: alerts.clone() };
            let watch =
                watch::Watch::new(control.clone(), cluster, sampler, one.config, cadence, sinks, shared.clone());
            tasks.spawn(watch.run(stop.clone()));
        }
        let recorder =
            recorder::start(&mut tasks, control.clone(), control::OWN_CLUSTER.to_owned(), &counters, stop.clone());
        tasks.spawn(own_cost::run(control.clone(), recorder, cadence, stop.clone()));
        tasks.spawn(housekeeping::run(control.clone(), cadence.tick, stop.clone()));
        Self { tasks }
    }

    /// Waits until all have ended; the caller has cancelled the token.
    pub async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A tick must end before the next but one: short intervals get short limits.
fn limits(cadence: Cadence) -> Limits {
    let default = Limits::default();
    let statement = default.statement.min(cadence.tick.max(Duration::from_secs(3)));
    Limits {
        statement,
        deadline: statement + Duration::from_secs(2),
        connect: default.connect.min(statement),
        ..default
    }
}

/// What is shown before the first tick.
pub fn first_snapshot(config: &ClusterConfig, interval: Duration) -> ClusterSnapshot {
    snapshot::first(config, Cadence::new(interval))
}
