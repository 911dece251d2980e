//! Every figure of the pools at one moment.
use crate::HistogramSnapshot;
use domain::Lsn;
use serde::Serialize;

/// Connections to one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotsSnapshot {
    /// At most so many.
    pub max: u32,
    /// Short questions at once at most; the other work has as many as there are connections.
    pub concurrency: u32,
    /// So many stay open though idle.
    pub min: u32,
    /// Handed out.
    pub in_use: u32,
    /// Open and free.
    pub idle: u32,
    /// Callers that wait for one, or for the turn of their short question.
    pub waiting: u64,
    /// Opened since the server has this role.
    pub opened: u64,
    /// Closed since then.
    pub closed: u64,
    /// Callers that waited in vain.
    pub exhausted: u64,
}

/// What a server is used for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Takes writes.
    Primary,
    /// Takes reads.
    Replica,
    /// Answers and is not used; the reason says why.
    Left,
    /// Does not answer; the reason says why.
    Down,
}

impl NodeState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Left => "left",
            Self::Down => "down",
        }
    }
}

/// Durations of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TimingSnapshot {
    /// Waiting for a connection.
    pub wait: HistogramSnapshot,
    /// Working on it, from the first statement to the last.
    pub execute: HistogramSnapshot,
}

/// One server.
#[derive(Clone, Debug, Serialize)]
pub struct NodeSnapshot {
    /// As configured: primary or replica.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// What it is used for.
    pub state: NodeState,
    /// Why it is not used; `None` when it is.
    pub reason: Option<String>,
    /// Its timeline; `None` when not known.
    pub timeline: Option<u32>,
    /// Replayed or written up to here.
    pub lsn: Option<Lsn>,
    /// Bytes behind the primary; `None` when not known, and for the primary.
    pub lag_bytes: Option<u64>,
    /// Age of the last replayed change while more is to come; `None` when not known, and for the primary.
    pub lag_seconds: Option<f64>,
    /// Its connections; `None` while it is not used.
    pub slots: Option<SlotsSnapshot>,
    /// Failures since the last success.
    pub failures: u32,
    /// Seconds until it is tried again; `None` while it answers.
    pub retry_in_seconds: Option<f64>,
    /// All failures so far: connects, 25006, 57P01-57P03, 08*.
    pub failures_total: u64,
    /// Connections that an ordinary role may have on it.
    pub usable: Option<u32>,
    /// Durations.
    pub timing: TimingSnapshot,
}

/// Where work went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Routing {
    /// Reads on a replica.
    pub replica_reads: u64,
    /// Reads on the primary because no replica was fit.
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
    /// How often a server was used as a primary after it had been a replica, or the other way round, since the start.
    pub role_changes: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct PoolsSnapshot {
    /// Servers as configured, the primary first.
    pub nodes: Vec<NodeSnapshot>,
    /// Where work went.
    pub routing: Routing,
    /// Two servers take writes, or an old primary does: critical.
    pub split_brain: Option<String>,
    /// What should be changed, in sentences.
    pub warnings: Vec<String>,
    /// At most so many connections to the primary.
    pub primary_max: u32,
    /// At most so many connections to a replica.
    pub replica_max: u32,
}
