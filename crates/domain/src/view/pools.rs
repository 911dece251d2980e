//! The platform's data layer: whether it works, its connections, its tenants.
use serde::{Deserialize, Serialize};

/// Whether the platform's data can be worked with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PlatformState {
    /// No database is named: `DATABASE_URL` is not set.
    #[default]
    NotConfigured,
    /// It is being looked at for the first time.
    Connecting,
    /// It does not answer; it is looked for again and again.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The schema is not there.
    NotInstalled,
    /// The role of the pools may not act for tenants.
    NoRights {
        /// That role.
        role: String,
    },
    /// It works.
    Ready {
        /// The role that the pools sign in as.
        role: String,
        /// It is a superuser or has BYPASSRLS: only the role of each transaction keeps tenants apart then.
        bypasses: bool,
        /// A migration of this version was not applied: answers are right, and may be slower.
        outdated: bool,
    },
}

impl PlatformState {
    /// What is wrong and what to do, in a sentence; `None` when all is well.
    pub fn message(&self) -> Option<String> {
        Some(match self {
            Self::Ready { .. } => return None,
            Self::NotConfigured => {
                "no platform is configured: set DATABASE_URL (or HOLDFAST_PLATFORM_URL) and run holdfast init"
                    .to_owned()
            }
            Self::Connecting => "the platform's database is being connected to; try again in a moment".to_owned(),
            Self::Unreachable { reason } => {
                format!("the platform's database does not answer: {reason}; it is looked for again and again")
            }
            Self::NotInstalled => "platform schema not installed, or of an older version: run holdfast init".to_owned(),
            Self::NoRights { role } => format!(
                "the role {role} may not act for tenants; have the owner of the database run: {}",
                self.cure().join(" ")
            ),
        })
    }

    /// Commands that mend it.
    pub fn cure(&self) -> Vec<String> {
        match self {
            Self::NotInstalled => vec!["holdfast init".to_owned()],
            Self::NoRights { role } => {
                vec![format!("GRANT holdfast_tenant, holdfast_platform TO \"{}\";", role.replace('"', "\"\""))]
            }
            _ => Vec::new(),
        }
    }
}

/// One server and the connections to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolNode {
    /// As configured: primary or replica.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// What it is used for: primary, replica, left (it answers and is not used) or down.
    pub state: String,
    /// Why it is not used.
    pub reason: Option<String>,
    /// Handed out.
    pub in_use: u32,
    /// Open and free.
    pub idle: u32,
    /// At most so many.
    pub max: u32,
    /// Short questions (lists, search, details) at once at most; other work has as many as there are connections.
    pub concurrency: u32,
    /// So many stay open though idle.
    pub min: u32,
    /// Callers that wait for one, or for the turn of their short question.
    pub waiting: u64,
    /// Callers that waited in vain since the server has this role.
    pub exhausted_total: u64,
    /// Opened since then.
    pub opened_total: u64,
    /// Closed since then.
    pub closed_total: u64,
    /// Median wait for a connection; `None` before the first.
    pub acquire_p50_ms: Option<f64>,
    /// 99th percentile of it.
    pub acquire_p99_ms: Option<f64>,
    /// Median time of the work on a connection.
    pub execute_p50_ms: Option<f64>,
    /// 99th percentile of it.
    pub execute_p99_ms: Option<f64>,
    /// Age of the last replayed change while more is to come.
    pub lag_seconds: Option<f64>,
    /// Bytes behind the primary.
    pub lag_bytes: Option<u64>,
    /// Its timeline.
    pub timeline: Option<u32>,
    /// Failures since the last success.
    pub failures: u32,
    /// All failures: connects, 25006, 57P01-57P03, 08*.
    pub failures_total: u64,
    /// Seconds until it is tried again; `None` while it answers.
    pub retry_in_seconds: Option<f64>,
    /// Connections that an ordinary role may have on it.
    pub usable: Option<u32>,
}

/// Where work went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolRouting {
    /// Reads on a replica.
    pub replica_reads: u64,
    /// Reads on the primary because no replica was fit, or because they asked for it.
    pub primary_reads_no_replica: u64,
    /// Reads on the primary because the replica had not replayed the session's own write.
    pub primary_reads_own_write: u64,
    /// Reads repeated on the primary because the standby could not do them.
    pub primary_reads_standby_refused: u64,
    /// Writes committed.
    pub writes: u64,
    /// Pieces of work begun anew after a lost connection or a changed role.
    pub retries: u64,
    /// Statements that tried to write in a read.
    pub refused_writes: u64,
    /// Changes of a role.
    pub role_changes: u64,
}

/// Every figure of the pools at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolsPage {
    /// Whether the platform's data can be worked with.
    pub platform: PlatformState,
    /// What is wrong and what to do; `None` when all is well.
    pub message: Option<String>,
    /// Servers as configured, the primary first; empty until the platform is ready.
    pub nodes: Vec<PoolNode>,
    /// Where work went.
    pub routing: PoolRouting,
    /// Two servers take writes, or an old primary does.
    pub split_brain: Option<String>,
    /// What should be changed, in sentences.
    pub warnings: Vec<String>,
    /// Answers from memory.
    pub cache_hits: u64,
    /// Answers from the database.
    pub cache_misses: u64,
    /// Changes that made answers worthless.
    pub cache_invalidations: u64,
    /// Answers held.
    pub cache_entries: u64,
    /// Whether changes of other processes are heard of; while not, nothing is answered from memory.
    pub cache_listening: bool,
}

/// A tenant of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantView {
    /// Its id.
    pub id: String,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
}
