//! A real cluster, a repository with faults to order, and a control plane over both.
use backup::{KeySource, Repository, retention::Retention};
use blobs::{BlobStore, DirStore, faulty::FaultyStore};
use control::{
    Actor, ClusterConfig, Clusters, Confirmation, ControlPlane, Disaster, OpenRepository, Protected, Recovery,
    ScheduleConfig, ScheduleKind,
};
use domain::{
    Lsn,
    view::{AuditEntry, BackupRow, JobState, JobView, Objectives},
};
use monitor::{Monitor, Watched};
use pgphysical::replication::ConnInfo;
use pgstat::Target;
use recovery::{Pace, Service};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Store;
use test_support::TestCluster;
use tokio_util::sync::CancellationToken;

pub const PACE: Pace = Pace {
    look: Duration::from_millis(200),
    lease: Duration::from_secs(20),
    forecast_pause: Duration::from_secs(600),
    again: Duration::from_secs(600),
};

pub struct Bench {
    pub cluster: TestCluster,
    pub directory: tempfile::TempDir,
    /// The recovery code of the kit.
    pub code: String,
    /// Commands that plans may name.
    pub hooks: BTreeMap<String, String>,
    /// In front of the repository.
    pub faulty: FaultyStore,
    /// What must hold in every copy.
    pub probes: Vec<String>,
    /// What is started by itself. Far away, unless the test says otherwise: what is tested is what is asked for.
    pub schedules: Vec<ScheduleConfig>,
    /// Of schedules and calendars.
    pub time_zone: String,
    /// How late they may be.
    pub jitter: Duration,
    /// The stream has the source commit so often.
    pub heartbeat: Option<Duration>,
    /// Data directories that may be restored over.
    pub restore_over: Vec<PathBuf>,
    /// For copies that are started elsewhere; those that are started here need none.
    pub restore_command: String,
    /// Threads of a backup and of a restore.
    pub workers: usize,
    /// The repository lies in a directory here.
    local: bool,
}

/// What a person types who means it.
pub fn confirmed() -> Confirmation {
    Confirmation { name: "main".to_owned(), password: String::new() }
}

/// The service at work, the monitor where alerts are looked for, and their store, which stays until the test is over.
pub struct Running {
    service: Option<Service>,
    monitor: Option<Monitor>,
    stop: CancellationToken,
    _store: tempfile::TempDir,
}

impl Running {
    /// Waits until all of it has ended.
    pub async fn end(&mut self) {
        self.stop.cancel();
        if let Some(service) = self.service.take() {
            service.join().await;
        }
        if let Some(monitor) = self.monitor.take() {
            monitor.join().await;
        }
    }
}

pub async fn sql(url: &str, text: &str) -> Option<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows = connection.fetch_all(sqlx::AssertSqlSafe(text.to_owned())).await;
    let rows = rows.unwrap_or_else(|error| panic!("{text}: {error}"));
    connection.close().await.unwrap();
    rows.first().and_then(|row| row.try_get::<Option<String>, _>(0).ok().flatten())
}

impl Bench {
    pub async fn new() -> Self {
        Self::over(None).await
    }

    /// With a store of the test's own.
    pub async fn over(store: Option<Arc<dyn BlobStore>>) -> Self {
        Self::made(&[], |_| store).await
    }

