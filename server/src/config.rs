//! Configuration: `holdfast.toml`, and over it the environment. Every wrong value stops the start with one line that
//! names it and says what is allowed.

use crate::{platform::PlatformConfig, protection::FileBackup};
use control::{ClusterConfig, Protected, alerts::Scope};
use monitor::Watched;
use pgstat::Target;
use pool::PoolSettings;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Days of the longest month.
const LONGEST_MONTH: u32 = 31;

/// Why the configuration cannot be used; one line for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// One line.
    pub const fn new(line: String) -> Self {
        Self(line)
    }
}

/// All settings, checked.
#[derive(Debug)]
pub struct Config {
    /// Where the web server listens (`HOLDFAST_LISTEN`).
    pub listen: SocketAddr,
    /// Our own database (`HOLDFAST_STORE_URL`).
    pub store_url: SecretString,
    /// The address under which browsers reach us (`HOLDFAST_PUBLIC_URL`), when it is not the one we listen on.
    pub public_url: Option<url::Url>,
    /// Time between two ticks (`DB_MONITORING_INTERVAL`).
    pub interval: Duration,
    /// Mean time from which a statement is slow (`SLOW_QUERY_THRESHOLD`).
    pub slow_threshold_ms: f64,
    /// What history may take in the store (`HOLDFAST_HISTORY_BUDGET_MB`).
    pub history_budget_bytes: i64,
    /// A job whose server gave no sign for so long is another's (`HOLDFAST_JOB_LEASE_SECONDS`).
    pub job_lease: Duration,
    /// The file of the key under which secrets are sealed (`HOLDFAST_KEY_PATH`).
    pub key_path: PathBuf,
    /// Whose long statements raise no alert (`HOLDFAST_ALERT_IGNORE_ROLES`, `HOLDFAST_ALERT_IGNORE_APPLICATIONS`).
    pub alert_scope: Scope,
    /// The clusters, the first being the default.
    pub clusters: Vec<ClusterSource>,
    /// Those that are backed up.
    pub protected: Vec<Protected>,
    /// Days that rows of analytics stay in the live tables (`HOLDFAST_ANALYTICS_RETENTION_DAYS`), and up to a month longer:
    /// a month goes as a whole, when all of it is older.
    pub analytics_retention_days: u32,
    /// The platform's data layer, when a database is named.
    pub platform: Option<PlatformConfig>,
}

