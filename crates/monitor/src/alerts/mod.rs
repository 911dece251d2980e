//! Alerts at work: each tick is looked at, what changed is written, people are told.

mod deliver;
mod digest;
mod facts;
mod writer;

pub(crate) use facts::look;
pub(crate) use writer::AlertWriter;

use control::{ControlPlane, now};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What people and other processes changed is read this often.
const REFRESH: Duration = Duration::from_secs(30);

/// Starts what is not a part of one cluster's tick.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    control: &ControlPlane,
    interval: Duration,
    stop: &CancellationToken,
) -> AlertWriter {
    let writer = writer::start(tasks, control.clone(), stop.clone());
    tasks.spawn(refresh(control.clone(), writer.clone(), stop.clone()));
    tasks.spawn(deliver::run(control.clone(), stop.clone()));
    tasks.spawn(digest::run(control.clone(), interval, stop.clone()));
    writer
}

/// The book is read before anything is judged: without it an alert that is open would be raised anew. A store that
/// does not answer is asked again; the watching goes on meanwhile.
async fn refresh(control: ControlPlane, writer: AlertWriter, stop: CancellationToken) {
    let book = control.alerts();
    loop {
        let outcome =
            if book.is_loaded() { book.refresh(control.store()).await } else { book.load(control.store()).await };
        // Weights of the score are as good as read anew when something else was set: until then they are as they were.
        if let Err(error) = control.health_weights_refresh().await {
            tracing::warn!(%error, "weights of the health score cannot be read from the store; it is tried again");
        }
        let wait = match outcome {
            Ok(()) => {
                let known = control.clusters().all().map(|(config, _)| config.id.clone()).collect::<Vec<_>>();
                writer.push(book.withdraw_unknown(&known, now()));
                REFRESH
            }
            Err(error) => {
                tracing::error!(%error, "alerts cannot be read from the store; it is tried again");
                Duration::from_secs(2)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}
