//! Archived months as they stand in the repository.
use super::table::{Checksum, Table};
use crate::{Analytics, AnalyticsError, error::said, rollup::Kind};
use backup::{
    BackupError, Repository,
    format::{ObjectId, crypto::ObjectKind, layout},
};
use catalog::platform_scope;
use domain::{Timestamp, view::ArchiveView};
use pool::{Reader, Work};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeMap, HashMap, HashSet};

/// One object of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataObject {
    pub(crate) id: ObjectId,
    pub(crate) rows: u64,
    pub(crate) stored_bytes: u64,
    /// Sum over its rows.
    pub(crate) checksum: String,
    /// Smallest and largest tenant in it, so that whoever looks for one need not read the others; `None` for rows that
    /// belong to nobody.
    pub(crate) tenants: Option<(i64, i64)>,
}

/// The manifest of an archived month: it says of itself what it is, so that the repository alone is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) id: ObjectId,
    pub(crate) kind: String,
    /// `2026-07`.
    pub(crate) month: String,
    pub(crate) created_at: Timestamp,
    pub(crate) rows: u64,
    /// What the database said of the month when it was exported: its rows and a sum over them.
    pub(crate) source_rows: i64,
    pub(crate) source_checksum: String,
    pub(crate) objects: Vec<DataObject>,
}

impl Set {
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|it| it.stored_bytes).sum()
    }
}

/// All archived months of one database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sets {
    /// The one that counts, by kind and month.
    pub(crate) newest: BTreeMap<(String, String), Set>,
    /// Manifests that were replaced; left over by a run that was cut short.
    pub(crate) replaced: Vec<Set>,
    /// Objects of data that are there, by kind and month.
    data: HashMap<(String, String), Vec<ObjectId>>,
}

