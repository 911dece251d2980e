//! The monitoring loop on real clusters, through faults: what is shown during each, and that it comes back by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "it/advice.rs"]
mod advice;
#[path = "it/columns.rs"]
mod columns;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/host.rs"]
mod host;
#[path = "it/locks.rs"]
mod locks;
#[path = "it/log.rs"]
mod log;

use control::{Actor, ClusterConfig, Clusters, ControlPlane};
use domain::{
    reading::{CollectorKind, CollectorState, CollectorStatus, ServerRole},
    view::{Availability, ClusterState, Dashboard, EventKind, LoadBy, Metric, Range},
};
use monitor::{Monitor, Watched, first_snapshot};
use pgstat::Target;
use std::time::{Duration, Instant};
use store::Store;
use test_support::{
    ChaosProxy, ClusterOptions, LocalCluster, ShutdownMode, TestCluster, Weather, private_cluster, private_cluster_of,
    versions, watched_versions,
};
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(1);
/// Long, so that a machine that is busy with other things fails nothing: who waits for what comes does not wait so long.
const PATIENCE: Duration = Duration::from_secs(200);

/// A monitor over one target, with its store.
struct Watching {
    control: ControlPlane,
    stop: CancellationToken,
    monitor: Monitor,
    directory: tempfile::TempDir,
}

impl Watching {
    async fn start(url: &str) -> Self {
        Self::start_all(&[("main", url, None)]).await
    }

    async fn start_all(targets: &[(&str, &str, Option<&str>)]) -> Self {
        let (store_url, directory) = test_support::sqlite_url();
        Self::start_over(&store_url, directory, targets).await
    }

    /// With a store of the caller's.
    async fn start_over(store_url: &str, directory: tempfile::TempDir, targets: &[(&str, &str, Option<&str>)]) -> Self {
        let store = Store::connect(store_url).await.unwrap();
        store.migrate().await.unwrap();
        let watched = targets
            .iter()
            .map(|(id, url, primary)| Watched {
                config: ClusterConfig {
                    id: (*id).to_owned(),
                    name: (*id).to_owned(),
                    standby_of: primary.map(str::to_owned),
                    group: None,
                },
                target: Target::parse(url).unwrap(),
            })
            .collect::<Vec<_>>();
        let clusters = Clusters::new(watched.iter().map(|one| one.config.clone()).collect(), |config| {
            first_snapshot(config, INTERVAL)
        });
        let control = ControlPlane::new(store, clusters, 500.0).await.unwrap();
        let stop = CancellationToken::new();
        let monitor = Monitor::start(&control, watched, INTERVAL, &stop);
        Self { control, stop, monitor, directory }
    }

    fn dashboard(&self) -> Dashboard {
        self.control.dashboard_get(&Actor::system(), None).unwrap()
    }

