//! Leases keep two writers of one cluster from wasting each other's work; names are unique and objects immutable, so even
//! two writers at once would do no harm. A reader's lease is shared: it says which backup is being read, and expiry leaves
//! that backup's lineage and WAL alone while the reader lives (docs/adr/0012-expiry-in-two-steps.md).
use crate::{
    BackupError,
    format::{ObjectId, layout, manifest::Summary},
    repo::{Repository, now},
};
use blobs::{BlobError, BlobStore, Bytes};
use domain::{Lsn, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const HEARTBEAT: Duration = Duration::from_secs(20);
/// Without a heartbeat for so long the holder is taken for dead.
const EXPIRY_SECONDS: f64 = 120.0;

#[derive(Serialize, Deserialize)]
pub(crate) struct LeaseFile {
    holder: String,
    process: u32,
    since: Timestamp,
    heartbeat: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads: Option<Reads>,
}

/// What a reader needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// The backup.
    pub backup: String,
    /// Its lineage, of which nothing may go.
    pub lineage: ObjectId,
    /// WAL from here on.
    pub wal_from: Lsn,
    /// The work, for people: `restore`, `verify`, `export`.
    pub work: String,
}

/// Leases that this process holds: one of ours that is not among them was left behind when the store was away.
static HELD: Mutex<Option<HashSet<String>>> = Mutex::new(None);

fn held() -> MutexGuard<'static, Option<HashSet<String>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Its name over all repositories.
fn name_of(repository: &Repository, key: &str) -> String {
    format!("{} {key}", repository.file().id)
}

fn forget(name: &str) {
    if let Some(all) = held().as_mut() {
        all.remove(name);
    }
}

/// A held lease; released on [`Self::release`], or by expiry after a crash.
#[derive(Debug)]
pub struct Lease {
    repository: Repository,
    key: String,
    beat: tokio::task::JoinHandle<()>,
    released: bool,
}

impl Lease {
    /// Takes the lease `name`.
    ///
    /// # Errors
    /// [`BackupError::Busy`] names the holder.
    pub async fn take(repository: &Repository, name: &str) -> Result<Self, BackupError> {
        let key = format!("{}{name}", layout::LEASES);
        let store = repository.store().clone();
        let host = host_name();
        let text = lease_text(None);
        let mut stolen = false;
        while let Err(error) = store.put_new(&key, text()).await {
            let BlobError::Exists { .. } = error else { return Err(error.into()) };
            // Far in the future it was written before the clock went back, and nobody has given a sign since.
            let age = match (store.head(&key).await?, stolen) {
                // Both times are the store's or, for a directory, this machine's: their difference holds when clocks are off.
                (Some(info), false) => server_now(repository).await?.seconds_since(info.modified),
                (Some(_), true) => 0.0,
                (None, _) => continue,
            };
            let known = store.get(&key).await.ok().and_then(|bytes| serde_json::from_slice::<LeaseFile>(&bytes).ok());
            let name = name_of(repository, &key);
            let left = |it: &LeaseFile| {
                let ours = it.process == std::process::id() && !held().as_ref().is_some_and(|all| all.contains(&name));
                it.holder == host && (ours || is_gone(it.process))
            };
            if age.abs() < EXPIRY_SECONDS && !known.as_ref().is_some_and(left) {
                let who = known.map_or_else(String::new, |it| {
                    format!(" by process {} on {} since {}", it.process, it.holder, it.since)
                });
                return Err(BackupError::Busy(format!(
                    "the work '{name}' is being done already{who}; wait for it (a dead holder's claim ends after two minutes)"
                )));
            }
            tracing::warn!(key, age, "taking over a lease whose holder gave no sign");
            store.delete(&key).await?;
            stolen = true;
        }
        held().get_or_insert_default().insert(name_of(repository, &key));
        let beat = beat(store, key.clone(), text);
        Ok(Self { repository: repository.clone(), key, beat, released: false })
    }