/// Reads all manifests of `home`.
///
/// # Errors
/// What the store says; a damaged manifest is an error, never a month that is not there.
pub(crate) async fn listed(repository: &Repository, home: &str) -> Result<Sets, AnalyticsError> {
    let mut sets = Sets::default();
    let prefix = layout::archives(home);
    for info in repository.store().list(&prefix).await.map_err(BackupError::from)? {
        let mut parts = info.key.get(prefix.len()..).unwrap_or_default().splitn(3, '/');
        let (Some(kind), Some(month), Some(name)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let place = (kind.to_owned(), month.to_owned());
        if let Some(id) = name.strip_prefix("data-") {
            sets.data.entry(place).or_default().extend(id.parse::<ObjectId>().ok());
        } else if name.starts_with(layout::ARCHIVE_MANIFEST) {
            let content = match repository.read(&info.key, ObjectKind::ArchiveManifest).await {
                // Replaced since it was listed.
                Err(BackupError::Blob(blobs::BlobError::NotFound { .. })) => continue,
                other => other?,
            };
            let set = serde_json::from_slice::<Set>(&content).map_err(|error| AnalyticsError::Damaged {
                archive: info.key.clone(),
                reason: format!("its manifest makes no sense: {error}"),
            })?;
            match sets.newest.get_mut(&place) {
                Some(known) if (known.created_at, known.id) < (set.created_at, set.id) => {
                    sets.replaced.push(std::mem::replace(known, set));
                }
                Some(_) => sets.replaced.push(set),
                None => {
                    sets.newest.insert(place, set);
                }
            }
        }
    }
    Ok(sets)
}

impl Sets {
    /// Archived months that the database knows and this repository does not have, each with the place where it was put.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub(crate) async fn elsewhere(
        &self,
        connection: &mut PgConnection,
        kind: Kind,
    ) -> Result<Vec<(String, String)>, AnalyticsError> {
        let known = sqlx::query_as::<_, (String, String)>(
            "SELECT to_char(month, 'YYYY-MM'), repository FROM analytics_archives WHERE kind = $1 ORDER BY 1",
        )
        .bind(kind.as_str())
        .fetch_all(connection)
        .await?;
        let here = |month: &str| self.newest.contains_key(&(kind.as_str().to_owned(), month.to_owned()));
        Ok(known.into_iter().filter(|(month, _)| !here(month)).collect())
    }

    /// Removes what stands in the repository and belongs to no month: manifests that were replaced, and data that no
    /// manifest names. Only for whoever has the archive to itself.
    pub(crate) async fn sweep(&self, repository: &Repository, home: &str) -> Result<u32, AnalyticsError> {
        let store = repository.store();
        let mut gone = 0;
        for set in &self.replaced {
            let key = layout::archive_manifest(home, &set.kind, &set.month, set.id);
            store.delete(&key).await.map_err(BackupError::from)?;
            gone += 1;
        }
        for (place, ids) in &self.data {
            let named = self
                .newest
                .get(place)
                .map(|set| set.objects.iter().map(|it| it.id).collect::<HashSet<_>>())
                .unwrap_or_default();
            for id in ids.iter().filter(|id| !named.contains(id)) {
                let key = layout::archive_data(home, &place.0, &place.1, *id);
                store.delete(&key).await.map_err(BackupError::from)?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

/// Reads an object of rows and checks it against its manifest.
pub(crate) async fn read(
    repository: &Repository,
    home: &str,
    kind: Kind,
    set: &Set,
    object: &DataObject,
) -> Result<Table, AnalyticsError> {
    let key = layout::archive_data(home, &set.kind, &set.month, object.id);
    let bytes = repository.read(&key, ObjectKind::Archive).await.map_err(|error| match error {
        BackupError::Blob(blobs::BlobError::NotFound { .. }) => {
            AnalyticsError::Damaged { archive: set.id.to_string(), reason: format!("object {key} is gone") }
        }
        error => error.into(),
    })?;
    let damaged = |reason: String| AnalyticsError::Damaged {
        archive: set.id.to_string(),
        reason: format!("object {key}: {reason}"),
    };
    let table = tokio::task::spawn_blocking(move || Table::from_parquet(kind, bytes))
        .await
        .map_err(|error| damaged(error.to_string()))?
        .map_err(|error| damaged(error.to_string()))?;
    let (rows, checksum) = (table.rows() as u64, table.checksum().to_string());
    if rows != object.rows || checksum != object.checksum {
        return Err(damaged(format!(
            "it has {rows} rows with the sum {checksum}, its manifest says {} with {}",
            object.rows, object.checksum
        )));
    }
    Ok(table)
}

/// Writes rows as a new object.
pub(crate) async fn write(
    repository: &Repository,
    home: &str,
    kind: Kind,
    month: &str,
    table: &Table,
) -> Result<DataObject, AnalyticsError> {
    let id = ObjectId::random();
    let key = layout::archive_data(home, kind.as_str(), month, id);
    let parquet = table
        .to_parquet()
        .map_err(|error| AnalyticsError::Conflict(format!("the rows cannot be written as Parquet: {error}")))?;
    let (_, stored_bytes) = repository.write(&key, id, ObjectKind::Archive, &parquet).await?;
    let tenants = (0..table.rows()).filter_map(|row| table.tenant(row));
    let tenants = tenants.fold(None, |range: Option<(i64, i64)>, tenant| {
        Some(range.map_or((tenant, tenant), |(lo, hi)| (lo.min(tenant), hi.max(tenant))))
    });
    let checksum: Checksum = table.checksum();
    Ok(DataObject { id, rows: table.rows() as u64, stored_bytes, checksum: checksum.to_string(), tenants })
}

/// Writes the manifest: from here on the month is archived.
pub(crate) async fn commit(repository: &Repository, home: &str, set: &Set) -> Result<(), AnalyticsError> {
    let key = layout::archive_manifest(home, &set.kind, &set.month, set.id);
    let text = serde_json::to_vec(set)
        .map_err(|error| AnalyticsError::Conflict(format!("the manifest cannot be written: {error}")))?;
    repository.write(&key, set.id, ObjectKind::ArchiveManifest, &text).await?;
    // Read back: what cannot be read is no archive.
    let read = repository.read(&key, ObjectKind::ArchiveManifest).await?;
    if read != text {
        return Err(AnalyticsError::Damaged {
            archive: set.id.to_string(),
            reason: "its manifest did not come back as it was written".to_owned(),
        });
    }
    Ok(())
}

impl Analytics {
    /// The name under which this database's archives stand in a repository.
    pub(crate) async fn home(&self) -> Result<String, AnalyticsError> {
        self.pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let home =
                        sqlx::query_scalar("SELECT id FROM analytics_home").fetch_one(reader.connection()?).await?;
                    Ok::<_, AnalyticsError>(home)
                })
            })
            .await
            .map_err(said)
    }

    /// Every archived month, the oldest first.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn archives(&self, repository: &Repository) -> Result<Vec<ArchiveView>, AnalyticsError> {
        let home = self.home().await?;
        let dropped = self
            .pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let rows = sqlx::query("SELECT kind, to_char(month, 'YYYY-MM') FROM analytics_archives")
                        .fetch_all(reader.connection()?)
                        .await?;
                    rows.iter()
                        .map(|row| Ok((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?)))
                        .collect::<Result<HashSet<_>, AnalyticsError>>()
                })
            })
            .await
            .map_err(said)?;
        let sets = listed(repository, &home).await?;
        let mut views = sets
            .newest
            .iter()
            .map(|(place, set)| ArchiveView {
                id: set.id.to_string(),
                kind: set.kind.clone(),
                month: set.month.clone(),
                rows: set.rows,
                stored_bytes: set.stored_bytes(),
                objects: u32::try_from(set.objects.len()).unwrap_or(u32::MAX),
                created_at: set.created_at,
                dropped: dropped.contains(place),
            })
            .collect::<Vec<_>>();
        views.sort_by(|a, b| (&a.month, &a.kind).cmp(&(&b.month, &b.kind)));
        Ok(views)
    }
}
