//! The pools: work goes in with its intent, and comes out done, or with an error that says whether it was.
use crate::{
    Asker, PoolError, PoolSettings, Scope, Session,
    error::{Trouble, WorkError, code, one_line, out_of_step, trouble},
    node::Node,
    reads::{Asked, Read, read_once},
    slots::{Lease, NoLease, Slots},
    supervise,
    topology::{Decision, Memory, Use},
};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, postgres::PgRow};
use std::{
    marker::PhantomData,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often a piece of work is begun anew.
const ATTEMPTS: u32 = 4;

/// The second argument of a piece of work. It carries no value; it tells the compiler that what the work borrows
/// outlives the connection it is lent.
pub type Work<'c, 'a> = PhantomData<&'c &'a ()>;

/// A read-only transaction.
#[derive(Debug)]
pub struct Reader {
    pub(crate) asker: Asker,
}

/// A transaction that may write.
#[derive(Debug)]
pub struct Writer {
    lease: Lease,
}

impl Reader {
    /// The connection, inside the transaction.
    ///
    /// # Errors
    /// Never while the work runs.
    pub fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.asker.connection().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Writer {
    /// The connection, inside the transaction.
    ///
    /// # Errors
    /// Never while the work runs.
    pub fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.lease.connection().ok_or(sqlx::Error::PoolClosed)
    }
}

/// Cheap to clone; the last clone ends the supervision and closes what is open.
#[derive(Clone, Debug)]
pub struct Pools {
    pub(crate) inner: Arc<Inner>,
    _guard: Arc<DropGuard>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: PoolSettings,
    pub(crate) probe_name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) memory: Mutex<Memory>,
    pub(crate) decision: ArcSwap<Decision>,
    /// Rises with every decision that changed something.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) replica_reads: AtomicU64,
    pub(crate) primary_reads_no_replica: AtomicU64,
    pub(crate) primary_reads_own_write: AtomicU64,
    pub(crate) primary_reads_standby_refused: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) refused_writes: AtomicU64,
    pub(crate) role_changes: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Why a read is sent where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    No,
    OwnWrite,
    Refused,
    Failed,
}

impl Pools {
    /// Over the configured servers. Nothing is waited for: whoever comes first waits for the first look at the servers.
    ///
    /// # Errors
    /// [`PoolError::Settings`].
    pub fn start(settings: PoolSettings) -> Result<Self, PoolError> {
        let nodes = settings.targets()?.into_iter().map(|target| Node::new(&settings, target)).collect();
        let inner = Arc::new(Inner {
            probe_name: settings.probe_name(),
            settings,
            nodes,
            memory: Mutex::default(),
            decision: ArcSwap::default(),
            changes: watch::channel(0).0,
            counts: Counts::default(),
        });
        let stop = CancellationToken::new();
        for i in 0..inner.nodes.len() {
            tokio::spawn(supervise::run(Arc::downgrade(&inner), i, stop.clone()));
        }
        Ok(Self { inner, _guard: Arc::new(stop.drop_guard()) })
    }

