//! What sessions did at a moment that is over, by the samples that were kept.
use super::{LockSnapshot, LockSnapshotSummary};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Active sessions of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MomentRow {
    /// Class of what they waited for; `CPU` when they ran.
    pub wait_class: String,
    /// What they waited for; empty on the CPU.
    pub wait_event: String,
    /// `queryid` as text; `None` where the server did not name the statement.
    pub fingerprint: Option<String>,
    /// Id for `/queries/{id}`, when the statement is known.
    pub id: Option<String>,
    /// The statement's normalised text on one line, or what stands in for it.
    pub query: String,
    /// `query` is words about a statement whose text is not known, and no SQL.
    #[serde(default)]
    pub stands_in: bool,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Application, or the kind of process.
    pub application: String,
    /// Address of the client; `local` for a socket.
    pub host: String,
    /// Samples of the stretch in which a session of this kind was active, each session once.
    pub samples: i64,
    /// Such sessions at once, on average over the stretch.
    pub average_active_sessions: f64,
    /// Of all samples of the stretch, in percent.
    pub percent: f64,
}

/// A stretch of time with many sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BusyStretch {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Active sessions on average.
    pub average_active_sessions: f64,
}

/// What the samples of a moment hold. Samples are taken each second and kept added up by the stretch: a minute or less,
/// an hour once they are old.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityMoment {
    /// Id of the cluster.
    pub cluster: String,
    /// The moment asked for.
    pub at: Timestamp,
    /// Beginning of the stretch that the figures are of.
    pub from: Timestamp,
    /// End of the stretch.
    pub to: Timestamp,
    /// Samples taken in it; 0 where nothing was sampled, as while the server was not reached.
    pub samples: i64,
    /// Samples that were due and not taken.
    pub skipped: i64,
    /// Active sessions on average.
    pub average_active_sessions: f64,
    /// The sessions, the most samples first; at most 200 kinds.
    pub rows: Vec<MomentRow>,
    /// Databases that sessions were seen in, for a filter.
    pub databases: Vec<String>,
    /// End of the sampled stretch before, if there is one.
    pub before: Option<Timestamp>,
    /// End of the sampled stretch after.
    pub after: Option<Timestamp>,
    /// The busiest stretches of the range, the busiest first.
    pub busiest: Vec<BusyStretch>,
    /// Graphs of locks that were kept in the range, the newest first.
    pub lock_snapshots: Vec<LockSnapshotSummary>,
    /// The kept graph of who waited for whom, when sessions waited at this moment.
    pub locks: Option<LockSnapshot>,
}
