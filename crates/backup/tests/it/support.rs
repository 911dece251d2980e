//! A cluster with data, a repository in a directory, and restores that are started.
use backup::{
    BackupType, CreateOptions, KeySource, Progress, Repository, SourceKind, Summary,
    restore::{self, RestoreOptions, RestoreRequest, Restored, Target},
};
use blobs::{BlobStore, DirStore};
use pgphysical::{ClusterOptions, Install, LocalCluster, replication::ConnInfo};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use test_support::TestCluster;

/// Everything of one test. The directory goes with it.
pub struct Bench {
    pub cluster: TestCluster,
    pub directory: tempfile::TempDir,
    pub store: Arc<dyn BlobStore>,
    pub repository: Repository,
}

pub async fn sql(url: &str, text: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    // One by one: VACUUM and CREATE DATABASE refuse to share a transaction.
    for statement in text.split("; ") {
        let done = connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    connection.close().await.unwrap();
}

pub async fn value(url: &str, text: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = connection.fetch_one(sqlx::AssertSqlSafe(format!("SELECT ({text})::text"))).await;
    let value = row.unwrap_or_else(|error| panic!("{text}: {error}")).get(0);
    connection.close().await.unwrap();
    value
}

/// Contents of all tables of the tests, as one hash.
pub async fn oracle(url: &str) -> String {
    value(url, "SELECT md5(coalesce(string_agg(h, ',' ORDER BY h), '')) FROM (SELECT md5(string_agg(t::text, ',' ORDER BY id)) h FROM accounts t UNION ALL SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM history t) hashes").await
}

pub const SETTINGS: [(&str, &str); 4] =
    [("wal_level", "replica"), ("max_wal_size", "200MB"), ("autovacuum_naptime", "5s"), ("full_page_writes", "on")];

impl Bench {
    pub async fn new(install: Install) -> Self {
        Self::with(test_support::private_cluster_of(install, &SETTINGS).await).await
    }

    pub async fn with(cluster: TestCluster) -> Self {
        let directory = tempfile::tempdir().unwrap();
        open_to_all(directory.path());
        let root = directory.path().join("repository");
        let store: Arc<dyn BlobStore> = Arc::new(DirStore::create(&root).unwrap());
        let (key, text) = KeySource::new_file().unwrap();
        std::fs::write(directory.path().join("key"), text).unwrap();
        let repository = Repository::init(store.clone(), Some(&key)).await.unwrap();
        let bench = Self { cluster, directory, store, repository };
        sql(&bench.url(), "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint, filler text); CREATE TABLE history (id bigserial PRIMARY KEY, account int, delta int, at timestamptz DEFAULT now()); CREATE INDEX ON history (account); INSERT INTO accounts SELECT n, n * 10, repeat(md5(n::text), 4) FROM generate_series(1, 20000) n; CREATE UNLOGGED TABLE scratch AS SELECT * FROM accounts; CHECKPOINT").await;
        bench
    }

    pub fn url(&self) -> String {
        self.cluster.server.url("postgres")
    }

    pub fn source(&self) -> ConnInfo {
        ConnInfo::parse(&self.url()).unwrap()
    }

    pub async fn backup(&self, kind: BackupType, source: SourceKind) -> Summary {
        let options = CreateOptions { kind, source: Some(source), ..CreateOptions::default() };
        backup::create(&self.repository, &self.source(), "postgres", &options, &Arc::new(Progress::default()))
            .await
            .unwrap()
    }

    /// Changes some rows and adds some.
    pub async fn change(&self, seed: i64) {
        sql(&self.url(), &format!("UPDATE accounts SET balance = balance + {seed} WHERE id % 97 = {}; INSERT INTO history (account, delta) SELECT n, {seed} FROM generate_series(1, 500) n", seed % 97)).await;
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `restore_command`: this very test binary, which acts as `wal fetch` when it is called so.
    pub fn restore_command(&self) -> String {
        let program = self.directory.path().join("fetch");
        if !program.exists() {
            std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        }
        let repository = self.directory.path().join("repository");
        // The server's user reads what we wrote as root.
        let _ = std::process::Command::new("chown")
            .args(["-R", "postgres"])
            .arg(&repository)
            .arg(self.directory.path().join("key"))
            .status();
        format!(
            "HOLDFAST_TEST_FETCH={} HOLDFAST_TEST_NAME=%f HOLDFAST_TEST_TO=%p {} --exact wal::acts_as_restore_command --nocapture >/dev/null",
            self.directory.path().display(),
            program.display()
        )
    }

    pub fn options(&self, to: &Path) -> RestoreOptions {
        RestoreOptions {
            to: to.to_owned(),
            delta: false,
            tablespaces: Vec::new(),
            workers: 2,
            owner: None,
            restore_command: Some(self.restore_command()),
            action: "promote".to_owned(),
            inclusive: true,
            tame: false,
        }
    }

    pub async fn restore(&self, target: Target, options: &RestoreOptions) -> Restored {
        let request = RestoreRequest { system: None, backup: None, target, timeline: None };
        let (plan, manifest) = restore::plan(&self.repository, &request).await.unwrap();
        restore::restore(&self.repository, &plan, &manifest, options, &Arc::new(Progress::default())).await.unwrap()
    }

    /// Restores into `NAME/data` and starts it; it is promoted when this returns.
    pub async fn restore_and_start(&self, name: &str, target: Target) -> LocalCluster {
        let root = self.place(name);
        self.restore(target, &self.options(&root.join("data"))).await;
        self.start(&root).await
    }

    pub async fn start(&self, root: &Path) -> LocalCluster {
        let options = ClusterOptions {
            ephemeral: true,
            ..ClusterOptions::new(self.cluster.server.install().clone(), self.cluster.server.password())
        };
        // What a hot standby needs at least.
        let options = options.setting("max_connections", 60).setting("fsync", "off").setting("shared_buffers", "32MB");
        let options = options.setting("max_prepared_transactions", 4);
        let server = LocalCluster::start_in(root, options).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(300);
        let url = server.url("postgres");
        while value(&url, "pg_is_in_recovery()").await == "true" {
            assert!(Instant::now() < deadline, "recovery does not end: {}", server.log_tail(30));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server
    }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Every index against its table, every page against its checksum.
pub async fn assert_sound(server: &LocalCluster) {
    sql(&server.url("postgres"), "CREATE EXTENSION IF NOT EXISTS amcheck; SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence = 'p'").await;
}
