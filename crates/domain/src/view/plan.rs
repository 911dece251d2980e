//! Plans of statements: asked for by a person, kept, and compared.
use super::{BackendRow, Event, LogOfQuery};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Which statement is to be explained. Nothing of it is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainRequest {
    /// In which database.
    pub database: String,
    /// The role that runs it: the plan is made with its rights, policies and search path where we may.
    pub user: String,
    /// One statement, with `$1`, `$2`, … in place of constants.
    pub sql: String,
    /// `CREATE INDEX` statements to be tried as hypothetical indexes (HypoPG); empty: none.
    pub hypothetical: Vec<String>,
}

/// How a plan was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExplainMethod {
    /// `EXPLAIN (GENERIC_PLAN)`, PostgreSQL 16 and later.
    GenericPlan,
    /// `PREPARE` and `EXPLAIN EXECUTE` with NULLs and `plan_cache_mode = force_generic_plan`.
    Prepared,
    /// It ran, and `auto_explain` wrote it into the server's log.
    AutoExplain,
}

impl ExplainMethod {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GenericPlan, Self::Prepared, Self::AutoExplain];
    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GenericPlan => "generic_plan",
            Self::Prepared => "prepared",
            Self::AutoExplain => "auto_explain",
        }
    }

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::GenericPlan => "EXPLAIN (GENERIC_PLAN)",
            Self::Prepared => "PREPARE, EXPLAIN EXECUTE, generic plan",
            Self::AutoExplain => "auto_explain, in the server's log",
        }
    }
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// `EXPLAIN (FORMAT JSON)` as the server wrote it.
    pub json: String,
    /// How.
    pub method: ExplainMethod,
    /// `server_version_num`.
    pub version_num: i32,
    /// With whose rights.
    pub role: String,
    /// Hypothetical indexes: their names in the plan, and the size that HypoPG expects; in the order asked for.
    pub hypothetical: Vec<HypotheticalIndex>,
}

/// An index that exists for one backend's planner only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypotheticalIndex {
    /// Its name in plans.
    pub name: String,
    /// Its estimated size.
    pub bytes: i64,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlanSeverity {
    /// Worth knowing.
    Info,
    /// Likely to cost.
    Warning,
}

/// Something about one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanFinding {
    /// How much it matters.
    pub severity: PlanSeverity,
    /// Stable: `seq_scan_filter`, `nested_loop`, `sort_spill`, `hash_batches`, `stale_statistics`, `no_statistics`,
    /// `misestimate`, `pruned_by_null`.
    pub kind: String,
    /// In a few words.
    pub title: String,
    /// With the figures, and what may help.
    pub detail: String,
}

/// One node of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanNode {
    /// `Seq Scan`, `Hash Join`, …, with `Parallel` and the kind of join.
    pub title: String,
    /// As EXPLAIN calls the node, without additions.
    pub node_type: String,
    /// Table, as `schema.name`.
    pub relation: Option<String>,
    /// Its alias, when it differs.
    pub alias: Option<String>,
    /// Index.
    pub index: Option<String>,
    /// `InitPlan 1`, `SubPlan 2`, `CTE x`, where the node is the top of one.
    pub subplan: Option<String>,
    /// Cost until the first row, in units of the planner.
    pub startup_cost: f64,
    /// Cost of all rows, with its children.
    pub total_cost: f64,
    /// Its own part of the cost: without its children, each as often as it runs.
    pub own_cost: f64,
    /// Own part in percent of the whole plan.
    pub own_percent: f64,
    /// Rows expected from one run.
    pub rows: f64,
    /// Bytes of a row.
    pub width: i64,
    /// Rows seen, where the plan was run.
    pub actual_rows: Option<f64>,
    /// Times it ran, where the plan was run.
    pub loops: Option<f64>,
    /// Conditions and keys, literals masked: `Filter`, `Index Cond`, `Hash Cond`, `Sort Key`, …
    pub details: Vec<(String, String)>,
    /// What stands out.
    pub findings: Vec<PlanFinding>,
    /// What it reads from.
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub children: Vec<PlanNode>,
}

/// A plan that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanView {
    /// Its figures.
    pub summary: PlanSummary,
    /// The tree.
    pub root: PlanNode,
    /// As EXPLAIN writes it as text, literals masked.
    pub text: String,
    /// As EXPLAIN writes it as JSON, literals masked.
    pub json: String,
    /// Findings of all nodes, the worst first.
    pub findings: Vec<PlanFinding>,
    /// Planner settings that differ from the built-in ones.
    pub settings: Vec<(String, String)>,
}

/// A kept plan in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanSummary {
    /// Id.
    pub id: String,
    /// Hash of its shape: nodes, tables, indexes and conditions, without costs. Two plans with one hash do the same.
    pub hash: String,
    /// In a few words: the nodes that read tables.
    pub shape: String,
    /// How it was had.
    pub method: ExplainMethod,
    /// Version of the server, as 150018.
    pub version_num: i32,
    /// With whose rights.
    pub role: String,
    /// First seen.
    pub first_at: Timestamp,
    /// Last seen; the newest is the plan in force.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub times: i64,
    /// Who asked for it last; `advisor` when nobody did, `log` when it ran.
    pub taken_by: String,
    /// Cost when it was seen last.
    pub total_cost: f64,
}

/// A table that a statement touches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TouchedTable {
    /// `database.schema.name`, when it is known.
    pub key: Option<String>,
    /// As written or as planned.
    pub name: String,
    /// `reads`, `changes`.
    pub how: String,
    /// Estimated rows.
    pub rows: Option<f64>,
    /// Heap, TOAST and indexes.
    pub total_bytes: Option<i64>,
    /// Sequential scans per second, of all statements.
    pub seq_scans_per_second: Option<f64>,
    /// Last analyze.
    pub last_analyze: Option<Timestamp>,
    /// Indexes that the plan uses.
    pub indexes: Vec<String>,
}

/// Sessions that were seen in the statement, each second one sample of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuerySample {
    /// Class of what they waited for; `CPU` when they ran.
    pub wait_class: String,
    /// What they waited for.
    pub wait_event: String,
    /// Role.
    pub user: String,
    /// Application.
    pub application: String,
    /// Address of the client.
    pub host: String,
    /// How often.
    pub samples: i64,
}

/// What differs between two plans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanComparison {
    /// The text of both, line by line: `same`, `before`, `after`.
    pub lines: Vec<(String, String)>,
    /// Cost before and after.
    pub costs: (f64, f64),
}

/// The plan of one statement with its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueryPlanPage {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the statement.
    pub id: String,
    /// Its text, formatted.
    pub sql: String,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Why it cannot be explained; `None`: it can.
    pub refusal: Option<String>,
    /// The plan looked at: the newest, or the one asked for.
    pub plan: Option<PlanView>,
    /// Against the one asked for.
    pub comparison: Option<PlanComparison>,
    /// All that are kept, the newest first.
    pub history: Vec<PlanSummary>,
    /// Tables it touches.
    pub tables: Vec<TouchedTable>,
    /// Who ran it in the last 24 hours and what they waited for, the most first.
    pub samples: Vec<QuerySample>,
    /// Sessions that are in it now, literals masked.
    pub running: Vec<BackendRow>,
    /// What the server's log has of it.
    pub log: LogOfQuery,
    /// When its plan changed, the newest first.
    pub changes: Vec<Event>,
}
