//! Backups taken while a database works and changes its shape, restored to every kind of target and compared with what
//! the source held at that moment.
use crate::support::{Bench, sql, value};
use backup::{
    BackupType, CreateOptions, Progress, SourceKind, Summary,
    restore::{self, RestoreOptions, RestoreRequest, Target},
    wal::{StreamOptions, StreamStatus, stream},
};
use domain::Lsn;
use pgphysical::{ClusterOptions, Install, LocalCluster, ShutdownMode, page};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use test_support::TestCluster;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

const SETTINGS: [(&str, &str); 5] = [
    ("wal_level", "replica"),
    ("max_wal_size", "400MB"),
    ("autovacuum_naptime", "2s"),
    ("full_page_writes", "on"),
    ("log_statement", "none"),
];

/// What every table of every database holds.
type Contents = BTreeMap<String, String>;

async fn rows(connection: &mut PgConnection, text: &str) -> Vec<String> {
    let rows = connection.fetch_all(sqlx::AssertSqlSafe(text.to_owned())).await;
    rows.unwrap_or_else(|error| panic!("{text}: {error}")).iter().map(|row| row.get::<String, _>(0)).collect()
}

/// A hash of each table, in each database that can be connected to.
async fn contents(server: &LocalCluster) -> Contents {
    let mut all = Contents::new();
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let databases = rows(&mut connection, "SELECT datname::text FROM pg_database WHERE datallowconn ORDER BY 1").await;
    connection.close().await.unwrap();
    for database in databases {
        let mut connection = PgConnection::connect(&server.url(&database)).await.unwrap();
        let tables = rows(
            &mut connection,
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname = 'public' ORDER BY 1",
        )
        .await;
        all.insert(database.clone(), tables.join(" "));
        for table in tables {
            let text = format!(
                "SELECT count(*) || ' ' || md5(coalesce(string_agg(h, '' ORDER BY h), '')) FROM (SELECT md5(t::text) h FROM {table} t) hashes"
            );
            let hash = rows(&mut connection, &text).await.remove(0);
            all.insert(format!("{database}.{table}"), hash);
        }
        connection.close().await.unwrap();
    }
    all
}

