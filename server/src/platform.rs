//! Brings the platform's data layer up: nothing is opened until its database answers and its schema is there, and the
//! server starts without waiting for either.
use crate::config::redact;
use catalog::{Catalog, Installed};
use control::ControlPlane;
use domain::view::{Event, EventKind, PlatformState};
use migration::{MigratorTrait as _, idp::IdpMigrator};
use pool::{PoolError, PoolSettings, Pools};
use secrecy::ExposeSecret as _;
use std::{fmt, time::Duration};
use store::EventRepo;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between two looks at a database that does not answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at one that answers and has no platform: it may be any database, and never get one.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// Between two looks for bulk operations whose server has died.
const TAKE_UP_EVERY: Duration = Duration::from_secs(20);
/// How the event of changed pools begins.
const EVENT: &str = "Holdfast's pools: ";

/// The platform's data layer, as configured.
#[derive(Clone, Debug)]
pub struct PlatformConfig {
    /// Its pools.
    pub pools: PoolSettings,
    /// The monitored cluster that holds it.
    pub cluster: Option<String>,
}

/// Without any password.
impl fmt::Display for PlatformConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", redact(self.pools.primary_url.expose_secret()), limits(&self.pools))?;
        match &self.pools.replica_url {
            Some(url) => write!(f, ", replica {}", redact(url.expose_secret())),
            None => Ok(()),
        }
    }
}

/// The limits in words, as the event and `holdfast config` tell them.
fn limits(pools: &PoolSettings) -> String {
    let short = pools.concurrency.map(|most| format!("short questions at most {most} at once, "));
    format!(
        "primary at most {}, replica at most {}, {}{} kept open, idle time-out {}",
        pools.primary_max,
        pools.replica_max,
        short.unwrap_or_default(),
        pools.min,
        domain::format::age_s(pools.idle_timeout.as_secs_f64())
    )
}

/// Looks for the platform until it can be worked with, or until `stop`.
pub fn start(control: &ControlPlane, config: PlatformConfig, stop: &CancellationToken) -> JoinHandle<()> {
    let (control, stop) = (control.clone(), stop.clone());
    if let Some(cluster) = &config.cluster {
        control.platform().set_cluster(cluster);
    }
    control.platform().set_state(PlatformState::Connecting);
    tokio::spawn(async move {
        loop {
            let found = tokio::select! {
                found = connect(&control, &config.pools) => found,
                () = stop.cancelled() => return,
            };
            if found {
                break;
            }
            let answered =
                matches!(*control.platform().state(), PlatformState::NotInstalled | PlatformState::NoRights { .. });
            tokio::select! {
                () = tokio::time::sleep(if answered { LOOK_AGAIN } else { LOOK_EVERY }) => {}
                () = stop.cancelled() => return,
            }
        }
        note_limits(&control, &config).await;
        // At the start what an earlier process left; then what other servers left that have died.
        let mut idle = Duration::ZERO;
        loop {
            match control.plugin_bulks_resume(idle).await {
                Ok(0) => {}
                Ok(found) => tracing::info!(found, "bulk operations that lost their server are taken up"),
                Err(error) => tracing::debug!(%error, "bulk operations that lost their server could not be looked for"),
            }
            idle = catalog::UNATTENDED;
            tokio::select! {
                () = tokio::time::sleep(TAKE_UP_EVERY) => {}
                () = stop.cancelled() => return,
            }
            look_again(&control, &config.pools).await;
        }
    })
}

/// For a command: looks once. What is wrong is told by the use case that needs it.
pub async fn connect_once(control: &ControlPlane, config: Option<&PlatformConfig>) {
    if let Some(config) = config {
        let pools = PoolSettings { min: 0, primary_max: 2, replica_url: None, ..config.pools.clone() };
        connect(control, &pools).await;
    }
}

async fn look(settings: &PoolSettings) -> PlatformState {
    let migrations = IdpMigrator::migrations();
    match Installed::look(settings, migrations.last().map_or("", |it| it.name())).await {
        Ok(Installed::Ready { role, bypasses, outdated }) => PlatformState::Ready { role, bypasses, outdated },
        Ok(Installed::Missing) => PlatformState::NotInstalled,
        Ok(Installed::NoRights { role }) => PlatformState::NoRights { role },
        Err(PoolError::Unavailable(reason)) => PlatformState::Unreachable { reason },
        Err(error) => PlatformState::Unreachable { reason: error.to_string() },
    }
}

/// Where a migration is outstanding, looks whether it was applied since.
async fn look_again(control: &ControlPlane, settings: &PoolSettings) {
    if matches!(*control.platform().state(), PlatformState::Ready { outdated: true, .. })
        && let state @ PlatformState::Ready { outdated: false, .. } = look(settings).await
    {
        control.platform().set_state(state);
    }
}

/// Looks, and opens the pools when there is something to work with.
async fn connect(control: &ControlPlane, settings: &PoolSettings) -> bool {
    let state = look(settings).await;
    let ready = matches!(state, PlatformState::Ready { .. });
    if *control.platform().state() != state
        && let Some(message) = state.message()
    {
        tracing::warn!(message, "the platform's data layer is not there");
    }
    if !ready {
        control.platform().set_state(state);
        return false;
    }
    match Pools::start(settings.clone()) {
        Ok(pools) => {
            control.platform().set_ready(Catalog::new(pools, settings.primary_url.clone()), state);
            tracing::info!(limits = limits(settings), "the platform's data layer is there");
            if matches!(*control.platform().state(), PlatformState::Ready { outdated: true, .. }) {
                tracing::warn!("a migration of the platform's schema is outstanding: run holdfast init");
            }
            true
        }
        // The settings were checked at the start.
        Err(error) => {
            control.platform().set_state(PlatformState::Unreachable { reason: error.to_string() });
            false
        }
    }
}

/// A changed limit is an event of the cluster: a chart of its connections shows why they rose.
async fn note_limits(control: &ControlPlane, config: &PlatformConfig) {
    let Some(cluster) = &config.cluster else { return };
    let now = control::now();
    let title = format!("{EVENT}{}", limits(&config.pools));
    let events = EventRepo(control.store().db());
    let noted = async {
        let before = events.list_of(cluster, EventKind::SettingChange, domain::Timestamp(0), now).await?;
        if before.iter().rev().find(|event| event.title.starts_with(EVENT)).is_some_and(|last| last.title == title) {
            return Ok(());
        }
        events.insert(cluster, &[Event::new(now, EventKind::SettingChange, title)]).await
    };
    if let Err(error) = noted.await {
        tracing::warn!(%error, "the limits of the pools could not be noted");
    }
}
