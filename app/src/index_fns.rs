//! What the page of one index asks for. Only the server renders it, so nothing here is an address.

use crate::{
    AppError,
    chart::{ChartData, build},
    server_fns::{Ask, asking, told},
};
use domain::{Permission, view::IndexDetail};
use serde::{Deserialize, Serialize};

/// One index with its charts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexData {
    /// The index, its series left out.
    pub detail: IndexDetail,
    /// Size over the range.
    pub size: ChartData,
    /// Scans an hour over the range.
    pub scans: ChartData,
    /// Blocks found in shared buffers over the range.
    pub hit: ChartData,
    /// The page's own address, to come back to.
    pub here: String,
    /// Whether the reader may put advice aside.
    pub may_dismiss: bool,
}

/// By the page's own address: `name` is `database.schema.name`.
pub async fn load_index(search: String) -> Result<IndexData, AppError> {
    let (control, actor) = asking()?;
    let ask = told(Ask::read(control, actor, "index", &search))?;
    let key = ask.get("name").unwrap_or_default();
    let mut detail = told(ask.control.index_get(&ask.actor, ask.id(), key, ask.range).await)?;
    let size = build::lines(&std::mem::take(&mut detail.size));
    let scans = build::lines(&std::mem::take(&mut detail.scans));
    let hit = build::lines(&std::mem::take(&mut detail.hit));
    Ok(IndexData { detail, size, scans, hit, here: ask.here(), may_dismiss: ask.actor.may(Permission::AdviceDismiss) })
}
