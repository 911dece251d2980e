//! Server-sent events: one line for each new snapshot, for each change of the alerts and for each state of a job. The page
//! then asks for what it shows.

use super::{
    App,
    actor::Asking,
    problem::{Params, Problem},
};
use axum::{
    extract::State,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use control::ControlPlane;
use domain::view::{AlertLive, JobLive, LiveEvent};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// A proxy between may cut a stream that is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this time and the browser opens another, which asks for its rights anew: a session that was
/// ended sees nothing for longer.
const LIFETIME: Duration = Duration::from_secs(600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    cluster: Option<String>,
}

/// Server-sent `snapshot`, `alert` and `job` events of one cluster, the newest snapshot at once. It ends after ten minutes:
/// open it again.
///
/// A `job` event tells the new state of a job, whichever server works on it, to those who may see backups. The store is
/// looked at for it every 0.7 s, once for all streams: states between two looks are left out, the last one is always told.
/// `GET /api/v1/jobs/{id}/stream` tells the progress of one job.
#[utoipa::path(get, path = "/api/database/stream", tag = "monitoring",
    params(("cluster" = Option<String>, Query, description = "Id of the cluster; the first when it is left out")), responses(
    (status = 200, description = "Events `snapshot` (LiveEvent), `alert` (AlertLive) and `job` (JobLive) as JSON", body = LiveEvent, content_type = "text/event-stream"),
    (status = 404, description = "No such cluster", body = Problem, content_type = "application/problem+json"),
))]
pub async fn stream(
    State(app): State<App>,
    Asking(actor): Asking,
    Params(which): Params<Which>,
) -> Result<impl IntoResponse, Problem> {
    let receiver = app.control.live_subscribe(&actor)?;
    let alerts = app.control.alerts_subscribe(&actor)?;
    let first = app.control.live_latest(&actor, which.cluster.as_deref())?;
    // Who may not see backups hears nothing of jobs.
    let jobs = app.control.jobs_subscribe(&actor).await.ok();
    let cluster = first.cluster.clone();
    let (cluster_of_alerts, cluster_of_jobs) = (cluster.clone(), cluster.clone());
    let first = stream::once(std::future::ready(Ok(event(&first))));
    let rest = stream::unfold(
        (receiver, cluster, app.control.clone(), actor),
        |(mut receiver, cluster, control, actor)| async move {
            let next = next_of(&mut receiver, &cluster, &control, &actor).await?;
            Some((Ok::<_, Infallible>(event(&next)), (receiver, cluster, control, actor)))
        },
    );
    let alerts = stream::unfold((alerts, cluster_of_alerts), |(mut alerts, of)| async move {
        let next = next_change(&mut alerts, "alert", |it: &AlertLive| it.cluster == of).await?;
        Some((Ok::<_, Infallible>(next), (alerts, of)))
    });
    let jobs = stream::unfold((jobs, cluster_of_jobs), |(jobs, of)| async move {
        let mut jobs = jobs?;
        let next = next_change(&mut jobs, "job", |it: &JobLive| it.cluster == of).await?;
        Some((Ok::<_, Infallible>(next), (Some(jobs), of)))
    });
    let rest = stream::select(stream::select(rest, alerts), jobs);
    // An open stream would hold back a graceful end for ever.
    let stop = app.stop.clone();
    let events = first.chain(rest).take_until(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LIFETIME) => {}
        }
    });
    // A proxy that buffers would make the page look dead.
    Ok(([("x-accel-buffering", "no")], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

/// The next event of this cluster. A reader that fell behind gets the newest and none of those between.
async fn next_of(
    receiver: &mut Receiver<Arc<LiveEvent>>,
    cluster: &str,
    control: &ControlPlane,
    actor: &control::Actor,
) -> Option<LiveEvent> {
    loop {
        match receiver.recv().await {
            Ok(event) if event.cluster == cluster => return Some(event.as_ref().clone()),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                *receiver = receiver.resubscribe();
                return control.live_latest(actor, Some(cluster)).ok();
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

/// The next change that is of this cluster. Whoever fell behind is told with the next one: pages ask for what there is now,
/// not for what happened.
async fn next_change<T: Serialize>(
    receiver: &mut Receiver<Arc<T>>,
    name: &str,
    is_ours: impl Fn(&T) -> bool,
) -> Option<Event> {
    loop {
        match receiver.recv().await {
            Ok(change) if is_ours(change.as_ref()) => {
                let data = serde_json::to_string(change.as_ref()).unwrap_or_default();
                return Some(Event::default().event(name).data(data));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

fn event(live: &LiveEvent) -> Event {
    Event::default()
        .event("snapshot")
        .id(live.sequence.to_string())
        .data(serde_json::to_string(live).unwrap_or_default())
}
