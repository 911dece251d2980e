//! Server functions of plans and advice. Rights are decided in `control`; what the reader may is told only so that a page
//! offers nothing that would be refused.

use crate::AppError;
#[cfg(feature = "ssr")]
use crate::server_fns::{asking, told};
use domain::view::{AdvicePage, QueryPlanPage};
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// The plan of one statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanPageData {
    /// Plan, history, tables, samples.
    pub page: QueryPlanPage,
    /// Whether the reader may ask for a plan.
    pub may_explain: bool,
}

/// The plan of one statement; `plan` and `against` are ids of kept plans, empty for the newest and for none.
#[server(endpoint = "query_plan", input = GetUrl)]
pub async fn load_query_plan(
    cluster: Option<String>,
    id: String,
    plan: Option<String>,
    against: Option<String>,
) -> Result<PlanPageData, AppError> {
    let (control, actor) = asking()?;
    let page = control.query_plan_get(&actor, cluster.as_deref(), &id, plan.as_deref(), against.as_deref()).await;
    Ok(PlanPageData { page: told(page)?, may_explain: actor.may(domain::Permission::QueryExplain) })
}

/// Everything that is advised about indexes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdviceData {
    /// Suggestions, findings, what was put aside.
    pub page: AdvicePage,
    /// Whether the reader may put aside.
    pub may_dismiss: bool,
    /// Whether the reader may have the indexes reviewed.
    pub may_review: bool,
}

/// Everything that is advised about the indexes of a cluster.
#[server(endpoint = "index_advice", input = GetUrl)]
pub async fn load_index_advice(cluster: Option<String>) -> Result<AdviceData, AppError> {
    let (control, actor) = asking()?;
    Ok(AdviceData {
        page: told(control.index_advice_get(&actor, cluster.as_deref()).await)?,
        may_dismiss: actor.may(domain::Permission::AdviceDismiss),
        may_review: actor.may(domain::Permission::QueryExplain),
    })
}