    /// With settings of the test's own; `prepare` may put something where the repository will be, or choose a store.
    pub async fn made(
        settings: &[(&str, &str)],
        prepare: impl FnOnce(&std::path::Path) -> Option<Arc<dyn BlobStore>>,
    ) -> Self {
        let settings = [&[("max_wal_size", "200MB"), ("max_slot_wal_keep_size", "400MB")], settings].concat();
        let cluster = test_support::private_cluster(&settings).await;
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let store = prepare(directory.path());
        let local = store.is_none();
        let store = store.unwrap_or_else(|| Arc::new(DirStore::create(&directory.path().join("repository")).unwrap()));
        let (key, text) = KeySource::new_file().unwrap();
        std::fs::write(directory.path().join("key"), text).unwrap();
        let repository = Repository::init(store.clone(), Some(&key)).await.unwrap();
        let (recovery, code) = KeySource::new_recovery().unwrap();
        repository.add_key(&recovery, "kit").await.unwrap();
        let faulty = FaultyStore::new(store);
        sql(
            &cluster.server.url("postgres"),
            "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS item FROM generate_series(1, 5000) n",
        )
        .await;
        let probes = vec!["postgres: SELECT count(*) >= 5000 FROM orders".to_owned()];
        let schedules = vec![ScheduleConfig { kind: ScheduleKind::Full, cron: "0 0 1 1 *".to_owned() }];
        Self {
            cluster,
            directory,
            faulty,
            code,
            hooks: BTreeMap::new(),
            probes,
            schedules,
            time_zone: "UTC".to_owned(),
            jitter: Duration::ZERO,
            heartbeat: None,
            restore_over: Vec::new(),
            restore_command: "/bin/false".to_owned(),
            workers: 2,
            local,
        }
    }

    pub fn url(&self) -> String {
        self.cluster.server.url("postgres")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens the repository by the printed code alone.
    fn kit(&self) -> OpenRepository {
        let (faulty, code) = (self.faulty.clone(), self.code.clone());
        OpenRepository(Arc::new(move || {
            let (faulty, code) = (faulty.clone(), code.clone());
            Box::pin(async move {
                let store: Arc<dyn BlobStore> = Arc::new(faulty);
                let key = KeySource::parse_recovery(&code).map_err(|it| it.to_string())?;
                Repository::open(store, Some(&key)).await.map_err(|it| it.to_string())
            })
        }))
    }

    pub fn protected(&self) -> Protected {
        let (faulty, key) = (self.faulty.clone(), self.path("key"));
        let open = OpenRepository(Arc::new(move || {
            let (faulty, key) = (faulty.clone(), key.clone());
            Box::pin(async move {
                let store: Arc<dyn BlobStore> = Arc::new(faulty);
                let key = KeySource::read_file(&key).map_err(|it| it.to_string())?;
                Repository::open(store, Some(&key)).await.map_err(|it| it.to_string())
            })
        }));
        Protected {
            cluster: "main".to_owned(),
            source: ConnInfo::parse(&self.url()).unwrap(),
            place: self.path("repository").display().to_string(),
            open,
            restore_command: Some(self.restore_command.clone()),
            repository_directory: self.local.then(|| self.path("repository")),
            superuser: "postgres".to_owned(),
            schedules: self.schedules.clone(),
            time_zone: self.time_zone.clone(),
            jitter: self.jitter,
            retention: Retention { keep_full: Some(1), minimum: 1, ..Retention::default() },
            objectives: Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 },
            stream: true,
            slot: "holdfast".to_owned(),
            heartbeat: self.heartbeat,
            slot_limits: backup::wal::SlotLimits::default(),
            workers: self.workers,
            restore_directory: self.path("restores"),
            restore_over: self.restore_over.clone(),
            test_directory: self.path("tests"),
            probes: self.probes.clone(),
            refresh: Duration::from_secs(1),
            disaster: Disaster { hooks: self.hooks.clone(), kit: Ok(self.kit()), ..Disaster::default() },
        }
    }

    pub async fn control(&self, store: &str) -> ControlPlane {
        let store = Store::connect(store).await.unwrap();
        store.migrate().await.unwrap();
        let config = ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None };
        let clusters = Clusters::new(vec![config], |config| monitor::first_snapshot(config, Duration::from_secs(30)));
        let recovery = Recovery::new(vec![self.protected()]).with_schedule(recovery::upcoming);
        ControlPlane::with_recovery(store, clusters, 1_000.0, recovery).await.unwrap()
    }
}

impl Bench {
    /// Starts the service over a store of its own.
    pub async fn served(&self) -> (ControlPlane, Running) {
        self.started(PACE, false).await
    }

    /// Starts the service over a store of its own, and the monitor, so that alerts are raised and ended.
    pub async fn watched(&self, pace: Pace) -> (ControlPlane, Running) {
        self.started(pace, true).await
    }