/// One cluster and where it was configured.
#[derive(Debug)]
pub struct ClusterSource {
    /// What to watch.
    pub watched: Watched,
    /// `DATABASE_URL`, `READ_REPLICA_URL` or the file.
    pub source: &'static str,
    /// Processors of its machine, when they are named.
    pub cpus: Option<u32>,
    /// The connection URL as it was written.
    pub url: SecretString,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<String>,
    store_url: Option<String>,
    public_url: Option<String>,
    monitoring_interval_ms: Option<i64>,
    slow_query_threshold_ms: Option<f64>,
    history_budget_mb: Option<f64>,
    analytics_retention_days: Option<f64>,
    job_lease_seconds: Option<f64>,
    key_path: Option<String>,
    #[serde(default)]
    alerts: FileAlerts,
    #[serde(default)]
    backup: FileBackup,
    #[serde(default)]
    platform: FilePlatform,
    #[serde(default)]
    cluster: Vec<FileCluster>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlatform {
    url: Option<String>,
    replica_url: Option<String>,
    pool_min: Option<f64>,
    pool_max: Option<f64>,
    pool_idle_timeout_ms: Option<f64>,
    replica_pool_max: Option<f64>,
    pool_concurrency: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAlerts {
    #[serde(default)]
    ignore_roles: Vec<String>,
    #[serde(default)]
    ignore_applications: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCluster {
    id: String,
    name: Option<String>,
    url: Option<String>,
    url_file: Option<String>,
    standby_of: Option<String>,
    group: Option<String>,
    cpus: Option<i64>,
    backup: Option<FileBackup>,
}

/// The file that is read when `HOLDFAST_CONFIG` is not set and it is there.
pub const DEFAULT_FILE: &str = "holdfast.toml";
const DEFAULT_LISTEN: &str = "127.0.0.1:3000";
const DEFAULT_STORE: &str = "sqlite://holdfast.db";

impl Config {
    /// From the process's environment and the file that it names.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn load() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// From an environment.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn read(env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let env = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let file = match env("HOLDFAST_CONFIG") {
            Some(path) => read_file(Path::new(&path))?,
            None if Path::new(DEFAULT_FILE).exists() => read_file(Path::new(DEFAULT_FILE))?,
            None => File::default(),
        };
        let listen = env("HOLDFAST_LISTEN").or(file.listen).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
        let listen = listen
            .parse()
            .map_err(|_| wrong("HOLDFAST_LISTEN", &listen, "an address and a port, like 127.0.0.1:3000"))?;
        let store_url = env("HOLDFAST_STORE_URL").or(file.store_url).unwrap_or_else(|| DEFAULT_STORE.to_owned());
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| store_url.starts_with(scheme)) {
            return Err(ConfigError("HOLDFAST_STORE_URL does not begin with sqlite:// or postgres://".to_owned()));
        }
        let public_url = env("HOLDFAST_PUBLIC_URL").or(file.public_url).map(|text| public_url(&text)).transpose()?;
        let interval = number(
            &env,
            "DB_MONITORING_INTERVAL",
            file.monitoring_interval_ms.map(|ms| ms as f64),
            30_000.0,
            1_000.0..=3_600_000.0,
            "milliseconds",
        )?;
        let slow_threshold_ms = number(
            &env,
            "SLOW_QUERY_THRESHOLD",
            file.slow_query_threshold_ms,
            1_000.0,
            1.0..=3_600_000.0,
            "milliseconds",
        )?;
        let history_budget_mb =
            number(&env, "HOLDFAST_HISTORY_BUDGET_MB", file.history_budget_mb, 2_048.0, 16.0..=16_777_216.0, "MiB")?;
        let analytics_retention_days = number(
            &env,
            "HOLDFAST_ANALYTICS_RETENTION_DAYS",
            file.analytics_retention_days,
            90.0,
            1.0..=36_500.0,
            "days",
        )?;
        let job_lease_seconds =
            number(&env, "HOLDFAST_JOB_LEASE_SECONDS", file.job_lease_seconds, 30.0, 2.0..=3_600.0, "seconds")?;
        let own = file.cluster.iter().map(|one| (one.id.clone(), one.backup.clone())).collect::<Vec<_>>();
        let clusters = clusters(&env, file.cluster)?;
        let key_path =
            env("HOLDFAST_KEY_PATH").or(file.key_path).map_or_else(|| default_key(&store_url), PathBuf::from);
        let names = |name: &str, in_file: Vec<String>| match env(name) {
            Some(text) => text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect(),
            None => in_file.into_iter().collect(),
        };
        let alert_scope = Scope {
            roles: names("HOLDFAST_ALERT_IGNORE_ROLES", file.alerts.ignore_roles),
            applications: names("HOLDFAST_ALERT_IGNORE_APPLICATIONS", file.alerts.ignore_applications),
        };
        let protected = protected(&env, &clusters, &own, &file.backup)?;
        let platform = platform(&env, file.platform)?;
        Ok(Self {
            listen,
            store_url: store_url.into(),
            public_url,
            interval: Duration::from_millis(interval as u64),
            slow_threshold_ms,
            history_budget_bytes: (history_budget_mb * 1_048_576.0) as i64,
            job_lease: Duration::from_secs_f64(job_lease_seconds),
            key_path,
            alert_scope,
            clusters,
            protected,
            analytics_retention_days: analytics_retention_days as u32,
            platform,
        })
    }

    /// Whether browsers reach us by HTTPS, so that cookies may be sent over nothing else.
    pub fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
    }

    /// Where a person finds us.
    pub fn address(&self) -> String {
        self.public_url
            .as_ref()
            .map_or_else(|| format!("http://{}", self.listen), |url| url.as_str().trim_end_matches('/').to_owned())
    }
}

