//! Analytics beside the web server: where its archive is, and what goes on by itself.

use crate::{config::Config, repository::RepositoryArgs};
use analytics::{OpenArchive, Service, ServicePace};
use control::{ControlPlane, OpenRepository};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between two looks whether the platform is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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
        Service::start(&service, archive, ServicePace::default(), &stop).join().await;
    })
}