    async fn started(&self, pace: Pace, watched: bool) -> (ControlPlane, Running) {
        let (url, directory) = test_support::sqlite_url();
        let control = self.control(&url).await;
        let stop = CancellationToken::new();
        let monitor = watched.then(|| self.watch(&control, &stop));
        let service = Some(Service::start(&control, pace, &stop));
        (control, Running { service, monitor, stop, _store: directory })
    }

    /// While nobody streams, the slot is dropped and its WAL goes.
    pub async fn lose_wal(&self) {
        // The server may not have heard yet that the stream has ended.
        until("the end of the slot", async || {
            let away = "SELECT pg_drop_replication_slot(slot_name)::text FROM pg_replication_slots WHERE slot_name = 'holdfast' AND NOT active";
            sql(&self.url(), away).await;
            let left = "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = 'holdfast'";
            (sql(&self.url(), left).await.as_deref() == Some("0")).then_some(())
        })
        .await;
        for _ in 0..3 {
            sql(&self.url(), "SELECT pg_switch_wal()::text").await;
            sql(&self.url(), "CREATE TABLE filler AS SELECT repeat('x', 100) FROM generate_series(1, 1000)").await;
            sql(&self.url(), "DROP TABLE filler").await;
            sql(&self.url(), "CHECKPOINT").await;
        }
    }

    /// Has the monitor watch the cluster each second, so that alerts are raised and ended.
    pub fn watch(&self, control: &ControlPlane, stop: &CancellationToken) -> Monitor {
        let config = ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None };
        let watched = Watched { config, target: Target::parse(&self.url()).unwrap() };
        Monitor::start(control, vec![watched], Duration::from_secs(1), stop)
    }
}

/// Long, so that a machine that is busy with other things fails nothing: who waits for what comes does not wait so long.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until so many backups are listed; they are given, the newest first.
pub async fn listed(control: &ControlPlane, count: usize) -> Vec<BackupRow> {
    until(&format!("a list of {count}"), async || {
        let page = control.backups_list(&Actor::cli(), None, None, 50).await.unwrap();
        (page.rows.len() == count).then_some(page.rows)
    })
    .await
}

/// Waits until the WAL is streamed too.
pub async fn listed_and_streaming(control: &ControlPlane, count: usize) {
    until(&format!("{count} backups and the stream"), async || {
        let overview = control.recovery_overview(&Actor::cli(), None).await.unwrap();
        (overview.window.wal.state == "streaming" && overview.backups.len() == count).then_some(())
    })
    .await;
}

/// How far the server has written its WAL.
pub async fn written(bench: &Bench) -> Lsn {
    sql(&bench.url(), "SELECT pg_current_wal_flush_lsn()::text").await.unwrap().parse().unwrap()
}

/// Waits until the repository has all WAL that the server has written by now. What the stream says of its lag may be of the
/// moment before.
pub async fn stored(bench: &Bench, control: &ControlPlane) {
    let written = written(bench).await;
    until(&format!("WAL up to {written} in the repository"), async || {
        let wal = control.recovery().slots()[0].wal.load();
        (wal.state == "streaming" && wal.durable_lsn >= Some(written)).then_some(())
    })
    .await;
}

/// Rows of the audit log that tell of one use case with one outcome, the newest first.
pub async fn audited(control: &ControlPlane, action: &str, outcome: &str) -> Vec<AuditEntry> {
    let filter = store::AuditFilter {
        action: Some(action.to_owned()),
        outcome: Some(outcome.to_owned()),
        ..store::AuditFilter::default()
    };
    control.audit_list(&Actor::cli(), filter, None, 50).await.unwrap().rows
}

pub async fn over(control: &ControlPlane, id: &str) -> JobView {
    until(&format!("the end of job {id}"), async || {
        let job = control.job_get(&Actor::cli(), id).await.unwrap();
        job.state.is_over().then_some(job)
    })
    .await
}

pub async fn succeeded(control: &ControlPlane, job: &JobView) -> JobView {
    let job = over(control, &job.id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    job
}
