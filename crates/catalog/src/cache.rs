//! Answers remembered for as long as nothing changed.
//!
//! A key holds the tenant's generation, which every change raises once it is committed: what was read before a change
//! is never looked up after it, also when it is stored late. A reader under the new generation reads at or after the
//! position of the change ([`Session`]), so that no lagging replica fills the cache with the past.
use crate::{CatalogError, Tenant};
use domain::Lsn;
use moka::future::Cache;
use pool::Session;
use serde::Serialize;
use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Bytes of all answers together, about.
const CAPACITY_BYTES: u64 = 64 << 20;
/// An answer is forgotten after this time in any case.
const LIFETIME: Duration = Duration::from_secs(30);

type Key = (Tenant, u64, &'static str, String);

#[derive(Clone)]
struct Answer {
    value: Arc<dyn Any + Send + Sync>,
    bytes: u32,
}

/// How well it works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Answers from memory.
    pub hits: u64,
    /// Answers from the database.
    pub misses: u64,
    /// Changes that made answers worthless: ours and those of other processes.
    pub invalidations: u64,
    /// Answers held.
    pub entries: u64,
    /// Whether changes of other processes are heard of; while not, nothing is answered from memory.
    pub listening: bool,
}

#[derive(Debug)]
struct Inner {
    cache: Cache<Key, Answer>,
    tenants: Mutex<HashMap<Tenant, Arc<TenantState>>>,
    /// The newest change that was heard of: tenants that are asked for later begin here.
    floor: Session,
    /// Added to every tenant's: raised when it is not known what was missed.
    epoch: AtomicU64,
    listening: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
    invalidations: AtomicU64,
}

#[derive(Debug, Default)]
struct TenantState {
    generation: AtomicU64,
    session: Session,
}

#[derive(Clone, Debug)]
pub(crate) struct ResultCache {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} bytes)", self.bytes)
    }
}

impl ResultCache {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY_BYTES)
            .weigher(|_, answer: &Answer| answer.bytes)
            .time_to_live(LIFETIME)
            .build();
        Self {
            inner: Arc::new(Inner {
                cache,
                tenants: Mutex::default(),
                floor: Session::default(),
                epoch: AtomicU64::new(0),
                listening: AtomicBool::new(false),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                invalidations: AtomicU64::new(0),
            }),
        }
    }

    fn tenant(&self, tenant: Tenant) -> Arc<TenantState> {
        let mut tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let session = self.inner.floor.written().map(Session::at).unwrap_or_default();
            Arc::new(TenantState { generation: AtomicU64::new(0), session })
        };
        tenants.entry(tenant).or_insert_with(fresh).clone()
    }

    /// Reads of the tenant see everything up to here.
    pub(crate) fn session(&self, tenant: Tenant) -> Session {
        self.tenant(tenant).session.clone()
    }

    /// From memory, or from `load`; callers that ask the same at once share one `load`.
    pub(crate) async fn get<T, F>(
        &self,
        tenant: Tenant,
        what: &'static str,
        question: &(impl Serialize + Sync),
        load: F,
    ) -> Result<Arc<T>, CatalogError>
    where
        T: Serialize + Send + Sync + 'static,
        F: Future<Output = Result<T, CatalogError>> + Send,
    {
        let inner = &self.inner;
        if !inner.listening.load(Ordering::Acquire) {
            inner.misses.fetch_add(1, Ordering::Relaxed);
            return load.await.map(Arc::new);
        }
        // Two counters of a kind that only grow: their sum is new whenever one of them is.
        let generation = self.tenant(tenant).generation.load(Ordering::Acquire) + inner.epoch.load(Ordering::Acquire);
        let question = serde_json::to_string(question).map_err(|error| CatalogError::Conflict(error.to_string()))?;
        let loaded = AtomicBool::new(false);
        let answer = inner
            .cache
            .try_get_with((tenant, generation, what, question), async {
                loaded.store(true, Ordering::Relaxed);
                let value = load.await?;
                let bytes = serde_json::to_vec(&value).map_or(1_024, |bytes| bytes.len());
                Ok::<_, CatalogError>(Answer {
                    value: Arc::new(value),
                    bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                })
            })
            .await
            .map_err(|error: Arc<CatalogError>| shared(&error))?;
        let counter = if loaded.load(Ordering::Relaxed) { &inner.misses } else { &inner.hits };
        counter.fetch_add(1, Ordering::Relaxed);
        answer.value.downcast::<T>().map_err(|_| CatalogError::Conflict("two questions have one name".to_owned()))
    }

    /// A change of this process was committed, or may have been.
    pub(crate) fn changed(&self, tenant: Tenant) {
        self.inner.invalidations.fetch_add(1, Ordering::Relaxed);
        self.tenant(tenant).generation.fetch_add(1, Ordering::AcqRel);
    }

    /// A change of another process was committed before `lsn`.
    pub(crate) fn heard(&self, tenant: Tenant, lsn: Lsn) {
        // First the floor: whoever sees the new generation must read behind the change.
        self.inner.floor.wrote(lsn);
        self.session(tenant).wrote(lsn);
        self.changed(tenant);
    }

    /// Changes may have been missed, all of them before `lsn`.
    pub(crate) fn begin_listening(&self, lsn: Lsn) {
        self.inner.floor.wrote(lsn);
        let tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        for state in tenants.values() {
            state.session.wrote(lsn);
        }
        drop(tenants);
        self.inner.epoch.fetch_add(1, Ordering::AcqRel);
        self.inner.listening.store(true, Ordering::Release);
    }

    pub(crate) fn end_listening(&self) {
        self.inner.listening.store(false, Ordering::Release);
        self.inner.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.inner.hits.load(Ordering::Relaxed),
            misses: self.inner.misses.load(Ordering::Relaxed),
            invalidations: self.inner.invalidations.load(Ordering::Relaxed),
            entries: self.inner.cache.entry_count(),
            listening: self.inner.listening.load(Ordering::Acquire),
        }
    }
}

/// Several callers may have waited for one load: each gets its error, the driver's in words.
fn shared(error: &CatalogError) -> CatalogError {
    match error {
        CatalogError::Invalid { field, message } => CatalogError::Invalid { field, message: message.clone() },
        CatalogError::NotFound(id) => CatalogError::NotFound(id.clone()),
        CatalogError::NoTenant(text) => CatalogError::NoTenant(text.clone()),
        CatalogError::NoBulk(key) => CatalogError::NoBulk(key.clone()),
        CatalogError::Conflict(text) => CatalogError::Conflict(text.clone()),
        CatalogError::Pool(error) => CatalogError::Pool(pool::PoolError::Unavailable(error.to_string())),
    }
}
