//! What the pages on all clusters and on Holdfast itself are made from. The server alone renders them, so these are no
//! server functions: no address leads to them but the pages' own.

use crate::{
    AppError,
    chart::{ChartData, build},
    server_fns::{asking, form, told},
};
use domain::view::{Attention, AuditPage, AuditVerdict, ClusterSummary, EstateRow, HealthWeightsView, Metric, Range};
use serde::{Deserialize, Serialize};

/// The parameters of the audit log's page.
pub const AUDIT_FILTERS: [&str; 6] = ["actor", "action", "object", "outcome", "since", "until"];
/// Rows of a page of the audit log.
const AUDIT_ROWS: u64 = 50;
/// A chain that is longer is walked when somebody asks for it only: each page would wait for it.
const AUDIT_VERIFY_UNASKED: i64 = 20_000;

/// A page of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditData {
    /// The rows.
    pub page: AuditPage,
    /// Whether the chain holds; `None` when it was not walked.
    pub verdict: Option<AuditVerdict>,
    /// What is filtered by.
    pub filters: Vec<(String, String)>,
    /// It is not the first page.
    pub further: bool,
}

/// All clusters, the worst first.
pub async fn load_estate() -> Result<Vec<EstateRow>, AppError> {
    let (control, actor) = asking()?;
    told(control.estate_list(&actor).await)
}

/// The score of a cluster, and how it is weighed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreData {
    /// Lines and weights.
    pub view: HealthWeightsView,
    /// The score over a week.
    pub history: ChartData,
    /// Whether the reader may change the weights.
    pub may_change: bool,
}

/// The score of a cluster, and how it is weighed.
pub async fn load_score(cluster: Option<String>) -> Result<ScoreData, AppError> {
    let (control, actor) = asking()?;
    let view = told(control.health_weights_get(&actor, cluster.as_deref()).await)?;
    let mut series = told(control.history_get(&actor, cluster.as_deref(), Metric::HealthScore, Range::Days7).await)?;
    for line in &mut series.series {
        "Score".clone_into(&mut line.name);
    }
    Ok(ScoreData { view, history: build::lines(&series), may_change: actor.may(domain::Permission::AlertManage) })
}

/// What each server needs to be watched, and how far it is.
pub async fn load_setup() -> Result<Vec<(ClusterSummary, Vec<Attention>)>, AppError> {
    let (control, actor) = asking()?;
    told(control.setup_list(&actor))
}

/// Rows of the audit log by the page's own address.
pub async fn load_audit(search: String) -> Result<AuditData, AppError> {
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let get =
        |name: &str| pairs.iter().find(|pair| pair.0 == name && !pair.1.trim().is_empty()).map(|pair| pair.1.clone());
    let filter = told(control::audit_filter(get))?;
    let cursor = get("cursor");
    let page = told(control.audit_list(&actor, filter, cursor.as_deref(), AUDIT_ROWS).await)?;
    let newest =
        told(control.audit_list(&actor, Default::default(), None, 1).await)?.rows.first().map_or(0, |row| row.seq);
    let verdict = if newest <= AUDIT_VERIFY_UNASKED || get("verify").is_some() {
        Some(told(control.audit_verify(&actor).await)?)
    } else {
        None
    };
    let filters = AUDIT_FILTERS.into_iter().filter_map(|name| Some((name.to_owned(), get(name)?))).collect();
    Ok(AuditData { page, verdict, filters, further: cursor.is_some() })
}
