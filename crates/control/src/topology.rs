//! Who streams from whom, over all servers that are watched: what each of them says of its standbys, put together.
use crate::{Actor, ClusterConfig, ControlError, ControlPlane};
use domain::{
    Permission,
    view::{ClusterState, ReplicaState, ReplicationNode, ReplicationPage, StandbyRow},
};
use std::sync::Arc;

/// Configuration may lead in a circle.
const DEEPEST: usize = 8;

/// What one server says.
struct Watched {
    config: ClusterConfig,
    reached: Option<bool>,
    page: Arc<ReplicationPage>,
}

impl ControlPlane {
    /// The tree that a cluster is in, from the topmost server that is watched.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn replication_tree(&self, actor: &Actor, cluster: Option<&str>) -> Result<ReplicationNode, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let mut top = self.inner.clusters.find(cluster)?.0.id.clone();
        let all = self.inner.clusters.all().map(|(config, snapshot)| Watched {
            config: config.clone(),
            reached: match &snapshot.dashboard.cluster.state {
                ClusterState::Connecting => None,
                state => Some(*state == ClusterState::Up),
            },
            page: snapshot.replication.clone(),
        });
        let all = all.collect::<Vec<_>>();
        for _ in 0..DEEPEST {
            let upstream = all.iter().find(|it| it.config.id == top).and_then(|it| it.config.standby_of.clone());
            let known = upstream.filter(|id| all.iter().any(|it| it.config.id == *id));
            let Some(upstream) = known else { break };
            top = upstream;
        }
        Ok(node(&all, &top, None, DEEPEST))
    }
}

/// A watched server and all below it.
fn node(all: &[Watched], id: &str, streams: Option<StandbyRow>, depth: usize) -> ReplicationNode {
    let Some(Watched { config, reached, page }) = all.iter().find(|it| it.config.id == id) else {
        return ReplicationNode::default();
    };
    let below = all.iter().map(|it| &it.config).filter(|it| it.standby_of.as_deref() == Some(id));
    let mut watched = below.collect::<Vec<_>>();
    let mut standbys = Vec::new();
    let mut strangers = Vec::new();
    for row in &page.standbys {
        let own = watched.iter().position(|it| it.id == row.name || it.name == row.name);
        match own.map(|i| watched.remove(i)) {
            Some(own) if depth > 0 => standbys.push(node(all, &own.id, Some(row.clone()), depth - 1)),
            _ => strangers.push(row),
        }
    }
    // One stream and one server without a name in common are the same.
    let replaying =
        strangers.iter().enumerate().filter(|(_, row)| row.state != ReplicaState::Receiving && !row.logical);
    if let ([(i, row)], [own]) = (replaying.collect::<Vec<_>>().as_slice(), watched.as_slice())
        && depth > 0
    {
        standbys.push(node(all, &own.id, Some((**row).clone()), depth - 1));
        let known = *i;
        strangers.remove(known);
        watched.clear();
    }
    standbys.extend(strangers.into_iter().map(|row| ReplicationNode {
        name: row.name.clone(),
        streams: Some(row.clone()),
        ..ReplicationNode::default()
    }));
    // Configured as a standby, and nothing streams to it by any name.
    if depth > 0 {
        standbys.extend(watched.into_iter().map(|own| node(all, &own.id, None, depth - 1)));
    }
    ReplicationNode {
        cluster: Some(config.id.clone()),
        name: config.name.clone(),
        role: page.role,
        reached: *reached,
        timeline: page.timeline,
        streams,
        standbys,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::ReplicaState;

    fn watched(id: &str, standby_of: Option<&str>, standbys: &[&str]) -> Watched {
        let config = ClusterConfig {
            id: id.to_owned(),
            name: id.to_owned(),
            standby_of: standby_of.map(str::to_owned),
            group: None,
        };
        let row = |name: &&str| StandbyRow {
            name: (*name).to_owned(),
            address: None,
            state: ReplicaState::Streaming,
            sync_state: "async".to_owned(),
            logical: *name == "subscriber",
            gone_since: None,
            lag_seconds: Some(0.0),
            lag_bytes: Some(0),
            send_bytes: None,
            write_bytes: None,
            flush_bytes: None,
            replay_bytes: None,
        };
        let page = ReplicationPage { standbys: standbys.iter().map(row).collect(), ..ReplicationPage::default() };
        Watched { config, reached: Some(true), page: Arc::new(page) }
    }

    fn names(node: &ReplicationNode) -> String {
        let below = node.standbys.iter().map(names).collect::<Vec<_>>();
        if below.is_empty() { node.name.clone() } else { format!("{}({})", node.name, below.join(" ")) }
    }

    #[test]
    fn streams_are_put_together_over_servers_by_name_and_by_what_is_left() {
        let all = [
            watched("main", None, &["replica1", "walreceiver", "stranger"]),
            watched("replica1", Some("main"), &["cascade"]),
            watched("cascaded", Some("replica1"), &[]),
            watched("lost", Some("main"), &[]),
        ];
        assert_eq!(names(&node(&all, "main", None, DEEPEST)), "main(replica1(cascaded) walreceiver stranger lost)");
        // Nothing streams to it: nobody says how it stands.
        let tree = node(&all, "main", None, DEEPEST);
        assert_eq!(tree.standbys.last().map(|it| it.streams.is_none()), Some(true));
        assert_eq!(tree.standbys[0].standbys[0].streams.as_ref().map(|row| row.name.as_str()), Some("cascade"));
    }

    #[test]
    fn a_subscriber_is_not_taken_for_the_standby_that_is_watched() {
        let all = [watched("main", None, &["subscriber"]), watched("standby", Some("main"), &[])];
        assert_eq!(names(&node(&all, "main", None, DEEPEST)), "main(subscriber standby)");
        assert_eq!(node(&all, "main", None, DEEPEST).standbys.last().map(|it| it.streams.is_none()), Some(true));
    }

    #[test]
    fn a_circle_of_configuration_ends() {
        let all = [watched("a", Some("b"), &["b"]), watched("b", Some("a"), &["a"])];
        assert!(names(&node(&all, "a", None, DEEPEST)).starts_with("a(b("));
    }
}
