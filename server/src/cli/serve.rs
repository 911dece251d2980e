//! `holdfast serve`: the store, the monitor and the web server, until a signal ends them in that order backwards.

use super::Failure;
use crate::{
    config::Config,
    http::{self, App},
};
use control::{Clusters, ControlPlane, Recovery};
use monitor::{Monitor, first_snapshot};
use secrecy::ExposeSecret as _;
use std::{io::IsTerminal as _, time::Duration};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long open requests may take once we are asked to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The store, migrated, and the use cases on it. Commands use it too, without any monitor.
pub async fn control(config: &Config) -> Result<ControlPlane, Failure> {
    let store = Store::connect(config.store_url.expose_secret()).await?;
    let applied = store.migrate().await?;
    if applied > 0 {
        tracing::info!(applied, "the control store was migrated");
    }
    let interval = config.interval;
    let clusters =
        Clusters::new(config.clusters.iter().map(|cluster| cluster.watched.config.clone()).collect(), |config| {
            first_snapshot(config, interval)
        });
    let recovery = Recovery::new(config.protected.clone()).with_schedule(recovery::upcoming);
    let control = ControlPlane::with_recovery(store, clusters, config.slow_threshold_ms, recovery).await?;
    control.set_history_budget_bytes(config.history_budget_bytes);
    Ok(control)
}

/// Logs to the standard error: as text for people, as JSON for machines.
pub fn log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HOLDFAST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second call, as in tests, keeps the first subscriber.
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
}

/// Serves by the environment's configuration until SIGINT or SIGTERM, or until `stop`.
pub async fn serve(stop: Option<CancellationToken>) -> Result<(), Failure> {
    log("info,sqlx=error");
    let config = Config::load()?;
    let listener = bind(&config).await?;
    let control = control(&config).await?;
    if let Some(secret) = control.setup_link_create().await? {
        super::print(&format!("no administrator yet: open {}/setup?token={secret} within 24 hours", config.address()));
    }
    if config.clusters.is_empty() {
        tracing::warn!("no cluster is configured: set DATABASE_URL, or add a [[cluster]] to holdfast.toml");
    }
    run(config, listener, control, stop.unwrap_or_default()).await
}

/// The port is taken before anything else is done: nothing is half started when it is not free.
pub async fn bind(config: &Config) -> Result<TcpListener, Failure> {
    TcpListener::bind(config.listen).await.map_err(|error| {
        let cure = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; another program has this port: end it, or choose another by HOLDFAST_LISTEN (demo: --port)"
            }
            std::io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need a right that this user does not have: choose another by HOLDFAST_LISTEN"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "; this machine does not have that address: correct HOLDFAST_LISTEN"
            }
            _ => "",
        };
        Failure::failed(format!("cannot listen on {}: {error}{cure}", config.listen))
    })
}

/// Runs everything until a signal or `stop`.
pub async fn run(
    config: Config,
    listener: TcpListener,
    control: ControlPlane,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let https = config.is_https();
    let address = config.address();
    control.analytics().configure(config.analytics_retention_days, crate::analytics::archive_of(&config));
    let key = auth::SealingKey::in_file(&config.key_path).map_err(Failure::failed)?;
    control.alerts().configure(control::alerts::Alerting {
        scope: config.alert_scope,
        address: address.trim_end_matches('/').to_owned(),
        key: Some(key),
    });
    for (cluster, cpus) in config.clusters.iter().filter_map(|one| Some((one, one.cpus?))) {
        control.clusters().set_cpus(&cluster.watched.config.id, cpus);
    }
    let watched = config.clusters.into_iter().map(|cluster| cluster.watched).collect();
    let monitor = Monitor::start(&control, watched, config.interval, &stop);
    let platform = config.platform.map(|platform| crate::platform::start(&control, platform, &stop));
    let analytics = crate::analytics::start(&control, &stop);
    let pace = recovery::Pace { lease: config.job_lease, ..recovery::Pace::default() };
    let service = recovery::Service::start(&control, pace, &stop);
    let app =
        App::new(control, https, listener.local_addr().is_ok_and(|address| address.ip().is_loopback()), stop.clone());
    let router = http::router(app);
    tracing::info!(address, "Holdfast serves");
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = signal() => signalled.cancel(),
            () = signalled.cancelled() => {}
        }
    });
    let ending = stop.clone();
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<std::net::SocketAddr>())
        .with_graceful_shutdown(async move { ending.cancelled().await });
    let ended = stop.clone();
    let served = tokio::select! {
        served = std::future::IntoFuture::into_future(server) => served,
        () = async { ended.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("requests that were still open after the grace period are dropped");
            Ok(())
        }
    };
    stop.cancel();
    monitor.join().await;
    service.join().await;
    // It ends with the token; a panic in it was logged.
    let _ = analytics.await;
    if let Some(platform) = platform {
        // It ends with the token; a panic in it was logged.
        let _ = platform.await;
    }
    tracing::info!("Holdfast has stopped");
    served.map_err(|error| Failure::failed(format!("the web server ended: {error}")))
}

/// SIGINT or SIGTERM.
async fn signal() {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