/// A moment of the source, reachable in four ways, and what it held.
struct Moment {
    contents: Contents,
    targets: [(&'static str, Target); 4],
}

/// Everything that changes the source waits while somebody holds the gate.
struct Load {
    gate: Arc<RwLock<()>>,
    stop: Arc<AtomicBool>,
    steps: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// One after the other, over and over; `{n}` counts. A step that starts with a name and `:` runs in that database.
const CHANGES: [&str; 22] = [
    "CREATE TABLE made_{n} AS SELECT g id, md5(g::text) t FROM generate_series(1, 3000) g",
    "VACUUM FULL wide",
    "CREATE DATABASE copied TEMPLATE template0 OID = 90001 STRATEGY file_copy",
    "copied:CREATE TABLE inside AS SELECT g id, md5((g + {n})::text) t FROM generate_series(1, 2000) g",
    "ALTER TABLE mover SET TABLESPACE one",
    "REINDEX INDEX CONCURRENTLY mover_t",
    "TRUNCATE shrunk; INSERT INTO shrunk SELECT g, repeat(md5((g * {n})::text), 20) FROM generate_series(1, 200 + {n} % 7 * 300) g",
    "ALTER TABLE turned SET UNLOGGED",
    "UPDATE wide SET t = t || md5((id + {n})::text) WHERE id % 7 = {n} % 7",
    "CREATE DATABASE logged TEMPLATE template0 STRATEGY wal_log",
    "logged:CREATE TABLE inside AS SELECT g id, md5((g * {n})::text) t FROM generate_series(1, 2000) g",
    "ALTER TABLE turned SET LOGGED",
    "ALTER TABLE mover SET TABLESPACE two",
    "DROP DATABASE copied WITH (FORCE)",
    // The same oid, so that pages of another life stand at a known path.
    "CREATE DATABASE copied TEMPLATE template0 OID = 90001 STRATEGY wal_log",
    "copied:CREATE TABLE inside AS SELECT g id, md5((g - {n})::text) t FROM generate_series(1, 1000) g",
    "DELETE FROM huge WHERE id % 5 = {n} % 5; INSERT INTO huge SELECT g, repeat('x', 100) FROM generate_series(1, 500) g",
    "DROP TABLE made_{n}; CREATE TABLE kept_{n} AS SELECT g id FROM generate_series(1, 50) g",
    "DROP DATABASE logged WITH (FORCE); CREATE INDEX CONCURRENTLY more ON mover (id)",
    "REINDEX TABLE CONCURRENTLY wide; DROP INDEX CONCURRENTLY more",
    "ALTER TABLE mover SET TABLESPACE pg_default; CHECKPOINT",
    "DROP DATABASE copied WITH (FORCE); VACUUM shrunk",
];

impl Load {
    fn start(bench: &Bench) -> Self {
        let load = Self { gate: Arc::default(), stop: Arc::default(), steps: Arc::default(), tasks: Vec::new() };
        let server = &bench.cluster.server;
        let pgbench = server.install().program("pgbench");
        let (gate, stop, url) = (load.gate.clone(), load.stop.clone(), server.url("postgres"));
        let writing = tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let _open = gate.read().await;
                let run = tokio::process::Command::new(&pgbench)
                    .args(["--client=2", "--transactions=60", "--no-vacuum"])
                    .arg(&url)
                    .kill_on_drop(true)
                    .output()
                    .await
                    .unwrap();
                assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            }
        });
        let (gate, stop, steps) = (load.gate.clone(), load.stop.clone(), load.steps.clone());
        let urls = ["postgres", "copied", "logged"].map(|name| (name, server.url(name)));
        let changing = tokio::spawn(async move {
            for (number, step) in (1..).flat_map(|number| CHANGES.map(|step| (number, step))) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let elsewhere =
                    urls.iter().find_map(|(name, url)| Some((url, step.strip_prefix(name)?.strip_prefix(':')?)));
                let (url, text) = elsewhere.unwrap_or((&urls[0].1, step));
                let _open = gate.read().await;
                sql(url, &text.replace("{n}", &number.to_string())).await;
                steps.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { tasks: vec![writing, changing], ..load }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// Holds everything, notes what is there, and names the moment in four ways.
    async fn moment(&self, bench: &Bench, number: usize) -> Moment {
        let _closed = self.gate.write().await;
        let url = bench.url();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let mark = format!("INSERT INTO moments VALUES ({number}) RETURNING pg_current_xact_id()::text");
        let xid = rows(&mut connection, &mark).await.remove(0);
        connection.close().await.unwrap();
        let contents = contents(&bench.cluster.server).await;
        // The next record begins here, and it changes nothing.
        let lsn = value(&url, "pg_current_wal_insert_lsn()").await;
        let name = format!("moment {number}");
        value(&url, &format!("pg_create_restore_point('{name}')")).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let time =
            value(&url, "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Moment {
            contents,
            targets: [
                ("lsn", Target::Lsn(lsn.parse().unwrap())),
                ("time", Target::time(&time).unwrap()),
                ("xid", Target::Xid(xid.parse().unwrap())),
                ("name", Target::Name(name)),
            ],
        }
    }
}

/// Tables of all sorts: indexes of every method, values out of line, more than one segment, unlogged and temporary ones.
async fn fill(bench: &mut Bench) {
    for space in ["one", "two"] {
        let place = bench.place(space);
        std::fs::create_dir(&place).unwrap();
        let _ = std::process::Command::new("chown").arg("postgres").arg(&place).status();
        sql(&bench.url(), &format!("CREATE TABLESPACE {space} LOCATION '{}'", place.display())).await;
    }
    sql(
        &bench.url(),
        "CREATE TABLE moments (n int); \
         CREATE TABLE wide AS SELECT g id, (SELECT string_agg(md5((g * 1000 + k)::text), '') FROM generate_series(1, 120) k) t FROM generate_series(1, 400) g; \
         CREATE INDEX ON wide USING hash (id); CREATE INDEX ON wide USING brin (id); \
         CREATE TABLE mover AS SELECT g id, md5(g::text) t, ARRAY[g, g % 100] a FROM generate_series(1, 8000) g; \
         CREATE INDEX mover_t ON mover (t); CREATE INDEX ON mover USING gin (a); \
         CREATE TABLE turned AS SELECT g id, md5(g::text) t FROM generate_series(1, 4000) g; CREATE INDEX ON turned USING gist (point(id, id)); \
         CREATE TABLE shrunk (id int, t text); \
         CREATE TABLE huge (id int, t text) WITH (autovacuum_enabled = off); INSERT INTO huge SELECT g, 'before' FROM generate_series(1, 500) g; \
         CREATE UNLOGGED TABLE unlogged AS SELECT g id FROM generate_series(1, 5000) g; CREATE INDEX ON unlogged (id); CHECKPOINT",
    )
    .await;
    let server = &bench.cluster.server;
    let made = tokio::process::Command::new(server.install().program("pgbench"))
        .args(["--initialize", "--scale=3", "--quiet"])
        .arg(server.url("postgres"))
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    grow_beyond_a_segment(bench).await;
}

/// More than 1 GiB for next to nothing: the first segment is filled up with pages that were never used, as a crash after
/// an extension leaves them.
async fn grow_beyond_a_segment(bench: &mut Bench) {
    let path = value(&bench.url(), "pg_relation_filepath('huge')").await;
    bench.cluster.server.stop(ShutdownMode::Fast).await.unwrap();
    let first = bench.cluster.server.data_dir().join(path);
    std::fs::OpenOptions::new().write(true).open(&first).unwrap().set_len(1 << 30).unwrap();
    let second = first.with_extension("1");
    std::fs::File::create(&second).unwrap().set_len(16 << 13).unwrap();
    let _ = std::process::Command::new("chown").arg("postgres:postgres").arg(&second).status();
    bench.cluster.server.start().await.unwrap();
    sql(&bench.url(), "INSERT INTO huge SELECT g, 'behind' FROM generate_series(1, 5000) g; CHECKPOINT").await;
    let blocks = value(&bench.url(), "SELECT count(*) FROM huge WHERE (ctid::text::point)[0] >= 131072").await;
    assert_ne!(blocks, "0", "rows must be in the second segment");
}

/// A backup during which the source changes its shape; the store takes its time, so that there is time for that.
async fn backup_under_change(bench: &Bench, load: &Load, kind: BackupType, source: SourceKind) -> Summary {
    use blobs::faulty::{Fault, FaultyStore, Operation, Rule};
    let slow = Arc::new(FaultyStore::new(bench.store.clone()));
    slow.add(Rule::new(Fault::Slow(Duration::from_millis(400))).on(Operation::Write));
    let key = backup::KeySource::read_file(&bench.place("key")).unwrap();
    let repository = backup::Repository::open(slow, Some(&key)).await.unwrap();
    let options = CreateOptions { kind, source: Some(source), ..CreateOptions::default() };
    let before = load.steps.load(Ordering::Relaxed);
    let done = backup::create(&repository, &bench.source(), "postgres", &options, &Arc::new(Progress::default())).await;
    let summary = done.unwrap();
    let during = load.steps.load(Ordering::Relaxed) - before;
    println!("  {} with {during} changes of shape meanwhile", summary.id);
    assert!(during > 0, "nothing happened during the backup");
    assert_eq!((summary.kind, summary.damaged.len()), (kind, 0), "{:?}", summary.damaged);
    summary
}

/// No page of a restored copy may be newer than the end of its backup: the WAL up to there could not explain it.
fn assert_nothing_from_the_future(data: &Path, until: Lsn) {
    let mut directories = vec![data.to_owned()];
    let mut seen = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let (path, name) = {
                let entry = entry.unwrap();
                (entry.path(), entry.file_name().into_string().unwrap())
            };
            if std::fs::metadata(&path).unwrap().is_dir() {
                directories.push(path);
                continue;
            }
            let in_database = path.parent().is_some_and(|it| {
                it.file_name().is_some_and(|it| it.to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
            });
            let main =
                name.split('.').next().is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit()));
            if !in_database || !main || std::fs::metadata(&path).unwrap().len() >= 1 << 30 {
                continue;
            }
            for (number, bytes) in std::fs::read(&path).unwrap().as_chunks::<{ page::PAGE_SIZE }>().0.iter().enumerate()
            {
                let lsn = page::page_lsn(bytes);
                assert!(lsn <= until, "page {number} of {} is of {lsn}, the backup ended at {until}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 1_000, "only {seen} pages were looked at");
}

fn options(bench: &Bench, name: &str) -> RestoreOptions {
    let root = bench.place(name);
    RestoreOptions {
        tablespaces: ["one", "two"].map(|space| (bench.place(space).display().to_string(), root.join(space))).into(),
        ..bench.options(&root.join("data"))
    }
}

/// Restores, starts, and has PostgreSQL's own programs look at it.
async fn prove(bench: &Bench, backup: &Summary, moment: &Moment, target: &Target, name: &str) {
    let root = bench.place(name);
    let request =
        RestoreRequest { system: None, backup: Some(backup.id.clone()), target: target.clone(), timeline: None };
    let (plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
    assert_eq!(plan.backup.id, backup.id);
    let options = options(bench, name);
    restore::restore(&bench.repository, &plan, &manifest, &options, &Arc::default()).await.unwrap();
    assert_nothing_from_the_future(&root.join("data"), backup.stop_lsn);
    let mut server = start(bench, &root).await;
    let found = contents(&server).await;
    let differing = found.iter().filter(|(table, hash)| moment.contents.get(*table) != Some(hash)).collect::<Vec<_>>();
    assert!(differing.is_empty(), "{name}: these are not what they were: {differing:?}");
    assert_eq!(found.len(), moment.contents.len(), "{name}: something is missing");
    assert_eq!(value(&server.url("postgres"), "SELECT count(*) FROM unlogged").await, "0");
    check(&mut server, name).await;
    drop(server);
    std::fs::remove_dir_all(&root).unwrap();
}

async fn start(bench: &Bench, root: &Path) -> LocalCluster {
    let source = &bench.cluster.server;
    let options = ClusterOptions::new(source.install().clone(), source.password())
        .setting("fsync", "off")
        .setting("autovacuum", "off");
    let server = LocalCluster::start_in(root, options).await.unwrap();
    let (url, deadline) = (server.url("postgres"), Instant::now() + Duration::from_secs(300));
    while value(&url, "pg_is_in_recovery()").await == "true" {
        assert!(Instant::now() < deadline, "recovery does not end: {}", server.log_tail(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server
}

/// `pg_amcheck --heapallindexed` while it runs, `pg_checksums --check` when it is stopped.
async fn check(server: &mut LocalCluster, name: &str) {
    let output = tokio::process::Command::new(server.install().program("pg_amcheck"))
        .args(["--all", "--heapallindexed", "--install-missing", "--host=127.0.0.1", "--username=postgres"])
        .arg(format!("--port={}", server.port()))
        .env("PGPASSWORD", server.password())
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}: pg_amcheck: {}", String::from_utf8_lossy(&text));
    server.stop(ShutdownMode::Fast).await.unwrap();
    let data = server.data_dir();
    let arguments = [OsStr::new("--check"), OsStr::new("--pgdata"), data.as_os_str()];
    server.run_program("pg_checksums", &arguments).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

async fn lasting_cluster(install: &Install, home: &Path) -> TestCluster {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut options = ClusterOptions::new(install.clone(), "secret").setting("fsync", "off");
    for (name, value) in SETTINGS {
        options = options.setting(name, value);
    }
    let root = home.join("source");
    TestCluster { server: LocalCluster::start_in(&root, options).await.unwrap(), root }
}

async fn proof_of(install: Install, turn: usize) {
    let major = install.major;
    println!("PostgreSQL {}", install.version);
    // It is stopped on the way and must not be swept away then.
    let home = tempfile::tempdir().unwrap();
    let mut bench = Bench::with(lasting_cluster(&install, home.path()).await).await;
    fill(&mut bench).await;
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let (repository, source, inner, token) = (bench.repository.clone(), bench.source(), status.clone(), stop.clone());
    let streaming = tokio::spawn(async move {
        let options = StreamOptions { every: Duration::from_millis(500), ..StreamOptions::default() };
        stream(&repository, &source, &options, &inner, &token).await
    });
    // A temporary table lives as long as its session.
    let mut session = PgConnection::connect(&bench.url()).await.unwrap();
    session.execute("CREATE TEMP TABLE fleeting AS SELECT g id FROM generate_series(1, 20000) g").await.unwrap();
    let load = Load::start(&bench);
    let mut taken = Vec::new();
    for number in 0..4 {
        let kind = if number == 0 { BackupType::Full } else { BackupType::Incremental };
        // One of them comes over the wire.
        let source = if number == 2 { SourceKind::Remote } else { SourceKind::Local };
        let summary = backup_under_change(&bench, &load, kind, source).await;
        taken.push((summary, load.moment(&bench, number).await));
    }
    let (full, last) = (&taken[0].0, &taken[3].0);
    assert!(taken.iter().all(|(one, _)| one.lineage == full.lineage));
    assert!(last.stats.stored_bytes < full.stats.stored_bytes, "{:?} {:?}", last.stats, full.stats);
    load.end().await;
    // A time is reached only by a commit behind it.
    sql(&bench.url(), "INSERT INTO moments VALUES (99)").await;
    let end: Lsn = value(&bench.url(), "pg_current_wal_flush_lsn()").await.parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while status.durable.load(Ordering::Relaxed) < end.0 {
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(session);
    quiescent(&mut bench, &stop, streaming, &format!("{major}-quiet")).await;
    let all = std::env::var_os("HOLDFAST_ORACLE_ALL").is_some();
    for (number, (backup, moment)) in taken.iter().enumerate() {
        for (which, (kind, target)) in moment.targets.iter().enumerate() {
            // Each backup to one kind of target, and the last to all of them; with an older PostgreSQL two of them will do.
            let chosen = (number + turn) % 4 == which && (turn == 0 || number % 2 == 1);
            if all || (number == 3 && turn == 0) || chosen {
                let begun = Instant::now();
                prove(&bench, backup, moment, target, &format!("{major}-{number}-{kind}")).await;
                println!("  {} to {kind} in {:.1} s", backup.id, begun.elapsed().as_secs_f64());
            }
        }
    }
}

/// When nothing moves, a restored copy is the stopped cluster's, page by page.
async fn quiescent(
    bench: &mut Bench,
    stop: &CancellationToken,
    streaming: tokio::task::JoinHandle<Result<(), backup::BackupError>>,
    name: &str,
) {
    sql(&bench.url(), "ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf(); VACUUM; CHECKPOINT").await;
    let summary = bench.backup(BackupType::Incremental, SourceKind::Local).await;
    stop.cancel();
    streaming.await.unwrap().unwrap();
    bench.cluster.server.stop(ShutdownMode::Fast).await.unwrap();
    let request =
        RestoreRequest { system: None, backup: Some(summary.id.clone()), target: Target::Immediate, timeline: None };
    let (plan, manifest) = restore::plan(&bench.repository, &request).await.unwrap();
    let options = options(bench, name);
    restore::restore(&bench.repository, &plan, &manifest, &options, &Arc::default()).await.unwrap();
    let (cold, restored) = (bench.cluster.server.data_dir(), options.to.clone());
    let mut pages = 0;
    for entry in manifest.entries.iter().filter(|entry| entry.map.is_some()) {
        // Written anew by the stop or by the restore.
        if matches!(
            entry.path.as_str(),
            "backup_label" | "tablespace_map" | "global/pg_control" | "postgresql.auto.conf"
        ) || ["pg_stat/", "pg_logical/"].iter().any(|prefix| entry.path.starts_with(prefix))
        {
            continue;
        }
        let (a, b) =
            (std::fs::read(cold.join(&entry.path)).unwrap(), std::fs::read(restored.join(&entry.path)).unwrap());
        assert_eq!(a.len(), b.len(), "{}", entry.path);
        for (number, (a, b)) in a.chunks(page::PAGE_SIZE).zip(b.chunks(page::PAGE_SIZE)).enumerate() {
            assert!(a == b, "page {number} of {} differs from the cold copy", entry.path);
            pages += 1;
        }
    }
    println!("  {pages} pages are those of the stopped cluster");
    assert!(pages > 131_072);
    std::fs::remove_dir_all(bench.place(name)).unwrap();
    bench.cluster.server.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_is_what_was_there_under_load_and_change() {
    for (turn, install) in test_support::versions().into_iter().enumerate() {
        proof_of(install, turn).await;
    }
}
