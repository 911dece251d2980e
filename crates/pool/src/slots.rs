//! The connections to one server: at most so many, some kept open, none lost.
//!
//! sqlx's own pool gives a permit back only when the connection has said goodbye, and waits for that without an end: a
//! peer that is silent keeps the permit, and after `max` of them the pool is dead (transact-rs/sqlx#4349). Here a permit
//! belongs to the lease and goes with it; a connection in doubt is dropped, which closes its socket at once.
use crate::{
    Histogram,
    asker::Prepared,
    connect::connect_within,
    settings::{PoolSettings, Target},
    snapshot::SlotsSnapshot,
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A connection that was idle for longer is asked for a sign of life before it is handed out.
const DOUBT: Duration = Duration::from_secs(10);

/// A connection, and what is known of its session.
#[derive(Debug)]
struct Open {
    connection: PgConnection,
    prepared: Prepared,
    born: Instant,
}

impl Open {
    fn new(connection: PgConnection) -> Self {
        Self { connection, prepared: Prepared::default(), born: Instant::now() }
    }
}

#[derive(Debug)]
struct Idle {
    open: Open,
    since: Instant,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoLease {
    /// All in use for the whole wait.
    Exhausted(Duration),
    /// As many short questions as are asked at once, for the whole wait.
    Crowded(Duration),
    /// The server is no longer used for this.
    Retired,
    /// It could not be connected to.
    Connect(String),
}

#[derive(Debug)]
pub(crate) struct Slots {
    options: PgConnectOptions,
    pub(crate) max: u32,
    min: u32,
    idle_timeout: Duration,
    max_lifetime: Duration,
    connect_timeout: Duration,
    permits: Arc<Semaphore>,
    /// Short questions that are asked at once, and their turns; `None` when only connections are counted.
    turns: Option<(u32, Arc<Semaphore>)>,
    idle: Mutex<Vec<Idle>>,
    /// Cancelled when the server changes its role or is lost: work on it ends at once.
    pub(crate) retired: CancellationToken,
    waiting: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    exhausted: AtomicU64,
    pub(crate) waits: Histogram,
}

impl Slots {
    pub(crate) fn new(settings: &PoolSettings, target: &Target, replica: bool) -> Arc<Self> {
        let max = if replica { settings.replica_max } else { settings.primary_max };
        Arc::new(Self {
            options: settings.options(target, replica),
            max,
            min: settings.min.min(max),
            idle_timeout: settings.idle_timeout,
            max_lifetime: settings.max_lifetime,
            connect_timeout: settings.connect_timeout,
            permits: Arc::new(Semaphore::new(max as usize)),
            turns: settings.concurrency(target).map(|most| (most, Arc::new(Semaphore::new(most as usize)))),
            idle: Mutex::default(),
            retired: CancellationToken::new(),
            waiting: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            waits: Histogram::default(),
        })
    }

    /// A connection; for a `short` question when it is its turn.
    pub(crate) async fn acquire(self: &Arc<Self>, wait: Duration, short: bool) -> Result<Lease, NoLease> {
        let begun = Instant::now();
        // The turn first: whoever waits for it keeps no connection from others.
        let turn = match self.turns.as_ref().filter(|_| short) {
            Some((_, turns)) => Some(self.permit(turns, wait, NoLease::Crowded).await?),
            None => None,
        };
        let permit = self.permit(&self.permits, wait.saturating_sub(begun.elapsed()), NoLease::Exhausted).await?;
        if self.retired.is_cancelled() {
            return Err(NoLease::Retired);
        }
        let open = match self.take_idle().await {
            Some(open) => open,
            None => Open::new(self.connect().await.map_err(NoLease::Connect)?),
        };
        let lease = Lease { open: Some(open), clean: false, slots: self.clone(), _permit: permit, _turn: turn };
        self.waits.record(begun.elapsed());
        Ok(lease)
    }

    async fn permit(
        &self,
        of: &Arc<Semaphore>,
        wait: Duration,
        in_vain: impl FnOnce(Duration) -> NoLease,
    ) -> Result<OwnedSemaphorePermit, NoLease> {
        if let Ok(permit) = of.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let begun = Instant::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let permit = tokio::select! {
            permit = timeout(wait, of.clone().acquire_owned()) => permit,
            () = self.retired.cancelled() => return Err(NoLease::Retired),
        };
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(NoLease::Retired),
            Err(_) => {
                self.exhausted.fetch_add(1, Ordering::Relaxed);
                Err(in_vain(begun.elapsed()))
            }
        }
    }

    /// How many short questions are asked at once; as many as there are connections where nothing else is known.
    pub(crate) fn concurrency(&self) -> u32 {
        self.turns.as_ref().map_or(self.max, |it| it.0)
    }

    async fn take_idle(&self) -> Option<Open> {
        loop {
            // The newest first, so that those not needed grow old and are closed.
            let mut idle = self.lock().pop()?;
            if idle.open.born.elapsed() < self.max_lifetime {
                if idle.since.elapsed() < DOUBT {
                    return Some(idle.open);
                }
                if matches!(timeout(Duration::from_secs(1), idle.open.connection.ping()).await, Ok(Ok(()))) {
                    return Some(idle.open);
                }
            }
            self.closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn connect(&self) -> Result<PgConnection, String> {
        let connection = connect_within(self.options.clone(), self.connect_timeout).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }

    /// Closes what was idle for too long and opens up to the minimum, one connection a call.
    pub(crate) async fn maintain(&self) {
        let mut old = Vec::new();
        {
            let mut idle = self.lock();
            let keep = self.min as usize;
            let mut i = 0;
            while i < idle.len() {
                let too_many = idle.len() > keep && idle[i].since.elapsed() > self.idle_timeout;
                if too_many || idle[i].open.born.elapsed() > self.max_lifetime {
                    old.push(idle.remove(i));
                } else {
                    i += 1;
                }
            }
        }
        for one in old {
            self.closed.fetch_add(1, Ordering::Relaxed);
            // A word of goodbye, if the peer takes it; the socket is closed in any case.
            let _ = timeout(Duration::from_millis(200), one.open.connection.close()).await;
        }
        let open = self.in_use() + self.lock().len();
        if open < self.min as usize
            && !self.retired.is_cancelled()
            && let Ok(permit) = self.permits.clone().try_acquire_owned()
            && let Ok(connection) = self.connect().await
        {
            self.put_back(Open::new(connection));
            drop(permit);
        }
    }

    fn put_back(&self, open: Open) {
        if self.retired.is_cancelled() {
            self.closed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.lock().push(Idle { open, since: Instant::now() });
    }

    /// Ends all work on it and closes what is open.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
        self.permits.close();
        let idle = std::mem::take(&mut *self.lock());
        self.closed.fetch_add(idle.len() as u64, Ordering::Relaxed);
    }

    fn in_use(&self) -> usize {
        (self.max as usize).saturating_sub(self.permits.available_permits())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> SlotsSnapshot {
        let idle = self.lock().len() as u32;
        SlotsSnapshot {
            max: self.max,
            concurrency: self.concurrency(),
            min: self.min,
            in_use: self.in_use() as u32,
            idle,
            waiting: self.waiting.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            exhausted: self.exhausted.load(Ordering::Relaxed),
        }
    }
}

struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in use. Dropped without [`Lease::clean`], it is closed: its state is not known.
#[derive(Debug)]
pub(crate) struct Lease {
    open: Option<Open>,
    clean: bool,
    slots: Arc<Slots>,
    _permit: OwnedSemaphorePermit,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The connection; there is one until the lease is dropped.
    pub(crate) fn connection(&mut self) -> Option<&mut PgConnection> {
        self.open.as_mut().map(|open| &mut open.connection)
    }

    /// The connection, and what it has prepared.
    pub(crate) fn parts(&mut self) -> Option<(&mut PgConnection, &mut Prepared)> {
        self.open.as_mut().map(|open| (&mut open.connection, &mut open.prepared))
    }

    /// It is outside of any transaction and as it was: the next may have it.
    pub(crate) fn clean(mut self) {
        self.clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        if self.clean {
            self.slots.put_back(open);
        } else {
            self.slots.closed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