    /// Says that a backup is being read, for as long as the lease is held. `None` when the store takes no writes from us: a
    /// restore must do with the right to read; the grace time of expiry protects it then.
    ///
    /// # Errors
    /// [`BackupError::NotFound`] when the backup was expired meanwhile.
    pub async fn share(repository: &Repository, backup: &Summary, work: &str) -> Result<Option<Self>, BackupError> {
        let system = backup.cluster.system_identifier;
        let key = format!("{}{}", layout::readers(system), ObjectId::random());
        let store = repository.store().clone();
        let text = lease_text(Some(Reads {
            backup: backup.id.clone(),
            lineage: backup.lineage,
            wal_from: backup.start_lsn,
            work: work.to_owned(),
        }));
        let lease = match store.put_new(&key, text()).await {
            Ok(()) => {
                let beat = beat(store.clone(), key.clone(), text);
                Some(Self { repository: repository.clone(), key, beat, released: false })
            }
            Err(error) => {
                tracing::warn!(%error, work, "no lease could be written; an expiry does not see that the backup is being read");
                None
            }
        };
        // After the lease: an expiry that did not see it has deleted the commit before, and then it is missed here.
        if store.head(&layout::commit(system, &backup.id)).await?.is_none() {
            if let Some(lease) = lease {
                lease.release().await;
            }
            return Err(BackupError::NotFound(format!(
                "backup {} was expired meanwhile; 'holdfast backup list' shows what is there",
                backup.id
            )));
        }
        Ok(lease)
    }

    /// Gives it back.
    pub async fn release(mut self) {
        self.beat.abort();
        // Once: a second delete could meet the lease of whoever takes it next.
        self.released = true;
        if let Err(error) = self.repository.store().delete(&self.key).await {
            tracing::warn!(%error, key = self.key, "the lease was not given back; it ends by itself");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beat.abort();
        let name = name_of(&self.repository, &self.key);
        // After an error the next try need not wait for the expiry.
        let (store, key) = (self.repository.store().clone(), self.key.clone());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !self.released => {
                runtime.spawn(async move {
                    let _ = store.delete(&key).await;
                    // Not before: whoever takes it meanwhile would lose it to this deletion.
                    forget(&name);
                });
            }
            _ => forget(&name),
        }
    }
}

/// All readers of a cluster's backups that gave a sign of life.
///
/// # Errors
/// What the store says; an unreadable lease counts as held, and so it is an error while it is fresh.
pub async fn readers(repository: &Repository, system: u64) -> Result<Vec<Reads>, BackupError> {
    let store = repository.store();
    let listed = store.list(&layout::readers(system)).await?;
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let (now, host) = (server_now(repository).await?, host_name());
    let mut living = Vec::new();
    for info in listed {
        if now.seconds_since(info.modified) >= EXPIRY_SECONDS {
            // Left by a crash.
            store.delete(&info.key).await?;
            continue;
        }
        let bytes = match store.get(&info.key).await {
            Err(BlobError::NotFound { .. }) => continue,
            other => other?,
        };
        let lease: LeaseFile =
            serde_json::from_slice(&bytes).map_err(|error| BackupError::malformed(&info.key, error))?;
        if lease.holder == host && is_gone(lease.process) {
            store.delete(&info.key).await?;
        } else if let Some(reads) = lease.reads {
            living.push(reads);
        }
    }
    Ok(living)
}

fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

fn lease_text(reads: Option<Reads>) -> impl Fn() -> Bytes + Send + 'static {
    let (holder, since) = (host_name(), now());
    move || {
        let file = LeaseFile {
            holder: holder.clone(),
            process: std::process::id(),
            since,
            heartbeat: now(),
            reads: reads.clone(),
        };
        Bytes::from(serde_json::to_vec(&file).unwrap_or_default())
    }
}

fn beat(
    store: std::sync::Arc<dyn BlobStore>,
    key: String,
    text: impl Fn() -> Bytes + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if let Err(error) = store.put(&key, text()).await {
                tracing::warn!(%error, key, "no sign of life could be written");
            }
        }
    })
}

/// A process of this machine that ended without giving its lease back.
fn is_gone(process: u32) -> bool {
    i32::try_from(process)
        .is_ok_and(|id| nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), None) == Err(nix::errno::Errno::ESRCH))
}

/// The time of the store, from an object written just now.
pub(crate) async fn server_now(repository: &Repository) -> Result<Timestamp, BackupError> {
    let key = format!("{}clock-{}", layout::LEASES, crate::format::ObjectId::random());
    let store = repository.store();
    store.put_new(&key, Bytes::from_static(b"{}")).await?;
    let info = store.head(&key).await;
    store.delete(&key).await?;
    Ok(info?.map_or_else(now, |info| info.modified))
}