/// As `holdfast config` prints it: every secret left out.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen                  {}", self.listen)?;
        writeln!(f, "address                 {}", self.address())?;
        writeln!(f, "store                   {}", redact(self.store_url.expose_secret()))?;
        writeln!(f, "sealing key             {}", self.key_path.display())?;
        writeln!(f, "monitoring interval     {} ms", self.interval.as_millis())?;
        writeln!(f, "slow query threshold    {} ms", self.slow_threshold_ms)?;
        writeln!(f, "history budget          {} MiB", self.history_budget_bytes >> 20)?;
        writeln!(f, "job lease               {} s", self.job_lease.as_secs_f64())?;
        for cluster in &self.clusters {
            write!(f, "cluster {:<15} {} ({})", cluster.watched.config.id, cluster.watched.target, cluster.source)?;
            if let Some(primary) = &cluster.watched.config.standby_of {
                write!(f, ", standby of {primary}")?;
            }
            if let Some(group) = &cluster.watched.config.group {
                write!(f, ", group {group}")?;
            }
            if let Some(cpus) = cluster.cpus {
                write!(f, ", {cpus} cpus")?;
            }
            writeln!(f)?;
        }
        if let Some(platform) = &self.platform {
            writeln!(f, "platform                {platform}")?;
            writeln!(
                f,
                "analytics retention     {0} days, by whole months: a row stays for {0} to {1}",
                self.analytics_retention_days,
                self.analytics_retention_days.saturating_add(LONGEST_MONTH)
            )?;
        }
        for one in &self.protected {
            let schedules =
                one.schedules.iter().map(|it| format!("{} '{}'", it.kind.as_str(), it.cron)).collect::<Vec<_>>();
            writeln!(
                f,
                "backup  {:<15} {} to {}; {} ({})",
                one.cluster,
                one.source.describe(),
                one.place,
                schedules.join(", "),
                one.time_zone
            )?;
        }
        Ok(())
    }
}

/// The platform's pools. They may sign in as a role of their own: what watches a server need not see tenants' rows.
fn platform(env: &impl Fn(&str) -> Option<String>, file: FilePlatform) -> Result<Option<PlatformConfig>, ConfigError> {
    let whole = |name: &str, in_file, default, allowed, unit| {
        let value = number(env, name, in_file, default, allowed, unit)?;
        if value.fract() == 0.0 { Ok(value) } else { Err(wrong(name, &value.to_string(), "a whole number")) }
    };
    let primary_max = whole("DB_POOL_MAX", file.pool_max, 50.0, 1.0..=10_000.0, "connections")?;
    let min = whole("DB_POOL_MIN", file.pool_min, primary_max.min(10.0), 0.0..=10_000.0, "connections")?;
    let replica_max =
        whole("DB_REPLICA_POOL_MAX", file.replica_pool_max, primary_max.min(30.0), 1.0..=10_000.0, "connections")?;
    let concurrency = whole("DB_POOL_CONCURRENCY", file.pool_concurrency, 0.0, 0.0..=10_000.0, "questions")?;
    let idle_timeout =
        number(env, "DB_POOL_IDLE_TIMEOUT", file.pool_idle_timeout_ms, 30_000.0, 100.0..=86_400_000.0, "milliseconds")?;
    if min > primary_max {
        return Err(wrong("DB_POOL_MIN", &min.to_string(), &format!("at most DB_POOL_MAX, which is {primary_max}")));
    }
    let database = env("DATABASE_URL");
    let own = env("HOLDFAST_PLATFORM_URL").or(file.url);
    let (name, url) = match (&own, &database) {
        (Some(url), _) => ("HOLDFAST_PLATFORM_URL", url.clone()),
        (None, Some(url)) => ("DATABASE_URL", url.clone()),
        (None, None) => return Ok(None),
    };
    let replica = match env("HOLDFAST_PLATFORM_REPLICA_URL").or(file.replica_url) {
        Some(url) => Some(url),
        // The same server as is watched, signed in to as the pools do.
        None => {
            env("READ_REPLICA_URL").map(|replica| if own.is_some() { signed_in_as(&replica, &url) } else { replica })
        }
    };
    let pools = PoolSettings {
        min: min as u32,
        primary_max: primary_max as u32,
        replica_max: replica_max as u32,
        concurrency: (concurrency > 0.0).then_some(concurrency as u32),
        idle_timeout: Duration::from_millis(idle_timeout as u64),
        ..PoolSettings::new(url.clone(), replica.map(Into::into))
    };
    pools.check().map_err(|error| {
        let said = error.to_string();
        // The pools know the guide's names only.
        ConfigError(if name == "DATABASE_URL" { said } else { said.replace("DATABASE_URL", name) })
    })?;
    Ok(Some(PlatformConfig { pools, cluster: database.map(|_| "main".to_owned()) }))
}

