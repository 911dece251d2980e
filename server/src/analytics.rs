//! Analytics beside the web server: where its archive is, and what goes on by itself.

use crate::{config::Config, repository::RepositoryArgs};
use analytics::{Analytics, Backlog, OpenArchive, Service, ServicePace};
use control::{ControlPlane, OpenRepository, alerts::Observed};
use domain::format;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between two looks whether the platform is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at what waits; an alert is told after three in vain that it is not known.
const WATCH_EVERY: Duration = Duration::from_secs(30);

/// The repository that archives go to: that of the cluster which holds the platform, else the first one.
pub fn archive_of(config: &Config) -> Option<OpenRepository> {
    let holds = config.platform.as_ref().and_then(|platform| platform.cluster.clone());
    let own = config.protected.iter().find(|one| holds.as_ref() == Some(&one.cluster));
    own.or_else(|| config.protected.first()).map(|one| one.open.clone())
}

/// A repository that was named on the command line.
pub fn archive_at(repository: RepositoryArgs) -> OpenRepository {
    OpenRepository(Arc::new(move || {
        let repository = repository.clone();
        Box::pin(async move { repository.open().await.map_err(|failure| failure.to_string()) })
    }))
}

/// Rolls up, keeps partitions ahead, archives, from the moment the platform is there until `stop`.
pub fn start(control: &ControlPlane, stop: &CancellationToken) -> JoinHandle<()> {
    let (control, stop) = (control.clone(), stop.clone());
    tokio::spawn(async move {
        let service = loop {
            if let Ok(service) = control.analytics_service() {
                break service;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        };
        let archive = control.analytics().archive().map(|open| OpenArchive(open.0.clone()));
        let running = Service::start(&service, archive, ServicePace::default(), &stop);
        watch(&control, &service, &stop).await;
        running.join().await;
    })
}

/// Looks at what waits, for `/metrics` and for alerts, until `stop`.
async fn watch(control: &ControlPlane, service: &Analytics, stop: &CancellationToken) {
    let mut first = First::default();
    loop {
        let backlog = tokio::select! {
            backlog = service.backlog() => backlog,
            () = stop.cancelled() => return,
        };
        match backlog {
            Ok(backlog) => {
                if let Some(cluster) = control.platform().cluster() {
                    let observed = first.waits(&backlog, Instant::now());
                    control.alerts().observe(cluster, "analytics_behind", vec![observed], WATCH_EVERY * 3);
                }
                control.analytics().set_backlog(Some(backlog));
            }
            Err(error) => {
                tracing::debug!(%error, "what waits of analytics is not known");
                control.analytics().set_backlog(None);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The mark that came first, and since when it is that one. Late events mark old hours, so an hour's own age says nothing.
#[derive(Default)]
struct First(Option<(i64, Instant)>);

impl First {
    fn waits(&mut self, backlog: &Backlog, now: Instant) -> Observed {
        let since = match (backlog.first_mark, self.0) {
            (Some(mark), Some((before, since))) if mark == before => Some((mark, since)),
            (mark, _) => mark.map(|mark| (mark, now)),
        };
        self.0 = since;
        let seconds = since.map_or(0.0, |(_, since)| now.saturating_duration_since(since).as_secs_f64());
        let measured = format!(
            "{}, {}",
            format::duration_s(seconds),
            format::counted(backlog.marked_hours, "hour waits", "hours wait")
        );
        Observed::whole(seconds, measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_waits_from_when_it_is_the_first() {
        let (mut first, begun) = (First::default(), Instant::now());
        let mut at = |mark: Option<i64>, seconds: u64| {
            let backlog = Backlog { first_mark: mark, marked_hours: 3, ..Backlog::default() };
            first.waits(&backlog, begun + Duration::from_secs(seconds)).value
        };
        assert_eq!(at(Some(7), 0), Some(0.0));
        assert_eq!(at(Some(7), 900), Some(900.0));
        assert_eq!(at(Some(9), 930), Some(0.0), "it was done, another one came");
        assert_eq!(at(Some(9), 960), Some(30.0));
        assert_eq!(at(None, 990), Some(0.0));
        assert_eq!(at(Some(9), 1_020), Some(0.0));
    }
}
