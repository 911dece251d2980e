//! What the page of locks asks for.
#[cfg(feature = "ssr")]
use super::{asking, name, told};
use crate::{AppError, chart::ChartData};
use domain::view::{LockSnapshot, LocksPage};
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// Who waits for whom, now or at a kept moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocksData {
    /// Now.
    pub page: LocksPage,
    /// The kept graph that was asked for.
    pub kept: Option<LockSnapshot>,
    /// The id of the statement of each session of the graph that is shown, where it is known.
    pub statements: Vec<Option<String>>,
    /// Waiting sessions over a day.
    pub waiters: ChartData,
    /// The reader may cancel and terminate.
    pub may_signal: bool,
}

/// Locks of a cluster; `snapshot` is the id of a kept graph.
#[server(endpoint = "locks", input = GetUrl)]
pub async fn load_locks(cluster: Option<String>, snapshot: Option<String>) -> Result<LocksData, AppError> {
    use crate::chart::build;
    use domain::view::{Metric, Range};
    let (control, actor) = asking()?;
    let id = cluster.as_deref();
    let page = told(control.locks_get(&actor, id).await)?;
    let kept = match snapshot.as_deref().filter(|snapshot| !snapshot.is_empty()) {
        Some(snapshot) => Some(told(control.lock_snapshot_get(&actor, id, snapshot).await)?),
        None => None,
    };
    let mut waiters = told(control.history_get(&actor, id, Metric::BlockedSessions, Range::Hours24).await)?;
    name(&mut waiters, "Waiting sessions");
    let nodes = kept.as_ref().map_or(&page.nodes, |kept| &kept.nodes);
    let sessions = nodes.iter().map(|node| (node.query_id.as_deref(), node.database.as_deref(), node.user.as_deref()));
    let statements = told(control.statements_of_sessions(&actor, id, &sessions.collect::<Vec<_>>()).await)?;
    let may_signal = actor.may(domain::Permission::BackendSignal);
    Ok(LocksData { page, kept, statements, waiters: build::lines(&waiters), may_signal })
}
