//! What is unusual for this time of the day: figures of the last minutes beside those of the same hours of the days before.
//! What is usual is read from the history now and then; a store that is away meanwhile changes nothing.
use analysis::alerts::{
    Observed,
    baseline::{HOURS, Usual},
};
use control::{ControlPlane, now};
use domain::{
    format,
    view::{ClusterState, Dashboard, Metric},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use store::{MetricRepo, StoreError};
use tokio_util::sync::CancellationToken;

const RULE: &str = "load_unusual";
const HOUR_MS: i64 = 3_600_000;
/// The time of the day moves on.
const LEARNT_EVERY: Duration = Duration::from_secs(1_800);

/// A figure that has usual values.
struct Figure {
    name: &'static str,
    /// Its lines are added up.
    metric: Metric,
    /// The smallest deviation that matters.
    least: f64,
    /// As it is now, over five minutes.
    value: fn(&Dashboard) -> Option<f64>,
    show: fn(f64) -> String,
}

static FIGURES: [Figure; 3] = [
    Figure {
        name: "active sessions",
        metric: Metric::ActiveSessions,
        least: 0.5,
        value: |it| {
            (!it.waits.is_empty()).then(|| it.waits.iter().map(|wait| wait.average_active_sessions).sum::<f64>())
        },
        show: |value| format!("{value:.1}"),
    },
    Figure {
        name: "latency P95",
        metric: Metric::LatencyP95Ms,
        least: 1.0,
        value: |it| it.latency.as_ref().map(|latency| latency.p95_ms),
        show: format::duration_ms,
    },
    Figure {
        name: "transactions",
        metric: Metric::TransactionsPerSecond,
        least: 1.0,
        value: |it| it.throughput.as_ref().map(|throughput| throughput.transactions_per_second),
        show: format::rate,
    },
];

type Learnt = Vec<(&'static Figure, Usual)>;

pub(super) async fn run(control: ControlPlane, interval: Duration, stop: CancellationToken) {
    let every = interval.max(Duration::from_secs(1));
    let mut known = HashMap::<String, (Instant, Learnt)>::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        let clusters = control.clusters().all().map(|(config, snapshot)| (config.id.clone(), snapshot));
        for (cluster, snapshot) in clusters.collect::<Vec<_>>() {
            if known.get(&cluster).is_none_or(|(at, _)| at.elapsed() >= LEARNT_EVERY) {
                match learn(&control, &cluster).await {
                    Ok(learnt) => {
                        known.insert(cluster.clone(), (Instant::now(), learnt));
                    }
                    Err(error) => {
                        tracing::debug!(%error, cluster, "what is usual could not be read; it is tried again");
                    }
                }
            }
            // Without enough days nothing is known, and nothing is said.
            let Some((_, learnt)) = known.get(&cluster).filter(|(_, learnt)| !learnt.is_empty()) else { continue };
            control.alerts().observe(&cluster, RULE, look(learnt, &snapshot.dashboard), every * 3);
        }
    }
}

async fn learn(control: &ControlPlane, cluster: &str) -> Result<Learnt, StoreError> {
    let to = now();
    let from = to.plus_ms(-HOUR_MS * HOURS as i64);
    let metrics = MetricRepo(control.store().db());
    let mut learnt = Vec::new();
    for figure in &FIGURES {
        let mut hours = vec![None::<f64>; HOURS];
        for point in metrics.history(cluster, figure.metric, from, to, HOUR_MS).await? {
            // The newest first.
            let place = usize::try_from(HOURS as i64 - 1 - point.bucket).ok();
            if let Some(hour) = place.and_then(|place| hours.get_mut(place)) {
                *hour = Some(hour.unwrap_or(0.0) + point.value);
            }
        }
        learnt.extend(Usual::of(&hours).map(|usual| (figure, usual)));
    }
    Ok(learnt)
}

fn look(learnt: &[(&'static Figure, Usual)], dashboard: &Dashboard) -> Vec<Observed> {
    let is_up = dashboard.cluster.state == ClusterState::Up;
    let observed = learnt.iter().map(|(figure, usual)| {
        let value = (figure.value)(dashboard).filter(|_| is_up);
        let above = value.map(|value| usual.above(value, figure.least));
        let measured = value.zip(above).map(|(value, above)| {
            let (now, usually) = ((figure.show)(value), (figure.show)(usual.mean));
            format!("{now}, usually {usually} at this hour: {above:.1} σ")
        });
        let deviation = (figure.show)(usual.deviation);
        Observed {
            object: figure.name.to_owned(),
            value: above,
            measured: measured.unwrap_or_default(),
            detail: Some(format!("by {} of the last days, which deviate by {deviation}", usual.days)),
        }
    });
    observed.collect()
}
