//! Writing and reading the audit log.
use crate::{Actor, ControlError, ControlPlane, error::page_limit, now};
use domain::{
    Permission, Timestamp,
    view::{AuditPage, AuditVerdict},
};
use serde_json::Value;
use store::{AuditFilter, AuditRepo, NewAudit, Outcome, Store, Transaction};

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
        change: (Option<Value>, Option<Value>),
    ) -> Result<(), ControlError> {
        AuditRepo(transaction).append(row(actor, action, object, outcome, change)).await?;
        Ok(())
    }

    /// Appends a row of its own for a change that stands in no table of the store.
    pub(crate) async fn audit_change(
        &self,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        change: (Option<Value>, Option<Value>),
    ) -> Result<(), ControlError> {
        let transaction = self.inner.store.begin().await?;
        self.audit_in(&transaction, actor, action, object, change).await?;
        Ok(self.inner.store.commit(transaction).await?)
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
        self.audit_outcome_in(&transaction, actor, action, object, outcome, (None, detail)).await?;
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
        page_limit(limit, 500)?;
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

/// Appends a row for what a command of this host did itself, where no use case of ours was run: before and after it.
/// The rows of one command have one `request`.
///
/// # Errors
/// [`ControlError::Store`].
pub async fn audit_command(
    store: &Store,
    request: &str,
    action: &str,
    object: (&str, &str),
    outcome: Outcome,
    change: (Option<Value>, Option<Value>),
) -> Result<(), ControlError> {
    let actor = Actor { request_id: Some(request.to_owned()), ..Actor::cli() };
    let transaction = store.begin().await?;
    AuditRepo(&transaction).append(row(&actor, action, object, outcome, change)).await?;
    Ok(store.commit(transaction).await?)
}

/// Reads which rows are meant from the parameters of an address; empty values are absent ones.
///
/// # Errors
/// [`ControlError::Invalid`] for a moment that is none.
pub fn audit_filter(get: impl Fn(&str) -> Option<String>) -> Result<AuditFilter, ControlError> {
    let text = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let moment = |name: &str| {
        text(name)
            .map(|value| {
                Timestamp::parse_moment(&value).ok_or_else(|| {
                    ControlError::field(name, format!("'{value}' is not a moment; write it like 2026-11-24T02:00:00Z"))
                })
            })
            .transpose()
    };
    Ok(AuditFilter {
        actor: text("actor"),
        action: text("action"),
        outcome: text("outcome"),
        object: text("object"),
        since: moment("since")?,
        until: moment("until")?,
        before_seq: None,
    })
}

fn row(
    actor: &Actor,
    action: &str,
    object: (&str, &str),
    outcome: Outcome,
    change: (Option<Value>, Option<Value>),
) -> NewAudit {
    // Here every action passes that is written: one that nobody can read is found by the first test that writes it.
    debug_assert!(domain::audit::words(action).is_some(), "give the action '{action}' words in domain::audit");
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_form_are_utc_and_wrong_ones_are_named() {
        let read = |value: &'static str| audit_filter(move |name| (name == "until").then(|| value.to_owned()));
        assert_eq!(read("2026-11-24T02:00").unwrap().until, read("2026-11-24T03:00:00+01:00").unwrap().until);
        assert_eq!(read("  ").unwrap().until, None);
        assert!(read("yesterday").unwrap_err().to_string().contains("'yesterday' is not a moment"));
    }
}
