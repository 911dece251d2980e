//! The audit log: append-only, each row holding the hash of the one before.
//!
//! hash = SHA-256 over the canonical form: the fields in the order of the table, each as its length in bytes, a colon
//! and its text (`-` for none), so that no two rows have the same form. `prev_hash` of the first row is 64 zeros.
use crate::{StoreError, Transaction, entity::audit_log};
use domain::{Timestamp, view::AuditEntry, view::AuditVerdict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, ConnectionTrait, DbBackend, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use sha2::{Digest as _, Sha256};

/// How a use case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Not allowed, or the credentials were wrong.
    Refused,
    /// Allowed, and it did not work.
    Failed,
}

impl Outcome {
    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A row to be written.
#[derive(Clone, Debug)]
pub struct NewAudit {
    /// Now.
    pub at: Timestamp,
    /// `user`, `token`, `cli`, `system`, `anonymous`.
    pub actor_kind: String,
    /// Who.
    pub actor_id: String,
    /// `page`, `api`, `cli`, `system`.
    pub source: String,
    /// From where.
    pub address: Option<String>,
    /// Use case.
    pub action: String,
    /// Kind of thing.
    pub object_kind: String,
    /// Which.
    pub object_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// State before, secrets masked.
    pub before: Option<serde_json::Value>,
    /// State after, secrets masked.
    pub after: Option<serde_json::Value>,
    /// Request.
    pub request_id: Option<String>,
}

/// Which rows to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only this actor.
    pub actor: Option<String>,
    /// Only this use case.
    pub action: Option<String>,
    /// Only this outcome.
    pub outcome: Option<String>,
    /// Only this object: its kind, its id, or both as `kind/id`.
    pub object: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// Only rows before this position.
    pub before_seq: Option<i64>,
}

const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// `pg_advisory_xact_lock` key: the bytes of "audit".
const LOCK: i64 = 0x0061_7564_6974;
const BATCH: u64 = 1_000;

/// The log over a connection; appending needs a transaction.
#[derive(Debug)]
pub struct AuditRepo<'a, C>(pub &'a C);

impl AuditRepo<'_, Transaction> {
    /// Appends a row in the transaction of the change that it tells of. Appends are one after the other: SQLite's
    /// transactions hold the write lock from their begin, PostgreSQL's take an advisory lock here until they end.
    ///
    /// # Errors
    /// [`StoreError`]; the caller's transaction must then be rolled back.
    pub async fn append(&self, new: NewAudit) -> Result<i64, StoreError> {
        let failed = || StoreError::query("append to the audit log");
        if self.0.get_database_backend() == DbBackend::Postgres {
            self.0.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await.map_err(failed())?;
        }
        let last =
            audit_log::Entity::find().order_by_desc(audit_log::Column::Seq).one(self.0).await.map_err(failed())?;
        let (seq, prev_hash) = last.map_or((1, FIRST.to_owned()), |row| (row.seq + 1, row.hash));
        let mut row = audit_log::Model {
            seq,
            at: new.at.0,
            actor_kind: new.actor_kind,
            actor_id: new.actor_id,
            source: new.source,
            address: new.address,
            action: new.action,
            object_kind: new.object_kind,
            object_id: new.object_id,
            outcome: new.outcome.as_str().to_owned(),
            before: new.before.map(|value| value.to_string()),
            after: new.after.map(|value| value.to_string()),
            request_id: new.request_id,
            prev_hash,
            hash: String::new(),
        };
        row.hash = hash(&row);
        let active = audit_log::ActiveModel {
            seq: Set(row.seq),
            at: Set(row.at),
            actor_kind: Set(row.actor_kind),
            actor_id: Set(row.actor_id),
            source: Set(row.source),
            address: Set(row.address),
            action: Set(row.action),
            object_kind: Set(row.object_kind),
            object_id: Set(row.object_id),
            outcome: Set(row.outcome),
            before: Set(row.before),
            after: Set(row.after),
            request_id: Set(row.request_id),
            prev_hash: Set(row.prev_hash),
            hash: Set(row.hash),
        };
        audit_log::Entity::insert(active).exec_without_returning(self.0).await.map_err(failed())?;
        Ok(seq)
    }
}

