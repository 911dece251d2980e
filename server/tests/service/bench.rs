//! A cluster, and `holdfast serve` over it as a process that can be killed.
use pgphysical::{ClusterOptions, Install, LocalCluster};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Bench {
    pub directory: tempfile::TempDir,
    pub cluster: LocalCluster,
    /// Of the server that is asked.
    pub port: u16,
    token: String,
    pub served: Option<Child>,
    /// What stands in holdfast.toml behind the rest of [backup].
    pub more: String,
    /// The control store.
    store: String,
    /// Seconds after which a job of a server without a sign of life is another's.
    pub lease: &'static str,
    /// Milliseconds between two looks of the monitor.
    pub interval: &'static str,
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
        // What a plan brought up does not end with the server.
        for data in self.servers_below("restores") {
            end(&data);
        }
    }
}

/// Ends the server that a plan left running, by the process id in its directory.
pub fn end(data: &Path) {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse().ok()) else { return };
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT);
    let deadline = Instant::now() + Duration::from_secs(100);
    while data.join("postmaster.pid").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Bench {
    pub async fn new() -> Self {
        Self::made(false).await
    }

    /// Its control store is a database, which several servers may share.
    pub async fn with_shared_store() -> Self {
        Self::made(true).await
    }

    async fn made(shared: bool) -> Self {
        let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install, "secret") };
        let options = options.setting("fsync", "off").setting("max_wal_size", "2GB");
        let cluster = LocalCluster::start_in(&directory.path().join("source"), options).await.unwrap();
        let store = if shared {
            sql(&cluster.url("postgres"), "CREATE DATABASE store").await;
            cluster.url("store")
        } else {
            format!("sqlite://{}", directory.path().join("store.db").display())
        };
        let mut bench = Self {
            directory,
            cluster,
            port: free_port(),
            token: String::new(),
            served: None,
            more: String::new(),
            store,
            lease: "30",
            interval: "30000",
        };
        bench.run(&["repo", "init"]);
        bench.token =
            bench.run(&["token", "create", "test", "--role", "admin", "--scope", "restore"]).trim().to_owned();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// PostgreSQL servers that run in directories below `name`.
    pub fn servers_below(&self, name: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path(name)) else { return Vec::new() };
        let data = entries.flatten().map(|entry| entry.path().join("data"));
        data.filter(|data| {
            let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            text.lines().next().is_some_and(|pid| PathBuf::from(format!("/proc/{}", pid.trim())).exists())
        })
        .collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        let configuration = self.path("holdfast.toml");
        let text = "[backup]\nrefresh_seconds = 1\nrestore_test = \"off\"\nverify = \"off\"\nincremental = \"off\"\n";
        std::fs::write(&configuration, format!("{text}{}", self.more)).unwrap();
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOLDFAST_CONFIG", configuration)
            .env("HOLDFAST_STORE_URL", &self.store)
            .env("HOLDFAST_JOB_LEASE_SECONDS", self.lease)
            .env("DB_MONITORING_INTERVAL", self.interval)
            .env("HOLDFAST_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("HOLDFAST_LOG", "warn")
            .env("DATABASE_URL", self.cluster.url("postgres"))
            .env("BACKUP_STORAGE_PATH", self.path("repository"))
            .env("BACKUP_ENCRYPTION_KEY_PATH", self.path("key"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn serve(&mut self) {
        self.served = Some(self.spawn());
        self.until("the server", |bench| bench.try_ask("GET", "/readyz", None).map(drop));
    }

    /// A server at the present port; what all of them log is in one file.
    pub fn spawn(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path("serve.log")).unwrap();
        self.command(&["serve"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// SIGKILL: nothing of it is asked to end.
    pub fn kill(&mut self) {
        if let Some(mut served) = self.served.take() {
            let _ = served.kill();
            let _ = served.wait();
        }
    }

    pub fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split_whitespace().nth(1)?.parse().ok()?;
        let text = answer.split_once("\r\n\r\n")?.1;
        // Whole or in chunks, the document is from the first brace to the last.
        let json = text.find(['{', '[']).and_then(|from| text.get(from..=text.rfind(['}', ']'])?));
        Some((status, json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null)))
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.try_ask(method, path, body.as_ref()).unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let log = || std::fs::read_to_string(self.path("serve.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{what} did not come about: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until so many backups are listed, each of which is whole then; the newest of them.
    pub fn listed(&self, what: &str, count: usize) -> String {
        self.until(what, |bench| {
            let listed = bench.ask("GET", "/api/v1/clusters/main/backups", None);
            let backups = listed["rows"].as_array()?;
            (backups.len() == count).then(|| backups[0]["id"].as_str().unwrap().to_owned())
        })
    }

    pub fn job(&self, id: &str) -> Value {
        self.ask("GET", &format!("/api/v1/jobs/{id}"), None)
    }

    /// The head and the body of an answer, byte by byte.
    pub fn fetch(&self, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        // HTTP/1.0: the body is not in chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        let head = String::from_utf8(answer).unwrap();
        assert!(head.lines().next().is_some_and(|line| line.contains(" 200")), "{path}: {head}");
        (head, body)
    }

    /// What the stream of a job tells, read until it ends by itself.
    pub fn events(&self, id: &str) -> Vec<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        // HTTP/1.0: what comes is the events alone, not in chunks.
        let request = format!(
            "GET /api/v1/jobs/{id}/stream HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, events) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 ") && head.contains("text/event-stream"), "{head}");
        let data = events.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// In the middle of its bytes.
    pub fn until_under_way(&self, id: &str) {
        self.until("the middle of the job", |bench| {
            let job = bench.job(id);
            assert!(!["succeeded", "failed"].contains(&job["state"].as_str().unwrap()), "it was too quick: {job}");
            let (done, total) = (job["progress"]["done_bytes"].as_u64()?, job["progress"]["total_bytes"].as_u64()?);
            (done > 0 && done < total).then_some(())
        });
    }

    /// In the middle of the files of a restore: some are there. Looked for on the disk, because a quick restore is over before
    /// its job tells of a part.
    pub fn until_written(&self, id: &str) {
        let files = |root: std::path::PathBuf| {
            let databases = std::fs::read_dir(root.join("data/base")).into_iter().flatten().flatten();
            databases.flat_map(|it| std::fs::read_dir(it.path()).into_iter().flatten().flatten()).next()
        };
        self.until("the first files", |bench| {
            let roots = std::fs::read_dir(bench.path("restores")).into_iter().flatten().flatten();
            roots.map(|it| it.path()).find_map(files).map(drop).or_else(|| {
                let state = bench.job(id)["state"].clone();
                assert!(["queued", "running"].contains(&state.as_str().unwrap()), "it was too quick: {state}");
                None
            })
        });
    }

    pub fn over(&self, id: &str) -> Value {
        self.until("the end of the job", |bench| {
            let job = bench.job(id);
            ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap()).then_some(job)
        })
    }
}

pub async fn sql(url: &str, text: &str) -> Option<String> {
    sql_in(url, "postgres", text).await
}

/// In another database of the cluster.
pub async fn sql_in(url: &str, database: &str, text: &str) -> Option<String> {
    let info = pgphysical::replication::ConnInfo::parse(url).unwrap();
    let mut sql = pgphysical::replication::ReplicationConnection::connect_sql(&info, database).await.unwrap();
    sql.query(text).await.unwrap().into_iter().next()?.into_iter().next()?
}
