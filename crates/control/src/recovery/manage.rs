//! Keys of the repository and recovery objectives.
use super::engine;
use crate::{Actor, Confirmation, ControlError, ControlPlane, now};
use backup::{KeySlot, KeySource};
use domain::{Permission, view::Objectives};
use serde_json::{Value, json};
use store::{AuditFilter, AuditRepo, ObjectiveRepo, Outcome};

const KEY_ADD: &str = "repository_key_add";
const KEY_ADD_ASKED: &str = "repository_key_add_asked";

/// Rows in which an Idempotency-Key is looked for, of one person's keys of one cluster.
const ROWS_AT_MOST: u64 = 500;

impl ControlPlane {
    /// Adds a printed recovery code; it is told this once.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] when the request was sent before under its Idempotency-Key: its code is not told again.
    pub async fn repository_key_add(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        label: &str,
        confirmation: &Confirmation,
    ) -> Result<String, ControlError> {
        const ACTION: &str = KEY_ADD;
        let object = cluster.unwrap_or_default().to_owned();
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("cluster", &object)).await?;
        let (id, slot) = self.protected_audited(actor, ACTION, ("cluster", &object), cluster).await?;
        self.confirm(actor, ACTION, ("cluster", id), id, confirmation).await?;
        let label = label.trim().chars().take(80).collect::<String>();
        let label = if label.is_empty() { "recovery code".to_owned() } else { label };
        // That it is asked for comes first: a key that nobody was told of opens nothing, one that nobody wrote down would.
        let asked = self.key_asked(actor, id, &label).await;
        self.told(actor, ACTION, ("cluster", id), asked).await?;
        let added = async {
            let repository = slot.repository().await?;
            let (source, code) = KeySource::new_recovery().map_err(engine)?;
            let before = keys(&repository.key_slots().await.map_err(engine)?);
            Ok::<_, ControlError>((before, repository.add_key(&source, &label).await.map_err(engine)?, code))
        };
        match added.await {
            Ok((before, key, code)) => {
                slot.stale.notify_one();
                let after = json!({ "id": key.id, "kind": "recovery", "label": label });
                self.audit_change(actor, ACTION, ("cluster", id), (Some(before), Some(after))).await?;
                Ok(code)
            }
            Err(error) => {
                let detail =
                    json!({ "label": label, "reason": error.to_string(), "idempotency_key": actor.idempotency_key });
                self.audit_outcome(actor, ACTION, ("cluster", id), Outcome::Failed, Some(detail)).await?;
                Err(error)
            }
        }
    }

    /// Notes that a recovery code is asked for, unless it was under the same Idempotency-Key and did not fail: a request
    /// that is sent again makes no second way to open the repository.
    async fn key_asked(&self, actor: &Actor, cluster: &str, label: &str) -> Result<(), ControlError> {
        let asked = json!({ "kind": "recovery", "label": label, "idempotency_key": actor.idempotency_key });
        let transaction = self.inner.store.begin().await?;
        // Rows are appended one after the other, so that of two at once the second sees the first.
        self.audit_in(&transaction, actor, KEY_ADD_ASKED, ("cluster", cluster), (None, Some(asked))).await?;
        if let Some(key) = &actor.idempotency_key {
            let count = async |action: &str, outcome: Outcome| {
                let filter = AuditFilter {
                    actor: Some(actor.identity.as_ref().map(|it| it.name.clone()).unwrap_or_default()),
                    action: Some(action.to_owned()),
                    outcome: Some(outcome.as_str().to_owned()),
                    object: Some(format!("cluster/{cluster}")),
                    ..AuditFilter::default()
                };
                let rows = AuditRepo(&transaction).list(&filter, ROWS_AT_MOST).await?;
                let named = |it: &Value| it["idempotency_key"] == key.as_str();
                Ok::<_, ControlError>(rows.iter().filter(|row| row.after.as_ref().is_some_and(named)).count())
            };
            if count(KEY_ADD_ASKED, Outcome::Ok).await? > count(KEY_ADD, Outcome::Failed).await? + 1 {
                return Err(ControlError::Conflict(format!(
                    "the recovery code of this request was made, and shown once; if it is lost, remove the key '{label}' and add another under another Idempotency-Key"
                )));
            }
        }
        Ok(self.inner.store.commit(transaction).await?)
    }

    /// Removes a key; the last one stays.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] for the last one.
    pub async fn repository_key_remove(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        key: &str,
        confirmation: &Confirmation,
    ) -> Result<(), ControlError> {
        const ACTION: &str = "repository_key_remove";
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("repository_key", key)).await?;
        let (id, slot) = self.protected_audited(actor, ACTION, ("repository_key", key), cluster).await?;
        self.confirm(actor, ACTION, ("repository_key", key), id, confirmation).await?;
        let before = slot
            .catalogue
            .load()
            .keys
            .iter()
            .find(|one| one.id.to_string() == key)
            .map(|one| json!({ "kind": one.kind, "label": one.label }));
        let removed = async { slot.repository().await?.remove_key(key).await.map_err(engine) };
        self.told(actor, ACTION, ("repository_key", key), removed.await).await?;
        let change = (before, Some(json!({ "removed": key })));
        self.audit_change(actor, ACTION, ("repository_key", key), change).await?;
        slot.stale.notify_one();
        Ok(())
    }

    /// Gives new objects a new data key; what is there stays readable.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn repository_key_rotate(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        confirmation: &Confirmation,
    ) -> Result<u32, ControlError> {
        const ACTION: &str = "repository_key_rotate";
        let object = cluster.unwrap_or_default().to_owned();
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("cluster", &object)).await?;
        let (id, slot) = self.protected_audited(actor, ACTION, ("cluster", &object), cluster).await?;
        self.confirm(actor, ACTION, ("cluster", id), id, confirmation).await?;
        let rotated = async { slot.repository().await?.rotate_key().await.map_err(engine) };
        let epoch = self.told(actor, ACTION, ("cluster", id), rotated.await).await?;
        let change = (Some(json!({ "data_key": epoch - 1 })), Some(json!({ "data_key": epoch })));
        self.audit_change(actor, ACTION, ("cluster", id), change).await?;
        slot.stale.notify_one();
        Ok(epoch)
    }

    /// Changes what is promised.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field.
    pub async fn objectives_set(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        to: Objectives,
        confirmation: &Confirmation,
    ) -> Result<Objectives, ControlError> {
        const ACTION: &str = "objectives_set";
        let object = cluster.unwrap_or_default().to_owned();
        self.authorize_audited(actor, Permission::BackupManage, ACTION, ("cluster", &object)).await?;
        let (id, slot) = self.protected_audited(actor, ACTION, ("cluster", &object), cluster).await?;
        for (field, value) in [("rpo_seconds", to.rpo_seconds), ("rto_seconds", to.rto_seconds)] {
            if !(1.0..=31_536_000.0).contains(&value) {
                let refusal = ControlError::field(field, "a number of seconds from 1 to 31536000");
                return self.told(actor, ACTION, ("cluster", id), Err(refusal)).await;
            }
        }
        self.confirm(actor, ACTION, ("cluster", id), id, confirmation).await?;
        let before = self.objectives(slot).await?;
        let who = actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
        let transaction = self.inner.store.begin().await?;
        ObjectiveRepo(&transaction).set(id, to, &who, now()).await?;
        let change = (Some(json!(before)), Some(json!(to)));
        self.audit_in(&transaction, actor, ACTION, ("cluster", id), change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(to)
    }
}

/// What opens a repository, for the audit.
fn keys(slots: &[KeySlot]) -> Value {
    let keys = slots.iter().map(|one| json!({ "id": one.id, "kind": one.kind, "label": one.label }));
    json!({ "keys": keys.collect::<Vec<_>>() })
}
