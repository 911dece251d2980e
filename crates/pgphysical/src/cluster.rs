//! A cluster on this machine: made, configured, started, promoted, copied, stopped.
use crate::{
    ClusterError, Install, OsUser,
    process::{command, last_lines, run, spawn_server},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    fmt::Write as _,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::process::Child;

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Sessions are ended, a checkpoint is written (SIGINT).
    Fast,
    /// At once, as in a crash: the next start recovers (SIGQUIT).
    Immediate,
}

/// What a cluster is to be like.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Which PostgreSQL.
    pub install: Install,
    /// Name of the superuser.
    pub superuser: String,
    /// Its password.
    pub password: String,
    /// Settings for `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Port; a free one when `None`.
    pub port: Option<u16>,
    /// The directory is removed when the server ends, however that happens.
    pub ephemeral: bool,
    /// How long a start may take; recovery of much WAL takes long.
    pub start_timeout: Duration,
}

impl ClusterOptions {
    /// The newest install found and a superuser `postgres`.
    pub fn new(install: Install, password: impl Into<String>) -> Self {
        Self {
            install,
            superuser: "postgres".to_owned(),
            password: password.into(),
            settings: Vec::new(),
            port: None,
            ephemeral: false,
            start_timeout: START_TIMEOUT,
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}

/// Longest path of a Unix socket less `/.s.PGSQL.65535`.
const SOCKET_DIRECTORY_LIMIT: usize = 90;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster of ours on this machine. Dropping it stops the server at once; should we be killed, the guardian process
/// stops it.
#[derive(Debug)]
pub struct LocalCluster {
    root: PathBuf,
    user: OsUser,
    options: ClusterOptions,
    port: u16,
    guardian: Option<Child>,
}

impl LocalCluster {
    /// Makes a cluster in `root/data` (or takes the one that is there), configures and starts it.
    ///
    /// # Errors
    /// See [`ClusterError`]; a half-made directory is left for inspection.
    pub async fn start_in(root: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        let mut cluster = Self::prepare(root, options)?;
        if !cluster.data_dir().join("PG_VERSION").is_file() {
            cluster.init().await?;
        }
        cluster.start().await?;
        Ok(cluster)
    }

    /// Makes a standby of this cluster in `root/data` by `pg_basebackup` with a slot, and starts it.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn standby_in(&self, root: &Path, name: &str) -> Result<Self, ClusterError> {
        let mut standby = Self::prepare(root, ClusterOptions { port: None, ..self.options.clone() })?;
        if !standby.data_dir().join("PG_VERSION").is_file() {
            let mut backup = command(&self.options.install, &self.user, "pg_basebackup", &standby.root);
            backup
                .arg("--pgdata")
                .arg(standby.data_dir())
                .args([
                    "--write-recovery-conf",
                    "--wal-method=stream",
                    "--checkpoint=fast",
                    "--create-slot",
                    "--slot",
                    name,
                ])
                .arg("--dbname")
                .arg(format!(
                    "host=127.0.0.1 port={} user={} application_name={name}",
                    self.port, self.options.superuser
                ))
                .env("PGPASSWORD", &self.options.password);
            run("pg_basebackup", backup).await?;
        }
        // The primary's port may differ from that of the last run.
        let conninfo = format!(
            "host=127.0.0.1 port={} user={} password={} application_name={name}",
            self.port, self.options.superuser, self.options.password
        );
        standby.options.settings.retain(|(setting, _)| setting != "primary_conninfo" && setting != "primary_slot_name");
        standby.options.settings.push(("primary_conninfo".to_owned(), conninfo));
        standby.options.settings.push(("primary_slot_name".to_owned(), name.to_owned()));
        let auto = standby.data_dir().join("postgresql.auto.conf");
        standby.write(&auto, "# the connection to the primary is in holdfast.conf\n")?;
        standby.start().await?;
        Ok(standby)
    }

    fn prepare(root: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        let user = OsUser::for_postgres()?;
        std::fs::create_dir_all(root).map_err(ClusterError::io("create", root))?;
        let root = root.canonicalize().map_err(ClusterError::io("open", root))?;
        user.own(&root)?;
        user.check_reach(&root)?;
        for directory in [root.join("data"), socket_directory(&root)] {
            if !directory.is_dir() {
                std::fs::DirBuilder::new()
                    .mode(0o700)
                    .recursive(true)
                    .create(&directory)
                    .map_err(ClusterError::io("create", &directory))?;
            }
            user.own(&directory)?;
        }
        Ok(Self { port: 0, root, user, options, guardian: None })
    }

    async fn init(&self) -> Result<(), ClusterError> {
        let password_file = self.root.join("password");
        self.write(&password_file, &self.options.password)?;
        let mut initdb = command(&self.options.install, &self.user, "initdb", &self.root);
        initdb
            .arg("--pgdata")
            .arg(self.data_dir())
            .arg("--username")
            .arg(&self.options.superuser)
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file);
        let made = run("initdb", initdb).await;
        std::fs::remove_file(&password_file).map_err(ClusterError::io("remove", &password_file))?;
        made?;
        let conf = self.data_dir().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&conf).map_err(ClusterError::io("read", &conf))?;
        text.push_str("\ninclude_if_exists = 'holdfast.conf'\n");
        self.write(&conf, &text)
    }

    /// Starts the server and waits until it takes connections. Does nothing when it runs already.
    ///
    /// # Errors
    /// See [`ClusterError`]; the reason is in the last lines of the log.
    pub async fn start(&mut self) -> Result<(), ClusterError> {
        if self.guardian.is_some() {
            return Ok(());
        }
        let data = self.data_dir();
        let version_file = data.join("PG_VERSION");
        let found = std::fs::read_to_string(&version_file).map_err(ClusterError::io("read", &version_file))?;
        if found.trim() != self.options.install.major.to_string() {
            return Err(ClusterError::WrongVersion {
                directory: data,
                found: found.trim().to_owned(),
                wanted: self.options.install.major,
            });
        }
        if let Some(pid) = self.postmaster_pid().filter(|pid| is_running(*pid)) {
            return Err(ClusterError::Running { directory: data, pid });
        }
        // Between our choice of a free port and the server's bind another process may take it: try again.
        let mut attempts = 3;
        loop {
            self.port = match (self.options.port, self.port) {
                (Some(port), _) => port,
                (None, 0) => free_port()?,
                (None, last) => last,
            };
            match self.start_once().await {
                Ok(()) => return Ok(()),
                Err(ClusterError::NotStarted { log, .. })
                    if log.contains("Address already in use") && self.options.port.is_none() && attempts > 0 =>
                {
                    attempts -= 1;
                    self.port = 0;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_once(&mut self) -> Result<(), ClusterError> {
        self.configure()?;
        let data = self.data_dir();
        let log = self.log_file();
        let offset = log.metadata().map_or(0, |metadata| metadata.len());
        let remove = self.options.ephemeral.then_some(self.root.as_path());
        let arguments = [OsStr::new("-D"), data.as_os_str()];
        let mut guardian = spawn_server(&self.options.install, &self.user, &self.root, &log, remove, arguments)?;
        let deadline = Instant::now() + self.options.start_timeout;
        loop {
            if self.is_ready() {
                break;
            }
            let ended = guardian.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > deadline {
                let _ = guardian.start_kill();
                return Err(ClusterError::NotStarted { directory: data, log: self.log_since(offset) });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.guardian = Some(guardian);
        tracing::debug!(directory = %self.root.display(), port = self.port, version = %self.options.install.version, "PostgreSQL started");
        Ok(())
    }

    /// Stops the server and waits until it has ended.
    ///
    /// # Errors
    /// [`ClusterError::NotStopped`] when it takes longer than a minute.
    pub async fn stop(&mut self, mode: ShutdownMode) -> Result<(), ClusterError> {
        let Some(mut guardian) = self.guardian.take() else { return Ok(()) };
        if let Some(pid) = self.postmaster_pid() {
            let signal = match mode {
                ShutdownMode::Fast => Signal::SIGINT,
                ShutdownMode::Immediate => Signal::SIGQUIT,
            };
            // It may have ended by itself meanwhile.
            let _ = kill(Pid::from_raw(pid), signal);
            if tokio::time::timeout(STOP_TIMEOUT, guardian.wait()).await.is_err() {
                self.guardian = Some(guardian);
                return Err(ClusterError::NotStopped {
                    directory: self.data_dir(),
                    pid,
                    seconds: STOP_TIMEOUT.as_secs(),
                });
            }
        } else {
            let _ = guardian.wait().await;
        }
        Ok(())
    }

    /// Stops and starts it on the same port.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub async fn restart(&mut self, mode: ShutdownMode) -> Result<(), ClusterError> {
        self.stop(mode).await?;
        self.start().await
    }

    /// Stops the server and starts it so that it outlives us: from then on nobody of ours guards or stops it. Its port,
    /// and the directory of its socket.
    ///
    /// # Errors
    /// As [`Self::stop`]; [`ClusterError::Program`] when `pg_ctl start` fails.
    pub async fn release(mut self) -> Result<(u16, PathBuf), ClusterError> {
        self.stop(ShutdownMode::Fast).await?;
        // The server itself opens it from here on; until now it was ours.
        self.user.own(&self.log_file())?;
        let mut start = command(&self.options.install, &self.user, "pg_ctl", &self.root);
        start
            .args(["start", "--wait", "--silent", "--timeout", "300", "--log"])
            .arg(self.log_file())
            .arg("--pgdata")
            .arg(self.data_dir())
            // A Ctrl-C at our terminal is not meant for it.
            .process_group(0);
        run("pg_ctl start", start).await?;
        Ok((self.port, self.socket_dir()))
    }

    /// Makes a standby a primary; returns when it is no longer in recovery.
    ///
    /// # Errors
    /// [`ClusterError::Program`] when `pg_ctl promote` fails.
    pub async fn promote(&self) -> Result<(), ClusterError> {
        let mut promote = command(&self.options.install, &self.user, "pg_ctl", &self.root);
        promote.args(["promote", "--wait", "--silent", "--pgdata"]).arg(self.data_dir());
        run("pg_ctl promote", promote).await
    }

    /// Adds or replaces a setting and has the server read it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_and_reload(&mut self, name: &str, value: impl ToString) -> Result<(), ClusterError> {
        self.options.settings.retain(|(setting, _)| setting != name);
        self.options.settings.push((name.to_owned(), value.to_string()));
        self.configure()?;
        self.signal(Signal::SIGHUP);
        Ok(())
    }

    /// Freezes the postmaster: connections are accepted by the kernel and never answered, as on a machine that hangs.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Undoes [`Self::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.postmaster_pid() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Runs a program of this install as the server's user, to its end.
    ///
    /// # Errors
    /// [`ClusterError::Program`] with the last lines it wrote.
    pub async fn run_program(&self, program: &'static str, arguments: &[&OsStr]) -> Result<(), ClusterError> {
        let mut tool = command(&self.options.install, &self.user, program, &self.root);
        tool.args(arguments);
        run(program, tool).await
    }

    /// Where its Unix socket is.
    pub fn socket_dir(&self) -> PathBuf {
        socket_directory(&self.root)
    }

    /// A connection URL for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as(&self.options.superuser, &self.options.password, database)
    }

    /// A connection URL for another role.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// PGDATA.
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The install that runs it.
    pub const fn install(&self) -> &Install {
        &self.options.install
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// Process id of the postmaster, as long as its file is there.
    pub fn postmaster_pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.data_dir().join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self, lines: usize) -> String {
        std::fs::read_to_string(self.log_file()).map(|text| last_lines(&text, lines)).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.root.join("postgresql.log")
    }

    fn log_since(&self, offset: u64) -> String {
        let text = std::fs::read(self.log_file()).unwrap_or_default();
        let new = text.get(usize::try_from(offset).unwrap_or(0)..).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(new), 5)
    }

    /// Line 8 of `postmaster.pid` is the state of the server since PostgreSQL 10.
    fn is_ready(&self) -> bool {
        std::fs::read_to_string(self.data_dir().join("postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().nth(7).map(|state| matches!(state.trim(), "ready" | "standby")))
            .unwrap_or(false)
    }

    fn configure(&self) -> Result<(), ClusterError> {
        let mut text = String::from("# written by Holdfast at each start\n");
        let socket = socket_directory(&self.root);
        let fixed = [
            ("port", self.port.to_string()),
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", socket.display().to_string()),
            ("wal_level", "replica".to_owned()),
            ("max_wal_senders", "10".to_owned()),
            ("hot_standby", "on".to_owned()),
        ];
        for (name, value) in fixed
            .iter()
            .map(|(name, value)| (*name, value))
            .chain(self.options.settings.iter().map(|(n, v)| (n.as_str(), v)))
        {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        self.write(&self.data_dir().join("holdfast.conf"), &text)
    }

    /// Writes a file that only the server's user may read: it may hold a password.
    fn write(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(ClusterError::io("write", path))?;
        self.user.own(path)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if self.guardian.is_some() {
            // Thawed first: a stopped process does not act on SIGQUIT. Closing the guardian's pipe does the rest.
            self.signal(Signal::SIGCONT);
            self.signal(Signal::SIGQUIT);
        }
    }
}

fn is_running(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

fn free_port() -> Result<u16, ClusterError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ClusterError::io("find a free port on", "127.0.0.1"))
}

/// Beside the data, unless the path is too long for a socket.
fn socket_directory(root: &Path) -> PathBuf {
    let beside = root.join("socket");
    if beside.as_os_str().len() <= SOCKET_DIRECTORY_LIMIT {
        return beside;
    }
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(root, &mut hasher);
    PathBuf::from(format!("/tmp/holdfast-{:016x}", std::hash::Hasher::finish(&hasher)))
}