    /// Reads from a replica that is fit, else from the primary. What others wrote in the last moments may be missing.
    /// The work may be repeated.
    ///
    /// # Errors
    /// [`PoolError`], as the caller's type.
    pub async fn read<'a, T, E, F>(&self, scope: &Scope, work: F) -> Result<T, E>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        self.reading(Asked { scope, floor: None, by_message: false }, false, work).await
    }

    /// As [`Self::read`], and it sees everything that the session wrote.
    ///
    /// # Errors
    /// [`PoolError`], as the caller's type.
    pub async fn read_after<'a, T, E, F>(&self, scope: &Scope, session: &Session, work: F) -> Result<T, E>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        self.reading(Asked { scope, floor: session.written(), by_message: false }, false, work).await
    }

    /// Reads from the primary: nothing committed is missing.
    ///
    /// # Errors
    /// [`PoolError`], as the caller's type.
    pub async fn read_primary<'a, T, E, F>(&self, scope: &Scope, work: F) -> Result<T, E>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        self.reading(Asked { scope, floor: None, by_message: false }, true, work).await
    }

    /// As [`Self::read_after`], for questions whose text is known: each is asked in one message, in a transaction of its own.
    ///
    /// # Errors
    /// [`PoolError`], as the caller's type.
    pub async fn ask<'a, T, E, F>(&self, scope: &Scope, session: &Session, work: F) -> Result<T, E>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Asker, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let asked = Asked { scope, floor: session.written(), by_message: true };
        self.reading(asked, false, |reader: &mut Reader, borrows: Work<'_, 'a>| work(&mut reader.asker, borrows)).await
    }

    /// Writes in one transaction, committed when the work is `Ok` and rolled back when it is not. The work is repeated
    /// when nothing of it can have been committed: after a lost connection, a changed role, a deadlock.
    ///
    /// # Errors
    /// [`PoolError`], as the caller's type; [`PoolError::CommitUnknown`] alone leaves open whether it was committed.
    pub async fn write<'a, T, E, F>(&self, scope: &Scope, session: &Session, work: F) -> Result<T, E>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Writer, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let inner = &self.inner;
        let begun = Instant::now();
        let deadline = begun + inner.settings.work_timeout;
        let mut patience = begun + inner.settings.acquire_timeout;
        let mut attempt = 0;
        loop {
            let (node, slots) = self.primary(patience).await?;
            let lease = match slots.acquire(patience.saturating_duration_since(Instant::now()), false).await {
                Ok(lease) => lease,
                Err(why) => {
                    self.no_lease(node, &slots, why, patience).await?;
                    continue;
                }
            };
            let started = Instant::now();
            let target = Target { node, slots: &slots, scope, session, deadline };
            let outcome = self.attempt_write(target, lease, &work).await;
            node.executes.record(started.elapsed());
            match outcome {
                Ok(value) => {
                    count(&inner.counts.writes);
                    return Ok(value);
                }
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Again(error)) => {
                    attempt += 1;
                    if attempt >= ATTEMPTS || Instant::now() >= deadline {
                        return Err(error);
                    }
                    count(&inner.counts.retries);
                    // A failover may be under way: time for it from now on.
                    patience = Instant::now() + inner.settings.acquire_timeout;
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 20)).await;
                }
            }
        }
    }

    async fn attempt_write<'a, T, E, F>(&self, target: Target<'_>, lease: Lease, work: &F) -> Result<T, Attempt<E>>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Writer, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let Target { node, slots, scope, session, deadline } = target;
        let limit = deadline.saturating_duration_since(Instant::now());
        let lost = |reason: String| {
            node.suspect();
            Attempt::Again(E::from(PoolError::Lost { server: node.address.clone(), reason }))
        };
        let mut writer = Writer { lease };
        let failed = async |writer: &mut Writer, error: E| match error.sql().map(trouble) {
            Some(Trouble::Server) => Err(lost(error.sql().map(one_line).unwrap_or_default())),
            // It is no primary any more; nothing can have been written.
            Some(Trouble::ReadOnly) => {
                node.suspect();
                Err(Attempt::Again(error))
            }
            _ => {
                let step = !error.sql().is_some_and(out_of_step);
                let clean = step && simple(writer.lease.connection(), "ROLLBACK").await.is_ok();
                let again = error.sql().and_then(code).is_some_and(|code| code == "40001" || code == "40P01");
                Ok((clean, if again { Attempt::Again(error) } else { Attempt::Final(error) }))
            }
        };
        let all = async {
            let begin = format!("BEGIN READ WRITE; {}", scope.sql("NULL::text"));
            let result = match simple(writer.lease.connection(), &begin).await {
                Ok(_) => work(&mut writer, PhantomData).await,
                Err(error) => Err(E::from(PoolError::Sql(error))),
            };
            match result {
                Ok(value) => Ok(value),
                Err(error) => Err(failed(&mut writer, error).await),
            }
        };
        let done = tokio::select! {
            done = timeout(limit, all) => done,
            () = slots.retired.cancelled() => return Err(lost("its role changed".to_owned())),
        };
        let value = match done {
            Err(_) => {
                return Err(Attempt::Final(E::from(PoolError::TooLong {
                    limit_ms: self.inner.settings.work_timeout.as_millis() as u64,
                })));
            }
            Ok(Err(Err(attempt))) => return Err(attempt),
            Ok(Err(Ok((clean, attempt)))) => {
                if clean {
                    writer.lease.clean();
                }
                return Err(attempt);
            }
            Ok(Ok(value)) => value,
        };
        // A primary that was replaced meanwhile must not commit.
        if slots.retired.is_cancelled() {
            return Err(lost("its role changed".to_owned()));
        }
        // The first statement fails in a transaction that has failed; COMMIT alone would roll back and say nothing.
        let commit = "SELECT pg_current_xact_id_if_assigned()::text; COMMIT; SELECT pg_current_wal_insert_lsn()::text";
        let committed = tokio::select! {
            done = timeout(limit.max(Duration::from_secs(1)), simple(writer.lease.connection(), commit)) => done,
            () = slots.retired.cancelled() => Ok(Err(sqlx::Error::WorkerCrashed)),
        };
        match committed {
            Ok(Ok(rows)) => {
                let text = |i: usize| rows.get(i).and_then(|row| row.try_get::<Option<String>, _>(0).ok()).flatten();
                if text(0).is_some()
                    && let Some(lsn) = text(1).and_then(|text| text.parse().ok())
                {
                    session.wrote(lsn);
                }
                writer.lease.clean();
                Ok(value)
            }
            Ok(Err(error)) if trouble(&error) != Trouble::Server => {
                if simple(writer.lease.connection(), "ROLLBACK").await.is_ok() {
                    writer.lease.clean();
                }
                let again = code(&error).is_some_and(|code| code == "40001" || code == "40P01");
                let error = E::from(PoolError::Sql(error));
                Err(if again { Attempt::Again(error) } else { Attempt::Final(error) })
            }
            Ok(Err(_)) | Err(_) => {
                node.suspect();
                Err(Attempt::Final(E::from(PoolError::CommitUnknown { server: node.address.clone() })))
            }
        }
    }

    async fn reading<'a, T, E, F>(&self, asked: Asked<'_>, primary: bool, work: F) -> Result<T, E>
    where
        E: WorkError,
        F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let inner = &self.inner;
        let begun = Instant::now();
        let deadline = begun + inner.settings.work_timeout;
        let mut patience = begun + inner.settings.acquire_timeout;
        let mut away = Away::No;
        let mut attempt = 0;
        loop {
            let replica = if primary || away != Away::No { None } else { self.replica() };
            let (node, slots, on_replica) = match replica {
                Some((node, slots)) => (node, slots, true),
                None => match self.primary(patience).await {
                    Ok((node, slots)) => (node, slots, false),
                    // Better a replica that failed a moment ago than none; not for what it cannot do.
                    Err(error) => match self.replica().filter(|_| !primary && matches!(away, Away::Failed)) {
                        Some((node, slots)) => (node, slots, true),
                        None => return Err(error.into()),
                    },
                },
            };
            let wait = patience.saturating_duration_since(Instant::now());
            let lease = match slots.acquire(wait, asked.by_message).await {
                Ok(lease) => lease,
                Err(why) => {
                    let exhausted = matches!(why, NoLease::Exhausted(_) | NoLease::Crowded(_));
                    if on_replica && !exhausted {
                        node.suspect();
                        away = Away::Failed;
                        continue;
                    }
                    self.no_lease(node, &slots, why, patience).await?;
                    continue;
                }
            };
            let started = Instant::now();
            let limit = deadline.saturating_duration_since(started);
            let read = tokio::select! {
                done = timeout(limit, read_once(node, lease, asked, on_replica, &work)) => done,
                () = slots.retired.cancelled() => Ok(Read::Lost("its role changed".to_owned())),
            };
            node.executes.record(started.elapsed());
            let error = match read {
                Err(_) => {
                    let limit_ms = inner.settings.work_timeout.as_millis() as u64;
                    return Err(PoolError::TooLong { limit_ms }.into());
                }
                Ok(Read::Done(value)) => {
                    let counts = &inner.counts;
                    count(match (on_replica, away) {
                        (true, _) => &counts.replica_reads,
                        (false, Away::OwnWrite) => &counts.primary_reads_own_write,
                        (false, Away::Refused) => &counts.primary_reads_standby_refused,
                        (false, _) => &counts.primary_reads_no_replica,
                    });
                    return Ok(value);
                }
                Ok(Read::Failed(error)) => return Err(error),
                Ok(Read::Behind) => {
                    away = Away::OwnWrite;
                    continue;
                }
                Ok(Read::Refused(error)) if on_replica => {
                    away = Away::Refused;
                    error
                }
                Ok(Read::Refused(error)) => {
                    // The primary's word is the last: it is a write, and it was not done.
                    if error.sql().map(trouble) == Some(Trouble::ReadOnly) {
                        count(&inner.counts.refused_writes);
                        let said = error.sql().map(one_line).unwrap_or_default();
                        return Err(PoolError::ReadOnly(said).into());
                    }
                    return Err(error);
                }
                Ok(Read::Lost(reason)) => {
                    node.suspect();
                    if on_replica {
                        away = Away::Failed;
                    }
                    patience = Instant::now() + inner.settings.acquire_timeout;
                    E::from(PoolError::Lost { server: node.address.clone(), reason })
                }
            };
            attempt += 1;
            if attempt >= ATTEMPTS || Instant::now() >= deadline {
                return Err(error);
            }
            count(&inner.counts.retries);
        }
    }

    /// The primary, waited for until `patience` ends: a failover takes its time.
    pub(crate) async fn primary(&self, patience: Instant) -> Result<(&Node, Arc<Slots>), PoolError> {
        let mut changes = self.inner.changes.subscribe();
        loop {
            let found = self.inner.nodes.iter().find_map(|node| Some((node, node.slots_if(&Use::Primary)?)));
            if let Some(found) = found {
                return Ok(found);
            }
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(timeout(left, changes.changed()).await, Ok(Ok(()))) {
                return Err(PoolError::Unavailable(self.why_no_primary()));
            }
        }
    }

    fn replica(&self) -> Option<(&Node, Arc<Slots>)> {
        self.inner.nodes.iter().find_map(|node| Some((node, node.slots_if(&Use::Replica)?)))
    }

    fn why_no_primary(&self) -> String {
        if let Some(said) = &self.inner.decision.load().split_brain {
            return said.clone();
        }
        let nodes = self
            .inner
            .nodes
            .iter()
            .map(|node| {
                let state = node.state();
                let said = match &state.used {
                    Use::Replica => "is a standby".to_owned(),
                    Use::Left(reason) => reason.clone(),
                    _ => state.trouble.clone().unwrap_or_else(|| "does not answer".to_owned()),
                };
                format!("{}: {said}", node.address)
            })
            .collect::<Vec<_>>();
        format!("no server takes writes now ({}); it is looked for again and again, try later", nodes.join("; "))
    }

    async fn no_lease(&self, node: &Node, slots: &Slots, why: NoLease, patience: Instant) -> Result<(), PoolError> {
        match why {
            NoLease::Exhausted(waited) => Err(PoolError::Exhausted {
                role: node.target.name,
                max: slots.max,
                waited_ms: waited.as_millis() as u64,
            }),
            NoLease::Crowded(waited) => Err(PoolError::Crowded {
                role: node.target.name,
                most: slots.concurrency(),
                waited_ms: waited.as_millis() as u64,
            }),
            NoLease::Retired => Ok(()),
            NoLease::Connect(reason) => {
                node.suspect();
                if Instant::now() >= patience {
                    return Err(PoolError::Unavailable(format!("{} cannot be connected to: {reason}", node.address)));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
        }
    }
}

/// Where one attempt to write goes, and for whom.
struct Target<'w> {
    node: &'w Node,
    slots: &'w Arc<Slots>,
    scope: &'w Scope,
    session: &'w Session,
    deadline: Instant,
}

enum Attempt<E> {
    /// Nothing can have been committed, and it may go better the next time.
    Again(E),
    Final(E),
}

/// Sends statements in one message and takes all their rows.
pub(crate) async fn simple(connection: Option<&mut PgConnection>, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    // The text is ours: the names of settings are constants and their values are quoted by `Scope`.
    let connection = connection.ok_or(sqlx::Error::PoolClosed)?;
    connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await
}
