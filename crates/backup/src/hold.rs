//! Holds: a backup that must stay, whatever retention says. Each is an object of its own, so nothing that exists is
//! changed and two holds of one backup do not know each other.
use crate::{
    BackupError,
    format::{ObjectId, crypto::ObjectKind, layout, manifest::Summary},
    repo::{Repository, now},
};
use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// A backup must not be expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub id: ObjectId,
    /// The backup.
    pub backup: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was set.
    pub created: Timestamp,
    /// Until when; for ever when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether it still counts.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// For a list of reasons.
    pub fn describe(&self) -> String {
        let mut text = "held".to_owned();
        if let Some(until) = self.until {
            text += &format!(" until {}", until.to_human());
        }
        if !self.reason.is_empty() {
            text += &format!(" ({})", self.reason);
        }
        text
    }
}

/// Longest reason in bytes.
const REASON_LIMIT: usize = 1_000;

impl Repository {
    /// All holds of a cluster's backups, those that are over too.
    ///
    /// # Errors
    /// What the store says, or damage: an unreadable hold is never taken for none.
    pub async fn holds(&self, system: u64) -> Result<Vec<Hold>, BackupError> {
        let mut all = Vec::new();
        for info in self.store().list(&layout::holds(system)).await? {
            let content = self.read(&info.key, ObjectKind::Hold).await?;
            let hold: Hold =
                serde_json::from_slice(&content).map_err(|error| BackupError::malformed(&info.key, error))?;
            if layout::hold(system, &hold.backup, hold.id) != info.key {
                return Err(BackupError::malformed(&info.key, "it is the hold of another backup"));
            }
            all.push(hold);
        }
        Ok(all)
    }

    /// Holds a backup.
    ///
    /// # Errors
    /// [`BackupError::Invalid`] for a time that has passed; [`BackupError::NotFound`] when the backup is expired meanwhile.
    pub async fn hold(&self, backup: &Summary, reason: &str, until: Option<Timestamp>) -> Result<Hold, BackupError> {
        if reason.len() > REASON_LIMIT {
            return Err(BackupError::Invalid(format!("the reason is longer than {REASON_LIMIT} bytes")));
        }
        let created = now();
        if let Some(until) = until.filter(|until| *until <= created) {
            return Err(BackupError::Invalid(format!("{} has passed already", until.to_human())));
        }
        let system = backup.cluster.system_identifier;
        let hold =
            Hold { id: ObjectId::random(), backup: backup.id.clone(), reason: reason.to_owned(), created, until };
        let text = serde_json::to_vec(&hold).map_err(|error| BackupError::Failed(error.to_string()))?;
        let key = layout::hold(system, &hold.backup, hold.id);
        self.write(&key, hold.id, ObjectKind::Hold, &text).await?;
        // After the hold: an expiry that did not see it has removed the commit before.
        if self.store().head(&layout::commit(system, &backup.id)).await?.is_none() {
            self.store().delete(&key).await?;
            return Err(BackupError::NotFound(format!(
                "backup {} was expired meanwhile; 'holdfast backup list' shows what is there",
                backup.id
            )));
        }
        Ok(hold)
    }

    /// Takes all holds off a backup; how many there were.
    ///
    /// # Errors
    /// [`BackupError::NotFound`] when it is not held.
    pub async fn release(&self, backup: &Summary) -> Result<usize, BackupError> {
        let system = backup.cluster.system_identifier;
        let found = self.store().list(&format!("{}{}-", layout::holds(system), backup.id)).await?;
        if found.is_empty() {
            return Err(BackupError::NotFound(format!("backup {} is not held", backup.id)));
        }
        for info in &found {
            self.store().delete(&info.key).await?;
        }
        Ok(found.len())
    }
}