/// An address with the user and password of another.
fn signed_in_as(replica: &str, like: &str) -> String {
    let (Ok(mut url), Ok(like)) = (url::Url::parse(replica), url::Url::parse(like)) else { return replica.to_owned() };
    // A URL of PostgreSQL has a host, so both can be set.
    let _ = url.set_username(like.username());
    let _ = url.set_password(like.password());
    url.to_string()
}

/// Beside the SQLite file, or in the working directory: never inside the store, whose copy it protects.
fn default_key(store_url: &str) -> PathBuf {
    let file = store_url
        .strip_prefix("sqlite:")
        .map(|rest| rest.trim_start_matches("//").split('?').next().unwrap_or_default());
    let directory = file.and_then(|file| Path::new(file).parent()).unwrap_or(Path::new(""));
    directory.join("holdfast.key")
}

/// A URL without its password.
pub fn redact(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // A URL that has a password can have another.
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

fn wrong(name: &str, value: &str, allowed: &str) -> ConfigError {
    ConfigError(format!("{name} is '{value}'; it must be {allowed}"))
}

fn read_file(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("the configuration {} cannot be read: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError(format!("{} line {line}: {}", path.display(), error.message().replace('\n', " ")))
    })
}

fn public_url(text: &str) -> Result<url::Url, ConfigError> {
    let allowed = "an address that browsers use, like https://holdfast.example";
    let url = url::Url::parse(text).map_err(|_| wrong("HOLDFAST_PUBLIC_URL", text, allowed))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.path() != "/" {
        return Err(wrong("HOLDFAST_PUBLIC_URL", text, allowed));
    }
    Ok(url)
}

fn number(
    env: &impl Fn(&str) -> Option<String>,
    name: &str,
    in_file: Option<f64>,
    default: f64,
    allowed: std::ops::RangeInclusive<f64>,
    unit: &str,
) -> Result<f64, ConfigError> {
    let range = || format!("a number of {unit} from {} to {}", allowed.start(), allowed.end());
    let value = match env(name) {
        Some(text) => text.parse::<f64>().map_err(|_| wrong(name, &text, &range()))?,
        None => in_file.unwrap_or(default),
    };
    if !allowed.contains(&value) {
        return Err(wrong(name, &value.to_string(), &range()));
    }
    Ok(value)
}

fn clusters(
    env: &impl Fn(&str) -> Option<String>,
    in_file: Vec<FileCluster>,
) -> Result<Vec<ClusterSource>, ConfigError> {
    let mut clusters: Vec<ClusterSource> = Vec::new();
    if let Some(url) = env("DATABASE_URL") {
        clusters.push(cluster("DATABASE_URL", "main", &url, None, "DATABASE_URL")?);
    }
    if let Some(url) = env("READ_REPLICA_URL") {
        let primary = (!clusters.is_empty()).then(|| "main".to_owned());
        clusters.push(cluster("READ_REPLICA_URL", "replica", &url, primary, "READ_REPLICA_URL")?);
    }
    for entry in in_file {
        let named = format!("[[cluster]] id = \"{}\"", entry.id);
        let in_environment =
            |other: &&mut ClusterSource| other.watched.config.id == entry.id && other.source != "holdfast.toml";
        if let Some(one) = clusters.iter_mut().find(in_environment) {
            // The environment says where it is; what it cannot say is the file's.
            told(one, &named, entry.name, entry.group, entry.cpus)?;
            continue;
        }
        let url = match (entry.url, entry.url_file) {
            (Some(url), None) => url,
            (None, Some(path)) => std::fs::read_to_string(&path)
                .map_err(|error| ConfigError(format!("{named}: url_file {path} cannot be read: {error}")))?
                .trim()
                .to_owned(),
            _ => return Err(ConfigError(format!("{named} needs either url or url_file"))),
        };
        let mut one = cluster(&named, &entry.id, &url, entry.standby_of, "holdfast.toml")?;
        told(&mut one, &named, entry.name, entry.group, entry.cpus)?;
        clusters.push(one);
    }
    let mut ids = HashSet::new();
    for one in &clusters {
        if !ids.insert(one.watched.config.id.as_str()) {
            return Err(ConfigError(format!("two clusters have the id '{}'", one.watched.config.id)));
        }
    }
    for one in &clusters {
        let config = &one.watched.config;
        if let Some(primary) =
            config.standby_of.as_deref().filter(|primary| !ids.contains(primary) || *primary == config.id)
        {
            return Err(ConfigError(format!(
                "cluster '{}' has standby_of = \"{primary}\", which is no other cluster here",
                config.id
            )));
        }
    }
    Ok(clusters)
}

