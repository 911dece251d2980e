//! Alerts at work: each tick is looked at, what changed is written, people are told.

mod baseline;
mod deliver;
mod digest;
mod facts;
mod given_up;
mod writer;

pub(crate) use facts::look;
pub(crate) use writer::AlertWriter;

use crate::state::Shared;
use control::{ControlPlane, now};
use given_up::GivenUp;
use std::{sync::Arc, time::Duration};
use store::{KnownStandbyRepo, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What people and other processes changed is read this often.
const REFRESH: Duration = Duration::from_secs(30);

/// Starts what is not a part of one cluster's tick.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    control: &ControlPlane,
    interval: Duration,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
) -> AlertWriter {
    let writer = writer::start(tasks, control.clone(), stop.clone());
    tasks.spawn(refresh(control.clone(), writer.clone(), shared.clone(), stop.clone()));
    tasks.spawn(deliver::run(control.clone(), stop.clone()));
    tasks.spawn(digest::run(control.clone(), interval, stop.clone()));
    tasks.spawn(baseline::run(control.clone(), interval, stop.clone()));
    writer
}

/// The book is read before anything is judged: without it an alert that is open would be raised anew. A store that
/// does not answer is asked again; the watching goes on meanwhile.
async fn refresh(control: ControlPlane, writer: AlertWriter, shared: Arc<Shared>, stop: CancellationToken) {
    let book = control.alerts();
    let mut given_up = GivenUp::new();
    loop {
        let outcome = if book.is_loaded() {
            reread(&control, &shared, &mut given_up).await
        } else {
            load(&control, &shared, &mut given_up).await
        };
        // Weights of the score are as good as read anew when something else was set: until then they are as they were.
        if let Err(error) = control.health_weights_refresh().await {
            tracing::warn!(%error, "weights of the health score cannot be read from the store; it is tried again");
        }
        let wait = match outcome {
            Ok(()) => {
                writer.push(book.withdraw_unknown(&configured(&control), now()));
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

/// The standbys first: once the book is there alerts are judged, and one that is gone and not known would look well.
async fn load(control: &ControlPlane, shared: &Shared, given_up: &mut GivenUp) -> Result<(), StoreError> {
    given_up.pass_over(control).await?;
    let standbys = KnownStandbyRepo(control.store().db());
    // Those of a cluster that is not watched any more would be missed when it is again, whatever became of it meanwhile.
    standbys.remove_unknown(&configured(control)).await?;
    shared.know_standbys(standbys.all().await?);
    control.alerts().load(control.store()).await
}

/// What other servers on this store were told since.
async fn reread(control: &ControlPlane, shared: &Shared, given_up: &mut GivenUp) -> Result<(), StoreError> {
    given_up.tell(control, shared, &configured(control)).await?;
    control.alerts().refresh(control.store()).await
}

fn configured(control: &ControlPlane) -> Vec<String> {
    control.clusters().all().map(|(config, _)| config.id.clone()).collect()
}
