//! Who streams from whom.
use super::{ReplicaState, StandbyRow};
use crate::reading::ServerRole;
use serde::{Deserialize, Serialize};

/// A server of a replication tree, with those that stream from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicationNode {
    /// Id of the cluster, when Holdfast watches this server.
    pub cluster: Option<String>,
    /// Its name, or the name by which it streams.
    pub name: String,
    /// Its role, when it is known.
    pub role: Option<ServerRole>,
    /// Whether it is reached, when Holdfast watches it.
    pub reached: Option<bool>,
    /// Timeline of its last checkpoint.
    pub timeline: Option<i64>,
    /// How it stands to the one it streams from, as that one sees it.
    pub streams: Option<StandbyRow>,
    /// The servers that stream from it.
    pub standbys: Vec<ReplicationNode>,
}

impl ReplicationNode {
    /// `good`, `attention`, `critical` or `unknown`: the worse of what is known of it.
    pub fn level(&self) -> &'static str {
        let state = self.streams.as_ref().map(|row| row.state);
        match (self.reached, state) {
            (Some(false), _) | (_, Some(ReplicaState::Disconnected)) => "critical",
            (_, Some(ReplicaState::CatchingUp)) => "attention",
            (_, Some(ReplicaState::Streaming | ReplicaState::Idle | ReplicaState::Receiving)) => "good",
            (Some(true), None) => "good",
            (_, Some(ReplicaState::Unknown)) | (None, None) => "unknown",
        }
    }
}
