//! Records: what a verification, a restore test or a drill showed of a backup, beside the backup itself. So that what was
//! proved outlives the store of the service (docs/adr/0066-what-was-shown-stands-beside-the-backup.md). No restore reads
//! them.
use crate::{
    BackupError,
    format::{ObjectId, crypto::ObjectKind, layout},
    repo::Repository,
};
use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// What was shown of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: ObjectId,
    /// The backup.
    pub backup: String,
    /// What was done: `verify`, `restore_test`, `drill`.
    pub kind: String,
    /// By whom it was asked for.
    pub asked_by: String,
    /// Begin.
    pub started_at: Timestamp,
    /// End.
    pub ended_at: Timestamp,
    /// What exactly was asked for: JSON, as the service writes it.
    pub asked: String,
    /// What was shown: JSON, as the service writes it.
    pub result: String,
    /// What makes it a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record {
    /// The name of a record's backup in its key.
    pub(crate) fn backup_of(key: &str) -> Option<&str> {
        key.rsplit('/').next()?.rsplit_once('-').map(|(backup, _)| backup)
    }
}

impl Repository {
    /// Keeps a record.
    ///
    /// # Errors
    /// What the store says.
    pub async fn record(&self, system: u64, record: &Record) -> Result<(), BackupError> {
        let text = serde_json::to_vec(record).map_err(|error| BackupError::Failed(error.to_string()))?;
        let key = layout::record(system, &record.backup, record.id);
        self.write(&key, record.id, ObjectKind::Record, &text).await?;
        Ok(())
    }

    /// All records of a cluster, by their ends. One that cannot be read is passed over: nothing is restored from it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn records(&self, system: u64) -> Result<Vec<Record>, BackupError> {
        let mut all = Vec::new();
        for info in self.store().list(&layout::records(system)).await? {
            let read = async {
                let content = self.read(&info.key, ObjectKind::Record).await?;
                let record: Record =
                    serde_json::from_slice(&content).map_err(|error| BackupError::malformed(&info.key, error))?;
                if layout::record(system, &record.backup, record.id) == info.key {
                    Ok(record)
                } else {
                    Err(BackupError::malformed(&info.key, "it is the record of another backup"))
                }
            };
            match read.await {
                Ok(record) => all.push(record),
                // Its backup was expired since it was listed.
                Err(error) if error.is_gone() => {}
                Err(error) if error.is_damage() => tracing::error!(%error, "a record of what was shown cannot be read"),
                Err(error) => return Err(error),
            }
        }
        all.sort_by_key(|one| (one.ended_at, one.id));
        Ok(all)
    }
}
