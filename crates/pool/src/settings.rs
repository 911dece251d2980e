//! How many, how long, where to.
use crate::{PoolError, connect::connect_within};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// All settings; the guide's variables have its defaults.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// `DATABASE_URL`.
    pub primary_url: SecretString,
    /// `READ_REPLICA_URL`.
    pub replica_url: Option<SecretString>,
    /// `DB_POOL_MIN`: connections kept open though idle, for the primary and for the replica.
    pub min: u32,
    /// `DB_POOL_MAX`: at most this many to the primary.
    pub primary_max: u32,
    /// At most this many to the replica.
    pub replica_max: u32,
    /// `DB_POOL_CONCURRENCY`: at most this many short questions ([`Pools::ask`](crate::Pools::ask)) at once to one server. `None`:
    /// twice the processors of a server on this machine, else as many as there are connections.
    pub concurrency: Option<u32>,
    /// `DB_POOL_IDLE_TIMEOUT`: a connection beyond `min` that was idle for so long is closed.
    pub idle_timeout: Duration,
    /// A connection is closed at this age: a server's memory per session grows.
    pub max_lifetime: Duration,
    /// Longest wait for a connection, and for a primary during a failover.
    pub acquire_timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// `statement_timeout` of our sessions.
    pub statement_timeout: Duration,
    /// Longest time of one piece of work, its statements together.
    pub work_timeout: Duration,
    /// Time between two looks at a server's role and position.
    pub probe_interval: Duration,
    /// Longest time of one look.
    pub probe_timeout: Duration,
    /// A replica that is further behind is left until it is within half of it.
    pub max_lag_bytes: u64,
    /// As `max_lag_bytes`, in time.
    pub max_lag: Duration,
    /// First and longest wait after a failure.
    pub backoff: (Duration, Duration),
    /// `application_name`.
    pub application: String,
}

impl PoolSettings {
    /// The guide's figures.
    pub fn new(primary_url: impl Into<SecretString>, replica_url: Option<SecretString>) -> Self {
        Self {
            primary_url: primary_url.into(),
            replica_url,
            min: 10,
            primary_max: 50,
            replica_max: 30,
            concurrency: None,
            idle_timeout: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(1_800),
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(30),
            work_timeout: Duration::from_secs(60),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(2),
            max_lag_bytes: 16 << 20,
            max_lag: Duration::from_secs(5),
            backoff: (Duration::from_millis(100), Duration::from_secs(10)),
            application: "holdfast-idp".to_owned(),
        }
    }

    /// Says what is wrong with them.
    ///
    /// # Errors
    /// [`PoolError::Settings`].
    pub fn check(&self) -> Result<(), PoolError> {
        self.targets().map(drop)
    }

    /// How the configured primary is connected to, TLS as the pools have it, for a connection of its own.
    ///
    /// # Errors
    /// [`PoolError::Settings`].
    pub fn connect_options(&self) -> Result<PgConnectOptions, PoolError> {
        let target = self.targets()?.swap_remove(0);
        Ok(self.options(&target, false))
    }

    /// The name of the sessions that look at the servers: other processes read from it what these pools may take. It is the same
    /// on all servers, and under both names of one.
    pub(crate) fn probe_name(&self) -> String {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        // Two machines may have the same process id, and a process pools of two databases.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        format!("holdfast-probe {:x}-{now:x}-{number:x} {}/{}", std::process::id(), self.primary_max, self.replica_max)
    }

    /// A connection to the configured primary outside all pools, to look around before there are any.
    ///
    /// # Errors
    /// [`PoolError::Settings`], [`PoolError::Unavailable`].
    pub async fn connect(&self) -> Result<PgConnection, PoolError> {
        let target = self.targets()?.swap_remove(0);
        let options = self.options(&target, true);
        connect_within(options, self.connect_timeout)
            .await
            .map_err(|why| PoolError::Unavailable(format!("{} cannot be connected to: {why}", target.address())))
    }

    /// The servers in order, with the name that people know them by.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, PoolError> {
        if self.concurrency == Some(0) {
            return Err(PoolError::Settings("DB_POOL_CONCURRENCY is 0; it must be at least 1".to_owned()));
        }
        if self.primary_max == 0 || self.replica_max == 0 || self.min > self.primary_max {
            return Err(PoolError::Settings(format!(
                "DB_POOL_MIN is {} and DB_POOL_MAX {}; the maximum must be at least 1 and not below the minimum",
                self.min, self.primary_max
            )));
        }
        let mut targets = vec![Target::parse("DATABASE_URL", "primary", &self.primary_url)?];
        if let Some(url) = &self.replica_url {
            targets.push(Target::parse("READ_REPLICA_URL", "replica", url)?);
        }
        Ok(targets)
    }

    /// Short questions at once to a server. They wait for nothing but its processors: beyond about two for each, every one that is
    /// added makes all of them slower, and more of the time goes into changing between them (docs/adr/0077-turns.md).
    pub(crate) fn concurrency(&self, target: &Target) -> Option<u32> {
        let here = || std::thread::available_parallelism().ok().and_then(|it| u32::try_from(it.get()).ok());
        self.concurrency.or_else(|| target.near.then(here)?.map(|processors| 2 * processors))
    }

    pub(crate) fn options(&self, target: &Target, read_only: bool) -> PgConnectOptions {
        target
            .options
            .clone()
            .application_name(&self.application)
            .options([
                ("default_transaction_read_only", if read_only { "on" } else { "off" }.to_owned()),
                ("standard_conforming_strings", "on".to_owned()),
                // Questions here are short: compiling one takes longer than answering it.
                ("jit", "off".to_owned()),
                ("statement_timeout", self.statement_timeout.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", self.work_timeout.as_millis().to_string()),
                // A session whose client is gone without a word is ended by the server.
                ("tcp_keepalives_idle", "10".to_owned()),
                ("tcp_keepalives_interval", "5".to_owned()),
                ("tcp_keepalives_count", "3".to_owned()),
            ])
            .disable_statement_logging()
    }
}

/// A server as configured.
#[derive(Clone)]
pub(crate) struct Target {
    /// `primary` or `replica`, as configured; what it is now may differ.
    pub(crate) name: &'static str,
    options: PgConnectOptions,
    /// It is on this machine, as far as its address tells.
    near: bool,
}

impl Target {
    fn parse(variable: &str, name: &'static str, url: &SecretString) -> Result<Self, PoolError> {
        let text = url.expose_secret();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(PoolError::Settings(format!("{variable} must begin with postgres://")));
        }
        let mut options = PgConnectOptions::from_str(text)
            .map_err(|error| PoolError::Settings(format!("{variable} is not a connection URL: {error}")))?;
        let host = options.get_host();
        let near = options.get_socket().is_some()
            || host == "localhost"
            || host.starts_with('/')
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !text.contains("sslmode=") {
            if text.contains("sslrootcert=") {
                options = options.ssl_mode(PgSslMode::VerifyFull);
            } else if !near {
                options = options.ssl_mode(PgSslMode::Require);
            }
        }
        Ok(Self { name, options, near })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }
}
