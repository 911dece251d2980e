//! What a person can make us do to a monitored server, passed on to it.
use crate::state::Shared;
use control::{AgentFailure, BackendAgent, Signalled};
use domain::view::{ExplainRequest, Explained, SignalRequest};
use futures::future::{BoxFuture, FutureExt as _};
use pgstat::Cluster;
use std::sync::Arc;

/// The cluster, as `control` reaches it.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) cluster: Arc<Cluster>,
    /// Wakes the advisor.
    pub(crate) review: Arc<tokio::sync::Notify>,
    /// Id of the cluster.
    pub(crate) id: String,
    /// Tells its watch.
    pub(crate) shared: Arc<Shared>,
}

impl BackendAgent for Agent {
    fn signal(&self, request: SignalRequest) -> BoxFuture<'_, Result<Signalled, AgentFailure>> {
        let cluster = self.cluster.clone();
        async move {
            match cluster.signal(&request).await {
                Ok(done) => {
                    tracing::info!(
                        host = cluster.target().host(),
                        pid = request.pid,
                        action = request.action.as_str(),
                        ended = done.ended,
                        "a session was signalled"
                    );
                    Ok(Signalled {
                        ended: done.ended,
                        user: done.user,
                        application: done.application,
                        query: done.query,
                    })
                }
                Err(error) => Err(AgentFailure { kind: error.kind, message: error.message, sqlstate: error.sqlstate }),
            }
        }
        .boxed()
    }

    fn explain(&self, request: ExplainRequest) -> BoxFuture<'_, Result<Explained, AgentFailure>> {
        let cluster = self.cluster.clone();
        async move {
            cluster.explain(&request).await.map_err(|error| AgentFailure {
                kind: error.kind,
                message: error.message,
                sqlstate: error.sqlstate,
            })
        }
        .boxed()
    }

    fn review(&self) {
        self.review.notify_one();
    }

    fn forget_standby(&self, name: &str) {
        self.shared.forget_standby(&self.id, name);
    }
}
