//! A copy of a cluster beside the original: restored, tamed, started, looked at.
use crate::{
    configuration::{AUTO, COPY_FILE, FILES, Here, Judged, Original, RESTORED, memory_bytes},
    execute::Predecessor,
    walserver::WalServer,
    work::{Ended, Work},
};
use backup::{
    Lease, Manifest, Repository,
    restore::{self, RestoreOptions, RestorePlan, Restored, Target},
    wal::TimeStop,
};
use control::Slot;
use domain::{Timestamp, format};
use pgphysical::{
    ClusterOptions, Install, LocalCluster, ShutdownMode,
    control::ControlFile,
    replication::{ConnInfo, ReplicationConnection},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// Replay of much WAL takes long; a copy that does nothing at all is noticed by its log.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(6 * 3_600);
const LOOK: Duration = Duration::from_millis(250);
/// A copy that is held and has asked for all there is has come to the end when nothing moved for so long.
const STILL: Duration = Duration::from_secs(1);
/// The settings by which a copy is tamed, while the original's are tried.
const TAMED: &str = "postgresql.auto.conf.tamed";
/// Tables whose rows are counted, the largest first.
const TABLES_COUNTED: usize = 20;

/// What a copy is started with and looked at by.
#[derive(Clone, Debug)]
pub(crate) struct CopyHost {
    /// Parts fetched at once.
    pub workers: usize,
    /// A superuser of the cluster.
    pub superuser: String,
    /// `DATABASE: SELECT …`.
    pub probes: Vec<String>,
    /// `listen_addresses` and port; a free port of the loopback when `None`.
    pub listen: Option<(String, Option<u16>)>,
}

impl CopyHost {
    /// As the cluster is configured, on a free port of the loopback.
    pub fn of(slot: &Slot) -> Self {
        let config = &slot.config;
        let (superuser, probes) = (config.superuser.clone(), config.probes.clone());
        Self { workers: config.workers, superuser, probes, listen: None }
    }
}

/// Where a copy is reached.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub port: u16,
    pub socket: PathBuf,
}

impl From<&LocalCluster> for Address {
    fn from(server: &LocalCluster) -> Self {
        Self { port: server.port(), socket: server.socket_dir() }
    }
}

/// A copy that runs, and what hands it its WAL.
#[derive(Debug)]
pub(crate) struct Started {
    pub server: LocalCluster,
    wal: WalServer,
    /// It stands at its target.
    paused: bool,
}

/// Where and how.
#[derive(Debug)]
pub(crate) struct CopyPlan<'a> {
    pub host: CopyHost,
    pub repository: &'a Repository,
    pub plan: &'a RestorePlan,
    pub manifest: &'a Manifest,
    /// Holds `data` and what the copy needs beside it.
    pub root: PathBuf,
    /// Stop before the target.
    pub exclusive: bool,
    /// Thrown away afterwards: what is written need not survive a power cut, and nobody signs in.
    pub throw_away: bool,
    /// It stays in recovery, read-only, until it is promoted; what comes into the repository meanwhile is replayed too.
    pub hold: bool,
    /// Held from the first file until the copy needs no WAL any more: nothing that it reads is expired meanwhile.
    pub lease: tokio::sync::Mutex<Option<Lease>>,
}

