//! The plugins of a tenant.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// One plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plugin {
    /// Its id.
    pub id: String,
    /// Unique within the tenant.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// What it does.
    pub description: String,
    /// What kind it is of.
    pub category: String,
    /// active, inactive, installing, failed or deprecated.
    pub status: String,
    /// production, staging or development.
    pub environment: String,
    /// The team that looks after it.
    pub owner: String,
    /// Words it is found by.
    pub keywords: Vec<String>,
    /// Labels of the tenant.
    pub tags: Vec<String>,
    /// Whether it is installed.
    pub installed: bool,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Which version is installed; `None` when not known or none is.
    pub installed_version: Option<String>,
    /// 0 to 100.
    pub health_score: i16,
    /// Of one processor.
    pub cpu_percent: f32,
    /// Resident.
    pub memory_bytes: i64,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// How a search was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SearchMode {
    /// Nothing was searched for.
    None,
    /// By words and their beginnings.
    Words,
    /// Nothing had the words; these are similar.
    Similar,
    /// Nothing had the words, and the database cannot look for similar ones.
    WordsOnly,
}

/// A page of plugins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginsPage {
    /// In the order asked for.
    pub plugins: Vec<Plugin>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
    /// How it was searched.
    pub search: SearchMode,
    /// What to know about the search.
    pub message: Option<String>,
}

/// One value and how many have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FacetValue {
    /// The value.
    pub value: String,
    /// Plugins that have it.
    pub count: i64,
}

/// How the plugins found divide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Facets {
    /// All of them.
    pub total: i64,
    /// By category.
    pub categories: Vec<FacetValue>,
    /// By status.
    pub statuses: Vec<FacetValue>,
    /// By environment.
    pub environments: Vec<FacetValue>,
    /// By owner, the largest twenty.
    pub owners: Vec<FacetValue>,
    /// By tag, the largest twenty.
    pub tags: Vec<FacetValue>,
    /// By keyword, the largest twenty.
    pub keywords: Vec<FacetValue>,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionRow {
    /// Its number.
    pub version: String,
    /// When it was released.
    pub released_at: Timestamp,
    /// Taken back: not chosen any more.
    pub yanked: bool,
    /// What is new.
    pub changelog: String,
}

/// Something done with a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationRow {
    /// Its id.
    pub id: String,
    /// What was done.
    pub operation: String,
    /// Where.
    pub environment: String,
    /// queued, running, succeeded or failed.
    pub status: String,
    /// By whom.
    pub started_by: String,
    /// When.
    pub started_at: Timestamp,
    /// How long it took; `None` while it runs.
    pub duration_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A metric over the last day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricSummary {
    /// Its name.
    pub name: String,
    /// How many values.
    pub samples: i64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
    /// The newest.
    pub last: f64,
}

/// A plugin needs another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dependency {
    /// Id of what is needed.
    pub id: String,
    /// Its name; `None` when it is not there.
    pub name: Option<String>,
    /// Which versions do.
    pub range: String,
    /// It works without, too.
    pub optional: bool,
}

/// A plugin with everything about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginDetails {
    /// The plugin.
    pub plugin: Plugin,
    /// The newest first.
    pub versions: Vec<VersionRow>,
    /// The newest first.
    pub operations: Vec<OperationRow>,
    /// What its installed version needs, else its newest.
    pub dependencies: Vec<Dependency>,
    /// How many plugins need it.
    pub dependents: i64,
    /// Over the last 24 hours.
    pub metrics: Vec<MetricSummary>,
}

/// A plugin in a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GraphNode {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version looked at: installed, else the newest.
    pub version: Option<String>,
    /// Whether it is installed.
    pub installed: bool,
    /// Steps from the one asked for.
    pub depth: u32,
    /// What it needs.
    pub needs: Vec<Dependency>,
}

/// Everything a plugin needs, or everything that needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DependencyGraph {
    /// The one asked for first, then the nearest.
    pub nodes: Vec<GraphNode>,
    /// Names along each circle; the first is where it closes.
    pub cycles: Vec<Vec<String>>,
    /// What is needed and not there, in words.
    pub missing: Vec<String>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeStep {
    /// Plugin.
    pub id: String,
    /// Its name.
    pub name: String,
    /// install, upgrade or keep.
    pub action: String,
    /// Version now.
    pub from: Option<String>,
    /// Version then.
    pub to: String,
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangePlan {
    /// Whether there is a way.
    pub possible: bool,
    /// What is needed comes before what needs it.
    pub steps: Vec<ChangeStep>,
    /// Why there is no way, sentence by sentence.
    pub explanation: Vec<String>,
}

/// What a plugin needs, what needs it, and what bringing it to a version would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginDependencies {
    /// Everything that it needs, directly and further on.
    pub needs: DependencyGraph,
    /// Everything that needs it, directly and further on.
    pub needed_by: DependencyGraph,
    /// What installing or upgrading it would do.
    pub plan: ChangePlan,
}

/// How a bulk operation stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkStatus {
    /// Its idempotency key.
    pub key: String,
    /// running (on this server or another one), done, refused (atomic, and an item must not be changed), cancelled, failed,
    /// or unattended: its server has ended, and another one takes it up.
    pub state: String,
    /// Items that are through.
    pub processed: u64,
    /// Items.
    pub total: u64,
    /// What was done; `None` while this server works on it, and when it failed.
    pub report: Option<BulkReport>,
    /// Why it failed, or what to do.
    pub message: Option<String>,
}

/// An item that was not changed, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedItem {
    /// Plugin.
    pub id: String,
    /// refused or failed.
    pub outcome: String,
    /// In words.
    pub reason: String,
}

/// What a bulk operation would make of one plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedChange {
    /// Plugin.
    pub id: String,
    /// Its name.
    pub name: String,
    /// done (it would be), unchanged or refused.
    pub outcome: String,
    /// Why it is refused.
    pub reason: Option<String>,
    /// What it is now, as far as the operation touches it.
    pub before: String,
    /// What it would be.
    pub after: String,
}

/// What a bulk operation did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkReport {
    /// Its id; `None` for a plan.
    pub id: Option<String>,
    /// What was asked for.
    pub operation: String,
    /// atomic or each.
    pub mode: String,
    /// planned, running, done or refused.
    pub state: String,
    /// Items.
    pub total: i64,
    /// Changed.
    pub done: i64,
    /// Were so already.
    pub unchanged: i64,
    /// Must not be changed.
    pub refused: i64,
    /// Could not be changed.
    pub failed: i64,
    /// The first hundred that were refused or failed.
    pub problems: Vec<RefusedItem>,
    /// The same key was used before: this is what was done then.
    pub repeated: bool,
    /// For a plan: the first two hundred plugins, before and after.
    pub changes: Vec<PlannedChange>,
}
