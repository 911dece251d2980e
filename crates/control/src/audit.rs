//! Writing and reading the audit log.
use crate::{Actor, ControlError, ControlPlane, now};
use domain::{
    Permission,
    view::{AuditPage, AuditVerdict},
};
use serde_json::Value;
use store::{AuditFilter, AuditRepo, NewAudit, Outcome, Transaction};

impl ControlPlane {
    /// Appends a row in the transaction of the change it tells of.
    pub(crate) async fn audit_in(
        &self,
        transaction: &Transaction,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        change: (Option<Value>, Option<Value>),
    ) -> Result<(), ControlError> {
        AuditRepo(transaction).append(row(actor, action, object, Outcome::Ok, change)).await?;
        Ok(())
    }

    /// As [`Self::audit_in`], with an outcome of its own.
    pub(crate) async fn audit_outcome_in(
        &self,
        transaction: &Transaction,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        outcome: Outcome,
        detail: Option<Value>,
    ) -> Result<(), ControlError> {
        AuditRepo(transaction).append(row(actor, action, object, outcome, (None, detail))).await?;
        Ok(())
    }

    /// Appends a row of its own: a refusal, a failure, or an event without a change.
    pub(crate) async fn audit_outcome(
        &self,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        outcome: Outcome,
        detail: Option<Value>,
    ) -> Result<(), ControlError> {
        let transaction = self.inner.store.begin().await?;
        AuditRepo(&transaction).append(row(actor, action, object, outcome, (None, detail))).await?;
        Ok(self.inner.store.commit(transaction).await?)
    }

    /// Notes a refusal at the edge, where no use case was reached. A store that does not answer is told in the log
    /// only: the refusal stands in any case.
    pub async fn audit_refusal(&self, actor: &Actor, action: &str, object: &str, reason: &str) {
        let detail = Some(serde_json::json!({ "reason": reason }));
        if let Err(error) = self.audit_outcome(actor, action, ("route", object), Outcome::Refused, detail).await {
            tracing::error!(%error, action, "a refusal could not be written into the audit log");
        }
    }

    /// The newest rows first. `limit` is 1 to 500.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn audit_list(
        &self,
        actor: &Actor,
        mut filter: AuditFilter,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<AuditPage, ControlError> {
        self.authorize_audited(actor, Permission::AuditRead, "audit_list", ("audit_log", "")).await?;
        if let Some(cursor) = cursor {
            let seq = cursor
                .parse()
                .map_err(|_| ControlError::field("cursor", "take the cursor from 'next_cursor' of the page before"))?;
            filter.before_seq = Some(seq);
        }
        let limit = limit.clamp(1, 500);
        let rows = AuditRepo(self.inner.store.db()).list(&filter, limit).await?;
        let full = rows.len() as u64 == limit;
        let next_cursor = rows.last().filter(|row| full && row.seq > 1).map(|row| row.seq.to_string());
        Ok(AuditPage { rows, next_cursor })
    }

    /// Walks the chain of hashes.
    ///
    /// # Errors
    /// [`ControlError`]; a broken chain is the verdict, not an error.
    pub async fn audit_verify(&self, actor: &Actor) -> Result<AuditVerdict, ControlError> {
        self.authorize_audited(actor, Permission::AuditRead, "audit_verify", ("audit_log", "")).await?;
        Ok(AuditRepo(self.inner.store.db()).verify().await?)
    }

    /// The rows after a position as JSON lines, the oldest first, at most a thousand; empty at the end.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn audit_export(&self, actor: &Actor, after_seq: i64) -> Result<(Vec<String>, i64), ControlError> {
        self.authorize_audited(actor, Permission::AuditRead, "audit_export", ("audit_log", "")).await?;
        let rows = AuditRepo(self.inner.store.db()).page_after(after_seq).await?;
        let last = rows.last().map_or(after_seq, |row| row.seq);
        Ok((rows.iter().map(|row| serde_json::to_string(row).unwrap_or_default()).collect(), last))
    }
}

fn row(
    actor: &Actor,
    action: &str,
    object: (&str, &str),
    outcome: Outcome,
    change: (Option<Value>, Option<Value>),
) -> NewAudit {
    let (actor_kind, actor_id) = match &actor.identity {
        Some(identity) => (identity.kind.as_str(), identity.name.clone()),
        None => ("anonymous", String::new()),
    };
    NewAudit {
        at: now(),
        actor_kind: actor_kind.to_owned(),
        actor_id,
        source: actor.source.as_str().to_owned(),
        address: actor.address.clone(),
        action: action.to_owned(),
        object_kind: object.0.to_owned(),
        object_id: object.1.chars().take(200).collect(),
        outcome,
        before: change.0,
        after: change.1,
        request_id: actor.request_id.clone(),
    }
}
