//! What the tabs of a statement ask for. Only the server renders them, so nothing here is an address.

use crate::{
    AppError,
    server_fns::{Ask, asking, told},
};
use domain::view::{QueryDetail, QueryPlanPage};
use serde::{Deserialize, Serialize};

/// One statement, as its tabs show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementData {
    /// Tables, samples, plans it has had.
    pub page: QueryPlanPage,
    /// Its figures over the range, for the history; `None` when it did not run in it.
    pub detail: Option<QueryDetail>,
}

/// By the page's own address; `figures` asks for those over the range too.
pub async fn load_statement(search: String, id: String, figures: bool) -> Result<StatementData, AppError> {
    let (control, actor) = asking()?;
    let ask = told(Ask::read(control, actor, "queries", &search))?;
    let page = told(ask.control.query_plan_get(&ask.actor, ask.id(), &id, None, None).await)?;
    let detail = if figures {
        match ask.control.query_get(&ask.actor, ask.id(), &id, ask.range, ask.compare).await {
            // It is known, and did not run in this range.
            Err(control::ControlError::NotFound { .. }) => None,
            found => Some(told(found)?),
        }
    } else {
        None
    };
    Ok(StatementData { page, detail })
}
