//! Views: what the pages show and the JSON API serves, made from readings by `analysis` and kept in the snapshot.
//!
//! Field names carry their unit (`_ms`, `_seconds`, `_bytes`, `_percent`); `None` is "not applicable" or "not known"
//! and is `null` on the wire, never zero. 64-bit identifiers are strings.
mod account;
mod activity;
mod advice;
mod alert;
mod analytics;
mod cluster;
mod cost;
mod dashboard;
mod dr;
mod estate;
mod health;
mod health_weights;
mod history;
mod host;
mod index;
mod job;
mod load;
mod locks;
mod log;
mod metric;
mod moment;
mod page;
mod plan;
mod plugin;
mod pools;
mod query;
mod range;
mod recovery;
mod server_pages;
mod signal;
mod table;
mod topology;

pub use account::{AccountView, AuditEntry, AuditPage, AuditVerdict, TokenView, Whoami};
pub use activity::{ActivityPage, BackendRow};
pub use advice::{
    AdviceBasis, AdviceFinding, AdvicePage, Dismissal, GuideSetting, GuideVerdict, HelpedStatement, IndexAdvice,
    IndexSuggestion, SettingFinding, SettingSeverity,
};
pub use alert::{
    Acknowledgement, AlertCounts, AlertDetail, AlertEventView, AlertLive, AlertView, AlertsPage, AlertsParams,
    BlackoutView, ChannelSpec, ChannelTest, ChannelView, DeliveryView, PreviewAlert, RulePreview, RuleSource, RuleView,
    Silence,
};
pub use analytics::{
    ActiveUsers, AnalyticsGeography, AnalyticsMeasure, AnalyticsPoint, AnalyticsSeries, AnalyticsTop, ArchiveView,
    Bucket, CoUse, Cohort, CountryRow, ErasureArchives, ErasureReport, HourOfWeek, IngestProblem, IngestReport,
    RestoredSpan, SubjectPlan, TierUse, TopRow, UsagePatterns,
};
pub use cluster::{ClusterState, ClusterSummary};
pub use cost::{ClusterCost, CostPage, ProcessCost, StoreCost, StoreTier};
pub use dashboard::{
    BackupView, CacheView, ConnectionsView, Dashboard, IndexTotals, LatencySource, LatencyView, PoolView, PoolsView,
    ReplicaState, ReplicaView, RestoreTestView, SlowQuery, ThroughputView, WaitLoad,
};
pub use dr::{
    DrAction, DrDryRun, DrDryStep, DrHashes, DrKind, DrOverview, DrPlanSpec, DrPlanView, DrReport, DrRunRow, DrRunView,
    DrRunsPage, DrStep, DrStepReport, DrWaiting,
};
pub use estate::EstateRow;
pub use health::{Attention, Band, Health, HealthComponent, HealthLine};
pub use health_weights::{HealthWeights, HealthWeightsView};
pub use history::{Event, EventKind, TimeSeries, TimeSeriesLine};
pub use host::{DiskForecast, DiskRow, HostPage};
pub use index::{
    DuplicateKind, IndexDetail, IndexFinding, IndexRow, IndexTab, IndexesPage, MissingForeignKey, SimilarIndex,
};
pub use job::{JobCopy, JobKind, JobLive, JobLogLine, JobProgress, JobResult, JobState, JobStep, JobView, JobsPage};
pub use load::{LoadBy, LoadPage, LoadRow};
pub use locks::{LockNode, LockSnapshot, LockSnapshotSummary, LocksPage};
pub use log::{LogOfQuery, LogSample};
pub use metric::Metric;
pub use moment::{ActivityMoment, BusyStretch, MomentRow};
pub use page::{Availability, LiveEvent, rows_of_page};
pub use plan::{
    ExplainMethod, ExplainRequest, Explained, HypotheticalIndex, PlanComparison, PlanFinding, PlanNode, PlanSeverity,
    PlanSummary, PlanView, QueryPlanPage, QuerySample, TouchedTable,
};
pub use plugin::{
    BulkReport, BulkStatus, ChangePlan, ChangeStep, Dependency, DependencyGraph, FacetValue, Facets, GraphNode,
    MetricSummary, OperationRow, PlannedChange, Plugin, PluginDependencies, PluginDetails, PluginsPage, RefusedItem,
    SearchMode, VersionRow,
};
pub use pools::{PlatformState, PoolNode, PoolRouting, PoolsPage, TenantView};
pub use query::{OtherRow, QueriesPage, QueriesParams, QueryDetail, QueryFlag, QueryKind, QueryRow, QuerySort};
pub use range::{Compare, Range};
pub use recovery::{
    BackupRow, BackupsPage, ExpirePlanView, ExpireVerdict, KeySlotView, Objectives, ProofView, ProvenRestore,
    RecoveryGap, RecoveryInterval, RecoveryOverview, RecoveryProblem, RecoveryWindow, RemovalPlanView, RepositoryView,
    RestoreForecast, RestorePlanView, ScheduleView, VerifiedView, WalStreamView,
};
pub use server_pages::{
    CheckpointsView, ConnectionGroup, ConnectionRow, ConnectionsPage, IoRow, MaintenancePage, ReplicationPage,
    SettingRow, SettingsPage, SlotRow, StandbyRow, UpstreamView, WalView, XidRow,
};
pub use signal::{SignalAction, SignalRequest, SignalResult};
pub use table::{
    ColumnsKept, DatabaseRow, Forecast, TableColumn, TableDetail, TableIndex, TableRow, TableStatement, TablesPage,
    VacuumTrigger,
};
pub use topology::ReplicationNode;
