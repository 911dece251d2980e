//! A store that fails as it is told, in front of a real one. For tests of what stands on a store.
use crate::{BlobError, BlobInfo, BlobStore, BlobWriter};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A call of [`BlobStore`] or [`BlobWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`BlobStore::put_new`].
    PutNew,
    /// [`BlobStore::put`].
    Put,
    /// [`BlobStore::writer`].
    Writer,
    /// [`BlobWriter::write`].
    Write,
    /// [`BlobWriter::finish`].
    Finish,
    /// [`BlobStore::get`].
    Get,
    /// [`BlobStore::get_range`].
    GetRange,
    /// [`BlobStore::head`].
    Head,
    /// [`BlobStore::list`].
    List,
    /// [`BlobStore::delete`].
    Delete,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`BlobError::Unavailable`]; nothing is done.
    Unavailable,
    /// [`BlobError::Timeout`]; nothing is done.
    Timeout,
    /// [`BlobError::Throttled`]; nothing is done.
    Throttled,
    /// [`BlobError::Denied`]; nothing is done.
    Denied,
    /// [`BlobError::NoSpace`]; nothing is done. For writes.
    NoSpace,
    /// The object reads as if it had been cut in half: `get` gives its first half, `get_range` beyond that is
    /// [`BlobError::Truncated`]. Other calls are done as they are.
    Truncated,
    /// Done after so long.
    Slow(Duration),
    /// Done once [`FaultyStore::heal`] is called.
    Held,
    /// Done, and then [`BlobError::Unavailable`] as if the answer was lost.
    AnswerLost,
}

/// When a fault happens: at each call, or only at those that all of the conditions fit.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    operation: Option<Operation>,
    key: Option<String>,
    first: u64,
    last: u64,
    fitted: u64,
}

impl Rule {
    /// The fault at each call.
    pub const fn new(fault: Fault) -> Self {
        Self { fault, operation: None, key: None, first: 1, last: u64::MAX, fitted: 0 }
    }
    /// Only at calls of this kind.
    #[must_use]
    pub const fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }
    /// Only where the key, or the prefix of a listing, contains this.
    #[must_use]
    pub fn key(mut self, part: impl Into<String>) -> Self {
        self.key = Some(part.into());
        self
    }
    /// Only at the `number`th call that fits otherwise, from 1 on.
    #[must_use]
    pub const fn nth(mut self, number: u64) -> Self {
        self.first = number;
        self.last = number;
        self
    }
    /// Only at the first `count` calls that fit otherwise.
    #[must_use]
    pub const fn times(mut self, count: u64) -> Self {
        self.first = 1;
        self.last = count;
        self
    }

    fn applies(&mut self, operation: Operation, key: &str) -> bool {
        if self.operation.is_some_and(|one| one != operation) || self.key.as_ref().is_some_and(|it| !key.contains(it)) {
            return false;
        }
        self.fitted += 1;
        (self.first..=self.last).contains(&self.fitted)
    }
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    counts: BTreeMap<Operation, u64>,
    /// How often it was healed.
    healed: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    store: String,
}

/// A store in front of another. Clones share rules and counts.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn BlobStore>,
    shared: Arc<Shared>,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    cut: bool,
    lost: bool,
}

impl FaultyStore {
    /// A store that does what the inner one does until a rule is added.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        let store = inner.describe();
        Self { inner, shared: Arc::new(Shared { state: Mutex::default(), store }) }
    }

    /// Adds a rule. Of several that fit the first added decides; all of them count the call.
    pub fn add(&self, rule: Rule) {
        self.shared.state().rules.push(rule);
    }

    /// Removes all rules, and lets go what is held.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.rules.clear();
        state.healed += 1;
    }

    /// Calls of a kind so far, also those that failed.
    pub fn count(&self, operation: Operation) -> u64 {
        self.shared.state().counts.get(&operation).copied().unwrap_or_default()
    }

    /// All counts; a kind that was never called is not in it.
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        self.shared.state().counts.clone()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.shared.state().counts.clear();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and finds out what becomes of it.
    async fn enter(&self, operation: Operation, key: &str) -> Result<Verdict, BlobError> {
        let (fault, healed) = {
            let mut state = self.state();
            *state.counts.entry(operation).or_default() += 1;
            let mut fault = None;
            for rule in &mut state.rules {
                if rule.applies(operation, key) && fault.is_none() {
                    fault = Some(rule.fault);
                }
            }
            (fault, state.healed)
        };
        let (store, operation) = (self.store.clone(), name(operation));
        match fault {
            None => Ok(Verdict::default()),
            Some(Fault::Unavailable) => Err(self.unavailable(operation)),
            Some(Fault::Timeout) => Err(BlobError::Timeout { operation, store }),
            Some(Fault::Throttled) => Err(BlobError::Throttled { operation, store }),
            Some(Fault::Denied) => Err(BlobError::Denied { operation, store, reason: "the test wants it".into() }),
            Some(Fault::NoSpace) => Err(BlobError::NoSpace { store }),
            Some(Fault::Truncated) => Ok(Verdict { cut: true, lost: false }),
            Some(Fault::AnswerLost) => Ok(Verdict { cut: false, lost: true }),
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(Verdict::default())
            }
            Some(Fault::Held) => {
                while self.state().healed == healed {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(Verdict::default())
            }
        }
    }

    fn unavailable(&self, operation: &'static str) -> BlobError {
        BlobError::Unavailable {
            operation,
            store: self.store.clone(),
            reason: "the test wants it".into(),
            source: None,
        }
    }

    /// The answer, unless it is to be lost.
    fn leave<T>(&self, verdict: Verdict, operation: Operation, answer: T) -> Result<T, BlobError> {
        if verdict.lost { Err(self.unavailable(name(operation))) } else { Ok(answer) }
    }
}

const fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::PutNew | Operation::Put | Operation::Write => "write",
        Operation::Writer => "start to write",
        Operation::Finish => "finish writing",
        Operation::Get | Operation::GetRange => "read",
        Operation::Head => "look up",
        Operation::List => "list",
        Operation::Delete => "delete",
    }
}

#[async_trait]
impl BlobStore for FaultyStore {
    async fn put_new(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        let verdict = self.shared.enter(Operation::PutNew, key).await?;
        self.inner.put_new(key, data).await?;
        self.shared.leave(verdict, Operation::PutNew, ())
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        let verdict = self.shared.enter(Operation::Put, key).await?;
        self.inner.put(key, data).await?;
        self.shared.leave(verdict, Operation::Put, ())
    }

    async fn writer(&self, key: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        let verdict = self.shared.enter(Operation::Writer, key).await?;
        let inner = self.inner.writer(key).await?;
        let writer = FaultyWriter { inner, key: key.to_owned(), shared: self.shared.clone() };
        self.shared.leave(verdict, Operation::Writer, Box::new(writer) as Box<dyn BlobWriter>)
    }

    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        let verdict = self.shared.enter(Operation::Get, key).await?;
        let mut data = self.inner.get(key).await?;
        if verdict.cut {
            data.truncate(data.len() / 2);
        }
        self.shared.leave(verdict, Operation::Get, data)
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, BlobError> {
        let verdict = self.shared.enter(Operation::GetRange, key).await?;
        if verdict.cut
            && let Some(info) = self.inner.head(key).await?
        {
            let there = (info.size / 2).saturating_sub(offset);
            if there < length {
                return Err(BlobError::Truncated { key: key.to_owned(), wanted: length, got: there });
            }
        }
        let data = self.inner.get_range(key, offset, length).await?;
        self.shared.leave(verdict, Operation::GetRange, data)
    }

    async fn head(&self, key: &str) -> Result<Option<BlobInfo>, BlobError> {
        let verdict = self.shared.enter(Operation::Head, key).await?;
        let info = self.inner.head(key).await?;
        self.shared.leave(verdict, Operation::Head, info)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError> {
        let verdict = self.shared.enter(Operation::List, prefix).await?;
        let found = self.inner.list(prefix).await?;
        self.shared.leave(verdict, Operation::List, found)
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let verdict = self.shared.enter(Operation::Delete, key).await?;
        self.inner.delete(key).await?;
        self.shared.leave(verdict, Operation::Delete, ())
    }

    async fn keep_reserve(&self) -> Result<(), BlobError> {
        self.inner.keep_reserve().await
    }

    async fn give_up_reserve(&self) -> Result<bool, BlobError> {
        self.inner.give_up_reserve().await
    }

    fn describe(&self) -> String {
        self.shared.store.clone()
    }
}

#[derive(Debug)]
struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    key: String,
    shared: Arc<Shared>,
}

#[async_trait]
impl BlobWriter for FaultyWriter {
    async fn write(&mut self, part: Bytes) -> Result<(), BlobError> {
        let verdict = self.shared.enter(Operation::Write, &self.key).await?;
        self.inner.write(part).await?;
        self.shared.leave(verdict, Operation::Write, ())
    }

    async fn finish(self: Box<Self>) -> Result<u64, BlobError> {
        let verdict = match self.shared.enter(Operation::Finish, &self.key).await {
            Ok(verdict) => verdict,
            Err(error) => {
                self.inner.abort().await;
                return Err(error);
            }
        };
        let size = self.inner.finish().await?;
        self.shared.leave(verdict, Operation::Finish, size)
    }

    async fn abort(self: Box<Self>) {
        self.inner.abort().await;
    }
}
