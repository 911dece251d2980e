//! What a person can make us do to a monitored server, passed on to it.
use control::{BackendAgent, SignalFailure, Signalled};
use domain::view::SignalRequest;
use futures::future::{BoxFuture, FutureExt as _};
use pgstat::Cluster;
use std::sync::Arc;

/// The cluster, as `control` reaches it.
#[derive(Debug)]
pub(crate) struct Agent(pub(crate) Arc<Cluster>);

impl BackendAgent for Agent {
    fn signal(&self, request: SignalRequest) -> BoxFuture<'_, Result<Signalled, SignalFailure>> {
        let cluster = self.0.clone();
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
                Err(error) => Err(SignalFailure { kind: error.kind, message: error.message, sqlstate: error.sqlstate }),
            }
        }
        .boxed()
    }
}
