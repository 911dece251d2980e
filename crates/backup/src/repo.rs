//! A repository opened with its key: reading and writing whole objects, listing backups, leases.
use crate::{
    BackupError,
    format::{
        FORMAT_VERSION, ObjectId,
        crypto::{ObjectKind, Sealer, Secret},
        layout,
        manifest::{Entry, Summary},
        object::{self, Header, ObjectError},
    },
    keys::{self, KeySource},
};
use blobs::{BlobError, BlobStore, Bytes};
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// `repo.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryFile {
    /// Always `holdfast`.
    pub program: String,
    /// Version of the format.
    pub format: u32,
    /// Names the repository; part of what is authenticated in each object.
    pub id: ObjectId,
    /// When it was made.
    pub created: Timestamp,
    /// `aes-256-gcm` or `none`.
    pub encryption: String,
}

/// The backups of one cluster.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Those whose commit can be read, oldest first.
    pub backups: Vec<Summary>,
    /// What is wrong with the other commits. The backups behind them may be whole.
    pub damaged: Vec<BackupError>,
}

/// An opened repository.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Arc<dyn BlobStore>,
    file: RepositoryFile,
    keys: Option<Keys>,
    /// zstd level of what is written.
    pub level: i32,
}

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Wraps the data keys; gives the fingerprint key.
    pub root: Secret,
    /// Of all clones together, so that a stream goes on with the key that a reader beside it has found.
    data: Arc<RwLock<DataKeys>>,
}

/// The data keys as they were last read.
#[derive(Clone, Debug)]
pub(crate) struct DataKeys {
    /// By key id.
    pub epochs: HashMap<[u8; 8], Secret>,
    /// The one that new objects use.
    pub current: Secret,
    /// The objects they come from: as long as these are all, there is no other key.
    pub listed: Vec<String>,
}

impl Keys {
    pub fn new(root: Secret, data: DataKeys) -> Self {
        Self { root, data: Arc::new(RwLock::new(data)) }
    }

    fn current(&self) -> Secret {
        self.data.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    fn by_id(&self, id: &[u8; 8]) -> Option<Secret> {
        self.data.read().unwrap_or_else(PoisonError::into_inner).epochs.get(id).cloned()
    }

    pub fn is_of(&self, listed: &[String]) -> bool {
        self.data.read().unwrap_or_else(PoisonError::into_inner).listed == listed
    }

    pub fn replace(&self, data: DataKeys) {
        *self.data.write().unwrap_or_else(PoisonError::into_inner) = data;
    }
}

/// Files of one backup.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The backup.
    pub summary: Summary,
    /// Its files and directories, sorted by path.
    pub entries: Vec<Entry>,
}

impl Repository {
    /// Makes a repository. With a key source its key is wrapped for it; without one nothing is encrypted.
    ///
    /// # Errors
    /// [`BackupError::RepositoryExists`], or what the store says.
    pub async fn init(store: Arc<dyn BlobStore>, key: Option<&KeySource>) -> Result<Self, BackupError> {
        if store.head(layout::REPO).await?.is_some() || store.head(layout::REPO_COPY).await?.is_some() {
            return Err(BackupError::RepositoryExists(store.describe()));
        }
        let file = RepositoryFile {
            program: "holdfast".to_owned(),
            format: FORMAT_VERSION,
            id: ObjectId::random(),
            created: now(),
            encryption: if key.is_some() { "aes-256-gcm" } else { "none" }.to_owned(),
        };
        let keys = match key {
            Some(source) => Some(keys::create(store.as_ref(), &file, source).await?),
            None => None,
        };
        // Last: a repository exists once its file does.
        let text = keys::checked_json(layout::REPO, &file)?;
        match store.put_new(layout::REPO, text.clone()).await {
            Err(BlobError::Exists { .. }) => return Err(BackupError::RepositoryExists(store.describe())),
            other => other?,
        }
        // Once more: its id is part of what is authenticated in every object.
        store.put(layout::REPO_COPY, text).await?;
        Ok(Self { store, file, keys, level: 3 })
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`BackupError::NoRepository`], [`BackupError::WrongKey`], [`BackupError::NoKey`], or what the store says.
    pub async fn open(store: Arc<dyn BlobStore>, key: Option<&KeySource>) -> Result<Self, BackupError> {
        let file = Self::read_file(store.as_ref()).await?;
        let keys = match (file.encryption.as_str(), key) {
            ("none", _) => None,
            ("aes-256-gcm", Some(source)) => Some(keys::open(store.as_ref(), &file, source).await?),
            ("aes-256-gcm", None) => return Err(BackupError::NoKey),
            (other, _) => {
                return Err(BackupError::Unusable {
                    what: layout::REPO.to_owned(),
                    reason: format!("encryption '{other}' is not known; use a newer Holdfast"),
                });
            }
        };
        Ok(Self { store, file, keys, level: 3 })
    }