impl CopyPlan<'_> {
    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    async fn hold_backup(&self) -> Result<(), Ended> {
        let mut lease = self.lease.lock().await;
        if lease.is_none() {
            *lease = Lease::share(self.repository, &self.plan.backup, "restore and replay").await?;
        }
        Ok(())
    }

    /// Writes the files; nothing when a try before has done so already.
    pub async fn restore(&self, work: &Work) -> Result<Option<Restored>, Ended> {
        self.hold_backup().await?;
        let (data, mark) = (self.data(), self.root.join("holdfast-job"));
        let options = RestoreOptions {
            to: data.clone(),
            delta: false,
            // Beside the copy: the original's places are taken.
            tablespaces: self
                .plan
                .backup
                .tablespaces
                .iter()
                .map(|it| (it.oid.to_string(), self.root.join(format!("tablespace-{}", it.oid))))
                .collect(),
            workers: self.host.workers,
            owner: None,
            // Known only once the directory is there.
            restore_command: Some(command_in(&self.root)),
            action: if self.hold { "pause" } else { "promote" }.to_owned(),
            inclusive: !self.exclusive,
            tame: true,
        };
        let mut predecessor = Predecessor::new();
        // Looked at anew after each wait: whoever wrote there may have come to its end.
        loop {
            let ours = fs::read_to_string(&mark).is_ok_and(|text| text.trim() == work.row.id.to_string());
            let begun = data.join("holdfast.restoring").exists();
            if ours && !begun && data.join("global/pg_control").exists() {
                return Ok(None);
            }
            let occupied = fs::read_dir(&self.root).is_ok_and(|mut entries| entries.next().is_some());
            if occupied && !ours {
                return Err(Ended::Failed(format!("{} is not empty; choose another directory", self.root.display())));
            }
            fs::create_dir_all(&self.root)
                .and_then(|()| fs::write(&mark, format!("{}\n", work.row.id)))
                .map_err(|error| unwritable(&self.root, &error))?;
            let counters = work.counters();
            match restore::restore(self.repository, self.plan, self.manifest, &options, &counters).await {
                Ok(restored) => return Ok(Some(restored)),
                Err(error) => predecessor.outlast(work, error).await?,
            }
        }
    }

    fn options(&self, control: &ControlFile) -> Result<ClusterOptions, Ended> {
        let major = self.plan.backup.cluster.major();
        let install = Install::discover().into_iter().find(|it| it.major == major).ok_or_else(|| {
            Ended::Failed(format!(
                "the backup is of PostgreSQL {major}, which is not installed here: install postgresql-{major} or set HOLDFAST_PG_BIN"
            ))
        })?;
        let options = ClusterOptions { start_timeout: RECOVERY_TIMEOUT, ..ClusterOptions::new(install, "") }
            // A hot standby refuses to go below what the original had.
            .setting("max_connections", control.max_connections)
            .setting("max_worker_processes", control.max_worker_processes)
            .setting("max_wal_senders", control.max_wal_senders)
            .setting("max_prepared_transactions", control.max_prepared_transactions)
            .setting("max_locks_per_transaction", control.max_locks_per_transaction)
            .setting("shared_buffers", "64MB")
            .setting("log_checkpoints", "off");
        let options = match &self.host.listen {
            Some((listen, port)) => ClusterOptions { port: *port, ..options }.setting("listen_addresses", listen),
            None => options,
        };
        let options = if self.hold { options.setting("wal_retrieve_retry_interval", "500ms") } else { options };
        Ok(if self.throw_away {
            // Reached through its socket alone.
            options.setting("fsync", "off").setting("autovacuum", "off").setting("listen_addresses", "")
        } else {
            // Only as a reminder to whoever connects.
            options.setting("cluster_name", "restored by Holdfast")
        })
    }

    /// Starts it, waits until its recovery has ended (or has come to its end, when it is held), tells how far it is
    /// meanwhile.
    pub async fn start(&self, work: &Work) -> Result<Started, Ended> {
        // Frozen between, it may be another server's by now, whose copy is in the same place.
        if !work.is_ours().await {
            return Err(Ended::Cancelled);
        }
        self.hold_backup().await?;
        let data = self.data();
        let bytes = fs::read(data.join("global/pg_control"))?;
        let control = ControlFile::parse(&bytes).map_err(|error| Ended::Failed(error.to_string()))?;
        self.configure()?;
        let ending = data.join("recovery.signal");
        if self.hold && ending.exists() {
            // As a standby it goes on asking for WAL instead of ending its recovery by itself.
            fs::rename(&ending, data.join("standby.signal"))?;
        }
        let wal = WalServer::start(self.repository, &data, &wal_directory(&self.root))?;
        debug_assert_eq!(wal.command(), command_in(&self.root));
        let counters = work.counters();
        counters.total.store(self.plan.wal_bytes, Ordering::Relaxed);
        let begun = Instant::now();
        let mut server = match self.launch(work, &control, &wal).await {
            Ok(server) => server,
            Err(Ended::Failed(reason)) if self.is_quiet_end(&reason) => {
                work.log("no transaction ends after the wanted moment in the WAL: all of it is before, and is replayed to its end").await;
                self.replay_to_the_end()?;
                self.launch(work, &control, &wal).await?
            }
            Err(other) => return Err(other),
        };
        let mut sql = self.connect(&Address::from(&server), "postgres").await?;
        let mut still = (None, Instant::now());
        loop {
            let rows = match sql.query("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn(), CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END").await {
                Ok(rows) => rows,
                // It ended, or restarts its sessions at promotion.
                Err(error) => {
                    if server.postmaster_pid().is_none() {
                        let reason = wal.error().unwrap_or_else(|| server.log_tail(4));
                        if self.is_quiet_end(&reason) || self.is_quiet_end(&server.log_tail(6)) {
                            work.log("no transaction ends after the wanted moment in the WAL: all of it is before, and is replayed to its end").await;
                            self.replay_to_the_end()?;
                            drop(server);
                            server = self.launch(work, &control, &wal).await?;
                            sql = self.connect(&Address::from(&server), "postgres").await?;
                            continue;
                        }
                        return Err(Ended::Failed(format!("recovery stopped: {reason}")));
                    }
                    tracing::debug!(%error, "a copy was asked between");
                    work.sleep(LOOK).await?;
                    sql = self.connect(&Address::from(&server), "postgres").await?;
                    continue;
                }
            };
            let cell = |at: usize| rows.first().and_then(|row| row.get(at)?.clone());
            if let Some(lsn) = cell(1).and_then(|text| text.parse::<domain::Lsn>().ok()) {
                counters.done.store(
                    lsn.0.saturating_sub(self.plan.backup.start_lsn.0).min(self.plan.wal_bytes),
                    Ordering::Relaxed,
                );
            }
            if cell(0).as_deref() == Some("f") {
                return Ok(Started { server, wal, paused: false });
            }
            if self.hold {
                if cell(2).as_deref() == Some("t") {
                    return Ok(Started { server, wal, paused: true });
                }
                if still.0 != cell(1) || !wal.is_at_end() {
                    still = (cell(1), Instant::now());
                } else if still.1.elapsed() > STILL {
                    return Ok(Started { server, wal, paused: false });
                }
            }
            if begun.elapsed() > RECOVERY_TIMEOUT {
                return Err(Ended::Failed(format!("recovery did not end in time: {}", server.log_tail(4))));
            }
            work.sleep(LOOK).await?;
        }
    }

    /// Ends the recovery of a copy that was held; its WAL is no longer handed to it.
    pub async fn promote(&self, work: &Work, started: Started) -> Result<LocalCluster, Ended> {
        let Started { mut server, wal, paused } = started;
        if !self.is_held(&server).await {
            // A try before this one came so far.
            return Ok(server);
        }
        if !paused && self.plan.target != Target::Latest {
            if !matches!(self.plan.target, Target::Time(..)) {
                return Err(Ended::Failed(
                    "all WAL was replayed and the target is not in it; choose another target".to_owned(),
                ));
            }
            work.log("no transaction ends after the wanted moment in the WAL: all of it is before, and is replayed to its end").await;
            self.replay_to_the_end()?;
            server.stop(ShutdownMode::Fast).await?;
            let bytes = fs::read(self.data().join("global/pg_control"))?;
            let control = ControlFile::parse(&bytes).map_err(|error| Ended::Failed(error.to_string()))?;
            server = self.launch(work, &control, &wal).await?;
        }
        work.check()?;
        server.promote().await?;
        Ok(server)
    }

    async fn is_held(&self, server: &LocalCluster) -> bool {
        let rows = self.rows(&Address::from(server), "postgres", "SELECT pg_is_in_recovery()").await;
        rows.is_ok_and(|rows| rows.first().is_some_and(|cell| cell == "t"))
    }

    async fn launch(&self, work: &Work, control: &ControlFile, wal: &WalServer) -> Result<LocalCluster, Ended> {
        let starting = LocalCluster::start_in(&self.root, self.options(control)?);
        tokio::pin!(starting);
        loop {
            tokio::select! {
                started = &mut starting => return match (started, wal.error()) {
                    (Err(_), Some(reason)) => Err(Ended::Failed(format!("recovery stopped: {reason}"))),
                    (started, _) => Ok(started?),
                },
                () = tokio::time::sleep(LOOK) => work.check()?,
            }
        }
    }

    /// PostgreSQL's own words for a target behind the last commit, although every commit before it was replayed.
    fn is_quiet_end(&self, reason: &str) -> bool {
        matches!(self.plan.target, Target::Time(..))
            && reason.contains("recovery ended before configured recovery target was reached")
    }

    fn replay_to_the_end(&self) -> Result<(), Ended> {
        let auto = self.data().join("postgresql.auto.conf");
        let text = fs::read_to_string(&auto)?;
        let kept = text
            .lines()
            .filter(|line| {
                !["recovery_target_time", "recovery_target_inclusive", "recovery_target_action"]
                    .iter()
                    .any(|name| line.starts_with(name))
            })
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        self.write("postgresql.auto.conf", &kept)
    }

    /// Its own configuration: nothing that was set for the original counts, and only its owner gets in by the socket.
    fn configure(&self) -> Result<(), Ended> {
        let data = self.data();
        if data.join(TAMED).exists() {
            // A try before this one vanished while it gave the original's configuration back.
            fs::rename(data.join(TAMED), data.join(AUTO))?;
        }
        // Once: what lies under these names at a later try is ours.
        if !data.join(format!("postgresql.conf{RESTORED}")).exists() {
            for name in FILES {
                let aside = data.join(format!("{name}{RESTORED}"));
                match fs::read(data.join(name)) {
                    Ok(text) => {
                        let part = data.join(format!("{name}.part"));
                        fs::write(&part, text)?;
                        fs::rename(&part, &aside)?;
                    }
                    Err(_) if name == "postgresql.conf" => fs::write(&aside, "")?,
                    Err(_) => {}
                }
            }
        }
        self.write(
            "postgresql.conf",
            "# the original's is in postgresql.conf.restored\ninclude_if_exists = 'holdfast.conf'\n",
        )?;
        let original = fs::read_to_string(data.join("pg_hba.conf.restored")).unwrap_or_default();
        let rest = if self.throw_away { "" } else { original.as_str() };
        // The socket's directory is its owner's alone.
        self.write("pg_hba.conf", &format!("local all all trust\n{rest}"))?;
        if self.throw_away || !data.join("pg_ident.conf").exists() {
            self.write("pg_ident.conf", "")?;
        }
        Ok(())
    }

    /// What of the original's configuration holds in the copy at `at`.
    pub async fn judge(&self, at: &Address) -> Judged {
        let first = async |sql: &str| self.rows(at, "postgres", sql).await.ok()?.into_iter().next();
        let subscriptions = first("SELECT count(*) FROM pg_subscription WHERE subenabled").await;
        let libraries = first("SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'").await;
        let data = self.data();
        let listen = self.host.listen.as_ref().map_or("127.0.0.1", |(listen, _)| listen.as_str());
        Original::read(&data).judge(&Here {
            port: at.port,
            listen: listen.to_owned(),
            socket: at.socket.clone(),
            data,
            memory_bytes: memory_bytes(),
            libraries: libraries.map(PathBuf::from).filter(|path| path.is_dir()),
            subscriptions: subscriptions.and_then(|text| text.parse().ok()).unwrap_or(0),
        })
    }

    /// Gives the copy the original's configuration, for its next start.
    pub fn untame(&self, judged: &Judged) -> Result<(), Ended> {
        let data = self.data();
        let original = |name: &str| fs::read_to_string(data.join(format!("{name}{RESTORED}")));
        // They wait there in case the original's do not start.
        fs::copy(data.join(AUTO), data.join(TAMED))?;
        self.write(COPY_FILE, &judged.copy_file())?;
        self.write(AUTO, &judged.auto_file(&original(AUTO).unwrap_or_default()))?;
        match original("holdfast.conf") {
            Ok(text) => self.write("holdfast.conf", &text)?,
            Err(_) => fs::remove_file(data.join("holdfast.conf"))?,
        }
        self.write("postgresql.conf", &judged.main_file(&original("postgresql.conf")?))
    }

    /// What was kept in case of a start that fails is not needed any more.
    pub fn untamed(&self) -> Result<(), Ended> {
        Ok(fs::remove_file(self.data().join(TAMED))?)
    }

    /// Takes [`Self::untame`] back and starts the copy as it was.
    pub async fn tame_again(&self) -> Result<LocalCluster, Ended> {
        self.configure()?;
        let bytes = fs::read(self.data().join("global/pg_control"))?;
        let control = ControlFile::parse(&bytes).map_err(|error| Ended::Failed(error.to_string()))?;
        Ok(LocalCluster::start_in(&self.root, self.options(&control)?).await?)
    }

    /// Where the server's log ends now, and what it said since then.
    pub fn log_end(&self) -> u64 {
        fs::metadata(self.root.join("postgresql.log")).map_or(0, |it| it.len())
    }

    /// What the server's log says behind a position: its last lines.
    pub fn log_since(&self, offset: u64) -> String {
        let bytes = fs::read(self.root.join("postgresql.log")).unwrap_or_default();
        let new = bytes.get(usize::try_from(offset).unwrap_or(0)..).unwrap_or_default();
        let text = String::from_utf8_lossy(new);
        const ALWAYS: [&str; 6] =
            ["starting PostgreSQL", "listening on", "shut down", "shutting down", "redirecting log", "Future log"];
        let telling = |line: &&str| !line.trim().is_empty() && !ALWAYS.iter().any(|word| line.contains(word));
        let lines = text.lines().filter(telling).map(str::trim).collect::<Vec<_>>();
        lines[lines.len().saturating_sub(4)..].join(" | ")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Ended> {
        let (data, path) = (self.data(), self.data().join(name));
        fs::write(&path, text)?;
        let owner = fs::metadata(&data)?;
        if owner.uid() != fs::metadata(&path)?.uid() {
            chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    }

    /// A connection as the superuser.
    pub async fn connect(&self, at: &Address, database: &str) -> Result<ReplicationConnection, Ended> {
        let url = format!("postgres://{}@localhost:{}/?host={}", self.host.superuser, at.port, at.socket.display());
        let failed = |error: pgphysical::replication::ReplicationError| {
            let text = error.to_string();
            let missing = text.contains("role") && text.contains("does not exist");
            let cure = "; name a superuser of the cluster: superuser in [backup] of holdfast.toml, or --superuser";
            Ended::Failed(if missing { text + cure } else { text })
        };
        ReplicationConnection::connect_sql(&ConnInfo::parse(&url).map_err(failed)?, database).await.map_err(failed)
    }

    /// When the newest transaction in the copy was committed.
    pub async fn last_commit(&self, at: &Address) -> Option<Timestamp> {
        let mut sql = self.connect(at, "postgres").await.ok()?;
        let rows =
            sql.query("SELECT (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000)::bigint").await.ok()?;
        let replayed = rows.into_iter().next()?.into_iter().next()?.and_then(|it| it.parse().ok()).map(Timestamp);
        // Of the record at which it stops PostgreSQL takes no note.
        let stopped_at = match self.plan.time_stop {
            Some(TimeStop::Behind { at, .. }) if !self.exclusive => Some(at),
            _ => None,
        };
        replayed.max(stopped_at)
    }

    /// Rows of the largest tables, and the chosen statements: what was found, and what is wrong.
    pub async fn look_inside(&self, work: &Work, at: &Address) -> Result<(Vec<String>, Vec<String>), Ended> {
        let (mut checks, mut problems) = (Vec::new(), Vec::new());
        let names = self
            .rows(at, "postgres", "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1")
            .await;
        for database in names.map_err(Ended::Failed)? {
            work.check()?;
            let list = format!(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
                 ORDER BY pg_relation_size(c.oid) DESC LIMIT {TABLES_COUNTED}"
            );
            let tables = match self.rows(at, &database, &list).await {
                Ok(tables) => tables,
                Err(error) => {
                    problems.push(format!("database {database}: {error}"));
                    continue;
                }
            };
            let mut rows = 0_i64;
            for table in &tables {
                work.check()?;
                match self.rows(at, &database, &format!("SELECT count(*) FROM {table}")).await {
                    Ok(counted) => rows += counted.first().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0),
                    Err(error) => problems.push(format!("{database}.{table} cannot be read: {error}")),
                }
            }
            let rows = format::counted(rows, "row", "rows");
            checks.push(match tables.len() {
                0 => format!("{database}: it has no table"),
                1 => format!("{database}: {rows} in its only table"),
                many => format!("{database}: {rows} in the {many} largest tables"),
            });
        }
        for probe in &self.host.probes {
            let Some((database, sql)) = probe.split_once(':') else { continue };
            match self.probe(at, database.trim(), sql.trim()).await {
                Ok(Some(value)) if value != "f" && value != "false" => checks.push(format!("{probe}: {value}")),
                Ok(value) => problems.push(format!("{probe} gave {}", value.as_deref().unwrap_or("nothing"))),
                Err(error) => problems.push(format!("{probe}: {error}")),
            }
        }
        Ok((checks, problems))
    }

    /// A person's statement, with the search path that a person has.
    async fn probe(&self, at: &Address, database: &str, sql: &str) -> Result<Option<String>, String> {
        let mut connection = match self.connect(at, database).await {
            Ok(connection) => connection,
            Err(Ended::Failed(error)) => return Err(error),
            Err(Ended::Cancelled) => return Err("stopped".to_owned()),
        };
        let told = |error: pgphysical::replication::ReplicationError| error.to_string();
        connection.query("SET search_path TO \"$user\", public").await.map_err(told)?;
        let rows = connection.query(sql).await.map_err(told)?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()?))
    }

    async fn rows(&self, at: &Address, database: &str, sql: &str) -> Result<Vec<String>, String> {
        let mut connection = match self.connect(at, database).await {
            Ok(connection) => connection,
            Err(Ended::Failed(error)) => return Err(error),
            Err(Ended::Cancelled) => return Err("stopped".to_owned()),
        };
        let rows = connection.query(sql).await.map_err(|error| error.to_string())?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
    }
}

/// Why there is no place for a copy.
pub(crate) fn unwritable(root: &Path, error: &std::io::Error) -> Ended {
    Ended::Failed(format!(
        "the copy cannot be written to {}: {error}; choose a directory that this user may write to and that has room",
        root.display()
    ))
}

fn wal_directory(root: &Path) -> PathBuf {
    root.join("wal")
}

/// The `restore_command` of a copy in `root`, before its server is there.
fn command_in(root: &Path) -> String {
    let path = wal_directory(root).join("fetch").display().to_string().replace('\'', r"'\''").replace('%', "%%");
    format!("/bin/sh '{path}' %f %p")
}
