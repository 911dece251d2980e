//! Cancelling statements and ending sessions, and whoever does it: what a person can make us do to a monitored server.
use crate::{Actor, ControlError, ControlPlane};
use domain::{
    ErrorKind, Permission, Timestamp,
    view::{ExplainRequest, Explained, SignalAction, SignalRequest, SignalResult},
};
use futures::future::BoxFuture;
use serde_json::json;
use std::fmt;
use store::{AuditFilter, AuditRepo, KnownStandbyRepo, Outcome, StoreError};

/// The use case of giving up a standby, as the audit log has it.
const FORGET: &str = "standby_forget";
/// More are not given up between two looks.
const GIVEN_UP_AT_MOST: u64 = 1_000;

/// What became of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signalled {
    /// It was seen to end.
    pub ended: bool,
    /// Role of the session.
    pub user: Option<String>,
    /// Application of the session.
    pub application: String,
    /// Its statement, literals included.
    pub query: Option<String>,
}

/// Why the monitored server did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFailure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For the person who asked.
    pub message: String,
    /// The server's code, when it was the server who refused.
    pub sqlstate: Option<String>,
}

/// Whoever reaches the monitored server; `monitor` is it, where one runs.
pub trait BackendAgent: fmt::Debug + Send + Sync {
    /// Cancels or terminates.
    fn signal(&self, request: SignalRequest) -> BoxFuture<'_, Result<Signalled, AgentFailure>>;
    /// Has a statement planned, without running it.
    fn explain(&self, request: ExplainRequest) -> BoxFuture<'_, Result<Explained, AgentFailure>>;
    /// Has the indexes reviewed soon.
    fn review(&self);
    /// Has a standby missed no longer, from the next look on; one that is there stays.
    fn forget_standby(&self, name: &str);
}

impl ControlPlane {
    /// Cancels a statement or ends a session. `confirmation` is the pid, typed; ending a session asks for it. The
    /// intention is written down before the signal, so that none goes out without a trace, and its outcome after it.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::Invalid`], [`ControlError::Cluster`] with the reason.
    pub async fn backend_signal(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        request: &SignalRequest,
        confirmation: Option<&str>,
    ) -> Result<SignalResult, ControlError> {
        let action = match request.action {
            SignalAction::Cancel => "backend_cancel",
            SignalAction::Terminate => "backend_terminate",
        };
        let (known, id) = self.inner.clusters.named(cluster);
        let object_id = format!("{id}/{}", request.pid);
        let object = ("backend", object_id.as_str());
        self.authorize_audited(actor, Permission::BackendSignal, action, object).await?;
        known?;
        if request.action == SignalAction::Terminate && confirmation.map(str::trim) != Some(&request.pid.to_string()) {
            return Err(ControlError::field(
                "confirm",
                format!("to end the session type its process id, {}: its transaction is rolled back", request.pid),
            ));
        }
        let Some(agent) = self.inner.clusters.agent(&id) else {
            return Err(ControlError::Cluster {
                kind: ErrorKind::Unavailable,
                message: "nobody watches this cluster here: cancel and terminate work where 'holdfast serve' runs"
                    .to_owned(),
            });
        };
        let asked = json!({ "started_at": request.started_at, "autovacuum": request.autovacuum });
        self.audit_outcome(actor, &format!("{action}_asked"), object, Outcome::Ok, Some(asked)).await?;
        match agent.signal(request.clone()).await {
            Ok(done) => {
                let query = done
                    .query
                    .as_deref()
                    .map(|query| analysis::sqltext::one_line(&analysis::sqltext::mask_literals(query), 500));
                let message = sentence(request, done.ended);
                let detail =
                    json!({ "ended": done.ended, "user": done.user, "application": done.application, "query": query });
                self.audit_outcome(actor, action, object, Outcome::Ok, Some(detail)).await?;
                Ok(SignalResult {
                    pid: request.pid,
                    action: request.action,
                    ended: done.ended,
                    message,
                    user: done.user,
                    application: done.application,
                    query,
                })
            }
            Err(failure) => {
                let outcome = match failure.kind {
                    ErrorKind::Forbidden | ErrorKind::Conflict | ErrorKind::NotFound => Outcome::Refused,
                    _ => Outcome::Failed,
                };
                let detail = json!({ "reason": failure.message, "sqlstate": failure.sqlstate });
                self.audit_outcome(actor, action, object, outcome, Some(detail)).await?;
                Err(ControlError::Cluster { kind: failure.kind, message: failure.message })
            }
        }
    }
}

impl ControlPlane {
    /// Says that a standby which is gone will not come back: it is missed no longer, and its alert ends with the next look.
    /// Should it stream again, it is a standby again.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::NotFound`], [`ControlError::Conflict`] for one that is there,
    /// [`ControlError::Cluster`] where nobody watches.
    pub async fn standby_forget(&self, actor: &Actor, cluster: Option<&str>, name: &str) -> Result<(), ControlError> {
        let (known, id) = self.inner.clusters.named(cluster);
        let object_id = format!("{id}/{name}");
        let object = ("standby", object_id.as_str());
        self.authorize_audited(actor, Permission::AlertAcknowledge, FORGET, object).await?;
        known?;
        let page = self.replication_get(actor, Some(&id))?;
        let Some(standby) = page.standbys.iter().find(|row| row.name == name) else {
            return Err(ControlError::not_found("standby", name, "see the replication page for their names"));
        };
        let Some(gone_since) = standby.gone_since else {
            let state = standby.state.as_str();
            return Err(ControlError::Conflict(format!(
                "{name} is there ({state}): only a standby that is gone can be given up"
            )));
        };
        let Some(agent) = self.inner.clusters.agent(&id) else {
            return Err(ControlError::Cluster {
                kind: ErrorKind::Unavailable,
                message: "nobody watches this cluster here: standbys are given up where 'holdfast serve' runs"
                    .to_owned(),
            });
        };
        let detail = json!({ "gone_since": gone_since });
        let transaction = self.inner.store.begin().await?;
        KnownStandbyRepo(&transaction).forget(&id, name).await?;
        self.audit_outcome_in(&transaction, actor, FORGET, object, Outcome::Ok, (None, Some(detail))).await?;
        self.inner.store.commit(transaction).await?;
        agent.forget_standby(name);
        Ok(())
    }

    /// Standbys that persons have given up since then, on whichever server of this store: the position in the audit log, which
    /// only grows, and `cluster/name`. For whoever watches those clusters beside the one that was told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn standbys_given_up(&self, since: Timestamp) -> Result<Vec<(i64, String)>, StoreError> {
        let filter = AuditFilter {
            action: Some(FORGET.to_owned()),
            outcome: Some(Outcome::Ok.as_str().to_owned()),
            since: Some(since),
            ..AuditFilter::default()
        };
        let rows = AuditRepo(self.inner.store.db()).list(&filter, GIVEN_UP_AT_MOST).await?;
        Ok(rows.into_iter().map(|row| (row.seq, row.object_id)).collect())
    }
}

fn sentence(request: &SignalRequest, ended: bool) -> String {
    let pid = request.pid;
    match (request.action, ended) {
        (SignalAction::Cancel, true) => format!("The statement of process {pid} was cancelled."),
        (SignalAction::Cancel, false) => format!(
            "The statement of process {pid} was told to stop and runs on still; terminate ends the session if it does not stop."
        ),
        (SignalAction::Terminate, true) => format!("The session with pid {pid} was ended."),
        (SignalAction::Terminate, false) => {
            format!("The session with pid {pid} was told to end and is there still; it may be rolling back.")
        }
    }
}
