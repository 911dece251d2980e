//! Clusters and databases.
use pgphysical::{ClusterOptions, Install, LocalCluster};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions};
use std::{
    path::PathBuf,
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::sync::OnceCell;

/// A running cluster whose directory goes when the process ends.
#[derive(Debug)]
pub struct TestCluster {
    /// The server.
    pub server: LocalCluster,
    /// Where it and its standbys live.
    pub root: PathBuf,
}

impl TestCluster {
    /// A standby of it.
    pub async fn standby(&self, name: &str) -> LocalCluster {
        self.server.standby_in(&fresh_directory(), name).await.unwrap()
    }

    /// Runs statements as the superuser.
    pub async fn execute(&self, database: &str, sql: &str) {
        execute(&self.server.url(database), sql).await;
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnectOptions::from_str(url).unwrap().connect().await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.unwrap();
}

/// A database of one test.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// URL as the superuser.
    pub url: String,
    /// Its name.
    pub name: String,
}

/// What the platform's postgresql.conf says of speed: what is measured is measured with these.
pub const PLATFORM_SETTINGS: [(&str, &str); 7] = [
    ("max_connections", "200"),
    ("shared_buffers", "2GB"),
    ("effective_cache_size", "8GB"),
    ("work_mem", "32MB"),
    ("maintenance_work_mem", "512MB"),
    ("random_page_cost", "1.1"),
    ("wal_buffers", "64MB"),
];

/// Every complete PostgreSQL found; tests name them in their output.
pub fn versions() -> Vec<Install> {
    named(Install::discover().into_iter().filter(Install::is_complete).collect())
}

/// Every PostgreSQL found that can be backed up and restored, 15 to 18, also without the programs that make a standby of
/// it; tests name them in their output.
pub fn served_versions() -> Vec<Install> {
    named(Install::discover())
}

/// Every PostgreSQL found that can be watched, from 13 on, also without the programs that make a standby of it; tests name
/// them in their output.
pub fn watched_versions() -> Vec<Install> {
    named(Install::discover_watched())
}

fn named(found: Vec<Install>) -> Vec<Install> {
    assert!(!found.is_empty(), "no PostgreSQL found: run script/setup");
    eprintln!("PostgreSQL {}", found.iter().map(|install| install.version.as_str()).collect::<Vec<_>>().join(", "));
    found
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

fn fresh_directory() -> PathBuf {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("holdfast-test-{}-{number}", std::process::id()))
}

/// The cluster shared by all tests of this process; started on first use.
pub async fn cluster() -> &'static TestCluster {
    // A static is never dropped; the guardian process ends the server and removes the directory when we are gone.
    static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
    SHARED.get_or_init(|| private_cluster(&[])).await
}

/// A cluster of one test's own, of the newest version found.
pub async fn private_cluster(settings: &[(&str, &str)]) -> TestCluster {
    private_cluster_of(versions().remove(0), settings).await
}

/// A cluster of one test's own, of a given version.
pub async fn private_cluster_of(install: Install, settings: &[(&str, &str)]) -> TestCluster {
    let root = fresh_directory();
    let major = install.major;
    let mut options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install, "secret") };
    for (name, value) in [
        ("fsync", "off"),
        ("shared_buffers", "64MB"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("max_connections", "60"),
        ("compute_query_id", "on"),
    ]
    .iter()
    .filter(|(name, _)| major >= 14 || *name != "compute_query_id")
    .chain(settings)
    {
        options = options.setting(name, value);
    }
    let server = LocalCluster::start_in(&root, options).await.unwrap();
    TestCluster { server, root }
}

/// An empty database on the shared cluster.
pub async fn database() -> TestDatabase {
    let cluster = cluster().await;
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    cluster.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    TestDatabase { url: cluster.server.url(&name), name }
}

/// The URL of a SQLite file that does not exist yet, and the directory to keep alive.
pub fn sqlite_url() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (format!("sqlite://{}?mode=rwc", directory.path().join("store.sqlite").display()), directory)
}