    /// What a repository says of itself without any key.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn read_file(store: &dyn BlobStore) -> Result<RepositoryFile, BackupError> {
        let unusable = |reason: String| BackupError::Unusable { what: layout::REPO.to_owned(), reason };
        let parse =
            |bytes: &[u8]| keys::parse_checked::<RepositoryFile>(layout::REPO, bytes).map_err(|it| it.to_string());
        let first = match store.get(layout::REPO).await {
            Ok(bytes) => parse(&bytes),
            Err(BlobError::NotFound { .. }) => Err("it is gone".to_owned()),
            Err(error) => return Err(error.into()),
        };
        let file = match first {
            Ok(file) => file,
            Err(reason) => match store.get(layout::REPO_COPY).await {
                Ok(copy) => {
                    tracing::error!(
                        reason,
                        "repo.json cannot be used; its copy is read instead: copy repo-copy.json over it"
                    );
                    parse(&copy).map_err(|_| unusable(reason))?
                }
                Err(BlobError::NotFound { .. }) if store.head(layout::REPO).await?.is_none() => {
                    return Err(BackupError::NoRepository(store.describe()));
                }
                Err(BlobError::NotFound { .. }) => return Err(unusable(reason)),
                Err(error) => return Err(error.into()),
            },
        };
        if file.format > FORMAT_VERSION {
            return Err(unusable(format!("it has format {}, this program reads up to {FORMAT_VERSION}", file.format)));
        }
        Ok(file)
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// What it says of itself.
    pub const fn file(&self) -> &RepositoryFile {
        &self.file
    }

    pub(crate) const fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// The key of page fingerprints; the same for the life of the repository.
    pub fn fingerprint_key(&self) -> [u8; 32] {
        match &self.keys {
            Some(keys) => *keys.root.derive(&self.file.id.0, b"holdfast/1/fingerprint").bytes(),
            None => blake3::derive_key("holdfast 1 unencrypted fingerprint", &self.file.id.0),
        }
    }

    /// Header and sealer of a new object.
    pub fn new_object(&self, id: ObjectId, kind: ObjectKind) -> (Header, Sealer) {
        let key = self.keys.as_ref().map(Keys::current);
        let header = Header {
            kind,
            encrypted: key.is_some(),
            key_id: key.as_ref().map(Secret::key_id).unwrap_or_default(),
            object: id,
            repository: self.file.id.0,
        };
        (header, Sealer::new(key.as_ref(), &self.file.id.0, id, kind))
    }

