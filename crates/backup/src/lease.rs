//! Leases keep two writers of one cluster from wasting each other's work. They protect nothing: names are unique and
//! objects immutable, so even two writers at once would do no harm.
use crate::{
    BackupError,
    format::layout,
    repo::{Repository, now},
};
use blobs::{BlobError, Bytes};
use domain::Timestamp;
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
struct LeaseFile {
    holder: String,
    process: u32,
    since: Timestamp,
    heartbeat: Timestamp,
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
    /// [`BackupError::Conflict`] names the holder.
    pub async fn take(repository: &Repository, name: &str) -> Result<Self, BackupError> {
        let key = format!("{}{name}", layout::LEASES);
        let store = repository.store().clone();
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        let holder = host.clone();
        let since = now();
        let text = move || {
            let file = LeaseFile { holder: holder.clone(), process: std::process::id(), since, heartbeat: now() };
            Bytes::from(serde_json::to_vec(&file).unwrap_or_default())
        };
        let mut stolen = false;
        while let Err(error) = store.put_new(&key, text()).await {
            let BlobError::Exists { .. } = error else { return Err(error.into()) };
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
            if age < EXPIRY_SECONDS && !known.as_ref().is_some_and(left) {
                let who = known.map_or_else(String::new, |it| {
                    format!(" by process {} on {} since {}", it.process, it.holder, it.since)
                });
                return Err(BackupError::Conflict(format!(
                    "the work '{name}' is being done already{who}; wait for it (a dead holder's claim ends after two minutes)"
                )));
            }
            tracing::warn!(key, age, "taking over a lease whose holder gave no sign");
            store.delete(&key).await?;
            stolen = true;
        }
        held().get_or_insert_default().insert(name_of(repository, &key));
        let (beat_store, beat_key) = (store.clone(), key.clone());
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if let Err(error) = beat_store.put(&beat_key, text()).await {
                    tracing::warn!(%error, key = beat_key, "no sign of life could be written");
                }
            }
        });
        Ok(Self { repository: repository.clone(), key, beat, released: false })
    }

    /// Gives it back.
    pub async fn release(mut self) {
        self.released = true;
        self.beat.abort();
        if let Err(error) = self.repository.store().delete(&self.key).await {
            tracing::warn!(%error, key = self.key, "the lease was not given back; it ends by itself");
        }
    }
}

fn forget(name: &str) {
    if let Some(all) = held().as_mut() {
        all.remove(name);
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

/// A process of this machine that ended without giving its lease back.
fn is_gone(process: u32) -> bool {
    i32::try_from(process)
        .is_ok_and(|id| nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), None) == Err(nix::errno::Errno::ESRCH))
}

/// The time of the store, from an object written just now.
async fn server_now(repository: &Repository) -> Result<Timestamp, BackupError> {
    let key = format!("{}clock-{}", layout::LEASES, crate::format::ObjectId::random());
    let store = repository.store();
    store.put_new(&key, Bytes::from_static(b"{}")).await?;
    let info = store.head(&key).await;
    store.delete(&key).await?;
    Ok(info?.map_or_else(now, |info| info.modified))
}
