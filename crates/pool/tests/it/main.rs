//! The pools on real clusters: a primary and a standby behind proxies, in every weather.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod asks;
mod corpus;
mod failover;
mod own_writes;
mod paused;
mod replica_killed;
mod trouble;

use pool::{PoolError, PoolSettings, Pools, Reader, Scope, Session, Work, Writer};
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, ClusterOptions, LocalCluster, TestCluster};

/// A primary and a standby, each behind a proxy.
struct Pair {
    primary: TestCluster,
    standby: LocalCluster,
    before_primary: ChaosProxy,
    before_standby: ChaosProxy,
    _directory: Option<tempfile::TempDir>,
}

impl Pair {
    async fn start(settings: &[(&str, &str)]) -> Self {
        Self::of(test_support::private_cluster(settings).await, None).await
    }

    /// Of servers whose files stay when they are stopped, so that they can be started again.
    async fn durable() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("holdfast-test-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let options = ClusterOptions::new(test_support::versions().remove(0), "secret")
            .setting("fsync", "off")
            .setting("shared_buffers", "32MB")
            .setting("max_connections", 60);
        let root = directory.path().join("primary");
        let server = LocalCluster::start_in(&root, options).await.unwrap();
        let root = directory.path().to_owned();
        Self::of(TestCluster { server, root }, Some(directory)).await
    }

    async fn of(primary: TestCluster, directory: Option<tempfile::TempDir>) -> Self {
        primary
            .execute(
                "postgres",
                "CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL DEFAULT ''); CREATE ROLE app LOGIN PASSWORD 'secret'; GRANT SELECT, INSERT, UPDATE, DELETE ON t TO app",
            )
            .await;
        let standby = match &directory {
            Some(directory) => primary.server.standby_in(&directory.path().join("standby"), "standby").await.unwrap(),
            None => primary.standby("standby").await,
        };
        let before_primary = ChaosProxy::start(primary.server.port()).await;
        let before_standby = ChaosProxy::start(standby.port()).await;
        Self { primary, standby, before_primary, before_standby, _directory: directory }
    }

    /// Short limits, so that a test of a silent peer ends soon.
    fn settings(&self, user: &str) -> PoolSettings {
        let url = |port| format!("postgres://{user}:secret@127.0.0.1:{port}/postgres");
        PoolSettings {
            min: 1,
            primary_max: 10,
            replica_max: 6,
            probe_interval: Duration::from_millis(100),
            probe_timeout: Duration::from_millis(700),
            connect_timeout: Duration::from_secs(2),
            acquire_timeout: Duration::from_secs(8),
            work_timeout: Duration::from_secs(15),
            backoff: (Duration::from_millis(50), Duration::from_millis(400)),
            ..PoolSettings::new(url(self.before_primary.port()), Some(url(self.before_standby.port()).into()))
        }
    }

    fn pools(&self) -> Pools {
        Pools::start(self.settings("app")).unwrap()
    }
}

/// Polls until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(100), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the servers, in the order of the settings, are used for.
fn states(pools: &Pools) -> Vec<&'static str> {
    pools.snapshot().nodes.iter().map(|node| node.state.as_str()).collect()
}

async fn until_states(pools: &Pools, wanted: [&str; 2]) {
    until(&format!("the servers are {wanted:?}; {:?}", pools.snapshot().nodes), async || states(pools) == wanted).await;
}

async fn put(pools: &Pools, session: &Session, id: i64, v: &str) -> Result<(), PoolError> {
    pools
        .write(&Scope::default(), session, |writer: &mut Writer, _: Work<'_, '_>| {
            Box::pin(async move {
                sqlx::query("INSERT INTO t (id, v) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET v = excluded.v")
                    .bind(id)
                    .bind(v)
                    .execute(writer.connection()?)
                    .await?;
                Ok(())
            })
        })
        .await
}

async fn get_after(pools: &Pools, session: &Session, id: i64) -> Result<Option<String>, PoolError> {
    pools
        .read_after(&Scope::default(), session, |reader: &mut Reader, _: Work<'_, '_>| {
            Box::pin(async move {
                Ok(sqlx::query_scalar("SELECT v FROM t WHERE id = $1")
                    .bind(id)
                    .fetch_optional(reader.connection()?)
                    .await?)
            })
        })
        .await
}

/// Whether a read ran on a standby.
async fn read_in_recovery(pools: &Pools) -> Result<bool, PoolError> {
    pools
        .read(&Scope::default(), |reader: &mut Reader, _: Work<'_, '_>| {
            Box::pin(async move {
                Ok(sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(reader.connection()?).await?)
            })
        })
        .await
}