/// What an entry of the file tells of a cluster, but for where it is.
fn told(
    one: &mut ClusterSource,
    named: &str,
    name: Option<String>,
    group: Option<String>,
    cpus: Option<i64>,
) -> Result<(), ConfigError> {
    if let Some(name) = name {
        one.watched.config.name = name;
    }
    one.watched.config.group = group.map(|group| plain_group(named, group)).transpose()?;
    one.cpus = cpus.map(|cpus| processors(named, cpus)).transpose()?;
    Ok(())
}

/// A primary is backed up once something names a repository; a standby's data are its primary's.
fn protected(
    env: &impl Fn(&str) -> Option<String>,
    clusters: &[ClusterSource],
    own: &[(String, Option<FileBackup>)],
    general: &FileBackup,
) -> Result<Vec<Protected>, ConfigError> {
    let in_environment = ["BACKUP_STORAGE_PATH", "BACKUP_STORAGE_BUCKET", "BACKUP_STORAGE_PROVIDER"]
        .iter()
        .any(|name| env(name).is_some());
    let mut all = Vec::new();
    for one in clusters {
        let id = &one.watched.config.id;
        let own = own.iter().find(|it| it.0 == *id).and_then(|it| it.1.clone());
        if one.watched.config.standby_of.is_some() && own.is_none() {
            continue;
        }
        let url = match env("HOLDFAST_BACKUP_URL").filter(|_| one.source == "DATABASE_URL") {
            Some(url) => url,
            None => one.url.expose_secret().to_owned(),
        };
        all.extend(FileBackup::protect(own, general, id, &url, in_environment)?);
    }
    Ok(all)
}

fn cluster(
    named: &str,
    id: &str,
    url: &str,
    standby_of: Option<String>,
    source: &'static str,
) -> Result<ClusterSource, ConfigError> {
    if !is_plain(id) {
        return Err(ConfigError(format!("{named}: an id has 1 to 40 lower-case letters, digits and '-'")));
    }
    let target = Target::parse(url).map_err(|error| ConfigError(format!("{named}: {error}")))?;
    let config = ClusterConfig { id: id.to_owned(), name: id.to_owned(), standby_of, group: None };
    Ok(ClusterSource { watched: Watched { config, target }, source, cpus: None, url: url.to_owned().into() })
}

/// As ids and groups are, which stand in addresses.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 40 && text.chars().all(plain)
}

fn plain_group(named: &str, group: String) -> Result<String, ConfigError> {
    if is_plain(&group) {
        return Ok(group);
    }
    Err(ConfigError(format!("{named}: a group has 1 to 40 lower-case letters, digits and '-'")))
}

fn processors(named: &str, cpus: i64) -> Result<u32, ConfigError> {
    u32::try_from(cpus)
        .ok()
        .filter(|cpus| (1..=8_192).contains(cpus))
        .ok_or_else(|| wrong(&format!("{named}: cpus"), &cpus.to_string(), "a number of processors from 1 to 8192"))
}

#[cfg(test)]
mod tests;