impl<C: ConnectionTrait> AuditRepo<'_, C> {
    /// The newest rows first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, filter: &AuditFilter, limit: u64) -> Result<Vec<AuditEntry>, StoreError> {
        use audit_log::Column;
        let mut find = audit_log::Entity::find().order_by_desc(Column::Seq).limit(limit);
        if let Some(actor) = &filter.actor {
            find = find.filter(Column::ActorId.eq(actor.as_str()));
        }
        if let Some(action) = &filter.action {
            find = find.filter(Column::Action.eq(action.as_str()));
        }
        if let Some(outcome) = &filter.outcome {
            find = find.filter(Column::Outcome.eq(outcome.as_str()));
        }
        if let Some(object) = filter.object.as_deref() {
            let whole = Condition::any().add(Column::ObjectKind.eq(object)).add(Column::ObjectId.eq(object));
            find = find.filter(match object.split_once('/') {
                Some((kind, id)) => {
                    whole.add(Condition::all().add(Column::ObjectKind.eq(kind)).add(Column::ObjectId.eq(id)))
                }
                None => whole,
            });
        }
        if let Some(since) = filter.since {
            find = find.filter(Column::At.gte(since.0));
        }
        if let Some(until) = filter.until {
            find = find.filter(Column::At.lt(until.0));
        }
        if let Some(seq) = filter.before_seq {
            find = find.filter(Column::Seq.lt(seq));
        }
        let rows = find.all(self.0).await.map_err(StoreError::query("read the audit log"))?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Rows after `after_seq`, the oldest first, at most a thousand: for the export.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_after(&self, after_seq: i64) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.models_after(after_seq).await?.into_iter().map(entry).collect())
    }

    /// Walks the whole chain and names the first row where it does not hold.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read; a broken chain is not an error but the verdict.
    pub async fn verify(&self) -> Result<AuditVerdict, StoreError> {
        let (mut rows, mut seq, mut prev) = (0, 0, FIRST.to_owned());
        loop {
            let batch = self.models_after(seq).await?;
            if batch.is_empty() {
                return Ok(AuditVerdict { rows, broken: None, head: (rows > 0).then_some(prev) });
            }
            for row in batch {
                let broken = if row.seq != seq + 1 {
                    Some(format!("row {} is missing", seq + 1))
                } else if row.prev_hash != prev {
                    Some(format!("row {} does not follow row {seq}", row.seq))
                } else if row.hash != hash(&row) {
                    Some(format!("row {} was changed", row.seq))
                } else {
                    None
                };
                if broken.is_some() {
                    return Ok(AuditVerdict { rows, broken, head: None });
                }
                (rows, seq, prev) = (rows + 1, row.seq, row.hash);
            }
        }
    }

    async fn models_after(&self, seq: i64) -> Result<Vec<audit_log::Model>, StoreError> {
        audit_log::Entity::find()
            .filter(audit_log::Column::Seq.gt(seq))
            .order_by_asc(audit_log::Column::Seq)
            .limit(BATCH)
            .all(self.0)
            .await
            .map_err(StoreError::query("read the audit log"))
    }
}

fn hash(row: &audit_log::Model) -> String {
    let mut hasher = Sha256::new();
    let mut add = |field: Option<&str>| match field {
        Some(text) => {
            hasher.update(text.len().to_string());
            hasher.update(":");
            hasher.update(text);
        }
        None => hasher.update("-"),
    };
    add(Some(&row.seq.to_string()));
    add(Some(&row.at.to_string()));
    add(Some(&row.actor_kind));
    add(Some(&row.actor_id));
    add(Some(&row.source));
    add(row.address.as_deref());
    add(Some(&row.action));
    add(Some(&row.object_kind));
    add(Some(&row.object_id));
    add(Some(&row.outcome));
    add(row.before.as_deref());
    add(row.after.as_deref());
    add(row.request_id.as_deref());
    add(Some(&row.prev_hash));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(row: audit_log::Model) -> AuditEntry {
    let json =
        |text: Option<String>| text.map(|text| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)));
    AuditEntry {
        seq: row.seq,
        at: Timestamp(row.at),
        actor_kind: row.actor_kind,
        actor_id: row.actor_id,
        source: row.source,
        address: row.address,
        action: row.action,
        object_kind: row.object_kind,
        object_id: row.object_id,
        outcome: row.outcome,
        before: json(row.before),
        after: json(row.after),
        request_id: row.request_id,
        hash: row.hash,
    }
}