    /// The sealer for an object that is there, after a look at its header.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub fn sealer_of(&self, header: &Header, kind: ObjectKind) -> Result<Sealer, ObjectError> {
        if header.repository != self.file.id.0 {
            return Err(ObjectError::Misplaced("it is of another repository".to_owned()));
        }
        if header.kind != kind || header.encrypted != self.keys.is_some() {
            return Err(ObjectError::Misplaced("it is of another kind".to_owned()));
        }
        let key = match &self.keys {
            Some(keys) => Some(keys.by_id(&header.key_id).ok_or_else(|| {
                ObjectError::UnknownKey(header.key_id.iter().map(|byte| format!("{byte:02x}")).collect())
            })?),
            None => None,
        };
        Ok(Sealer::new(key.as_ref(), &self.file.id.0, header.object, kind))
    }

    /// Reads, checks and opens a whole object.
    ///
    /// # Errors
    /// What the store says, or [`BackupError::Object`].
    pub async fn read(&self, key: &str, kind: ObjectKind) -> Result<Vec<u8>, BackupError> {
        let bytes = self.store.get(key).await?;
        self.opened(key, kind, &bytes).await
    }

    /// As [`Self::decode`]; a data key that was made since the keys were read is read now.
    async fn opened(&self, key: &str, kind: ObjectKind, bytes: &[u8]) -> Result<Vec<u8>, BackupError> {
        match self.decode(key, kind, bytes) {
            Err(error) if error.is_unknown_key() => {
                self.reread_keys().await?;
                self.decode(key, kind, bytes)
            }
            other => other,
        }
    }

    /// Checks and opens the bytes of the object at `key`.
    ///
    /// # Errors
    /// [`BackupError::Object`].
    pub fn decode(&self, key: &str, kind: ObjectKind, bytes: &[u8]) -> Result<Vec<u8>, BackupError> {
        let opened = || {
            let header = Header::decode(bytes)?;
            let sealer = self.sealer_of(&header, kind)?;
            // These carry their id in their name; an exchanged object is noticed here.
            if matches!(
                kind,
                ObjectKind::Pack
                    | ObjectKind::Map
                    | ObjectKind::Wal
                    | ObjectKind::History
                    | ObjectKind::Hold
                    | ObjectKind::Tombstone
                    | ObjectKind::Archive
                    | ObjectKind::ArchiveManifest
                    | ObjectKind::Record
            ) && !key.ends_with(&header.object.to_string())
            {
                return Err(ObjectError::Misplaced(header.object.to_string()));
            }
            let mut content = Vec::new();
            object::read_object(&sealer, bytes, |frame| {
                content.extend_from_slice(frame);
                Ok(())
            })?;
            Ok(content)
        };
        opened().map_err(BackupError::object(key))
    }

    /// Writes a whole small object that must not exist yet; gives its bytes' BLAKE3.
    ///
    /// # Errors
    /// What the store says.
    pub async fn write(
        &self,
        key: &str,
        id: ObjectId,
        kind: ObjectKind,
        content: &[u8],
    ) -> Result<(blake3::Hash, u64), BackupError> {
        let (header, sealer) = self.new_object(id, kind);
        let bytes = Bytes::from(object::encode_object(&header, sealer, self.level, content));
        let hash = blake3::hash(&bytes);
        let size = bytes.len() as u64;
        self.put_same(key, bytes).await?;
        Ok((hash, size))
    }

    /// Writes identical bytes again after a lost answer; never other bytes under one name.
    async fn put_same(&self, key: &str, bytes: Bytes) -> Result<(), BackupError> {
        let mut tries = 0;
        loop {
            match self.store.put_new(key, bytes.clone()).await {
                Ok(()) => return Ok(()),
                // Our own first try may have arrived although its answer did not.
                Err(BlobError::Exists { .. }) if tries > 0 && self.store.get(key).await? == bytes => return Ok(()),
                Err(error) if error.is_retryable() && tries < 4 => {
                    tries += 1;
                    tracing::warn!(key, %error, "writing again");
                    tokio::time::sleep(std::time::Duration::from_millis(200 << tries)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// System identifiers of all clusters that have something here.
    ///
    /// # Errors
    /// What the store says.
    pub async fn clusters(&self) -> Result<Vec<u64>, BackupError> {
        let mut found = Vec::new();
        for info in self.store.list(layout::CLUSTERS).await? {
            let id = info.key.get(layout::CLUSTERS.len()..).and_then(|rest| rest.split('/').next()?.parse().ok());
            if let Some(id) = id
                && found.last() != Some(&id)
            {
                found.push(id);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The backups of a cluster, oldest first, and the commits that cannot be read: one damaged commit must not stand
    /// between a person and all other backups.
    ///
    /// # Errors
    /// What the store says.
    pub async fn catalogue(&self, system: u64) -> Result<Catalogue, BackupError> {
        let mut catalogue = Catalogue::default();
        for info in self.store.list(&layout::backups(system)).await? {
            if !info.key.ends_with("/commit") {
                continue;
            }
            match self.commit(system, &info.key).await {
                Ok(summary) => catalogue.backups.push(summary),
                // Expired since it was listed.
                Err(BackupError::Blob(BlobError::NotFound { .. })) => {}
                Err(error) if error.is_damage() => catalogue.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        catalogue.backups.sort_by(|a, b| (a.stopped_at, &a.id).cmp(&(b.stopped_at, &b.id)));
        Ok(catalogue)
    }

    async fn commit(&self, system: u64, key: &str) -> Result<Summary, BackupError> {
        let content = self.read(key, ObjectKind::Commit).await?;
        let summary: Summary = serde_json::from_slice(&content).map_err(|error| BackupError::malformed(key, error))?;
        if layout::commit(system, &summary.id) != key {
            return Err(BackupError::malformed(key, "it is the commit of another backup"));
        }
        Ok(summary)
    }

    /// All backups of a cluster, oldest first, for whoever must know of each: expiry.
    ///
    /// # Errors
    /// What the store says; a damaged commit is an error, never a backup that is not there.
    pub async fn backups(&self, system: u64) -> Result<Vec<Summary>, BackupError> {
        let Catalogue { backups, damaged } = self.catalogue(system).await?;
        damaged.into_iter().next().map_or(Ok(backups), Err)
    }

    /// As [`Self::catalogue`], of all clusters.
    ///
    /// # Errors
    /// What the store says.
    pub async fn whole_catalogue(&self) -> Result<Catalogue, BackupError> {
        let mut all = Catalogue::default();
        for system in self.clusters().await? {
            let Catalogue { backups, damaged } = self.catalogue(system).await?;
            all.backups.extend(backups);
            all.damaged.extend(damaged);
        }
        all.backups.sort_by(|a, b| (a.stopped_at, &a.id).cmp(&(b.stopped_at, &b.id)));
        Ok(all)
    }

    /// All backups of all clusters, oldest first.
    ///
    /// # Errors
    /// As [`Self::backups`].
    pub async fn all_backups(&self) -> Result<Vec<Summary>, BackupError> {
        let mut all = Vec::new();
        for system in self.clusters().await? {
            all.extend(self.backups(system).await?);
        }
        all.sort_by(|a, b| (a.stopped_at, &a.id).cmp(&(b.stopped_at, &b.id)));
        Ok(all)
    }

    /// The files of a backup.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn manifest(&self, backup: &Summary) -> Result<Manifest, BackupError> {
        let key = layout::manifest(backup.cluster.system_identifier, &backup.id);
        let bytes = self.store.get(&key).await?;
        if backup.manifest_hash.as_deref() != Some(blake3::hash(&bytes).to_hex().as_str()) {
            // Damage has the better words when it is that.
            self.opened(&key, ObjectKind::Manifest, &bytes).await?;
            return Err(BackupError::malformed(&key, "it is not the manifest that its commit names"));
        }
        let content = self.opened(&key, ObjectKind::Manifest, &bytes).await?;
        parse_manifest(&key, &content)
    }
}

/// The plain content of a manifest.
pub(crate) fn parse_manifest(key: &str, content: &[u8]) -> Result<Manifest, BackupError> {
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let bad = |error: serde_json::Error| BackupError::malformed(key, error);
    let first = lines.next().ok_or_else(|| BackupError::malformed(key, "it is empty"))?;
    let summary: Summary = serde_json::from_slice(first).map_err(bad)?;
    let entries = lines.map(serde_json::from_slice::<Entry>).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    for entry in &entries {
        if !is_safe_path(&entry.path) {
            return Err(BackupError::malformed(key, format!("the path '{}' leads elsewhere", entry.path)));
        }
    }
    Ok(Manifest { summary, entries })
}

/// A path below the data directory, with nothing that leads out of it.
pub fn is_safe_path(path: &str) -> bool {
    !path.is_empty() && !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Now, by this machine's clock.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