    /// Waits for a condition; the same monitor goes on all the while.
    async fn until(&self, what: &str, condition: impl Fn(&Dashboard) -> bool) -> Dashboard {
        let begun = Instant::now();
        loop {
            let dashboard = self.dashboard();
            if condition(&dashboard) {
                return dashboard;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{what} did not come; last: {:?} {:?}",
                dashboard.cluster,
                dashboard.collectors
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn events(&self) -> Vec<EventKind> {
        let series =
            self.control.history_get(&Actor::system(), None, Metric::ConnectionsUsed, Range::Minutes15).await.unwrap();
        series.events.into_iter().map(|event| event.kind).collect()
    }

    async fn until_event(&self, kind: EventKind) {
        let begun = Instant::now();
        while !self.events().await.contains(&kind) {
            assert!(begun.elapsed() < PATIENCE, "no event {kind:?}: {:?}", self.events().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.monitor.join()).await.expect("the monitor ends when it is told to");
    }
}

/// Fresh, or not to be had from this version and these settings.
fn is_well(status: &CollectorStatus) -> bool {
    status.state == CollectorState::Fresh
        || (status.name == CollectorKind::Log && matches!(status.state, CollectorState::Unsupported { .. }))
}

fn is_up(dashboard: &Dashboard) -> bool {
    dashboard.cluster.state == ClusterState::Up && dashboard.connections.is_some()
}

fn state(dashboard: &Dashboard, kind: CollectorKind) -> CollectorState {
    dashboard.collectors.iter().find(|one| one.name == kind).unwrap().state.clone()
}

async fn with_statements(settings: &[(&str, &str)]) -> TestCluster {
    let cluster = private_cluster(settings).await;
    cluster.execute("postgres", "CREATE EXTENSION pg_stat_statements").await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn on_every_version_each_collector_becomes_fresh_and_history_is_kept() {
    for install in watched_versions() {
        let version = install.version.clone();
        let cluster = private_cluster_of(install, &[]).await;
        cluster.execute("postgres", "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (a int PRIMARY KEY, b int); CREATE INDEX t_b ON t (b); CREATE SEQUENCE narrow AS smallint; SELECT setval('narrow', 32000)").await;
        let watching = Watching::start(&cluster.server.url("postgres")).await;
        let dashboard = watching.until("all collectors", |it| it.collectors.iter().all(is_well)).await;
        assert_eq!(
            (dashboard.cluster.server_version.as_deref(), dashboard.cluster.role),
            (Some(version.as_str()), Some(ServerRole::Primary))
        );
        // What this version or its defaults do not have takes no points.
        let lines = dashboard.health.lines.iter().map(|line| line.rule.as_str()).collect::<Vec<_>>();
        assert!(!lines.contains(&"collectors_failing"), "{version}: {lines:?}");
        let narrow = dashboard.health.lines.iter().find(|line| line.rule == "sequence_running_out");
        assert!(narrow.is_some_and(|line| line.measured.starts_with("97.")), "{version}: {lines:?}");
        for _ in 0..5 {
            cluster.execute("postgres", "SELECT count(*) FROM t").await;
        }
        watching.until("rates", |it| it.throughput.is_some() && it.cache.is_some()).await;
        let params = domain::view::QueriesParams::default();
        let begun = Instant::now();
        loop {
            let page = watching.control.queries_top(&Actor::system(), &params).await.unwrap();
            if page.rows.iter().any(|row| row.query.contains("FROM t")) {
                assert_eq!(page.availability, Availability::Ready);
                // Our own statements are hidden, on each version.
                let ours =
                    page.rows.iter().filter(|row| row.query.contains("pg_stat_") || row.query.contains("pg_locks"));
                assert_eq!(ours.map(|row| row.query.as_str()).collect::<Vec<_>>(), Vec::<&str>::new(), "{version}");
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "statement not listed on {version}: {page:?}");
            cluster.execute("postgres", "SELECT count(*) FROM t").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let indexes = watching.control.indexes_list(&Actor::system(), None, None).await.unwrap();
        assert!(indexes.rows.iter().any(|row| row.name == "t_b"), "{version}");
        // What a tick saw is written down beside it.
        let begun = Instant::now();
        loop {
            let history = watching
                .control
                .history_get(&Actor::system(), None, Metric::ConnectionsUsed, Range::Minutes15)
                .await
                .unwrap();
            if history.series.iter().any(|line| line.values.iter().any(Option::is_some)) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{version}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        watching.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_and_restarts_later_is_met_again() {
    // One that outlives its server: the others' directories go when their server ends.
    let root = tempfile::Builder::new()
        .prefix("holdfast-test-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let options = ClusterOptions::new(versions().remove(0), "secret").setting("fsync", "off");
    let mut server = LocalCluster::start_in(root.path(), options).await.unwrap();
    let url = server.url("postgres");
    server.stop(ShutdownMode::Fast).await.unwrap();
    let watching = Watching::start(&url).await;
    let lost = watching.until("unreachable", |it| matches!(it.cluster.state, ClusterState::Unreachable { .. })).await;
    assert_eq!(lost.health.score, 0, "a cluster that does not answer is not healthy");
    assert!(lost.collected_at.is_none());

    server.start().await.unwrap();
    watching.until("up", is_up).await;

    server.restart(ShutdownMode::Immediate).await.unwrap();
    watching.until_event(EventKind::Restart).await;
    let dashboard = watching.until("up again", is_up).await;
    if let Some(throughput) = dashboard.throughput {
        assert!(throughput.transactions_per_second >= 0.0, "counters that began anew make no negative rate");
    }
    watching.end().await;
    server.stop(ShutdownMode::Immediate).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_as_a_refusal_and_mended_without_us() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'other'; GRANT pg_monitor TO watcher").await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "right", "postgres")).await;
    let refused = watching.until("refused", |it| matches!(it.cluster.state, ClusterState::Refused { .. })).await;
    let reason = refused.cluster.state.reason().unwrap();
    assert!(reason.contains("watcher") && !reason.contains("right"), "{reason}");
    cluster.execute("postgres", "ALTER ROLE watcher PASSWORD 'right'").await;
    watching.until("up", is_up).await;
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pg_stat_statements_the_rest_works_and_the_cure_is_named_and_works() {
    let cluster = private_cluster(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    let dashboard = watching
        .until("unsupported", |it| {
            matches!(state(it, CollectorKind::Statements), CollectorState::Unsupported { .. }) && is_up(it)
        })
        .await;
    let CollectorState::Unsupported { cure, .. } = state(&dashboard, CollectorKind::Statements) else { unreachable!() };
    let cure = cure.expect("there is a cure");
    assert!(cure.contains("CREATE EXTENSION"), "{cure}");
    let page = watching.control.queries_top(&Actor::system(), &Default::default()).await.unwrap();
    assert!(matches!(page.availability, Availability::Missing { .. }), "{:?}", page.availability);
    cluster.execute("postgres", "CREATE EXTENSION pg_stat_statements").await;
    watching.until("statements", |it| state(it, CollectorKind::Statements) == CollectorState::Fresh).await;
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_monitor_alone_is_enough_and_less_is_told_with_the_grant() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'x' CONNECTION LIMIT 5; CREATE ROLE nobody_special LOGIN PASSWORD 'x'; GRANT pg_monitor TO watcher").await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "x", "postgres")).await;
    watching.until("all collectors", |it| it.collectors.iter().all(is_well)).await;
    watching.end().await;

    let watching = Watching::start(&cluster.server.url_as("nobody_special", "x", "postgres")).await;
    let dashboard = watching.until("up", is_up).await;
    let told = dashboard.collectors.iter().any(|one| matches!(&one.state, CollectorState::NoPermission { cure: Some(cure), .. } if cure.contains("GRANT pg_monitor")))
        || watching.until("a missing right", |it| it.collectors.iter().any(|one| matches!(&one.state, CollectorState::NoPermission { cure: Some(cure), .. } if cure.contains("GRANT pg_monitor")))).await.sequence > 0;
    assert!(told);
    // What others run is hidden from it, which is counted and not taken for nothing.
    let hidden = || watching.control.activity_list(&Actor::system(), None, None).unwrap().hidden;
    let begun = Instant::now();
    while hidden() == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is said to be hidden");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed_in_time_and_left_without_a_restart_of_ours() {
    let cluster = with_statements(&[]).await;
    let proxy = ChaosProxy::start(cluster.server.port()).await;
    let url =
        cluster.server.url("postgres").replace(&format!(":{}/", cluster.server.port()), &format!(":{}/", proxy.port()));
    let watching = Watching::start(&url).await;
    watching.until("up", is_up).await;

    for weather in [Weather::BlackHole, Weather::Cut] {
        let accepted = proxy.accepted();
        proxy.set(weather);
        let begun = Instant::now();
        let lost =
            watching.until("unreachable", |it| matches!(it.cluster.state, ClusterState::Unreachable { .. })).await;
        assert!(begun.elapsed() < Duration::from_secs(60), "{weather:?} was noticed after {:?}", begun.elapsed());
        assert!(lost.collected_at.is_some(), "the last figures stay, with their age");
        proxy.set(Weather::Fair);
        watching.until("up again", is_up).await;
        assert!(proxy.accepted() > accepted, "dead connections were replaced");
    }
    watching.until_event(EventKind::Down).await;
    watching.until_event(EventKind::Up).await;

    // At most five connections of ours, also after all that.
    let connections = watching
        .until("figures", |it| it.connections.as_ref().is_some_and(|it| it.used <= 6))
        .await
        .connections
        .unwrap();
    assert!(connections.used <= 6, "{connections:?}");
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_cluster_stops_no_other() {
    let cluster = with_statements(&[]).await;
    let proxy = ChaosProxy::start(cluster.server.port()).await;
    let url = cluster.server.url("postgres");
    let bad = url.replace(&format!(":{}/", cluster.server.port()), &format!(":{}/", proxy.port()));
    proxy.set(Weather::BlackHole);
    let watching = Watching::start_all(&[("main", &url, None), ("bad", &bad, None)]).await;
    watching.until("up", is_up).await;
    let before = watching.dashboard().sequence;
    watching.until("more ticks", |it| it.sequence >= before + 3).await;
    assert!(!is_up(&watching.control.dashboard_get(&Actor::system(), Some("bad")).unwrap()));
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_shown_as_primary_with_an_event() {
    let cluster = with_statements(&[]).await;
    let standby = cluster.standby("replica1").await;
    let watching = Watching::start_all(&[
        ("main", &standby.url("postgres"), None),
        ("primary", &cluster.server.url("postgres"), None),
    ])
    .await;
    watching.until("standby", |it| is_up(it) && it.cluster.role == Some(ServerRole::Standby)).await;
    let begun = Instant::now();
    while watching.control.dashboard_get(&Actor::system(), Some("primary")).unwrap().replication.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the primary does not show its standby");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    standby.promote().await.unwrap();
    watching.until("primary", |it| it.cluster.role == Some(ServerRole::Primary)).await;
    watching.until_event(EventKind::RoleChange).await;
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_locks_a_table_holds_up_no_collector() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE TABLE held (a int PRIMARY KEY)").await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("all collectors", |it| it.collectors.iter().all(is_well)).await;
    use sqlx::{Connection as _, Executor as _};
    let mut holder = sqlx::PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    holding.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let before = watching.dashboard();
    let at =
        |dashboard: &Dashboard, kind| dashboard.collectors.iter().find(|one| one.name == kind).unwrap().collected_at;
    for kind in [CollectorKind::Indexes, CollectorKind::Tables] {
        watching
            .until("a reading under the lock", |it| {
                at(it, kind) > at(&before, kind) && state(it, kind) == CollectorState::Fresh
            })
            .await;
    }
    holding.rollback().await.unwrap();
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_api_send_nothing_to_the_monitored_server() {
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    // The monitor stops; whatever is counted from here on would be a page's.
    let Watching { control, stop, monitor, directory: _directory } = watching;
    stop.cancel();
    tokio::time::timeout(PATIENCE, monitor.join()).await.expect("the monitor ends when it is told to");
    use sqlx::Connection as _;
    let mut counter = sqlx::PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
    let mut calls = async || {
        sqlx::query_scalar::<_, i64>("SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'").fetch_one(&mut counter).await.unwrap()
    };
    let before = calls().await;
    let actor = Actor::system();
    for _ in 0..50 {
        control.dashboard_get(&actor, None).unwrap();
        control.indexes_list(&actor, None, None).await.unwrap();
        control.activity_list(&actor, None, None).unwrap();
        control.locks_get(&actor, None).await.unwrap();
        control.load_get(&actor, None, LoadBy::Query, Range::Hour1).await.unwrap();
        control.tables_list(&actor, None, None).unwrap();
        control.connections_get(&actor, None, None).unwrap();
        control.replication_get(&actor, None).unwrap();
        control.settings_get(&actor, None).await.unwrap();
        control.maintenance_get(&actor, None).unwrap();
        control.cost_get(&actor, None).unwrap();
        control.queries_top(&actor, &Default::default()).await.unwrap();
        control.history_get(&actor, None, Metric::ActiveSessions, Range::Hour1).await.unwrap();
    }
    assert_eq!(calls().await, before);
}
