//! Views: what the pages show and the JSON API serves, made from readings by `analysis` and kept in the snapshot.
//!
//! Field names carry their unit (`_ms`, `_seconds`, `_bytes`, `_percent`); `None` is "not applicable" or "not known"
//! and is `null` on the wire, never zero. 64-bit identifiers are strings.
mod account;
mod activity;
mod cluster;
mod dashboard;
mod health;
mod history;
mod index;
mod job;
mod load;
mod locks;
mod page;
mod query;
mod recovery;
mod signal;

pub use account::{AccountView, AuditEntry, AuditPage, AuditVerdict, TokenView, Whoami};
pub use activity::{ActivityPage, BackendRow};
pub use cluster::{ClusterState, ClusterSummary};
pub use dashboard::{
    AlertView, BackupView, CacheView, ConnectionsView, Dashboard, IndexTotals, LatencySource, LatencyView, PoolView,
    PoolsView, ReplicaState, ReplicaView, RestoreTestView, SlowQuery, ThroughputView, WaitLoad,
};
pub use health::{Attention, Band, Health, HealthComponent, HealthLine};
pub use history::{Event, EventKind, Metric, Range, TimeSeries, TimeSeriesLine};
pub use index::{DuplicateKind, IndexFinding, IndexRow, IndexTab, IndexesPage, MissingForeignKey};
pub use job::{JobKind, JobLogLine, JobProgress, JobResult, JobState, JobStep, JobView, JobsPage};
pub use load::{LoadBy, LoadPage, LoadRow};
pub use locks::{LockNode, LockSnapshot, LockSnapshotSummary, LocksPage};
pub use page::{Availability, LiveEvent};
pub use query::{OtherRow, QueriesPage, QueriesParams, QueryDetail, QueryFlag, QueryKind, QueryRow, QuerySort};
pub use recovery::{
    BackupRow, ExpirePlanView, ExpireVerdict, Forecast, KeySlotView, Objectives, ProofView, ProvenRestore, RecoveryGap,
    RecoveryInterval, RecoveryOverview, RecoveryProblem, RecoveryWindow, RepositoryView, RestorePlanView, ScheduleView,
    VerifiedView, WalView,
};
pub use signal::{SignalAction, SignalRequest, SignalResult};
